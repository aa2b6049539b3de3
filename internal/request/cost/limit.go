package cost

import (
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

var outputConfigs = map[string]bool{"inferenceConfig": true, "textGenerationConfig": true}

// LimitPlace is where a dialect sets its output limit: under a key, in an object of the body if Config names one.
type LimitPlace struct{ Config, Key string }

// placeOf returns where a limit goes that a body does not set, by the model's id; none for models that are not known to take one.
func placeOf(modelID string) (p LimitPlace, known bool) {
	maker, name, _ := strings.Cut(modelID, ".")
	switch {
	case maker == "amazon" && strings.HasPrefix(name, "nova"):
		return LimitPlace{"inferenceConfig", "maxTokens"}, true
	case maker == "amazon" && strings.HasPrefix(name, "titan-text"):
		return LimitPlace{"textGenerationConfig", "maxTokenCount"}, true
	case maker == "meta":
		return LimitPlace{Key: "max_gen_len"}, true
	case maker == "openai":
		return LimitPlace{Key: "max_completion_tokens"}, true
	case maker == "anthropic", maker == "mistral", maker == "cohere", maker == "ai21", maker == "deepseek", maker == "qwen":
		return LimitPlace{Key: "max_tokens"}, true
	default:
		return p, false
	}
}

// SetOutputLimit returns a copy of an InvokeModel body in which no output limit is higher than n, which must be positive: those that are
// higher become n, and where there is none one is set as the model's dialect has it. It reports false, and returns the body, if that can't
// be done: the body is not understood, the model is not known to take a limit, or n is within its thinking budget.
func SetOutputLimit(modelID string, body []byte, n int64) ([]byte, bool) {
	place, known := placeOf(modelID)
	return setOutputLimit(modelID, place, known, body, n)
}

// SetOutputLimitAt is SetOutputLimit for a body in a dialect that has its limit in one place, whatever its model.
func SetOutputLimitAt(place LimitPlace, body []byte, n int64) ([]byte, bool) {
	return setOutputLimit("", place, true, body, n)
}

func setOutputLimit(modelID string, place LimitPlace, known bool, body []byte, n int64) ([]byte, bool) {
	e := limitEdit{n: strconv.FormatInt(n, 10), place: place}
	text := string(body)
	if e.Document(text, e.field) != nil {
		return body, false
	}
	if !e.found {
		if e.responses && !e.conversation && (place.Key == "max_completion_tokens" || !known && takesResponses(modelID)) {
			e.place, known = LimitPlace{Key: "max_output_tokens"}, true
		}
		if !known {
			return body, false
		}
		e.insert(text)
	}
	out := make([]byte, 0, len(body)+len(e.n)*len(e.edits)+64)
	at := 0
	for _, c := range e.edits {
		out = append(append(out, text[at:c.from]...), c.text...)
		at = c.to
	}
	out = append(out, text[at:]...)
	r, err := ParseRequest(modelID, out)
	if err != nil || r.MaxTokens == 0 || r.MaxTokens > n || r.Thinking >= n {
		return body, false
	}
	return out, true
}

// limitEdit finds what has to change in a body.
type limitEdit struct {
	jsonscan.Scanner
	n      string
	place  LimitPlace
	config int // behind the brace of place's object; 0 when there is none
	empty  bool
	found  bool
	edits  []limitChange

	responses    bool // the body has Responses' "input"
	conversation bool // or the messages of another dialect
}

// takesResponses reports whether a maker's models are served by Responses though InvokeModel has no dialect of theirs that is known here.
func takesResponses(modelID string) bool {
	return strings.HasPrefix(modelID, "xai.") || strings.HasPrefix(modelID, "google.")
}

type limitChange struct {
	from, to int
	text     string
}

func (e *limitEdit) field(key string) error {
	e.responses = e.responses || key == "input"
	e.conversation = e.conversation || key == "messages" || key == "prompt" && e.Peek() == '"'
	switch {
	case request.LimitOf(key) == request.Output:
		return e.limit()
	case outputConfigs[key] && e.Peek() == '{':
		if key == e.place.Config {
			e.config, e.empty = e.Pos()+1, true
		}
		return e.Object(func(inner string) error {
			if e.empty = e.empty && key != e.place.Config; request.LimitOf(inner) == request.Output {
				return e.limit()
			}
			return e.Skip()
		})
	default:
		return e.Skip()
	}
}

func (e *limitEdit) limit() error {
	e.Peek()
	from := e.Pos()
	raw, err := e.Verbatim()
	if err != nil {
		return err
	}
	e.found = true
	if raw == "null" {
		e.edits = append(e.edits, limitChange{from, e.Pos(), e.n})
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

// insert sets a limit where none is: as the first member of its object.
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
