package bedrockguard

import (
	"bytes"
	"math"
	"math/bits"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// quote is what one model charges for what a call asks.
type quote struct {
	resolved *catalog.Resolved
	latency  *price.Rates // of the latency-optimised mode, if the call can be served in it
	tier     price.Tier   // the highest factor that the call can be served at
	fees     price.Amount // fees that do not depend on the tokens
}

const (
	latencyOptimized  = "optimized"
	longContextWindow = 1_000_000
)

// quoteFor prices a model for what is asked. extraTier is another service tier in which the call can be served.
func (a *demand) quoteFor(r *catalog.Resolved, extraTier string, optimized bool) (quote, error) {
	q := quote{resolved: a.withMedia(r), tier: price.TierStandard}
	for _, name := range [...]string{a.tiers[0], a.tiers[1], a.tiers[2], extraTier} {
		factor, err := r.WorstTier(name)
		if err != nil {
			return q, err
		}
		q.tier = max(q.tier, factor) // the service may use either of them
	}
	if a.latency == latencyOptimized && r.LatencyOptimized == nil {
		return q, &catalog.UnpricedError{ModelID: a.modelID, Reason: "its latency-optimised mode has no price in the catalog: leave the mode out, or add its price by Options.Models"}
	}
	if a.latency == latencyOptimized || optimized {
		q.latency = r.LatencyOptimized
	}
	var err error
	q.fees, err = a.fees(r)
	return q, err
}

// withMedia raises the input rates of a model to the rates of images or sound if a request has any: an answer does not report these tokens
// separately.
func (a *demand) withMedia(r *catalog.Resolved) *catalog.Resolved {
	rate := price.PicoUSD(0)
	if a.images > 0 {
		rate = r.Media.ImageInput
	}
	if a.audios > 0 {
		rate = max(rate, r.Media.AudioInput)
	}
	if rate <= r.Price.Rates.Input {
		return r
	}
	raised := *r
	raised.Price.Rates.Input = rate
	return &raised
}

// worst prices the most that an attempt can consume.
func (q *quote) worst(inputTokens, outputTokens int64, writes price.CacheWrites) (price.Amount, error) {
	if q.countsTwice() {
		inputTokens = addSat(inputTokens, inputTokens)
	}
	cost, err := q.resolved.Price.WorstCase(inputTokens, outputTokens, writes, q.tier)
	if err == nil && q.latency != nil {
		// The service may fall back to the standard mode and bill that.
		var fast price.Amount
		fast, err = q.optimized().WorstCase(inputTokens, outputTokens, writes, q.tier)
		cost = max(cost, fast)
	}
	if err != nil {
		return 0, err
	}
	return cost.Add(q.fees)
}

// countsTwice reports whether the model may bill cached tokens twice, as uncached input and as cached: see wire.Reported.
func (q *quote) countsTwice() bool {
	return q.resolved.Model.Provider == "openai" && q.resolved.Model.Cache.Implicit
}

// promptsPerChoice reports whether the prompt is billed once for each requested completion, as recorded answers of Cohere's Command show
// (2024).
func (q *quote) promptsPerChoice() bool {
	return q.resolved.Model.Provider == "cohere"
}

// optimized is the price in the latency-optimised mode, which must have one.
func (q *quote) optimized() *price.Price {
	return &price.Price{Rates: *q.latency, LongContext: q.resolved.Price.LongContext}
}

// cost prices what a response reports. If it does not say how the call was served, the most expensive way that was asked for counts.
func (q *quote) cost(r *wire.Reported) (price.Amount, error) {
	list, factor := &q.resolved.Price, q.tier
	if r.ServiceTier != "" {
		factor = q.resolved.ServedTier(r.ServiceTier)
	}
	if q.latency != nil && (r.Latency == "" || r.Latency == latencyOptimized) {
		list = q.optimized()
	}
	billed := r.Usage
	billed.InputTokens = addSat(billed.InputTokens, r.CountedTwice)
	cost, err := list.Cost(billed, factor)
	if err != nil {
		return 0, err
	}
	return cost.Add(q.fees)
}

// compactionTrigger is the shortest history, in tokens, that the service can be asked to compact (Anthropic, 2026-09).
const compactionTrigger = 50_000

// passes bounds how often the service compacts the history during a call: each compaction is an inference of its own.
func (c *call) passes(inputTokens, outputTokens int64) int64 {
	if !c.demand.compacts {
		return 0
	}
	return max(1, addSat(inputTokens, outputTokens)/compactionTrigger)
}

// worst fills in the charge to reserve for an attempt whose prompt has at most the given number of input tokens.
func (c *call) worst(w *budget.Charge, inputTokens int64) error {
	output, ok := mul(c.demand.maxOutput, max(c.demand.choices, 1))
	if c.demand.choices > 1 && c.quote.promptsPerChoice() {
		repeated, fits := mul(inputTokens, c.demand.choices)
		inputTokens, ok = repeated, ok && fits
	}
	if passes := c.passes(inputTokens, output); ok && passes > 0 {
		// Each pass reads at most the prompt and what was generated since, and writes a summary that is only bounded by the model's output
		// limit.
		var summaries, read int64
		summaries, ok = mul(passes, c.modelOutput)
		read, _ = mul(passes+1, addSat(addSat(inputTokens, output), c.modelOutput))
		inputTokens, output = read, addSat(output, summaries)
	}
	if !ok {
		return malformed("maxTokens", "times the number of choices overflows")
	}
	cost, err := c.quote.worst(inputTokens, output, c.demand.writes)
	for i := range c.others {
		if err == nil {
			var other price.Amount
			other, err = c.others[i].worst(inputTokens, output, c.demand.writes)
			cost = max(cost, other)
		}
	}
	if err == nil {
		var extra price.Amount
		if extra, err = c.extra(output); err == nil {
			cost, err = cost.Add(extra)
		}
	}
	if err != nil {
		return err
	}
	w[budget.UnitUSD] = int64(cost)
	w[budget.UnitUncachedInputTokens] = inputTokens
	w[budget.UnitInputTokens] = inputTokens
	w[budget.UnitOutputTokens] = output
	w[budget.UnitCalls] = 1
	// Reads and writes can happen without a cache point: the request can't control what a model caches by itself.
	w[budget.UnitCacheReadInputTokens] = inputTokens
	w[budget.UnitCacheWriteInputTokens] = inputTokens
	return nil
}

// extra returns the most that is billed besides the model: flat prices and guardrails.
func (c *call) extra(outputTokens int64) (price.Amount, error) {
	guardrails, err := c.guardrailsWorst(outputTokens, nil)
	if err != nil {
		return 0, err
	}
	return guardrails.Add(c.flat)
}

// guardrailsWorst returns the most that the guardrails of a call cost, except those whose units an answer has reported. Enforced guardrails
// cost by the number of characters; the one that the call names costs its flat price, or the price of the request's characters if that is
// more.
func (c *call) guardrailsWorst(outputTokens int64, told []wire.GuardrailUsage) (price.Amount, error) {
	if c.flatGuardrail == 0 && len(c.guardrails) == 0 {
		return 0, nil
	}
	texts := c.demand.textCount()
	var total price.Amount
	if c.flatGuardrail > 0 && !c.toldNamed(told) {
		cost, err := new(Guardrail).worst(c.demand.body, texts, c.demand.images, 0)
		if err != nil {
			return 0, err
		}
		total = max(c.flatGuardrail, cost)
	}
	for i := range c.guardrails {
		if shows(told, c.guardrails[i].ID) {
			continue
		}
		cost, err := c.guardrails[i].worst(c.demand.body, texts, c.demand.images, outputTokens)
		if err == nil {
			total, err = total.Add(cost)
		}
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}

// toldNamed reports whether an answer has the units of the guardrail that the request names. If that one's id is not known, any guardrail
// that is not enforced counts as it.
func (c *call) toldNamed(told []wire.GuardrailUsage) bool {
	if c.demand.guardrail != unnamedGuardrail {
		return shows(told, c.demand.guardrail)
	}
	for i := range told {
		if !slices.ContainsFunc(c.guardrails, func(g Guardrail) bool { return sameGuardrail(g.ID, told[i].ID) }) {
			return true
		}
	}
	return false
}

func shows(told []wire.GuardrailUsage, id string) bool {
	return slices.ContainsFunc(told, func(u wire.GuardrailUsage) bool { return sameGuardrail(u.ID, id) })
}

// textCount bounds how many texts a guardrail finds in the body, each of which begins a new unit. Converse has a key of one of two names for
// each; in other dialects a text may have any name.
func (a *demand) textCount() int64 {
	if a.converse {
		return int64(bytes.Count(a.raw, []byte(`"text"`)) + bytes.Count(a.raw, []byte(`"json"`)))
	}
	return int64(bytes.Count(a.raw, []byte(`"`))/4) + 1
}

// fees returns the most that a model bills besides tokens: media of unknown length count as long as the model accepts. An answer reports
// none of it, so that this amount is posted unchanged.
func (a *demand) fees(r *catalog.Resolved) (price.Amount, error) {
	image := r.Fees.Image
	if a.documentImages {
		image = max(image, r.Fees.DocumentImage)
	}
	limits := &r.Model.Embedding
	unboundedVideo := r.Fees.VideoSecond > 0 && a.videos > 0 && limits.VideoSeconds == 0
	unboundedAudio := r.Fees.AudioSecond > 0 && a.audios > 0 && limits.AudioSeconds == 0
	if unboundedVideo || unboundedAudio {
		return 0, &catalog.UnpricedError{ModelID: a.modelID, Reason: "it is billed by the second, and the catalog does not know how long its media can be: set Model.Embedding"}
	}
	var total price.Amount
	for _, fee := range [...]struct {
		price        price.Amount
		count, units int64
	}{
		{r.Fees.Request, 1, 1},
		{r.Fees.Query, a.queries, 1},
		{image, a.images, 1},
		{r.Fees.VideoSecond, a.videos, limits.VideoSeconds},
		{r.Fees.AudioSecond, a.audios, limits.AudioSeconds},
	} {
		if fee.count == 0 || fee.price == 0 {
			continue
		}
		n, ok := mul(fee.count, fee.units)
		if ok {
			n, ok = mul(int64(fee.price), n)
		}
		if !ok {
			return 0, budget.ErrOverflow
		}
		var err error
		if total, err = total.Add(price.Amount(n)); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// mul returns a*b of non-negative numbers, and math.MaxInt64 and false if that does not fit.
func mul(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(max(a, 0)), uint64(max(b, 0)))
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64, false
	}
	return int64(lo), true
}

// addSat returns a+b of non-negative numbers, at most math.MaxInt64.
func addSat(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
