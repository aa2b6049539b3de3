package bedrocktest

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
)

// Compaction, in tokens. A request that allows it is billed as if it were compacted at least once, and once more for each 50,000 tokens of
// its prompt, the shortest history that Anthropic lets a request name (2026-09).
const (
	compactionTrigger = 50_000
	leastSummary      = 500
	mostSummary       = 5000
)

// iteration is one of the inferences that make up an answer. Each is billed.
type iteration struct {
	kind   string // "compaction" or "message"
	split  served
	output int
}

// compaction sets whether the service may shorten the history: by an edit of that kind, or by the field of 2026-09-04.
func (in *inference) compaction(n *jsonnode.Node) {
	if in.model.Provider != "anthropic" {
		return
	}
	for _, edit := range n.Get("context_management").Get("edits").List() {
		if strings.HasPrefix(edit.Get("type").Text(), "compact_") {
			in.hidden.compacts = true
		}
	}
	switch jsonnode.RawOf(n.Get("compaction")) {
	case "", "false", "{}":
	default:
		in.hidden.compacts = true
	}
}

// iterations returns the inferences that a request is billed for, or nothing if there is only one: each compaction of the history, and then
// the message. A compaction reads the prompt and writes a summary that the request's maximum does not bound; the message reads the prompt
// and the last summary. Their sizes depend only on the request, through the hash of its prompt.
func (in *inference) iterations(split served, output int) []iteration {
	if !in.hidden.compacts {
		return nil
	}
	total, seed := in.request.InputTokens, 0
	for _, b := range in.blocks {
		seed = (seed*31 + int(b.hash[0])) % 9973
	}
	var all []iteration
	summary := 0
	for pass := range max(1, total/compactionTrigger) {
		summary = leastSummary + (seed+pass*1709)%(mostSummary-leastSummary+1)
		if in.model.Output > 0 {
			summary = min(summary, in.model.Output)
		}
		all = append(all, iteration{kind: "compaction", split: split, output: summary})
		split = served{input: total}
	}
	return append(all, iteration{kind: "message", split: served{input: total + summary, pending: all[0].split.pending}, output: output})
}

// iterationsJSON lists them as the usage of an answer does.
func iterationsJSON(all []iteration) []any {
	var list []any
	for _, i := range all {
		usage := splitJSON(i.split, i.output)
		usage["type"] = i.kind
		list = append(list, usage)
	}
	return list
}
