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

// limitPlace is where a dialect sets its output limit: under a key, in an object of the body if Config names one.
type limitPlace struct{ Config, Key string }

// places returns where a dialect can have its output limit; nil if that is not known, so that any field may be one. The first place is where
// SetOutputLimit puts a limit into a body that has none.
func (d Dialect) places(modelID string) []limitPlace {
	switch d {
	case Converse:
		return []limitPlace{{"inferenceConfig", "maxTokens"}}
	case Messages:
		return []limitPlace{{Key: "max_tokens"}}
	case Chat:
		return []limitPlace{{Key: "max_completion_tokens"}, {Key: "max_tokens"}}
	case Responses:
		return []limitPlace{{Key: "max_output_tokens"}}
	}
	place, known := placeOf(modelID)
	if !known {
		return nil
	}
	maker, _, _ := strings.Cut(modelID, ".")
	return append([]limitPlace{place}, otherPlaces[maker]...)
}

// otherPlaces are further names of the output limit in the dialects of InvokeModel, by maker: older ones, and those of OpenAI's dialect.
var otherPlaces = map[string][]limitPlace{
	"amazon":    {{"inferenceConfig", "max_new_tokens"}},
	"meta":      {{Key: "max_tokens"}, {Key: "max_completion_tokens"}},
	"openai":    {{Key: "max_tokens"}},
	"anthropic": {{Key: "max_tokens_to_sample"}},
	"mistral":   {{Key: "max_completion_tokens"}},
	"ai21":      {{Key: "maxTokens"}},
	"deepseek":  {{Key: "max_completion_tokens"}},
	"qwen":      {{Key: "max_completion_tokens"}},
}

// limits returns a function that reports whether a field is an output limit in this dialect. inside is the object that the field stands in, empty for
// the body itself.
func (d Dialect) limits(modelID string) func(inside, key string) bool {
	places := d.places(modelID)
	return func(inside, key string) bool {
		return places == nil || slices.Contains(places, limitPlace{inside, key})
	}
}

// placeOf returns where InvokeModel's dialect has its output limit, by the model's id, and false for models that are not known to take one.
func placeOf(modelID string) (p limitPlace, known bool) {
	maker, name, _ := strings.Cut(modelID, ".")
	switch {
	case maker == "amazon" && strings.HasPrefix(name, "nova"):
		return limitPlace{"inferenceConfig", "maxTokens"}, true
	case maker == "amazon" && strings.HasPrefix(name, "titan-text"):
		return limitPlace{"textGenerationConfig", "maxTokenCount"}, true
	case maker == "meta":
		return limitPlace{Key: "max_gen_len"}, true
	case maker == "openai":
		return limitPlace{Key: "max_completion_tokens"}, true
	case maker == "anthropic", maker == "mistral", maker == "cohere", maker == "ai21", maker == "deepseek", maker == "qwen":
		return limitPlace{Key: "max_tokens"}, true
	default:
		return p, false
	}
}

// SetOutputLimit returns a copy of a body in a dialect in which no output limit is higher than n, which must be positive: those that are
// higher become n, and where there is none one is set as the model's dialect has it. It reports false, and returns the body, if that can't
// be done: the body is not understood, the model is not known to take a limit, or n is within its thinking budget.
func SetOutputLimit(d Dialect, modelID string, body []byte, n int64) ([]byte, bool) {
	e := limitEdit{n: strconv.FormatInt(n, 10), takes: d.limits(modelID)}
	places := d.places(modelID) // the first is where a limit is set if there is none
	known := len(places) > 0
	if known {
		e.place = places[0]
	}
	text := string(body)
	if e.Document(text, e.field) != nil {
		return body, false
	}
	e.found = e.found || e.ofResponses && e.readsResponses(d) // an InvokeModel body may be in the dialect of OpenAI's Responses
	if !e.found {
		// A body in the dialect of Responses takes max_output_tokens: of models whose InvokeModel dialect is OpenAI's, and of makers of which Responses is
		// the only known dialect.
		if e.readsResponses(d) && (e.place.Key == "max_completion_tokens" || !known && takesResponses(modelID)) {
			e.place, known = limitPlace{Key: "max_output_tokens"}, true
		}
		if !known {
			return body, false
		}
		e.insert(text)
	}
	slices.SortFunc(e.edits, func(a, b limitChange) int { return cmp.Compare(a.from, b.from) })
	out := make([]byte, 0, len(body)+len(e.n)*len(e.edits)+64)
	at := 0 // up to where text has been copied
	for _, c := range e.edits {
		out = append(append(out, text[at:c.from]...), c.text...)
		at = c.to
	}
	out = append(out, text[at:]...)
	r, err := ParseRequestIn(d, modelID, out) // what the service would read has to have the limit
	if err != nil || r.MaxTokens == 0 || r.MaxTokens > n || r.Thinking >= n {
		return body, false
	}
	return out, true
}

// limitEdit finds what has to change in a body so that its output limit is at most n.
type limitEdit struct {
	jsonscan.Scanner
	n      string                        // the limit, as a JSON number
	place  limitPlace                    // where a limit is set if there is none
	takes  func(inside, key string) bool // whether a field is a limit of the dialect
	config int                           // behind the brace of place's object; 0 when there is none
	empty  bool                          // that object has no members
	found  bool                          // the body has a limit of the dialect
	edits  []limitChange                 // the limits that are too high

	responses    bool // the body has Responses' "input"
	conversation bool // or the messages of another dialect
	ofResponses  bool // it has the limit of Responses, max_output_tokens
}

// readsResponses reports whether a body whose dialect depends on the model is in that of Responses.
func (e *limitEdit) readsResponses(d Dialect) bool {
	return d == OfModel && e.responses && !e.conversation
}

// takesResponses reports whether a maker's models are served by Responses though InvokeModel has no dialect of theirs that is known here.
func takesResponses(modelID string) bool {
	return strings.HasPrefix(modelID, "xai.") || strings.HasPrefix(modelID, "google.")
}

// isConversation reports whether a field holds a conversation in another dialect than Responses.
func isConversation(key string, first byte) bool {
	return key == "messages" || key == "prompt" && first == '"'
}

// limitChange puts text into the place of a range of the body.
type limitChange struct {
	from, to int
	text     string
}

// field reads a field of the body: a limit, an object with limits, or any other.
func (e *limitEdit) field(key string) error {
	e.responses = e.responses || key == "input"
	e.conversation = e.conversation || isConversation(key, e.Peek())
	switch {
	case request.LimitOf(key) == request.Output:
		e.ofResponses = e.ofResponses || key == "max_output_tokens"
		return e.limit("", key)
	case outputConfigs[key] && e.Peek() == '{':
		if key == e.place.Config {
			e.config, e.empty = e.Pos()+1, true
		}
		return e.Object(func(inner string) error {
			// A member of place's object shows that it is not empty; one of another object does not.
			if e.empty = e.empty && key != e.place.Config; request.LimitOf(inner) == request.Output {
				return e.limit(key, inner)
			}
			return e.Skip()
		})
	default:
		return e.Skip()
	}
}

// limit reads an output limit, and notes a change if it is higher than n, in whatever place, or if it is null where the dialect has its limit.
func (e *limitEdit) limit(inside, key string) error {
	e.Peek()
	from := e.Pos()
	raw, err := e.Verbatim()
	if err != nil {
		return err
	}
	takes := e.takes(inside, key)
	e.found = e.found || takes
	if raw == "null" {
		if takes {
			e.edits = append(e.edits, limitChange{from, e.Pos(), e.n})
		}
		return nil
	}
	n, err := jsonscan.Count(raw)
	if err != nil {
		return err
	}
	if limit, _ := strconv.ParseInt(e.n, 10, 64); n > limit {
		e.edits = append(e.edits, limitChange{from, e.Pos(), e.n})
	}
	return nil
}

// insert adds a limit to a body that has none: as the first member of the body or of the object that the dialect has it in, which is added if it is
// missing.
func (e *limitEdit) insert(text string) {
	at, member := strings.IndexByte(text, '{')+1, strconv.Quote(e.place.Key)+":"+e.n
	empty := strings.TrimSpace(text[at:]) == "}"
	switch {
	case e.place.Config != "" && e.config > 0:
		at, empty = e.config, e.empty
	case e.place.Config != "":
		member = strconv.Quote(e.place.Config) + ":{" + member + "}"
	}
	if !empty {
		member += ","
	}
	e.edits = append(e.edits, limitChange{at, at, member})
}
