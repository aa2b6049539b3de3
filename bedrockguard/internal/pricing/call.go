package pricing

import (
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// Call is what the cost of one call depends on: what its request asks for, and what the models that may answer it charge.
type Call struct {
	Demand Demand

	// What the models charge that may answer.
	Quote  Quote   // of the model that is asked for
	others []Quote // of what has answered calls of this model id before

	// What the model that is asked for can read and write.
	Provider    string // the company that made it
	window      int64  // the most input tokens that it accepts; 0 when that is unknown, and for a model with perText
	perText     int64  // the most input tokens of each text, for a model that embeds several; 0 for others
	modelOutput int64  // the most output tokens that it makes
	outputUnset bool   // no output limit was asked for, so that the model's own is reserved

	// What is billed besides tokens.
	guardrails    []Guardrail  // those that evaluate the call without being named in it
	FlatGuardrail price.Amount // the flat price of the guardrail that the request names
	Flat          price.Amount // the sum of all other flat prices, which are due whatever is consumed
	FlatOperation bool         // the operation, such as ApplyGuardrail, has a flat price alone
	FlatModel     bool         // the model itself has a flat price alone
}

// Complete takes in what decides the cost of a call, although its request does not show it: enforced guardrails, the flat prices of features, text
// that the service adds, and what a model caches by itself (Implicit). strict refuses a request that makes the service read what the request does
// not hold, such as a file in S3.
func (c *Call) Complete(e *Enforced, f *FlatPrices, strict bool, resolved *catalog.Resolved) error {
	c.guardrails = e.all()
	// A guardrail that the request names is a feature without a token price, unless it is enforced: then it is counted already.
	if named := c.Demand.Guardrail; named != "" && !e.knows(named) {
		c.Demand.feature(featureGuardrail)
	}
	if unpriced, err := c.priceFeatures(f); err != nil {
		return err
	} else if unpriced != "" {
		return &catalog.UnpricedError{ModelID: c.Demand.ModelID, Reason: unpriced + " has no token price: give Options.FlatPrices the most that one call can cost with it"}
	}
	if strict && c.Demand.unseen != "" {
		return &catalog.UnpricedError{ModelID: c.Demand.ModelID, Reason: "the service reads more than the request holds because of " + c.Demand.unseen + ", which Options.StrictBound does not allow: send the text itself"}
	}
	// An opaque block has no bound of its own, so that the context window has to bound the prompt.
	if c.Demand.Hidden {
		c.Demand.prompt.Blocks = append(c.Demand.prompt.Blocks, tokens.Block{Kind: tokens.Opaque})
	}
	// What a model caches by itself is billed at the rate of five-minute writes.
	if resolved.Model.Cache.Implicit {
		c.Demand.Writes = max(c.Demand.Writes, price.CacheWrites5m)
	}
	return nil
}

// QuoteBy takes in what the model charges that the call asks for. Then AlsoBy takes in other models, and LimitBy how much the model can read.
func (c *Call) QuoteBy(r *catalog.Resolved) error {
	var err error
	c.Provider, c.modelOutput = r.Model.Provider, r.Model.MaxOutputTokens
	if c.Quote, err = c.Demand.quoteFor(r, false); err != nil {
		return err
	}
	// If the request is read again because it was changed, AlsoBy adds the other models anew.
	c.others = c.others[:0]
	return nil
}

// AlsoBy takes in what a model charges that has answered such calls before: with the price of its latency-optimised mode if it has answered in that,
// and at least at this factor, in thousandths, of a service tier.
func (c *Call) AlsoBy(r *catalog.Resolved, optimized bool, factor price.Tier) {
	q := c.Demand.AnyQuote(r, optimized)
	q.Tier = max(q.Tier, factor)
	c.others = append(c.others, q)
}

// LimitBy takes in how much the model that is asked for can read and write: its context window, and the output limit of a request that sets none.
func (c *Call) LimitBy(r *catalog.Resolved) {
	c.window = r.Model.MaxInputTokens
	// Only models with a price for long contexts have a threshold.
	if r.Price.LongContext.Threshold > 0 {
		// The catalog's window can be the one without the long-context beta.
		c.window = max(c.window, longContextWindow)
	}
	c.perText = 0
	if r.Model.Mode == catalog.ModeEmbedding {
		c.perText, c.window = c.window, 0 // each text has a window of its own
	}
	c.outputUnset = c.Demand.MaxOutput == 0
	if c.outputUnset {
		c.Demand.MaxOutput = r.Model.MaxOutputTokens
	}
	c.Demand.MaxOutput = max(c.Demand.MaxOutput, c.Demand.ExtraOutput) // the model may go by either field
}
