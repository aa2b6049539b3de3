package bedrocktest

import "github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"

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
	split  promptcache.Split
	output int
}

// iterations returns the inferences that a request is billed for, or nothing if there is only one: each compaction of the history, and then
// the message. A compaction reads the prompt and writes a summary that the request's maximum does not bound; the message reads the prompt
// and the last summary. Their sizes depend only on the request, through the hash of its prompt.
func (in *inference) iterations(split promptcache.Split, output int) []iteration {
	if !in.Hidden.Compacts {
		return nil
	}
	// The multipliers below are primes, so that the sizes of summaries spread over their range.
	total, seed := in.request.InputTokens, 0
	for _, b := range in.Blocks {
		seed = (seed*31 + int(b.Hash[0])) % 9973
	}
	var all []iteration
	summary := 0
	for pass := range max(1, total/compactionTrigger) {
		summary = leastSummary + (seed+pass*1709)%(mostSummary-leastSummary+1)
		if in.Model.Output > 0 {
			summary = min(summary, in.Model.Output)
		}
		all = append(all, iteration{kind: "compaction", split: split, output: summary})
		// Only the first compaction uses the prompt cache: further ones read the whole prompt as plain input.
		split = promptcache.Split{Input: total}
	}
	// What the first compaction wrote to the cache (Pending) becomes readable when the answer begins.
	return append(all, iteration{kind: "message", split: promptcache.Split{Input: total + summary, Pending: all[0].split.Pending}, output: output})
}

// iterationsJSON lists the inferences of an answer in the form of its usage.
func iterationsJSON(all []iteration) []any {
	var list []any
	for _, i := range all {
		usage := splitJSON(i.split, i.output)
		usage["type"] = i.kind
		list = append(list, usage)
	}
	return list
}
