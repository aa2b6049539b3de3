package wire

import "github.com/bedrockguard/bedrockguard-go/budget"

// Reported is the usage that a response tells.
type Reported struct {
	Usage        budget.Usage
	ServiceTier  string // the tier that served the request, in lower case; empty when not told
	Latency      string // "standard" or "optimized" as served; empty when not told
	CountedTwice int64  // cached tokens that the service counts, and bills, a second time as fresh input; Usage holds them once
	Disagrees    bool   // two sources told different counts, and the dearer was taken for each class
	Model        string // the model that answered, as the answer names it; empty when not told
	Routed       bool   // Model is an id of the service\'s own, named by a prompt router
	Guardrails   []GuardrailUsage
}

// GuardrailUsage is what one guardrail evaluated for one answer, input and output together.
type GuardrailUsage struct {
	ID    string // as the answer names it; empty when it does not
	Units [NumGuardrailUnits]int64
}

// GuardrailUnit is a kind of unit in which a guardrail's policies are billed.
type GuardrailUnit uint8

// The units that an answer can tell, each by the name of its counter.
const (
	GuardrailContent                  GuardrailUnit = iota // contentPolicyUnits: text units of up to 1,000 characters
	GuardrailTopic                                         // topicPolicyUnits
	GuardrailWord                                          // wordPolicyUnits
	GuardrailSensitiveInformation                          // sensitiveInformationPolicyUnits
	GuardrailSensitiveInformationFree                      // sensitiveInformationPolicyFreeUnits
	GuardrailContextualGrounding                           // contextualGroundingPolicyUnits
	GuardrailAutomatedReasoning                            // automatedReasoningPolicyUnits
	GuardrailContentImage                                  // contentPolicyImageUnits: images
	NumGuardrailUnits
)

// countField is one counter, by whatever name a dialect gives it.
type countField uint8

const (
	countInput countField = iota
	countOutput
	countRead        // beside the input
	countWrite       // beside the input, of all TTLs
	countWrite5m     // part of countWrite
	countWrite1h     // part of countWrite
	countTotal       // input and output and, mostly, the cached tokens
	countCached      // read from the cache and already inside the input
	countCachedWrite // written to the cache and already inside the input
	countReasoning   // part of the output, mostly
	numCounts
)

// maxCount is what one response can't have used: larger numbers are malformed, and sums of a few stay far from overflow.
const maxCount = 1 << 40

// counts are the counters of one source. Seen more than once, the largest of each counts: streams report running totals.
type counts struct {
	n   [numCounts]int64
	has [numCounts]bool
}

func (c *counts) set(f countField, n int64) {
	c.n[f] = max(c.n[f], n)
	c.has[f] = true
}

// raise takes in the counters of o.
func (c *counts) raise(o *counts) {
	for f, has := range o.has {
		if has {
			c.set(countField(f), o.n[f])
		}
	}
}

func (c *counts) any() bool { return c.has != [numCounts]bool{} }

// reading is what the counters of one source say.
type reading struct {
	usage     budget.Usage
	twice     int64 // cached tokens that the counters hold a second time, inside of the input
	disagrees bool
}

// usage reads the counters as billable classes. family is the provider in the model id; writes tells which TTLs the request
// asked for, and places the writes that no breakdown covers.
func (c *counts) usage(family string, writes budget.CacheWrites) (r reading) {
	n, u := &c.n, &r.usage
	write := max(n[countWrite], n[countCachedWrite])
	split := n[countWrite5m] + n[countWrite1h]
	r.disagrees = split > 0 && split != write
	u.CacheWrite5mInputTokens, u.CacheWrite1hInputTokens = n[countWrite5m], n[countWrite1h]
	if rest := write - split; rest > 0 && writes >= budget.CacheWrites1h {
		u.CacheWrite1hInputTokens += rest
	} else if rest > 0 {
		u.CacheWrite5mInputTokens += rest
	}
	u.CacheReadInputTokens = max(n[countRead], n[countCached])
	cached := u.CacheReadInputTokens + u.CacheWrite5mInputTokens + u.CacheWrite1hInputTokens
	u.OutputTokens = n[countOutput]
	told := n[countInput] + cached // what the total is expected to hold besides the output
	switch c.placeOf(family, cached) {
	case cachedInside:
		u.InputTokens, told = n[countInput], n[countInput]
	case cachedTwice:
		u.InputTokens, r.twice, r.disagrees = n[countInput], cached, true
	case cachedNowhere:
		u.InputTokens, r.disagrees = n[countInput]+cached, true
	default:
		u.InputTokens = n[countInput] + cached
	}
	if c.has[countTotal] && n[countTotal] != told+u.OutputTokens {
		if unseen := n[countTotal] - told - u.OutputTokens; unseen > 0 && unseen == n[countReasoning] {
			u.OutputTokens += unseen // some families report reasoning beside the output
		} else {
			r.disagrees = true
		}
	}
	return r
}

// cachedPlace says where the cached tokens of a source are counted.
type cachedPlace uint8

const (
	cachedBeside  cachedPlace = iota // beside the input
	cachedInside                     // inside of the input
	cachedTwice                      // inside of the input and, in the total, beside it
	cachedNowhere                    // the counters contradict each other: beside, which is dearer
)

// countsCachedInside reports whether a family's input counter holds the cached tokens in every shape of its answers, as recorded
// with OpenAI's models on Converse (2026-10): a prompt of 4,995 tokens, 4,993 of them read, told as 4,995 input and 4,993 read. The
// total, and so the invoice, is said to hold them twice.
func countsCachedInside(family string) bool { return family == "openai" }

// placeOf finds out where the cached tokens are counted. OpenAI's own shape says so by its field names. Elsewhere the family tells,
// or the total proves it, but for families that document the opposite.
func (c *counts) placeOf(family string, cached int64) cachedPlace {
	if cached == 0 {
		return cachedInside
	}
	fits := c.n[countInput] >= cached
	switch {
	case c.has[countCached] || c.has[countCachedWrite]:
		if fits {
			return cachedInside
		}
		return cachedNowhere
	case family == "anthropic" || family == "amazon":
		return cachedBeside
	case fits && c.has[countTotal] && c.n[countTotal] == c.n[countInput]+c.n[countOutput]:
		return cachedInside
	case fits && countsCachedInside(family):
		return cachedTwice
	default:
		return cachedBeside
	}
}

// dearer merges two readings of one response: the larger of each class.
func dearer(a, b budget.Usage) (u budget.Usage, differ bool) {
	u.CacheReadInputTokens = max(a.CacheReadInputTokens, b.CacheReadInputTokens)
	u.CacheWrite5mInputTokens = max(a.CacheWrite5mInputTokens, b.CacheWrite5mInputTokens)
	u.CacheWrite1hInputTokens = max(a.CacheWrite1hInputTokens, b.CacheWrite1hInputTokens)
	u.OutputTokens = max(a.OutputTokens, b.OutputTokens)
	u.InputTokens = max(a.UncachedInputTokens(), b.UncachedInputTokens()) +
		u.CacheReadInputTokens + u.CacheWrite5mInputTokens + u.CacheWrite1hInputTokens
	return u, a != b
}

// merge reads the counts that Bedrock itself tells (headers, invocation metrics) together with those in the model's body.
// Each may be silent about a class that the other tells: that is lent before they are compared, as is the split of the
// writes by TTL, which only a body has.
func merge(bedrock, body *counts, family string, writes budget.CacheWrites) reading {
	if !body.any() {
		return bedrock.usage(family, writes)
	}
	if !bedrock.any() {
		return body.usage(family, writes)
	}
	a, b := bedrock.lend(body).usage(family, writes), body.lend(bedrock).usage(family, writes)
	u, differ := dearer(a.usage, b.usage)
	return reading{usage: u, twice: max(a.twice, b.twice), disagrees: a.disagrees || b.disagrees || differ}
}

// lend returns c with what it is silent about taken from o. Cached tokens inside of the input are lent only when c tells
// nothing about the cache, because its input count holds them too then.
func (c *counts) lend(o *counts) *counts {
	out := *c
	lend := func(f countField) {
		if o.has[f] && !c.has[f] {
			out.set(f, o.n[f])
		}
	}
	lend(countInput)
	lend(countOutput)
	if c.has[countRead] || c.has[countWrite] || c.has[countCached] || c.has[countCachedWrite] {
		if !c.has[countCached] && !c.has[countCachedWrite] {
			lend(countRead)
			lend(countWrite)
		}
	} else {
		for f := countRead; f <= countWrite; f++ {
			lend(f)
		}
		lend(countCached)
		lend(countCachedWrite)
	}
	if o.n[countWrite5m]+o.n[countWrite1h] <= max(out.n[countWrite], out.n[countCachedWrite]) {
		lend(countWrite5m)
		lend(countWrite1h)
	}
	return &out
}

// ConverseUsage is Converse's TokenUsage in plain numbers. Absent counters are zero.
type ConverseUsage struct {
	InputTokens           int64
	OutputTokens          int64
	TotalTokens           int64 // zero stands for not told
	CacheReadInputTokens  int64
	CacheWriteInputTokens int64
	CacheWrite5mTokens    int64 // from CacheDetails, a TTL of 5m
	CacheWrite1hTokens    int64 // from CacheDetails, any other TTL
}

// FromConverse reads the usage of a Converse answer that the SDK has decoded, which costs a third of reading its bytes again.
// provider is the family in the model id ("openai"); writes tells which cache points the request had. It returns ErrMalformed for
// negative or absurd counts.
func FromConverse(provider string, writes budget.CacheWrites, in *ConverseUsage) (r Reported, err error) {
	var c counts
	c.n[countInput], c.n[countOutput], c.n[countTotal] = in.InputTokens, in.OutputTokens, in.TotalTokens
	c.n[countRead], c.n[countWrite] = in.CacheReadInputTokens, in.CacheWriteInputTokens
	c.n[countWrite5m], c.n[countWrite1h] = in.CacheWrite5mTokens, in.CacheWrite1hTokens
	for f, n := range &c.n {
		if uint64(n) > maxCount { // negative ones, too
			return r, &MalformedError{Field: "usage", Reason: "token count out of range"}
		}
		c.has[f] = n > 0
	}
	r.read(c.usage(provider, writes))
	return r, nil
}

// Name returns a name that an answer tells as it may be printed, and nothing for one that may not.
func Name(s string) string { return printable(s) }
