package wire

import (
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// Reported is the usage that a response reports.
type Reported struct {
	Usage        price.Usage
	ServiceTier  string // the tier that served the request, in lower case; empty if not reported
	Latency      string // "standard" or "optimized" as served; empty if not reported
	CountedTwice int64  // cached tokens that the service counts, and bills, a second time as uncached input; Usage holds them once
	Disagrees    bool   // two sources reported different counts, and the larger was taken for each class
	Model        string // the model that answered, as the answer names it; empty if not reported
	Routed       bool   // Model is an id of Bedrock's, named by a prompt router, and not a name of the model's own
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

// countField is one counter. Its names in all dialects are in counterField.
type countField uint8

const (
	countInput countField = iota
	countOutput
	countRead        // read from the cache; as a rule not included in countInput, see placeOf
	countWrite       // written to the cache, for any TTL; as a rule not included in countInput, see placeOf
	countWrite5m     // part of countWrite
	countWrite1h     // part of countWrite
	countTotal       // input and output and, in most dialects, the cached tokens
	countCached      // read from the cache, in dialects whose field names say that countInput includes it
	countCachedWrite // written to the cache, in the same dialects
	countReasoning   // part of countOutput, in most families
	numCounts
)

// maxCount is more than one response can have used. Larger numbers are malformed, so that sums of a few counts can't overflow.
const maxCount = 1 << 40

// counts are the counters of one source, such as the body of a response or Bedrock's headers. A counter that is seen several times keeps its largest
// value, because streams report running totals.
type counts struct {
	n   [numCounts]int64 // by countField
	has [numCounts]bool  // whether the source has the counter
}

// set records a counter.
func (c *counts) set(f countField, n int64) {
	c.n[f] = max(c.n[f], n)
	c.has[f] = true
}

// raise sets each counter that o has, unless it is larger already.
func (c *counts) raise(o *counts) {
	for f, has := range o.has {
		if has {
			c.set(countField(f), o.n[f])
		}
	}
}

// any reports whether the source has any counter.
func (c *counts) any() bool { return c.has != [numCounts]bool{} }

// reading is the usage that follows from the counters of one source.
type reading struct {
	usage     price.Usage // its InputTokens include the cached ones, whatever the source's input counter does
	twice     int64       // cached tokens that the service counts twice: see cachedTwice
	disagrees bool        // the counters contradict each other
}

// usage turns the counters into the kinds of tokens that are billed. family is the provider in the model id. writes is the longest lifetime for which
// the request may write to the cache: cache writes that the answer does not break down by lifetime count for it.
func (c *counts) usage(family string, writes price.CacheWrites) (r reading) {
	r.usage, r.disagrees = c.cacheUsage(writes)
	u := &r.usage
	cached := u.CacheReadInputTokens + u.CacheWrite5mInputTokens + u.CacheWrite1hInputTokens
	counted := c.n[countInput] // which includes the cached tokens in some families, and in others not
	inTotal := counted + cached
	switch c.placeOf(family, cached) {
	case cachedBeside:
		u.InputTokens = counted + cached
	case cachedInside:
		u.InputTokens, inTotal = counted, counted
	case cachedTwice: // inTotal stays the sum of both, because the total holds the cached tokens once more
		u.InputTokens, r.twice, r.disagrees = counted, cached, true
	case cachedNowhere:
		u.InputTokens, r.disagrees = counted+cached, true
	}
	return c.readOutput(r, inTotal)
}

// cacheUsage returns the tokens that were read from the cache and written to it, by lifetime, and nothing else in u. Writes whose lifetime the answer
// does not tell count for the one in writes. It reports whether the breakdown by lifetime and the number of all writes disagree.
func (c *counts) cacheUsage(writes price.CacheWrites) (u price.Usage, disagree bool) {
	n := &c.n
	u.CacheReadInputTokens = max(n[countRead], n[countCached])
	u.CacheWrite5mInputTokens, u.CacheWrite1hInputTokens = n[countWrite5m], n[countWrite1h]
	all := max(n[countWrite], n[countCachedWrite])
	split := n[countWrite5m] + n[countWrite1h]
	if rest := all - split; rest > 0 && writes >= price.CacheWrites1h {
		u.CacheWrite1hInputTokens += rest
	} else if rest > 0 {
		u.CacheWrite5mInputTokens += rest
	}
	return u, split > 0 && split != all
}

// readOutput sets the output tokens of a reading to the larger one of two numbers: what the counters of output and reasoning tell, and what the total
// leaves for the output. input is what the total is expected to hold besides the output. disagrees is set if these counters contradict each other.
func (c *counts) readOutput(r reading, input int64) reading {
	output, reasoning := c.n[countOutput], c.n[countReasoning]
	counted := output
	if reasoning > output { // it can't be a part of the output, so this family counts it apart
		counted = output + reasoning
	}
	if !c.has[countTotal] {
		r.usage.OutputTokens = counted
		r.disagrees = r.disagrees || reasoning > output
		return r
	}
	// What the total holds beyond all other counters is taken for output, too, because output costs most.
	left := c.n[countTotal] - input
	r.usage.OutputTokens = max(counted, left)
	// Reasoning may be a part of the output or come on top of it: the total is as it should be in both cases.
	fits := left == counted || left == output+reasoning
	r.disagrees = r.disagrees || !fits
	return r
}

// cachedPlace says whether a source's input counter includes the cached tokens.
type cachedPlace uint8

const (
	cachedBeside  cachedPlace = iota // the input does not include them
	cachedInside                     // the input includes them
	cachedTwice                      // the input includes them, and the total holds them once more
	cachedNowhere                    // the counters contradict each other: the input counts as not including them, which costs more
)

// countsCachedInside reports whether a family's input counter holds the cached tokens in every dialect of its answers. OpenAI's models were
// recorded on Converse (2026-10): of a prompt of 4,995 tokens, 4,993 of which were read from the cache, the answer has 4,995 input tokens and
// 4,993 read ones. The total, and so the invoice, is said to hold the cached tokens twice.
func countsCachedInside(family string) bool { return family == "openai" }

// placeOf decides whether the input counter includes the cached tokens. In OpenAI's own dialect the field names say that it does. Anthropic and
// Amazon document that it does not. For other families it does if the total is the sum of input and output, or the family is known for it.
func (c *counts) placeOf(family string, cached int64) cachedPlace {
	if cached == 0 { // then each place gives the same usage
		return cachedInside
	}
	fits := c.n[countInput] >= cached // the input is large enough to include them
	totalIsSum := c.has[countTotal] && c.n[countTotal] == c.n[countInput]+c.n[countOutput]
	switch {
	case c.has[countCached] || c.has[countCachedWrite]: // OpenAI's own dialect
		if fits {
			return cachedInside
		}
		return cachedNowhere
	case family == "anthropic" || family == "amazon":
		return cachedBeside
	case fits && totalIsSum:
		return cachedInside
	case fits && countsCachedInside(family):
		return cachedTwice
	default:
		return cachedBeside
	}
}

// dearer returns the larger count of each class of two readings of one response, and whether they differ.
func dearer(a, b price.Usage) (u price.Usage, differ bool) {
	u.CacheReadInputTokens = max(a.CacheReadInputTokens, b.CacheReadInputTokens)
	u.CacheWrite5mInputTokens = max(a.CacheWrite5mInputTokens, b.CacheWrite5mInputTokens)
	u.CacheWrite1hInputTokens = max(a.CacheWrite1hInputTokens, b.CacheWrite1hInputTokens)
	u.OutputTokens = max(a.OutputTokens, b.OutputTokens)
	// InputTokens include the cached ones, so they are added up anew from the larger counts of the parts.
	u.InputTokens = max(a.UncachedInputTokens(), b.UncachedInputTokens()) +
		u.CacheReadInputTokens + u.CacheWrite5mInputTokens + u.CacheWrite1hInputTokens
	return u, a != b
}

// merge combines the counts that Bedrock itself reports (headers, invocation metrics) with those in the model's body, and takes the larger one of
// each kind of tokens. A counter that one of the two lacks is taken from the other before they are compared. The split of cache writes by TTL is only
// in bodies.
func merge(bedrock, body *counts, family string, writes price.CacheWrites) reading {
	if !body.any() {
		return bedrock.usage(family, writes)
	}
	if !bedrock.any() {
		return body.usage(family, writes)
	}
	a := bedrock.filledFrom(body).usage(family, writes)
	b := body.filledFrom(bedrock).usage(family, writes)
	u, differ := dearer(a.usage, b.usage) // the larger count of each kind
	return reading{usage: u, twice: max(a.twice, b.twice), disagrees: a.disagrees || b.disagrees || differ}
}

// filledFrom returns c with the counters that it lacks taken from o. A counter of the cache is only taken if it agrees with c's input: countCached
// and countCachedWrite say that the input includes the cached tokens, countRead and countWrite, as a rule, that it does not. If c has none of these
// four it gets all that o has, because its input is then taken to be counted as that of o. The split of the writes by lifetime is taken if it is not
// more than the writes.
func (c *counts) filledFrom(o *counts) *counts {
	out := *c
	fill := func(f countField) {
		if o.has[f] && !c.has[f] {
			out.set(f, o.n[f])
		}
	}
	// countTotal and countReasoning are not filled: they are only compared with the other counters of their own source.
	fill(countInput)
	fill(countOutput)
	inside := c.has[countCached] || c.has[countCachedWrite] // c has counters of the cache that say that its input includes the cached tokens
	beside := c.has[countRead] || c.has[countWrite]         // c has counters of the cache that, as a rule, say that it does not
	if !inside {
		fill(countRead)
		fill(countWrite)
	}
	if !inside && !beside {
		fill(countCached)
		fill(countCachedWrite)
	}
	if o.n[countWrite5m]+o.n[countWrite1h] <= max(out.n[countWrite], out.n[countCachedWrite]) {
		fill(countWrite5m)
		fill(countWrite1h)
	}
	return &out
}

// ConverseUsage is Converse's TokenUsage in plain numbers. Absent counters are zero.
type ConverseUsage struct {
	InputTokens           int64
	OutputTokens          int64
	TotalTokens           int64 // zero if not reported
	CacheReadInputTokens  int64
	CacheWriteInputTokens int64
	CacheWrite5mTokens    int64 // from CacheDetails, a TTL of 5m
	CacheWrite1hTokens    int64 // from CacheDetails, any other TTL
}

// FromConverse reads the usage of a Converse answer that the SDK has decoded, which takes a third of the time of parsing its bytes again. provider
// and writes are those of ParseUsage: the maker's name in the model id ("openai"), and the longest lifetime for which the request may write to the
// cache. It returns request.ErrMalformed for counts that are negative or above maxCount.
func FromConverse(provider string, writes price.CacheWrites, in *ConverseUsage) (r Reported, err error) {
	var c counts
	c.n[countInput], c.n[countOutput], c.n[countTotal] = in.InputTokens, in.OutputTokens, in.TotalTokens
	c.n[countRead], c.n[countWrite] = in.CacheReadInputTokens, in.CacheWriteInputTokens
	c.n[countWrite5m], c.n[countWrite1h] = in.CacheWrite5mTokens, in.CacheWrite1hTokens
	for f, n := range &c.n {
		if uint64(n) > maxCount { // negative ones, too
			return r, &request.MalformedError{Field: "usage", Reason: "token count out of range"}
		}
		// Counters that the answer lacks are zero here.
		c.has[f] = n > 0
	}
	r.read(c.usage(provider, writes))
	return r, nil
}

// Name returns a name from an answer if it can be printed safely, and else nothing.
func Name(s string) string { return request.Printable(s) }
