package bedrocktest

import (
	"strings"
	"unicode/utf8"
)

// textUnitCharacters is how many characters one text unit of a guardrail covers (Amazon Bedrock's pricing page, 2026-11).
const textUnitCharacters = 1000

// policy is one policy of a guardrail: the counter that tells its units, and the list price of one unit in nano-USD.
type policy struct {
	counter string
	price   int64
}

// policies are those of a guardrail that has them all, at the list prices read on 2026-11-20: 0.15 USD per 1,000 text units for content
// and for topics, 0.10 for sensitive information and for grounding, 0.17 for automated reasoning; words are free.
func policies() []policy {
	return []policy{
		{"contentPolicyUnits", 150_000},
		{"topicPolicyUnits", 150_000},
		{"wordPolicyUnits", 0},
		{"sensitiveInformationPolicyUnits", 100_000},
		{"sensitiveInformationPolicyFreeUnits", 0},
		{"contextualGroundingPolicyUnits", 100_000},
		{"automatedReasoningPolicyUnits", 170_000},
	}
}

// guardrailImage is the list price of one image in nano-USD: 0.75 USD per 1,000, read on 2026-11-20.
const guardrailImage = 750_000

// evaluation is what one guardrail evaluated of one side of an answer.
type evaluation struct{ units, images int64 }

// nanoUSD is the price of all policies together.
func (e evaluation) nanoUSD() (total int64) {
	for _, p := range policies() {
		total += e.units * p.price
	}
	return total + e.images*guardrailImage
}

// usage is how the service tells it.
func (e evaluation) usage() map[string]any {
	told := map[string]any{"contentPolicyImageUnits": e.images, "automatedReasoningPolicies": 0}
	for _, p := range policies() {
		told[p.counter] = e.units
	}
	return told
}

// textUnits returns the units of one text. A text of no characters makes none.
func textUnits(characters int) int64 {
	return int64((characters + textUnitCharacters - 1) / textUnitCharacters)
}

// guarded counts a text for the guardrails, if there are any. Each message and the system prompt is one text.
func (in *inference) guarded(section, text string) {
	if len(in.guardrails) == 0 {
		return
	}
	if n := len(in.guardedTexts); n == 0 || in.role != "" || in.guardedIn != section {
		in.guardedTexts, in.guardedIn = append(in.guardedTexts, 0), section
	}
	in.guardedTexts[len(in.guardedTexts)-1] += utf8.RuneCountInString(text)
}

// askGuardrails notes which guardrails evaluate a request: those that are enforced, and the one that it names. Models that embed or rank
// have none.
func (s *Server) askGuardrails(in *inference, named string, traced bool) *refusal {
	if named != "" && s.opts.Guardrails != nil && !contains(s.opts.Guardrails, named) && !contains(s.opts.EnforcedGuardrails, named) {
		return invalid("The guardrail identifier or version provided in the request does not exist.")
	}
	if in.model.Mode != "" {
		return nil
	}
	in.guardrails = append(in.guardrails, s.opts.EnforcedGuardrails...)
	in.traced = len(in.guardrails)
	if named != "" && !contains(in.guardrails, named) {
		in.guardrails = append(in.guardrails, named)
		if traced {
			in.traced++
		}
	}
	return nil
}

// evaluations returns what each guardrail evaluates of the request and of the reply.
func (in *inference) evaluations(r Reply) (input, output evaluation) {
	for _, characters := range in.guardedTexts {
		input.units += textUnits(characters)
	}
	input.images = int64(in.images)
	output.units = textUnits(utf8.RuneCountInString(r.Text))
	return input, output
}

// guardrailsNanoUSD is what all guardrails of an inference cost together.
func (in *inference) guardrailsNanoUSD(r Reply) int64 {
	input, output := in.evaluations(r)
	return int64(len(in.guardrails)) * (input.nanoUSD() + output.nanoUSD())
}

// guardrailTrace is what an answer tells of its guardrails; nil when it tells nothing. Converse and InvokeModel name the two sides
// differently.
func (in *inference) guardrailTrace(r Reply, inputKey, outputKey string) map[string]any {
	if in.traced == 0 {
		return nil
	}
	input, output := in.evaluations(r)
	before, after := map[string]any{}, map[string]any{}
	for _, id := range in.guardrails[:in.traced] {
		before[id] = assessment(input)
		after[id] = []any{assessment(output)}
	}
	told := map[string]any{inputKey: before, outputKey: after}
	if outputKey == "outputs" { // InvokeModel lists what Converse keeps by id
		told[outputKey] = []any{map[string]any{}}
		list := []any{}
		for _, id := range in.guardrails[:in.traced] {
			list = append(list, map[string]any{id: assessment(output)})
		}
		told[outputKey] = list
	}
	return told
}

func assessment(e evaluation) map[string]any {
	return map[string]any{"invocationMetrics": map[string]any{"guardrailProcessingLatency": 1, "usage": e.usage()}}
}

// applyGuardrail serves ApplyGuardrail: each text is evaluated and billed by itself.
func (s *Server) applyGuardrail(id string, n *node) (evaluation, *refusal) {
	var e evaluation
	content := n.get("content").list()
	if source := n.get("source").text(); source != "INPUT" && source != "OUTPUT" || len(content) == 0 {
		return e, invalid("source must be INPUT or OUTPUT, and content must not be empty")
	}
	for _, b := range content {
		switch {
		case b.get("text").get("text").text() != "":
			e.units += textUnits(utf8.RuneCountInString(b.get("text").get("text").text()))
		case b.get("image") != nil:
			e.images++
		default:
			return e, invalid("content must hold texts and images")
		}
	}
	if strings.TrimSpace(id) == "" {
		return e, invalid("the guardrail needs an id")
	}
	return e, nil
}
