package bedrockguard

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// call is what the chain knows of one call of the client. The front door fills it in once; the links read it. It knows
// nothing of smithy, and holds the prompt only by reference to the caller's own values.
type call struct {
	operation string
	streams   bool
	provider  string
	scope     budget.Scope
	ask       ask
	resolved  *catalog.Resolved
	price     *budget.Price // the catalog's
	latency   *budget.Rates // the rates of the latency-optimised mode, when it was asked for
	tier      budget.Tier   // the dearest that the request can be served at
	window    int64         // the most input tokens that the model accepts
	fees      budget.Amount // billed apart from tokens, whatever is consumed
	attempts  atomic.Int32  // made so far; the SDK makes them one after the other
	charged   int           // of those, how many were charged though they brought no answer
	cache     cacheCall
	streaming atomic.Bool // a metered stream has taken over: it ends what the call began

	tightOnce sync.Once
	tight     int64 // input tokens by the tighter bound; 0 when there is none
	tightBase int64 // the token count that tight was made from
}

// ask is what a request asks for, in terms that both of Bedrock's request forms share.
type ask struct {
	modelID     string
	media       tokens.Prompt // what is not text: images, documents; and how much framing there is
	embedded    int64         // bytes that the media take up in the serialised body
	fromBody    bool          // the length of the serialised body tells that of the text
	maxOutput   int64         // output tokens asked for at most; 0 when the request leaves it to the model
	extraOutput int64         // the largest output limit among fields beside the standard one
	choices     int64         // completions asked for; at least 1
	writes      budget.CacheWrites
	tier        string
	latency     string
	unpriced    string // a feature that has no token price; empty when there is none
	queries     int64  // rerank queries, billed one by one
	images      int64  // input images, where the model bills them one by one
	hidden      bool   // the service adds text that is not in the request, so that counting it bounds nothing
	input       any    // the request itself
}

// prompt returns the whole prompt, block by block, for the tighter bound. A body was read as a whole already.
func (a *ask) prompt() (tokens.Prompt, error) {
	var parts converseParts
	if !parts.of(a.input) {
		return a.media, nil
	}
	w := converseWalk{text: true}
	w.all(&parts)
	return w.prompt, w.err
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callFrom(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// priced completes a call with what the catalog says of its model.
func (c *call) priced(r *catalog.Resolved) error {
	tier, err := r.WorstTier(c.ask.tier)
	if err != nil {
		return err
	}
	c.resolved, c.provider, c.price, c.tier = r, r.Model.Provider, &r.Price, tier
	if c.fees, err = c.ask.fees(r); err != nil {
		return err
	}
	c.window = r.Model.MaxInputTokens
	if c.price.LongContext.Threshold > 0 {
		// The catalog's window can be the one without the long-context beta.
		c.window = max(c.window, longContextWindow)
	}
	if c.ask.maxOutput == 0 {
		c.ask.maxOutput = r.Model.MaxOutputTokens
	}
	c.ask.maxOutput = max(c.ask.maxOutput, c.ask.extraOutput)
	if c.ask.latency == latencyOptimized {
		if r.LatencyOptimized == nil {
			return &UnpricedError{ModelID: c.ask.modelID, Reason: "its latency-optimised mode has no price in the catalog"}
		}
		c.latency = r.LatencyOptimized
	}
	return nil
}

const (
	latencyOptimized  = "optimized"
	longContextWindow = 1_000_000
)

// served returns the price of an answer that reports how it was served, or the request's own where it reports nothing.
func (c *call) served(tier, latency string) (*budget.Price, budget.Tier) {
	factor := c.tier
	if tier != "" {
		factor = c.resolved.ServedTier(tier)
	}
	if c.latency != nil && (latency == "" || latency == latencyOptimized) {
		return c.optimized(), factor
	}
	return c.price, factor
}

// optimized is the price in the latency-optimised mode, which must have been asked for.
func (c *call) optimized() *budget.Price {
	return &budget.Price{Rates: *c.latency, LongContext: c.price.LongContext}
}

// fees prices what is not billed in tokens.
func (a *ask) fees(r *catalog.Resolved) (budget.Amount, error) {
	if a.queries == 0 && a.images == 0 {
		return 0, nil
	}
	perQuery, ok := mul(int64(r.Fees.Query), a.queries)
	perImage, fits := mul(int64(r.Fees.Image), a.images)
	if a.queries == 0 {
		perQuery = 0
	}
	if a.images == 0 {
		perImage = 0
	}
	if !ok || !fits {
		return 0, budget.ErrOverflow
	}
	return budget.Amount(perQuery).Add(budget.Amount(perImage))
}
