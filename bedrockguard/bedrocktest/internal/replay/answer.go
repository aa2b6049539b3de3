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

// answer is one answer, recorded or simulated, in the form that is compared.
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
	if strings.Contains(headers["content-type"], "eventstream") || json.Unmarshal(raw, &a.body) != nil {
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
		var held object
		if !ok || json.Unmarshal([]byte(data), &held) != nil {
			continue
		}
		a.events = append(a.events, chunkKind(held))
		a.chunks = append(a.chunks, held)
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
		for _, name := range []string{":event-type", ":exception-type"} {
			if v := m.Headers.Get(name); v != nil {
				kind = v.String()
			}
		}
		var held object
		_ = json.Unmarshal(m.Payload, &held)
		if kind == "chunk" {
			var wrapped struct{ Bytes []byte }
			_ = json.Unmarshal(m.Payload, &wrapped)
			held = nil
			_ = json.Unmarshal(wrapped.Bytes, &held)
			kind = chunkKind(held)
		}
		a.events = append(a.events, kind)
		a.chunks = append(a.chunks, held)
	}
}

// chunkKind returns the kind of a chunk of InvokeModel's stream.
func chunkKind(held object) string {
	if t, ok := held["type"].(string); ok {
		return t
	}
	if t, ok := held["event_type"].(string); ok {
		return t
	}
	for _, k := range []string{"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"} {
		if held[k] != nil {
			return k
		}
	}
	if len(held) == 1 && held["amazon-bedrock-invocationMetrics"] != nil {
		return "metrics"
	}
	return "chunk"
}

// order returns the kinds of the events in their order. How often the service repeats some of them is its own affair, so events that repeat the one
// before, and deltas that go on after a stop of another block, are left out.
func (a *answer) order() string {
	var out []string
	for _, e := range a.events {
		n := len(out)
		if n > 0 && out[n-1] == e && e != "contentBlockStart" || n > 1 && e == out[n-2] && strings.Contains(e, "elta") && strings.Contains(out[n-1], "top") {
			continue
		}
		if n > 2 && e == out[n-1] {
			continue
		}
		out = append(out, e)
	}
	return strings.Join(out, " ")
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
	for _, held := range append([]object{a.body}, a.chunks...) {
		merge(at(held, "usage"), "")
		merge(at(held, "message", "usage"), "")
		merge(at(held, "response", "usage"), "")
		merge(at(held, "metadata", "usage"), "")
		merge(at(held, "amazon-bedrock-invocationMetrics"), "metrics.")
		for _, k := range []string{"prompt_token_count", "generation_token_count", "inputTextTokenCount", "totalOutputTextTokenCount"} {
			if v, ok := at(held, k).(float64); ok {
				out[k] = v
			}
		}
	}
	return out
}

// input returns all input tokens, including those read from and written to the cache; 0 if the answer has none.
func (a *answer) input() float64 {
	u := a.usage()
	number := func(key string) float64 { v, _ := u[key].(float64); return v }
	cached := func(keys ...string) float64 {
		for _, k := range keys {
			if v := number(k); v > 0 {
				return v
			}
		}
		return 0
	}
	read := cached("cacheReadInputTokens", "cacheReadInputTokenCount", "cache_read_input_tokens", "metrics.cacheReadInputTokenCount")
	write := cached("cacheWriteInputTokens", "cacheWriteInputTokenCount", "cache_creation_input_tokens", "metrics.cacheWriteInputTokenCount")
	if v := number("prompt_tokens"); v > 0 { // including cached ones
		return v
	}
	if v := cached("inputTokens", "input_tokens", "metrics.inputTokenCount", "prompt_token_count", "inputTextTokenCount"); v > 0 {
		return v + read + write
	}
	for _, h := range []string{"input", "cache-read-input", "cache-write-input"} {
		v, _ := strconv.ParseFloat(a.headers["x-amzn-bedrock-"+h+"-token-count"], 64)
		read += v
	}
	return read + write
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
