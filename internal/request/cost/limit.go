package cost

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// outputConfigs are the objects of a body in which dialects have their output limit, if it is not a field of the body itself.
var outputConfigs = map[string]bool{"inferenceConfig": true, "textGenerationConfig": true}

// Dialect is the form of a body, as far as it decides which field limits the answer.
type Dialect uint8

// The dialects.
const (
	OfModel   Dialect = iota // that of InvokeModel, which depends on the model's maker
	Converse                 // Converse as JSON
	Messages                 // Anthropic's messages
	Chat                     // OpenAI's chat completions
	Responses                // OpenAI's responses
)

// limitPlace is where a dialect has its output limit.
type limitPlace struct {
	Config string   // the object of the body in which it is; empty if it is a field of the body itself
	Key    string   // the field's name
	In     bodyForm // the bodies in which that field is the limit; anyForm for all
}

// bodyForm is the form of a body, for models that read more than one.
type bodyForm uint8

const (
	anyForm    bodyForm = iota
	chatForm            // a conversation
	promptForm          // a text to go on with
)

// formOf returns the form of a body by the fields that it has. For a body with both it is anyForm, because nobody knows which of them is read.
func formOf(messages, prompt bool) bodyForm {
	switch {
	case !prompt: // also without messages
		return chatForm
	case !messages:
		return promptForm
	default:
		return anyForm
	}
}

// includes reports whether what holds for bodies of this form holds for a body. A body of which the form is not known is only included in anyForm.
func (f bodyForm) includes(body bodyForm) bool { return f == anyForm || f == body }

// places returns where a dialect can have its output limit, or nil if any field may be the limit. In a body without a limit it is set at the first
// place that the body's form allows.
func (d Dialect) places(modelID string) []limitPlace {
	switch d {
	case Converse:
		return []limitPlace{{Config: "inferenceConfig", Key: "maxTokens"}}
	case Messages:
		return []limitPlace{{Key: "max_tokens"}}
	case Chat:
		return []limitPlace{{Key: "max_completion_tokens"}, {Key: "max_tokens"}}
	case Responses:
		return []limitPlace{{Key: "max_output_tokens"}}
	}
	return placesOf(modelID)
}

// placesOf returns the places of the dialects in which InvokeModel reads a model's bodies, by the model's id: its maker's own, and those of OpenAI's
// chat where the model reads that. A service may ignore a limit in any other place. A missing limit is set at the first place that the body's form
// allows.
func placesOf(modelID string) []limitPlace {
	maker, name, _ := strings.Cut(modelID, ".")
	switch maker {
	case "amazon":
		switch {
		case strings.HasPrefix(name, "nova"):
			return []limitPlace{{Config: "inferenceConfig", Key: "maxTokens"}, {Config: "inferenceConfig", Key: "max_new_tokens"}}
		case strings.HasPrefix(name, "titan-t"): // the models that write text; the others embed or draw
			return []limitPlace{{Config: "textGenerationConfig", Key: "maxTokenCount"}}
		}
	case "anthropic":
		// The oldest models also go on with a text, and have another field for the limit then.
		if strings.HasPrefix(name, "claude-v") || strings.HasPrefix(name, "claude-instant") {
			return []limitPlace{{Key: "max_tokens", In: chatForm}, {Key: "max_tokens_to_sample", In: promptForm}}
		}
		return []limitPlace{{Key: "max_tokens"}}
	case "meta":
		return []limitPlace{{Key: "max_gen_len"}, {Key: "max_tokens", In: chatForm}, {Key: "max_completion_tokens", In: chatForm}}
	case "openai":
		return []limitPlace{{Key: "max_completion_tokens", In: chatForm}, {Key: "max_tokens"}}
	case "mistral", "deepseek", "qwen", "google", "minimax", "moonshot", "moonshotai", "nvidia", "xai", "zai":
		return []limitPlace{{Key: "max_tokens"}, {Key: "max_completion_tokens", In: chatForm}}
	case "ai21":
		if strings.HasPrefix(name, "j2") { // Jurassic-2, with a dialect of its own
			return []limitPlace{{Key: "maxTokens"}}
		}
		return []limitPlace{{Key: "max_tokens"}}
	case "cohere", "writer":
		return []limitPlace{{Key: "max_tokens"}}
	case "twelvelabs":
		return []limitPlace{{Key: "maxOutputTokens"}}
	}
	return nil // no schema is known, so that any field may be the limit
}

// setsLimit reports whether an output limit may be put into a body that has none. Makers that are not listed here publish no schema by which their
// models obey a limit.
func (d Dialect) setsLimit(modelID string) bool {
	if d != OfModel {
		return true
	}
	switch maker, _, _ := strings.Cut(modelID, "."); maker {
	case "amazon", "meta", "openai", "anthropic", "mistral", "cohere", "ai21", "deepseek", "qwen":
		return placesOf(modelID) != nil // nil for a model that writes no text, such as one that embeds
	default:
		return false
	}
}

// limits returns a function that reports whether a field is an output limit of this dialect, and in bodies of which form. inside is the object of the
// body in which the field stands, empty for the body itself. If the dialect's places are not known, the function says so of every field.
func (d Dialect) limits(modelID string) func(inside, key string) (bodyForm, bool) {
	places := d.places(modelID)
	return func(inside, key string) (bodyForm, bool) {
		for _, p := range places {
			if p.Config == inside && p.Key == key {
				return p.In, true
			}
		}
		return anyForm, places == nil // not one of the places, or none is known
	}
}

// SetOutputLimit returns a copy of a body in a dialect in which no output limit is higher than n, which must be positive: those that are
// higher become n, and where there is none one is set as the model's dialect has it. It reports false, and returns the body, if that can't
// be done: the body is not understood, the model is not known to take a limit, or n is within its thinking budget.
func SetOutputLimit(d Dialect, modelID string, body []byte, n int64) ([]byte, bool) {
	e := limitEdit{n: strconv.FormatInt(n, 10), takes: d.limits(modelID), places: d.places(modelID)}
	text := string(body)
	if e.Document(text, e.field) != nil { // field collects the limits that are too high, and what tells the body's form
		return body, false
	}
	form := formOf(e.messages, e.prompt)
	// Only now is the form known: limits that are null where another form has its limit are left alone.
	e.edits = slices.DeleteFunc(e.edits, func(c limitChange) bool { return !c.in.includes(form) })
	if !e.found(d, form) {
		place, known := e.newPlace(d, modelID, form)
		if !known {
			return body, false
		}
		e.insert(text, place)
	}
	out := e.apply(text)
	r, err := ParseRequestIn(d, modelID, out) // what the service would read has to have the limit
	// A MaxTokens of 0 means that no field counts as the limit. A thinking budget has to be smaller than the limit.
	if err != nil || r.MaxTokens == 0 || r.MaxTokens > n || r.Thinking >= n {
		return body, false
	}
	return out, true
}

// limitEdit finds what has to change in a body so that its output limit is at most n.
type limitEdit struct {
	jsonscan.Scanner
	n      string                                    // the limit that is to be set, in digits
	places []limitPlace                              // where a limit can be set if there is none
	takes  func(inside, key string) (bodyForm, bool) // whether a field is a limit of the dialect, and in which bodies

	// What the body has.
	inConfig    int                  // the offset behind the brace of the object in which the dialect has its limit; 0 when there is no such object
	configEmpty bool                 // that object has no members
	foundIn     [promptForm + 1]bool // whether there is a limit, by the form of the bodies in which it counts as the limit
	responses   bool                 // Responses' "input"
	messages    bool                 // the messages of another dialect
	prompt      bool                 // a text to go on with
	ofResponses bool                 // the field that is the limit of Responses

	edits []limitChange // what has to change
}

// found reports whether a body of this form has a limit: one for bodies of any form, one for those of its own, or, in a body of Responses, one under
// the name that Responses has for it.
func (e *limitEdit) found(d Dialect, form bodyForm) bool {
	ofOwnForm := form != anyForm && e.foundIn[form]
	return e.foundIn[anyForm] || ofOwnForm || e.ofResponses && e.readsResponses(d)
}

// newPlace returns where a limit is set in a body of this form that has none. It returns false if the model is not known to obey a limit there.
func (e *limitEdit) newPlace(d Dialect, modelID string, form bodyForm) (limitPlace, bool) {
	if e.readsResponses(d) && takesResponses(modelID) {
		return limitPlace{Key: "max_output_tokens"}, true
	}
	if !d.setsLimit(modelID) { // the maker does not say that its models obey a limit
		return limitPlace{}, false
	}
	for _, p := range e.places {
		if p.In.includes(form) {
			return p, true
		}
	}
	return limitPlace{}, false
}

// apply returns the text with all edits made, from front to back.
func (e *limitEdit) apply(text string) []byte {
	slices.SortFunc(e.edits, func(a, b limitChange) int { return cmp.Compare(a.from, b.from) })
	const names = 64 // bytes, enough for the names around a limit that is added
	out := make([]byte, 0, len(text)+len(e.n)*len(e.edits)+names)
	at := 0 // up to where text has been copied
	for _, c := range e.edits {
		out = append(append(out, text[at:c.from]...), c.text...)
		at = c.to
	}
	return append(out, text[at:]...)
}

// readsResponses reports whether a body whose dialect depends on the model is in that of Responses.
func (e *limitEdit) readsResponses(d Dialect) bool {
	return d == OfModel && e.responses && !e.messages && !e.prompt
}

// takesResponses reports whether a maker's models are served by Responses.
func takesResponses(modelID string) bool {
	maker, _, _ := strings.Cut(modelID, ".")
	return maker == "openai" || maker == "xai" || maker == "google"
}

// isPrompt reports whether a field holds a text to go on with, or several. In Responses an object of that name stands for what the service
// keeps.
func isPrompt(key string, first byte) bool { return key == "prompt" && (first == '"' || first == '[') }

// limitChange puts text into the place of a range of the body.
type limitChange struct {
	from, to int // the range, as offsets; empty where text is inserted
	text     string
	in       bodyForm // the bodies in which it is to be made
}

// field reads a field of the body: a limit, an object with limits, or any other.
func (e *limitEdit) field(key string) error {
	e.responses = e.responses || key == "input"
	e.messages = e.messages || key == "messages"
	e.prompt = e.prompt || isPrompt(key, e.Peek())
	switch {
	case request.LimitOf(key) == request.Output:
		e.ofResponses = e.ofResponses || key == "max_output_tokens"
		return e.limit("", key)
	case outputConfigs[key] && e.Peek() == '{':
		return e.outputConfig(key)
	default:
		return e.Skip()
	}
}

// outputConfig reads one of the objects in which dialects have their limit, under its key.
func (e *limitEdit) outputConfig(key string) error {
	own := len(e.places) > 0 && key == e.places[0].Config // this dialect's; all places of a dialect with a Config have the same
	if own {
		e.inConfig, e.configEmpty = e.Pos()+1, true
	}
	return e.Object(func(inner string) error {
		if own {
			e.configEmpty = false
		}
		if request.LimitOf(inner) == request.Output {
			return e.limit(key, inner)
		}
		return e.Skip()
	})
}

// limit reads an output limit, and notes a change if it is higher than n, in whatever place, or if it is null where the dialect has its limit.
func (e *limitEdit) limit(inside, key string) error {
	e.Peek() // skips white space, so that from is where the value begins
	from := e.Pos()
	raw, err := e.Verbatim()
	if err != nil {
		return err
	}
	in, takes := e.takes(inside, key) // whether the dialect has its limit here, and in bodies of which form
	e.foundIn[in] = e.foundIn[in] || takes
	if raw == "null" {
		if takes { // anywhere else null limits nothing, and is ignored
			e.edits = append(e.edits, limitChange{from: from, to: e.Pos(), text: e.n, in: in})
		}
		return nil
	}
	n, err := jsonscan.Count(raw) // it takes 4096 and 4096.0, and fails for anything but an integer from 0 on
	if err != nil {
		return err
	}
	if limit, _ := strconv.ParseInt(e.n, 10, 64); n > limit { // whatever the form of the body, since the service may read it all the same
		e.edits = append(e.edits, limitChange{from: from, to: e.Pos(), text: e.n, in: anyForm})
	}
	return nil
}

// insert sets a limit where none is: as the first member of its object.
func (e *limitEdit) insert(text string, place limitPlace) {
	member := strconv.Quote(place.Key) + ":" + e.n
	at := strings.IndexByte(text, '{') + 1      // the beginning of the body itself
	last := strings.TrimSpace(text[at:]) == "}" // no member follows, so that no comma may
	if place.Config != "" && e.inConfig > 0 {   // the object that the place names is there
		at, last = e.inConfig, e.configEmpty
	} else if place.Config != "" { // the object is missing, so it is added with the member in it
		member = strconv.Quote(place.Config) + ":{" + member + "}"
	}
	if !last {
		member += ","
	}
	e.edits = append(e.edits, limitChange{from: at, to: at, text: member, in: anyForm})
}
