package bedrockguard

import (
	"math"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// wideInput bounds the request's input tokens by its length, in time that does not depend on it. A request that goes beyond the model's context window is refused by the service before
// inference, so the window bounds what can be billed.
func (c *call) wideInput() (int64, error) {
	if c.flatOperation {
		return 0, nil
	}
	n, bounded := tokens.MediaBound(&c.ask.media, tokens.LimitsFor(c.provider))
	text := max(c.ask.body-c.ask.embedded, 0)
	n, bounded = n+min(text, math.MaxInt64-n), bounded && c.ask.body != unknownLength
	switch {
	case !bounded && c.flatModel:
		return text, nil // it is not billed by tokens
	case !bounded && c.perText > 0:
		window, ok := mul(c.perText, max(c.ask.texts, 1))
		if !ok {
			return 0, budget.ErrOverflow
		}
		return addSat(window, text), nil
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
	if g.ratios.Violations(c.scope.Model) > 0 {
		return 0 // the factor did not hold for this model once
	}
	if c.tightDone {
		return c.tight
	}
	c.tightDone, c.tight, c.tightBase = true, 0, 0
	prompt, err := c.ask.prompt()
	if err != nil {
		return 0
	}
	n, bounded, err := g.counter.Count(&prompt, tokens.LimitsFor(c.provider))
	if err != nil || !bounded {
		return 0
	}
	c.tightBase, c.tight = n, g.ratios.Bound(c.scope.Model, n)
	return c.tight
}
