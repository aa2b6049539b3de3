package chain

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// wide returns the wide bound of the call's input tokens, which follows from the length of its body. It is raised for a model to which the service
// has billed more than the bound before.
func (g *Guard) wide(c *Call) (int64, error) {
	n, err := c.WideInput()
	// Violations counts how often the service has billed more than each of the two bounds.
	if err != nil || g.ratios.Violations(c.Scope.Model).Wide == 0 {
		return n, err
	}
	return c.Widened(n), nil
}

// tightInput returns the tight bound of the input tokens, which is computed from the kinds of text in the request, about as fast as the text can
// be read from memory. It is computed once a call. It returns 0 if there is none, and the context's error if the context ended first.
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
	// There is a tight bound if the body could be read (err), and if it has only content that can be counted (bounded).
	if err == nil && bounded {
		c.tight = n
	}
	return c.tight, nil
}
