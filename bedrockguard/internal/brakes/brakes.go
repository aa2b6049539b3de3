// Package brakes counts how often workflows repeat themselves, and says when they have done so too often.
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

// Numbers is bedrockguard.Brakes, whose fields it has.
type Numbers struct {
	Identical  int
	ToolErrors int
	Stalled    int
	Report     bool
}

const (
	maxLoops    = 4096    // workflows that are remembered; when there are more, the counts of all are reset
	rememberOf  = 64      // turns of each that are remembered
	maxTurnSize = 1 << 20 // in bytes; longer turns are not compared
)

// Loops holds the counts of all workflows. It is safe for concurrent use.
type Loops struct {
	brakes Numbers
	seed   maphash.Seed

	mu  sync.Mutex
	all map[uint64]*loop
}

// loop holds the counts of one workflow, and hashes of what it has sent last.
type loop struct {
	request, failure        uint64   // hashes of the last request, and of the last errors of tools
	identical, failed, same int      // consecutive requests that count for Identical, ToolErrors and Stalled
	turns                   []uint64 // hashes of the last turns, oldest first
}

// New returns counts for these brakes, or nil for brakes that stop nothing.
func New(b Numbers) *Loops {
	if b == (Numbers{}) {
		return nil
	}
	return &Loops{brakes: b, seed: maphash.MakeSeed()}
}

// Judge counts a request, and returns the *LoopError of the first brake whose number it exceeds.
func (l *Loops) Judge(s *budget.Scope, body []byte) error {
	counted := budget.Scope{Principal: s.Principal, Workflow: s.Workflow, Tags: s.Tags}
	request := maphash.Bytes(l.seed, body)
	var t turn
	if l.brakes.ToolErrors > 0 || l.brakes.Stalled > 0 {
		t = l.turnOf(body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.find(&counted)
	at.note(request, t)
	for _, b := range []struct {
		what        string
		count, most int
	}{
		{"identical requests", at.identical, l.brakes.Identical},
		{"turns with the same error of a tool", at.failed, l.brakes.ToolErrors},
		{"turns that say what was said before", at.same, l.brakes.Stalled},
	} {
		if b.most > 0 && b.count > b.most {
			counted.Tags = maps.Clone(counted.Tags)
			return &refusal.LoopError{Scope: counted, What: b.what, Count: b.count, Most: b.most}
		}
	}
	return nil
}

// find returns the counts of a scope's workflow, which it creates if there are none. Requires mu held.
func (l *Loops) find(s *budget.Scope) *loop {
	var h maphash.Hash
	h.SetSeed(l.seed)
	for _, part := range []string{s.Principal, s.Workflow} {
		fmt.Fprintf(&h, "%d:%s", len(part), part)
	}
	for _, tag := range slices.Sorted(maps.Keys(s.Tags)) {
		fmt.Fprintf(&h, "%d:%s%d:%s", len(tag), tag, len(s.Tags[tag]), s.Tags[tag])
	}
	key := h.Sum64()
	at := l.all[key]
	if at == nil {
		if l.all == nil || len(l.all) >= maxLoops {
			l.all = make(map[uint64]*loop)
		}
		at = &loop{}
		l.all[key] = at
	}
	return at
}

// note counts a request and its turn.
func (at *loop) note(request uint64, t turn) {
	if at.identical++; request != at.request {
		at.request, at.identical = request, 1
	}
	if at.failed++; t.failure != at.failure || t.failure == 0 {
		at.failure, at.failed = t.failure, 0
		if t.failure != 0 {
			at.failed = 1
		}
	}
	switch {
	case t.said == 0:
		at.same = 0
		return
	case slices.Contains(at.turns, t.said):
		at.same++
	default:
		at.same = 0
	}
	if len(at.turns) == rememberOf {
		at.turns = append(at.turns[:0], at.turns[1:]...)
	}
	at.turns = append(at.turns, t.said)
}

// turn has hashes of the end of a request. Zero means that there is nothing to compare.
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
	if errs := toolErrors(decoded(last)); len(errs) > 0 {
		t.failure = l.hash(errs)
	}
	return t
}

func (l *Loops) hash(values ...any) uint64 {
	raw, err := json.Marshal(values) // keys in order
	if err != nil {
		return 0
	}
	return max(maphash.Bytes(l.seed, raw), 1)
}

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

// accidental names the keys of these parts.
var accidental = []string{
	"toolUseId", "tool_use_id", "tool_call_id", "call_id", "id", "signature", "reasoningContent", "reasoning_content", "thinking", "cachePoint", "cache_control",
}

// usesTool names the keys, and the types of blocks, that are the use of a tool.
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
		for key := range v {
			v[key] = stripped(v[key])
		}
		return v
	case []any:
		if slices.ContainsFunc(v, isToolUse) {
			v = slices.DeleteFunc(v, func(one any) bool { return !isToolUse(one) })
		}
		for i := range v {
			v[i] = stripped(v[i])
		}
		return v
	}
	return v
}

func isToolUse(block any) bool {
	b, _ := block.(map[string]any)
	kind, _ := b["type"].(string)
	return b != nil && (slices.Contains(usesTool, kind) || b["toolUse"] != nil)
}

// toolErrors returns the results of a message that are errors of tools.
func toolErrors(message any) (errs []any) {
	m, _ := message.(map[string]any)
	blocks, _ := m["content"].([]any)
	for _, one := range blocks {
		b, _ := one.(map[string]any)
		if result, ok := b["toolResult"].(map[string]any); ok && result["status"] == "error" {
			errs = append(errs, stripped(result))
		} else if b["is_error"] == true {
			errs = append(errs, stripped(b))
		}
	}
	return errs
}
