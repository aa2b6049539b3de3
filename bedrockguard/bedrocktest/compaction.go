package bedrocktest

import "github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"

// Compaction, in tokens. A request that allows it is billed as if it were compacted once for each full 50,000 tokens of its prompt, the
// shortest history that Anthropic lets a request name (2026-09), and at least once.
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
// and the last summary. split is how the prompt cache splits the prompt, output the tokens of the message.
func (in *inference) iterations(split promptcache.Split, output int) []iteration {
	if !in.Hidden.Compacts {
		return nil
	}
	total := in.request.InputTokens
	// Only the first compaction uses the prompt cache: all others, and the message, read the whole prompt as plain input.
	all := []iteration{{kind: "compaction", split: split, output: in.summarySize(0)}}
	for pass := 1; pass < total/compactionTrigger; pass++ { // the first one, pass 0, is in all already
		all = append(all, iteration{kind: "compaction", split: promptcache.Split{Input: total}, output: in.summarySize(pass)})
	}
	summary := all[len(all)-1].output
	// What the first compaction wrote to the cache (Pending) becomes readable when the answer begins.
	return append(all, iteration{kind: "message", split: promptcache.Split{Input: total + summary, Pending: split.Pending}, output: output})
}

// summarySize returns the tokens of the summary that the compaction with this number writes. They depend only on the request, through the hash of its
// prompt. The multipliers and the divisor are primes, so that the sizes spread over their range.
func (in *inference) summarySize(pass int) int {
	seed := 0
	for _, b := range in.Blocks {
		seed = (seed*31 + int(b.Hash[0])) % 9973
	}
	size := leastSummary + (seed+pass*1709)%(mostSummary-leastSummary+1)
	if in.Model.Output > 0 { // 0 means that the model's limit is not known
		size = min(size, in.Model.Output)
	}
	return size
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
