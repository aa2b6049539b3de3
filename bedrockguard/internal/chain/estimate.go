package chain

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// wide is wideInput, raised for a model whose bound was too low before.
func (g *Guard) wide(c *Call) (int64, error) {
	n, err := c.WideInput()
	if err != nil || g.ratios.Violations(c.Scope.Model).Wide == 0 {
		return n, err
	}
	return c.Widened(n), nil
}

// tightInput bounds the input tokens by the kinds of text in the request, about as fast as it can be read from memory. It returns 0 if there
// is no tighter bound, and the context's error if the context ended first.
func (g *Guard) tightInput(ctx context.Context, c *Call) (int64, error) {
	if g.ratios.Violations(c.Scope.Model).Tight > 0 {
		return 0, nil // the bound was too low for this model before
	}
	if c.tightDone {
		return c.tight, nil
	}
	n, bounded, err := c.Demand.Tight(ctx, c.Scope.Model, tokens.LimitsFor(c.Provider))
	if ended := ctx.Err(); ended != nil {
		return 0, ended
	}
	c.tightDone, c.tight = true, 0
	if err == nil && bounded {
		c.tight = n
	}
	return c.tight, nil
}
