package pricing

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// WideInput returns the wide bound of the request's input tokens: at most one token for each byte of its text and for each that Unicode
// normalisation can add, and the most that its media can count. The service refuses a request that is longer than the model's context window
// before inference, so the window is a bound too, and the only one for media of unknown size or a body of unknown length.
func (c *Call) WideInput() (int64, error) {
	if c.FlatOperation {
		return 0, nil // it is not billed by tokens
	}
	// embedded are the bytes of the media, which are not text. A body of unknown length, -1, has no text here.
	text := addSat(max(c.Demand.Body-c.Demand.embedded, 0), c.Demand.Lengthening)
	// LimitsFor tells how many tokens the media can count at most. The prompt is not bounded if it holds content of unknown size.
	media, bounded := tokens.MediaBound(&c.Demand.prompt, tokens.LimitsFor(c.Provider))
	if !bounded || c.Demand.Body == UnknownLength {
		return c.unboundedInput(text)
	}
	n := addSat(media, text)
	if c.window > 0 {
		n = min(n, c.window)
	}
	return n, nil
}

// unboundedInput is WideInput for a prompt with content of unknown size, beside which it has up to text tokens of text: the context window bounds it.
func (c *Call) unboundedInput(text int64) (int64, error) {
	switch {
	case c.FlatModel:
		return text, nil // the model is not billed by tokens
	case c.perText > 0: // each text or other input has a window of its own
		window, ok := mul(c.perText, max(c.Demand.texts, 1))
		if !ok {
			return 0, budget.ErrOverflow
		}
		return addSat(window, text), nil
	case c.window == 0:
		return 0, &catalog.UnpricedError{ModelID: c.Demand.ModelID, Reason: "the prompt holds content of unknown size, and the catalog does not know the model's context window: give it by Options.Models, or send text and pictures alone"}
	default:
		return c.window, nil
	}
}

// widening is the factor by which a bound that turned out too low is raised, for its model and until the process ends. No known tokenizer
// makes more tokens than a text has bytes after normalisation, and normalisation makes a text at most three times as long.
const widening = 3

// Widened raises a wide bound of a model for which it was too low before, but not above the context window.
func (c *Call) Widened(n int64) int64 {
	// A product that does not fit is math.MaxInt64.
	n, _ = mul(n, widening)
	if c.window > 0 {
		n = min(n, c.window)
	}
	return n
}

// Tight returns the tight bound of the prompt in the serialised body: it reads the text, where the wide one goes by its length. It returns false if
// the prompt has content that can't be counted. A body without media is scanned as a whole; from others the media have to be separated first,
// and what the service adds to the text, which the body does not tell, is taken over from the demand.
func (a *Demand) Tight(ctx context.Context, modelID string, l *tokens.Limits) (int64, bool, error) {
	if a.embedded == 0 { // the body has no media of a measured size
		return tokens.BodyBound(ctx, a.Raw, &a.prompt, l)
	}
	// ParseRequest reads the prompt of a body in any dialect: the dialect only decides about output limits, which are not used here.
	r, err := cost.ParseRequest(modelID, a.Raw)
	if err != nil {
		return 0, false, err
	}
	r.Prompt.Hidden, r.Prompt.Tools, r.Prompt.BuiltinTools = a.prompt.Hidden, a.prompt.Tools, a.prompt.BuiltinTools
	return tokens.TightBound(ctx, &r.Prompt, l)
}
