package bedrockguard

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Estimate is what a call would cost, and whether it would be let through.
type Estimate struct {
	Model string        // the resolved foundation-model id
	Scope budget.Scope  // the scope to which the call would count
	Worst budget.Charge // what would be reserved, the most in each unit
	// Likely is the expected cost. It goes by what the guard has learned of the model's prompts, and of the workflow's answers since the first
	// Estimate. All input counts as uncached.
	Likely budget.Charge
	// Refusal is the error that the call would get now: a *budget.ExceededError, a *budget.KilledError, or an error of the store. Nil means
	// that it would be admitted, as far as can be known: other calls may come first, and the rate and the cache policy are not checked. The
	// ResetAfter of an ExceededError is here the time until all that is used now has left the window: the call may fit earlier.
	Refusal error
}

// EstimateOptions say where an estimated call would be sent.
type EstimateOptions struct {
	// Region is the client's. If it is empty and the model's id does not name a geography, the highest known price is used.
	Region string
}

// Estimate works out what a call with this input would cost: a *bedrockruntime.ConverseInput, ConverseStreamInput, InvokeModelInput or
// InvokeModelWithResponseStreamInput. Nothing is reserved or sent, and no event is emitted. It reads the balances and the kill flags once,
// again for each lower output limit that it tries, and the balances once for Options.Substitute. The estimate is for the substitute, and
// with the output limit that Options.Output would set. For a request that can't be priced or parsed it returns the error that the call would
// get.
func (g *Guard) Estimate(ctx context.Context, input any, optFns ...func(*EstimateOptions)) (Estimate, error) {
	var o EstimateOptions
	for _, fn := range optFns {
		fn(&o)
	}
	e, err := g.chain.Estimate(ctx, input, o.Region)
	return Estimate(e), err
}
