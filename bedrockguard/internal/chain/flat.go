package chain

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/pricing"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// A flat price is the most that one call can cost, as Options.FlatPrices gives it for what has no price by tokens. The operations here are
// ApplyGuardrail, InvokeGuardrailChecks and StartAsyncInvoke.

// FlatPrice returns the flat price of an operation, and false if it has none.
func (g *Guard) FlatPrice(operation string) (price.Amount, bool) {
	amount, ok := g.flat.Operations[operation]
	return amount, ok
}

// IdentifyFlat fills in the call of an operation that has the flat price amount. Only StartAsyncInvoke names a model.
func (g *Guard) IdentifyFlat(ctx context.Context, c *Call, input any, amount price.Amount) error {
	if err := g.Scope(ctx, &c.Scope); err != nil {
		return err
	}
	c.FlatBy(amount)
	c.Scope.Region = c.Region
	if in, ok := input.(*bedrockruntime.StartAsyncInvokeInput); ok {
		c.Scope.Model = g.catalog.FoundationID(aws.ToString(in.ModelId))
	}
	return nil
}

// describeFlat bounds the cost of the request that is sent, and notes what the request looks like, so that a later change is seen.
func (c *Call) describeFlat(req *smithyhttp.Request, body []byte) error {
	if err := c.FlatWorst(c.Operation, body); err != nil {
		return err
	}
	c.seen.note(req, body)
	return nil
}

// settleFlat settles an operation that has a flat price: by the units that its answer reports, else at the flat price.
func (g *Guard) settleFlat(ctx context.Context, a *attempt, body []byte) {
	usage, told, err := wire.ParseGuardrailUsage(body)
	// Without units finish charges what was reserved, at least the flat price, unless Options.Outcomes says otherwise.
	if err != nil || !told {
		g.finish(ctx, a, event.OutcomeNoUsage)
		return
	}
	cost, err := pricing.GuardrailCost([]wire.GuardrailUsage{usage})
	if err != nil {
		g.finish(ctx, a, event.OutcomeNoUsage)
		return
	}
	if !a.claim() {
		return
	}
	// The answer counts in text units, so that there are no tokens in the charge.
	charge := driver.ChargeOf(price.Usage{}, cost)
	g.postClaimed(ctx, a, &charge, new(price.Usage), event.OutcomeUsage)
}
