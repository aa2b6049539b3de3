// Package brakes counts how often workflows repeat themselves, and says when they have done so too often.
//
// Workflows are told apart by the principal, the workflow and the tags of their scopes. A turn is the end of a conversation as a request shows it:
// the model's newest answer and what came back to it, such as the results of tools. A brake is the number of consecutive repeats of one kind that
// is allowed.
package brakes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Numbers is bedrockguard.Brakes, whose fields it has. A number of zero is a brake that stops nothing.
type Numbers struct {
	Identical  int  // requests that are the same byte for byte
	ToolErrors int  // turns with the same error of a tool
	Stalled    int  // turns that repeat one of the last 64
	Report     bool // for the caller of Judge: a call that goes too far is only reported
}

const (
	maxLoops    = 4096    // workflows that are remembered; when there are more, the counts of all are reset
	maxTurns    = 64      // turns of each that are remembered
	maxTurnSize = 1 << 20 // in bytes; longer turns are not compared
)

// Loops holds the counts of all workflows. It is safe for concurrent use.
type Loops struct {
	brakes Numbers
	seed   maphash.Seed // of all hashes here

	mu  sync.Mutex
	all map[uint64]*workflow // by the hash of its principal, its name and its tags
}

// workflow holds the counts of one workflow, and hashes of what it has sent last.
type workflow struct {
	request   uint64   // hash of the last request
	failure   uint64   // hash of the last turn's errors of tools; 0 if it had none
	identical int      // consecutive requests that were the same, the last included: for Identical
	failed    int      // consecutive turns with the same errors of tools, the last included: for ToolErrors
	stalled   int      // consecutive turns that repeated one of turns: for Stalled
	turns     []uint64 // hashes of the last turns, oldest first
}

// New returns counts for these brakes, or nil for brakes that stop nothing.
func New(b Numbers) *Loops {
	if b == (Numbers{}) {
		return nil
	}
	return &Loops{brakes: b, seed: maphash.MakeSeed()}
}

// Judge counts a request, whose body is JSON, and returns the *refusal.LoopError of the first brake whose number is exceeded now, or nil.
func (l *Loops) Judge(s *budget.Scope, body []byte) error {
	counted := budget.Scope{Principal: s.Principal, Workflow: s.Workflow, Tags: s.Tags}
	request := maphash.Bytes(l.seed, body)
	var t turn
	if l.brakes.ToolErrors > 0 || l.brakes.Stalled > 0 {
		t = l.turnOf(body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// The request is counted even if a brake then refuses the call.
	w := l.find(&counted)
	w.note(request, t)
	for _, b := range []struct {
		what        string
		count, most int
	}{
		{"identical requests", w.identical, l.brakes.Identical},
		{"turns with the same error of a tool", w.failed, l.brakes.ToolErrors},
		{"turns that say what was said before", w.stalled, l.brakes.Stalled},
	} {
		if b.most > 0 && b.count > b.most {
			counted.Tags = maps.Clone(counted.Tags) // the error may outlive the call, whose map this is
			return &refusal.LoopError{Scope: counted, What: b.what, Count: b.count, Most: b.most}
		}
	}
	return nil
}

// find returns the counts of a scope's workflow, which it creates if there are none. Requires mu held.
func (l *Loops) find(s *budget.Scope) *workflow {
	var h maphash.Hash
	h.SetSeed(l.seed)
	for _, part := range []string{s.Principal, s.Workflow} { // each with its length, so that no two scopes are written alike
		fmt.Fprintf(&h, "%d:%s", len(part), part)
	}
	for _, tag := range slices.Sorted(maps.Keys(s.Tags)) {
		fmt.Fprintf(&h, "%d:%s%d:%s", len(tag), tag, len(s.Tags[tag]), s.Tags[tag])
	}
	key := h.Sum64()
	w := l.all[key]
	if w == nil {
		if l.all == nil || len(l.all) >= maxLoops {
			l.all = make(map[uint64]*workflow)
		}
		w = &workflow{}
		l.all[key] = w
	}
	return w
}

// note counts a request and its turn: each count goes up with a repeat, and begins anew with anything else. A turn of which nothing can be compared
// repeats nothing.
func (w *workflow) note(request uint64, t turn) {
	if request == w.request {
		w.identical++
	} else {
		w.request, w.identical = request, 1
	}
	switch t.failure {
	case 0: // no tool has failed
		w.failure, w.failed = 0, 0
	case w.failure:
		w.failed++
	default:
		w.failure, w.failed = t.failure, 1
	}
	if t.said == 0 {
		w.stalled = 0
		return
	}
	if slices.Contains(w.turns, t.said) {
		w.stalled++
	} else {
		w.stalled = 0
	}
	// The turn is remembered even if it was a repeat, in the place of the oldest.
	if len(w.turns) == maxTurns {
		w.turns = append(w.turns[:0], w.turns[1:]...)
	}
	w.turns = append(w.turns, t.said)
}

// turn has hashes of the last two messages of a request. Zero means that there is nothing to compare.
type turn struct {
	said    uint64 // the newest answer and what follows it, such as the results of its tools
	failure uint64 // the errors of tools in the newest message
}

// turnOf reads the last two messages of a body in any dialect that has a list of messages. It returns the zero turn for a body that it can't read.
func (l *Loops) turnOf(body []byte) (t turn) {
	var list struct {
		Messages []json.RawMessage `json:"messages"`
		Input    json.RawMessage   `json:"input"` // of Responses: a list, or a text
	}
	if json.Unmarshal(body, &list) != nil {
		return turn{}
	}
	messages := list.Messages
	// Without messages the list may be in input. If that holds a text, there is nothing to compare.
	if messages == nil && json.Unmarshal(list.Input, &messages) != nil {
		return turn{}
	}
	if len(messages) < 2 {
		return turn{}
	}
	last, before := messages[len(messages)-1], messages[len(messages)-2]
	if len(last)+len(before) > maxTurnSize {
		return turn{}
	}
	t.said = l.hash(essence(before), essence(last))
	// Only the newest message has the results of tools that are new.
	if errs := toolErrors(decoded(last)); len(errs) > 0 {
		t.failure = l.hash(errs)
	}
	return t
}

// hash hashes decoded JSON; equal values have equal hashes. It is never 0, except for values that can't be written as JSON.
func (l *Loops) hash(values ...any) uint64 {
	raw, err := json.Marshal(values) // this sorts the keys of objects
	if err != nil {
		return 0
	}
	return max(maphash.Bytes(l.seed, raw), 1)
}

// decoded returns JSON as maps, slices and plain values; nil if it is invalid. Numbers stay as they are written.
func decoded(raw json.RawMessage) (v any) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// essence returns a message without the parts that differ between otherwise equal turns: ids, reasoning, cache points, and the text beside
// the use of a tool.
func essence(raw json.RawMessage) any { return stripped(decoded(raw)) }

// accidental names the keys that essence leaves out: ids, reasoning and cache points, as the dialects have them.
var accidental = []string{
	"toolUseId", "tool_use_id", "tool_call_id", "call_id", "id", "signature", "reasoningContent", "reasoning_content", "thinking", "cachePoint", "cache_control",
}

// usesTool names what shows that a model uses a tool: a key of a message or block, or the type of a block.
var usesTool = []string{"toolUse", "tool_use", "tool_calls", "function_call"}

// stripped returns decoded JSON without the keys in accidental and, where a tool is used, without the text beside that. It changes the JSON that
// it is given.
func stripped(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range accidental {
			delete(v, key)
		}
		if slices.ContainsFunc(usesTool, func(key string) bool { return v[key] != nil }) {
			delete(v, "content") // in OpenAI's messages the text is beside the calls
		}
		// The keys that are left may hold what has to be stripped, too.
		for key := range v {
			v[key] = stripped(v[key])
		}
		return v
	case []any:
		if slices.ContainsFunc(v, isToolUse) {
			v = slices.DeleteFunc(v, func(block any) bool { return !isToolUse(block) }) // the text stands in blocks of its own
		}
		for i := range v {
			v[i] = stripped(v[i])
		}
		return v
	}
	return v
}

// isToolUse reports whether a content block is the use of a tool: by its type, or by Converse's key toolUse.
func isToolUse(block any) bool {
	b, _ := block.(map[string]any)
	kind, _ := b["type"].(string)
	return b != nil && (slices.Contains(usesTool, kind) || b["toolUse"] != nil)
}

// toolErrors returns the results of tools in a decoded message that are errors, without their accidental parts. Converse marks them by a status,
// Anthropic's messages by is_error.
func toolErrors(message any) (errs []any) {
	m, _ := message.(map[string]any)
	blocks, _ := m["content"].([]any)
	for _, content := range blocks {
		// Of content that is no object this is nil, which has no keys.
		block, _ := content.(map[string]any)
		if result, ok := block["toolResult"].(map[string]any); ok && result["status"] == "error" {
			errs = append(errs, stripped(result))
		} else if block["is_error"] == true {
			errs = append(errs, stripped(block))
		}
	}
	return errs
}
