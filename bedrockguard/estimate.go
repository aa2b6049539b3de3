package bedrockguard

import (
	"context"
	"math"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// wideInput bounds the request's input tokens by its length and by what Unicode normalisation can add. The service refuses a request that is
// longer than the model's context window before inference, so the window is a bound too.
func (c *call) wideInput() (int64, error) {
	if c.flatOperation {
		return 0, nil
	}
	n, bounded := tokens.MediaBound(&c.demand.prompt, tokens.LimitsFor(c.provider))
	text := addSat(max(c.demand.body-c.demand.embedded, 0), c.demand.lengthening)
	n, bounded = n+min(text, math.MaxInt64-n), bounded && c.demand.body != unknownLength
	switch {
	case !bounded && c.flatModel:
		return text, nil // the model is not billed by tokens
	case !bounded && c.perText > 0:
		window, ok := mul(c.perText, max(c.demand.texts, 1))
		if !ok {
			return 0, budget.ErrOverflow
		}
		return addSat(window, text), nil
	case !bounded && c.window == 0:
		return 0, &catalog.UnpricedError{ModelID: c.demand.modelID, Reason: "the prompt holds content of unknown size, and the catalog does not know the model's context window: give it by Options.Models, or send text and pictures alone"}
	case !bounded:
		return c.window, nil
	case c.window == 0:
		return n, nil
	default:
		return min(n, c.window), nil
	}
}

// widening is the factor by which a bound that turned out too low is raised, for its model and until the process ends. No known tokenizer
// makes more tokens than a text has bytes after normalisation, and normalisation makes a text at most three times as long.
const widening = 3

// wide is wideInput, raised for a model whose bound was too low before.
func (g *Guard) wide(c *call) (int64, error) {
	n, err := c.wideInput()
	if err != nil || g.ratios.Violations(c.scope.Model).Wide == 0 {
		return n, err
	}
	n, _ = mul(n, widening)
	if c.window > 0 {
		n = min(n, c.window)
	}
	return n, nil
}

// tightInput bounds the input tokens by the kinds of text in the request, about as fast as it can be read from memory. It returns 0 if there
// is no tighter bound, and the context's error if the context ended first.
func (g *Guard) tightInput(ctx context.Context, c *call) (int64, error) {
	if g.ratios.Violations(c.scope.Model).Tight > 0 {
		return 0, nil // the bound was too low for this model before
	}
	if c.tightDone {
		return c.tight, nil
	}
	n, bounded, err := c.demand.tight(ctx, c.scope.Model, tokens.LimitsFor(c.provider))
	if ended := ctx.Err(); ended != nil {
		return 0, ended
	}
	c.tightDone, c.tight = true, 0
	if err == nil && bounded {
		c.tight = n
	}
	return c.tight, nil
}

// tight bounds the prompt of the serialised body. A body without media is scanned as a whole; from others the media have to be separated
// first.
func (a *demand) tight(ctx context.Context, modelID string, l *tokens.Limits) (int64, bool, error) {
	if a.embedded == 0 {
		return tokens.BodyBound(ctx, a.raw, &a.prompt, l)
	}
	r, err := cost.ParseRequest(modelID, a.raw)
	if err != nil {
		return 0, false, err
	}
	r.Prompt.Hidden, r.Prompt.Tools, r.Prompt.BuiltinTools = a.prompt.Hidden, a.prompt.Tools, a.prompt.BuiltinTools
	return tokens.TightBound(ctx, &r.Prompt, l)
}
