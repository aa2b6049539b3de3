package wire

import "github.com/bedrockguard/bedrockguard-go/internal/request"

// The readers here embed a JSON scanner: Peek returns the first byte of the next value, and Skip, Value, Text, Object and Array read that value.
// Object and Array call a function for each member or element, which has to read it.

// maxGuardrails bounds how many guardrails of one answer are told apart. A request has one, and the account and the organisation
// can enforce some; what is beyond counts as the last one's.
const maxGuardrails = 8

// guardrailUnit returns the unit that a counter of this name counts, and false for a name that is none of a guardrail's counters.
func guardrailUnit(name string) (GuardrailUnit, bool) {
	switch name {
	case "contentPolicyUnits":
		return GuardrailContent, true
	case "topicPolicyUnits":
		return GuardrailTopic, true
	case "wordPolicyUnits":
		return GuardrailWord, true
	case "sensitiveInformationPolicyUnits":
		return GuardrailSensitiveInformation, true
	case "sensitiveInformationPolicyFreeUnits":
		return GuardrailSensitiveInformationFree, true
	case "contextualGroundingPolicyUnits":
		return GuardrailContextualGrounding, true
	case "automatedReasoningPolicyUnits":
		return GuardrailAutomatedReasoning, true
	case "contentPolicyImageUnits":
		return GuardrailContentImage, true
	default:
		return 0, false
	}
}

// ParseGuardrailUsage reads the units of an ApplyGuardrail answer, and reports false when the answer has none. They stand under "usage" and name no
// guardrail.
func ParseGuardrailUsage(body []byte) (GuardrailUsage, bool, error) {
	var r usageReader
	err := r.scanObject(body, func(key string) error {
		if key != "usage" || r.Peek() != '{' {
			return r.Skip()
		}
		return r.guardrailUnits("")
	})
	if err != nil || len(r.served.Guardrails) == 0 {
		return GuardrailUsage{}, false, err
	}
	return r.served.Guardrails[0], true, nil
}

// trace reads what the service tells of how it served a request: the model that a prompt router has chosen, and what guardrails have evaluated.
func (r *usageReader) trace() error {
	return r.Object(func(key string) error {
		switch c := r.Peek(); {
		case key == "guardrail" && c == '{':
			return r.assessments("")
		case key == "promptRouter" && c == '{':
			return r.Object(func(k string) error {
				if k == "invokedModelId" && r.Peek() == '"' {
					r.routed = true // a model that the answer names later does not replace this one
					r.served.Routed = true
					return r.model()
				}
				return r.Skip()
			})
		}
		return r.Skip()
	})
}

// assessments reads an object of the guardrails' trace, and goes into all objects and lists of objects in it until it finds invocationMetrics. The
// object that holds these stands under the guardrail's id, directly or in a list: id is the key of the present object, empty for the trace itself.
func (r *usageReader) assessments(id string) error {
	return r.Object(func(key string) error {
		switch c := r.Peek(); {
		case key == "invocationMetrics" && c == '{':
			return r.Object(func(k string) error {
				if k == "usage" && r.Peek() == '{' {
					return r.guardrailUnits(id)
				}
				return r.Skip()
			})
		case c == '{':
			return r.assessments(key)
		case c == '[':
			return r.Array(func() error {
				if r.Peek() == '{' {
					return r.assessments(key)
				}
				return r.Skip()
			})
		}
		return r.Skip()
	})
}

// guardrailUnits adds the counters of one assessment to those of its guardrail.
func (r *usageReader) guardrailUnits(id string) error {
	var read [NumGuardrailUnits]int64
	told := false // there is a counter, though it may be zero
	err := r.Object(func(key string) error {
		unit, ok := guardrailUnit(key)
		if !ok {
			return r.Skip()
		}
		// A counter of null is 0, and tells as much as a zero.
		n, _, err := r.tokenCount(key)
		read[unit], told = n, true
		return err
	})
	if err != nil || !told {
		return err
	}
	r.served.AddGuardrail(id, read)
	return nil
}

// AddGuardrail takes in one assessment of a guardrail: its units add up over input and output. An id that can't be printed safely counts as
// none. Units are cut to the range from 0 to maxCount.
func (r *Reported) AddGuardrail(id string, units [NumGuardrailUnits]int64) {
	u := r.guardrail(request.Printable(id))
	for i, n := range units {
		u.Units[i] = min(u.Units[i]+min(max(n, 0), maxCount), maxCount)
	}
}

// guardrail returns the usage of the guardrail with this id, and adds it if it is missing. When there are maxGuardrails already, it returns the last
// one's instead.
func (r *Reported) guardrail(id string) *GuardrailUsage {
	for i := range r.Guardrails {
		if r.Guardrails[i].ID == id {
			return &r.Guardrails[i]
		}
	}
	if len(r.Guardrails) < maxGuardrails {
		r.Guardrails = append(r.Guardrails, GuardrailUsage{ID: id})
	}
	return &r.Guardrails[len(r.Guardrails)-1]
}

// model reads the name of the model that answered.
func (r *usageReader) model() error {
	t, err := r.Text()
	if err == nil {
		r.served.Model = request.Printable(t.String())
	}
	return err
}
