package pricing

import (
	"bytes"
	"math"
	"math/bits"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// Quote is what one model charges for what a call asks.
type Quote struct {
	Resolved *catalog.Resolved // the model with its final prices
	Latency  *price.Rates      // of the latency-optimised mode, if the call can be served in it; else nil
	Tier     price.Tier        // the highest factor of a service tier that the call can be served at, in thousandths
	fees     price.Amount      // fees that do not depend on the tokens, such as those for each image
}

// LatencyOptimized is the mode of latency in which a model has other prices.
const LatencyOptimized = "optimized"

// longContextWindow is the context window, in tokens, of models that have a price for long contexts.
const longContextWindow = 1_000_000

// quoteFor prices a model for what is asked. optimized says that the model may answer in its latency-optimised mode unasked. An unknown tier, and a
// mode that is asked for without having a price, are errors.
func (a *Demand) quoteFor(r *catalog.Resolved, optimized bool) (Quote, error) {
	q := Quote{Resolved: a.withMedia(r), Tier: price.TierStandard}
	// Up to three places of a request can name a tier. WorstTier is never below the standard one, which an empty name stands for.
	for _, name := range a.Tiers {
		factor, err := r.WorstTier(name)
		if err != nil {
			return q, err
		}
		q.Tier = max(q.Tier, factor) // the service may use any of them
	}
	if a.latency == LatencyOptimized && r.LatencyOptimized == nil {
		return q, &catalog.UnpricedError{ModelID: a.ModelID, Reason: "its latency-optimised mode has no price in the catalog: leave the mode out, or add its price by Options.Models"}
	}
	if a.latency == LatencyOptimized || optimized {
		q.Latency = r.LatencyOptimized
	}
	var err error
	q.fees, err = a.fees(r)
	return q, err
}

// AnyQuote prices a model that has answered although another one was asked for, and which may lack a price for a latency mode, a service tier or a
// fee that was asked for. Then it gives up one thing after the other until there is a quote.
func (a *Demand) AnyQuote(r *catalog.Resolved, optimized bool) Quote {
	q, err := a.quoteFor(r, optimized)
	if err == nil {
		return q
	}
	// A model without a price for the latency mode was not served in that.
	plain := *a
	plain.latency = ""
	if q, err = plain.quoteFor(r, optimized); err == nil {
		return q
	}
	// An unknown tier gets the highest factor of any in the catalog, and a fee that can't be worked out is left out.
	q = Quote{Resolved: a.withMedia(r), Tier: r.ServedTier("unknown")}
	q.fees, _ = a.fees(r)
	return q
}

// withMedia raises the input rates of a model to the rates of images or sound if a request has any: an answer does not report these tokens
// separately.
func (a *Demand) withMedia(r *catalog.Resolved) *catalog.Resolved {
	rate := price.PicoUSD(0)
	if a.images > 0 {
		rate = r.Media.ImageInput
	}
	if a.audios > 0 {
		rate = max(rate, r.Media.AudioInput)
	}
	// A rate of zero says that such tokens are billed like text.
	if rate <= r.Price.Rates.Input {
		return r
	}
	raised := *r
	raised.Price.Rates.Input = rate
	return &raised
}

// worst prices the most that an attempt can consume: these tokens at the highest rates that its cache writes, tier and latency mode allow, and the
// fees.
func (q *Quote) worst(inputTokens, outputTokens int64, writes price.CacheWrites) (price.Amount, error) {
	// A token that is billed twice counts as two.
	if q.countsTwice() {
		inputTokens = addSat(inputTokens, inputTokens)
	}
	cost, err := q.Resolved.Price.WorstCase(inputTokens, outputTokens, writes, q.Tier)
	if err == nil && q.Latency != nil {
		// The service may fall back to the standard mode and bill that.
		var fast price.Amount
		fast, err = q.optimized().WorstCase(inputTokens, outputTokens, writes, q.Tier)
		cost = max(cost, fast)
	}
	if err != nil {
		return 0, err
	}
	return cost.Add(q.fees)
}

// countsTwice reports whether the model may bill cached tokens twice, as uncached input and as cached: see wire.Reported.CountedTwice.
func (q *Quote) countsTwice() bool {
	return q.Resolved.Model.Provider == "openai" && q.Resolved.Model.Cache.Implicit
}

// promptsPerChoice reports whether the prompt is billed once for each requested completion, as recorded answers of Cohere's Command show
// (2024).
func (q *Quote) promptsPerChoice() bool {
	return q.Resolved.Model.Provider == "cohere"
}

// optimized is the price in the latency-optimised mode, which must have one.
func (q *Quote) optimized() *price.Price {
	return &price.Price{Rates: *q.Latency, LongContext: q.Resolved.Price.LongContext}
}

// Cost prices what a response reports. If it does not say in which tier and mode the call was served, the dearest that was asked for counts.
func (q *Quote) Cost(r *wire.Reported) (price.Amount, error) {
	list, factor := &q.Resolved.Price, q.Tier
	if r.ServiceTier != "" {
		// This can be less than what was reserved for, such as for a request that was served as flex.
		factor = q.Resolved.ServedTier(r.ServiceTier)
	}
	if q.Latency != nil && (r.Latency == "" || r.Latency == LatencyOptimized) {
		list = q.optimized()
	}
	// CountedTwice has the cached tokens that are billed once more as uncached input; it is zero for most models.
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

// Worst fills in the charge to reserve for an attempt whose prompt has at most the given number of input tokens.
func (c *Call) Worst(w *budget.Charge, inputTokens int64) error {
	input, output, fits := c.worstTokens(inputTokens)
	if !fits {
		return request.MalformedField("maxTokens", "times the number of choices overflows")
	}
	cost, err := c.worstCost(input, output)
	if err != nil {
		return err
	}
	w[budget.UnitUSD] = int64(cost)
	// The units are bounds of their own: the same token counts in several of them.
	w[budget.UnitUncachedInputTokens] = input
	w[budget.UnitInputTokens] = input
	w[budget.UnitOutputTokens] = output
	w[budget.UnitCalls] = 1
	// Reads and writes can happen without a cache point: the request can't control what a model caches by itself.
	w[budget.UnitCacheReadInputTokens] = input
	w[budget.UnitCacheWriteInputTokens] = input
	return nil
}

// worstTokens returns the most tokens that an attempt can be billed for: those of the prompt and of the output limit, multiplied for several
// completions (choices) and for compactions of the history. It returns false if they are too many for an int64.
func (c *Call) worstTokens(prompt int64) (input, output int64, fits bool) {
	input = prompt
	output, fits = mul(c.Demand.MaxOutput, max(c.Demand.choices, 1))
	// For most models only the output multiplies.
	if c.Demand.choices > 1 && c.Quote.promptsPerChoice() {
		var inputFits bool
		input, inputFits = mul(prompt, c.Demand.choices)
		fits = fits && inputFits
	}
	if fits && c.Demand.compacts {
		return c.compacted(input, output)
	}
	return input, output, fits
}

// compacted returns the most tokens of an attempt during which the service compacts the history, as worstTokens does: each compaction is an inference
// of its own. Each, and then the answer, reads at most the prompt and what was generated since. Each writes a summary, which only the model's output
// limit bounds.
func (c *Call) compacted(prompt, answer int64) (input, output int64, fits bool) {
	// At least one is reserved for, although a history below the trigger should need none.
	compactions := max(1, addSat(prompt, answer)/compactionTrigger)
	summaries, fits := mul(compactions, c.modelOutput)
	input, _ = mul(compactions+1, addSat(addSat(prompt, answer), c.modelOutput)) // at most math.MaxInt64
	return input, addSat(answer, summaries), fits
}

// worstCost returns the most that so many tokens can cost: at the dearest of the models that may answer, with guardrails and flat prices.
func (c *Call) worstCost(input, output int64) (price.Amount, error) {
	cost, err := c.Quote.worst(input, output, c.Demand.Writes)
	if err != nil {
		return 0, err
	}
	for i := range c.others { // models that have answered calls of this id before
		other, err := c.others[i].worst(input, output, c.Demand.Writes)
		if err != nil {
			return 0, err
		}
		cost = max(cost, other)
	}
	extra, err := c.extra(output)
	if err != nil {
		return 0, err
	}
	return cost.Add(extra)
}

// extra returns the most that is billed besides the model: guardrails, and the flat prices of features that have no price by tokens.
func (c *Call) extra(outputTokens int64) (price.Amount, error) {
	guardrails, err := c.GuardrailsWorst(outputTokens, nil)
	if err != nil {
		return 0, err
	}
	return guardrails.Add(c.Flat)
}

// GuardrailsWorst returns the most that the guardrails of a call cost, except those in reported, whose units an answer tells; before there is an
// answer it is nil. Enforced guardrails, which evaluate the call without being named, cost by the characters of request and answer; the one that
// the call names costs its flat price, or the price of the request's characters if that is more.
func (c *Call) GuardrailsWorst(outputTokens int64, reported []wire.GuardrailUsage) (price.Amount, error) {
	if c.FlatGuardrail == 0 && len(c.guardrails) == 0 {
		return 0, nil
	}
	// Each text begins a new unit.
	texts := c.Demand.textCount()
	total, err := c.namedGuardrailWorst(texts, reported)
	if err != nil {
		return 0, err
	}
	for i := range c.guardrails {
		if shows(reported, c.guardrails[i].ID) {
			continue
		}
		cost, err := c.guardrails[i].worst(c.Demand.Body, texts, c.Demand.images, outputTokens)
		if err == nil {
			total, err = total.Add(cost)
		}
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}

// namedGuardrailWorst returns the most that the guardrail costs that the request names; zero if it names none, if the guardrail is an enforced one,
// or if it is in reported.
func (c *Call) namedGuardrailWorst(texts int64, reported []wire.GuardrailUsage) (price.Amount, error) {
	if c.FlatGuardrail == 0 || c.namedIn(reported) {
		return 0, nil
	}
	// The zero Guardrail has list prices. The answer is left out (0 output tokens), because the flat price is for that.
	cost, err := new(Guardrail).worst(c.Demand.Body, texts, c.Demand.images, 0)
	if err != nil {
		return 0, err
	}
	return max(c.FlatGuardrail, cost), nil
}

// namedIn reports whether an answer has the units of the guardrail that the request names. If the request does not tell its id, any guardrail that
// is not enforced counts as it.
func (c *Call) namedIn(reported []wire.GuardrailUsage) bool {
	if c.Demand.Guardrail != unnamedGuardrail {
		return shows(reported, c.Demand.Guardrail)
	}
	for i := range reported {
		if !slices.ContainsFunc(c.guardrails, func(g Guardrail) bool { return sameGuardrail(g.ID, reported[i].ID) }) {
			return true
		}
	}
	return false
}

// shows reports whether an answer has the units of the guardrail with this id.
func shows(reported []wire.GuardrailUsage, id string) bool {
	return slices.ContainsFunc(reported, func(u wire.GuardrailUsage) bool { return sameGuardrail(u.ID, id) })
}

// textCount bounds how many texts a guardrail finds in the body, each of which begins a new unit. In Converse's body each has a key, "text" or
// "json". In other dialects a text may have any key, or stand in a list.
func (a *Demand) textCount() int64 {
	if a.converse {
		return int64(bytes.Count(a.Raw, []byte(`"text"`)) + bytes.Count(a.Raw, []byte(`"json"`)))
	}
	// One more than are found is a reserve: a bound may be too high, and must not be too low.
	return stringValues(a.Raw) + 1
}

// stringValues counts the strings of a JSON text that are no keys.
func stringValues(raw []byte) (n int64) {
	for {
		_, rest, found := bytes.Cut(raw, []byte{'"'})
		if !found {
			return n
		}
		end := stringEnd(rest)
		raw = rest[end:]
		// A string that a colon follows is a key.
		if after := bytes.TrimLeft(raw, " \t\r\n"); len(after) == 0 || after[0] != ':' {
			n++
		}
	}
}

// stringEnd returns where a JSON string ends, behind its closing quotation mark; text begins behind the opening one. A string without an end ends
// with the text.
func stringEnd(text []byte) int {
	behind := 0 // the last quotation mark that was found, which does not end the string
	for {
		distance := bytes.IndexByte(text[behind:], '"')
		if distance < 0 {
			return len(text)
		}
		before := text[:behind+distance]
		behind += distance + 1
		// An odd number of backslashes in front of a quotation mark makes it a part of the string.
		if backslashes := len(before) - len(bytes.TrimRight(before, `\`)); backslashes%2 == 0 {
			return behind
		}
	}
}

// fees returns the most that a model bills besides tokens. Sound and videos, whose length is not known here, count as the longest that the model
// accepts. An answer reports none of it, so that this amount is posted unchanged.
func (a *Demand) fees(r *catalog.Resolved) (price.Amount, error) {
	image := r.Fees.Image
	if a.documentImages {
		image = max(image, r.Fees.DocumentImage)
	}
	limits := &r.Model.Embedding
	// Zero seconds say that the longest video or sound of the model is not known.
	unboundedVideo := r.Fees.VideoSecond > 0 && a.videos > 0 && limits.VideoSeconds == 0
	unboundedAudio := r.Fees.AudioSecond > 0 && a.audios > 0 && limits.AudioSeconds == 0
	if unboundedVideo || unboundedAudio {
		return 0, &catalog.UnpricedError{ModelID: a.ModelID, Reason: "it is billed by the second, and the catalog does not know how long its media can be: set Model.Embedding"}
	}
	var total price.Amount
	for _, f := range [...]fee{
		{r.Fees.Request, 1, 1},
		{r.Fees.Query, a.Queries, 1},
		{image, a.images, 1},
		{r.Fees.VideoSecond, a.videos, limits.VideoSeconds},
		{r.Fees.AudioSecond, a.audios, limits.AudioSeconds},
	} {
		amount, err := f.amount()
		if err != nil {
			return 0, err
		}
		if total, err = total.Add(amount); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// fee is one of the fees of a call.
type fee struct {
	price price.Amount // for each unit
	count int64        // how many things of the request are billed
	units int64        // how many units each of them has at most
}

// amount returns what the fee comes to.
func (f fee) amount() (price.Amount, error) {
	if f.count == 0 || f.price == 0 {
		return 0, nil
	}
	units, ok := mul(f.count, f.units)
	if !ok {
		return 0, budget.ErrOverflow
	}
	n, ok := mul(int64(f.price), units)
	if !ok {
		return 0, budget.ErrOverflow
	}
	return price.Amount(n), nil
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
