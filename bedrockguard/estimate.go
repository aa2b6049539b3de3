package bedrockguard

import (
	"context"
	"math"
	"math/bits"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// wideInput bounds the request's input tokens by its length, in time that does not depend on it. bodyBytes is the length
// of the serialised body. A request that goes beyond the model's context window is refused by the service before
// inference, so the window bounds what can be billed.
func (c *call) wideInput(bodyBytes int64) (int64, error) {
	n, bounded := tokens.UpperBound(&c.ask.media, tokens.LimitsFor(c.provider))
	if c.ask.fromBody {
		text := max(bodyBytes-c.ask.embedded, 0)
		n, bounded = n+min(text, math.MaxInt64-n), bounded && bodyBytes != unknownLength
	}
	switch {
	case !bounded && c.window == 0:
		return 0, &UnpricedError{ModelID: c.ask.modelID, Reason: "the prompt holds content of unknown size, and the catalog does not know the model's context window"}
	case !bounded:
		return c.window, nil
	case c.window == 0:
		return n, nil
	default:
		return min(n, c.window), nil
	}
}

// tightInput bounds the input tokens by counting them. It is slower, and holds as far as the model's own tokenizer stays
// within the factor that the guard has learned. It returns 0 when there is no tighter bound.
func (g *Guard) tightInput(c *call) int64 {
	if g.ratios.Violations(c.scope.Model).Tight > 0 {
		return 0 // it did not hold for this model once
	}
	c.tightOnce.Do(func() {
		prompt, err := c.ask.prompt()
		if err != nil {
			return
		}
		n, bounded, err := tokens.TightBound(context.Background(), &prompt, tokens.LimitsFor(c.provider))
		if err != nil || !bounded {
			return
		}
		c.tightBase, c.tight = n, n
	})
	return c.tight
}

// worst fills in the charge to set aside for an attempt with at most the given input tokens.
func (c *call) worst(w *budget.Charge, inputTokens int64) error {
	output, ok := mul(c.ask.maxOutput, c.ask.choices)
	if !ok {
		return malformed("maxTokens", "times the number of choices overflows")
	}
	cost, err := c.price.WorstCase(inputTokens, output, c.ask.writes, c.tier)
	if err == nil && c.latency != nil {
		// The service may fall back to the standard mode and bill that.
		var fast budget.Amount
		fast, err = c.optimized().WorstCase(inputTokens, output, c.ask.writes, c.tier)
		cost = max(cost, fast)
	}
	if err == nil && c.fees != 0 {
		cost, err = cost.Add(c.fees)
	}
	if err != nil {
		return err
	}
	w[budget.UnitUSD] = int64(cost)
	w[budget.UnitUncachedInputTokens] = inputTokens
	w[budget.UnitInputTokens] = inputTokens
	w[budget.UnitOutputTokens] = output
	w[budget.UnitCalls] = 1
	// Reads and writes can happen unasked: what a model caches by itself is not the request's to say.
	w[budget.UnitCacheReadInputTokens] = inputTokens
	w[budget.UnitCacheWriteInputTokens] = inputTokens
	return nil
}

// actual prices what a response reports.
func (c *call) actual(r *wire.Reported) (budget.Charge, error) {
	price, factor := c.price, c.tier
	if r.ServiceTier != "" || c.latency != nil {
		price, factor = c.served(r.ServiceTier, r.Latency)
	}
	cost, err := price.Cost(r.Usage, factor)
	if err == nil && c.fees != 0 {
		cost, err = cost.Add(c.fees)
	}
	if err != nil {
		return budget.Charge{}, err
	}
	return r.Usage.Charge(cost), nil
}

func mul(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(max(a, 0)), uint64(max(b, 1)))
	return int64(lo), hi == 0 && lo <= math.MaxInt64
}
