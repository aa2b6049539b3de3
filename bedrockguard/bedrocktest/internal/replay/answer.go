package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// object is a JSON object.
type object = map[string]any

// answer is one answer, recorded or simulated, in the form that is compared. A stream has no body: its events are in two lists of the same
// length.
type answer struct {
	status  int
	errType string
	body    object   // of an answer that is not streamed
	chunks  []object // the content of each event of a stream
	events  []string // the kind of each event of a stream
	headers map[string]string
}

// parse reads an answer: a JSON object, a stream of server-sent events, or an event stream of AWS. The names of headers are in small letters.
func parse(status int, headers map[string]string, raw []byte) answer {
	a := answer{status: status, headers: headers}
	a.errType, _, _ = strings.Cut(headers["x-amzn-errortype"], ":")
	// AWS writes eventstream, and the type of server-sent events has a hyphen in it.
	if strings.Contains(headers["content-type"], "eventstream") || json.Unmarshal(raw, &a.body) != nil {
		// A body that is no JSON may have been filled in part.
		a.body = nil
		if strings.Contains(headers["content-type"], "text/event-stream") {
			a.web(raw)
		} else {
			a.frames(raw)
		}
	}
	return a
}

// web parses a stream of server-sent events.
func (a *answer) web(raw []byte) {
	for line := range strings.Lines(string(raw)) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		var content object
		// [DONE], which ends a stream of chat completions, is no JSON, and no event here.
		if !ok || json.Unmarshal([]byte(data), &content) != nil {
			continue
		}
		a.events = append(a.events, chunkKind(content))
		a.chunks = append(a.chunks, content)
	}
}

// frames parses an event stream of AWS. An event of the kind chunk is InvokeModel's: it holds the model's own event, encoded in base64, which is
// taken out.
func (a *answer) frames(raw []byte) {
	decoder := eventstream.NewDecoder()
	reader := bytes.NewReader(raw)
	for {
		m, err := decoder.Decode(reader, nil)
		if err != nil {
			return
		}
		kind := ""
		// A message has one of these two headers.
		for _, name := range []string{":event-type", ":exception-type"} {
			if v := m.Headers.Get(name); v != nil {
				kind = v.String()
			}
		}
		var content object
		_ = json.Unmarshal(m.Payload, &content)
		if kind == "chunk" {
			var wrapped struct{ Bytes []byte }
			_ = json.Unmarshal(m.Payload, &wrapped)
			content = nil // Unmarshal would keep the field of the wrapper
			_ = json.Unmarshal(wrapped.Bytes, &content)
			kind = chunkKind(content)
		}
		a.events = append(a.events, kind)
		a.chunks = append(a.chunks, content)
	}
}

// chunkKind returns the kind of an event of InvokeModel's stream or of server-sent events, which has no event type outside of its JSON.
func chunkKind(content object) string {
	if t, ok := content["type"].(string); ok {
		return t
	}
	if t, ok := content["event_type"].(string); ok {
		return t
	}
	for _, k := range []string{"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"} {
		if content[k] != nil {
			return k
		}
	}
	if len(content) == 1 && content["amazon-bedrock-invocationMetrics"] != nil {
		return "metrics"
	}
	return "chunk"
}

// order returns the kinds of the events in their order, without repetitions: how often the service repeats an event differs from call to call.
func (a *answer) order() string {
	var out []string
	for _, e := range a.events {
		if !repeats(out, e) {
			out = append(out, e)
		}
	}
	return strings.Join(out, " ")
}

// repeats reports whether an event only repeats those before it: if it is of the same kind as the last one, or a delta after a stop that follows a
// delta, as Nova sends them. Among the first three events a second start of a block in a row is no repetition.
func repeats(before []string, e string) bool {
	n := len(before)
	if n == 0 {
		return false
	}
	last := before[n-1]
	if e == last {
		return e != "contentBlockStart" || n > 2
	}
	// elta is the end of both contentBlockDelta and content_block_delta, and top that of the names of stops.
	return n > 1 && e == before[n-2] && strings.Contains(e, "elta") && strings.Contains(last, "top")
}

// at returns the value at a path of keys in a JSON value, or nil if there is none.
func at(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(object)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// usage returns all counts of tokens in an answer, by the names that the service or the model's maker gave them. Those that Bedrock adds to the last
// event of a stream have the prefix "metrics.".
func (a *answer) usage() object {
	out := object{}
	merge := func(v any, prefix string) {
		m, _ := v.(object)
		for k, x := range m {
			out[prefix+k] = x
		}
	}
	for _, content := range append([]object{a.body}, a.chunks...) {
		merge(at(content, "usage"), "")
		merge(at(content, "message", "usage"), "")
		merge(at(content, "response", "usage"), "")
		merge(at(content, "metadata", "usage"), "")
		merge(at(content, "amazon-bedrock-invocationMetrics"), "metrics.")
		for _, k := range []string{"prompt_token_count", "generation_token_count", "inputTextTokenCount", "totalOutputTextTokenCount"} {
			if v, ok := at(content, k).(float64); ok {
				out[k] = v
			}
		}
	}
	return out
}

// input returns all input tokens, including those read from and written to the cache; 0 if the answer has no count. Each dialect has names of its
// own for the counts; if the body has none, those in InvokeModel's headers are added up.
func (a *answer) input() float64 {
	u := a.usage()
	first := func(keys ...string) float64 { // the first count that is not zero
		for _, k := range keys {
			if v, _ := u[k].(float64); v > 0 {
				return v
			}
		}
		return 0
	}
	if whole := first("prompt_tokens"); whole > 0 { // including cached ones
		return whole
	}
	cached := first("cacheReadInputTokens", "cacheReadInputTokenCount", "cache_read_input_tokens", "metrics.cacheReadInputTokenCount") +
		first("cacheWriteInputTokens", "cacheWriteInputTokenCount", "cache_creation_input_tokens", "metrics.cacheWriteInputTokenCount")
	if plain := first("inputTokens", "input_tokens", "metrics.inputTokenCount", "prompt_token_count", "inputTextTokenCount"); plain > 0 {
		return plain + cached
	}
	return cached + a.headerInput()
}

// headerInput returns the sum of the input tokens in InvokeModel's headers; 0 without these.
func (a *answer) headerInput() (sum float64) {
	for _, h := range []string{"input", "cache-read-input", "cache-write-input"} {
		v, _ := strconv.ParseFloat(a.headers["x-amzn-bedrock-"+h+"-token-count"], 64)
		sum += v
	}
	return sum
}

// output returns the output tokens; 0 if the answer has no count of them.
func (a *answer) output() int {
	u := a.usage()
	for _, k := range []string{"outputTokens", "output_tokens", "completion_tokens", "metrics.outputTokenCount", "generation_token_count", "totalOutputTextTokenCount"} {
		if v, ok := u[k].(float64); ok && v > 0 {
			return int(v)
		}
	}
	v, _ := strconv.Atoi(a.headers["x-amzn-bedrock-output-token-count"])
	return v
}

// fields returns the names of the fields with token counts.
func (a *answer) fields() []string {
	var names []string
	for k := range a.usage() {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}
