// Package sdkdoor brings the calls of the AWS SDK's clients to the chain: it is in the middleware stack of each.
package sdkdoor

import (
	"context"
	"fmt"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
)

// foreign reports whether the call is made by another service's client: InstallConfig puts the guard into these too, and they pass.
func foreign(ctx context.Context) bool {
	id := awsmiddleware.GetServiceID(ctx)
	return id != "" && id != bedrockruntime.ServiceID
}

// Door puts a guard into the middleware stacks of the SDK's clients.
type Door struct {
	guard *chain.Guard
	steps steps
}

// New returns the door of a guard.
func New(g *chain.Guard) *Door {
	return &Door{guard: g, steps: steps{describeMiddleware{g}, attemptMiddleware{g}, observeMiddleware{g}}}
}

// steps are the middlewares without any state of a call, so that all stacks share them.
type steps struct {
	describe describeMiddleware
	attempt  attemptMiddleware
	observe  observeMiddleware
}

// Attach adds the middlewares to one operation's stack.
func (d *Door) Attach(stack *middleware.Stack) error {
	if _, twice := stack.Initialize.Get(identifyID); twice {
		return fmt.Errorf("%w: %s", refusal.ErrInstalled, stack.ID())
	}
	if stack.ID() == inputs.BidirectionalStream {
		return d.refuseUnanswered(stack.ID())
	}
	if err := stack.Initialize.Add(&identifyMiddleware{d, stack}, middleware.After); err != nil {
		return err
	}
	if err := stack.Serialize.Insert(&d.steps.describe, "OperationSerializer", middleware.After); err != nil {
		if err := stack.Serialize.Add(&d.steps.describe, middleware.After); err != nil { // another service's serializer
			return err
		}
	}
	if err := stack.Finalize.Insert(&d.steps.attempt, "Retry", middleware.After); err != nil {
		if err := stack.Finalize.Add(&d.steps.attempt, middleware.Before); err != nil { // a client without retries
			return err
		}
	}
	return stack.Deserialize.Add(&d.steps.observe, middleware.After)
}

// refuseUnanswered refuses an operation while its stack is being built; the SDK reports that error at once.
func (d *Door) refuseUnanswered(operation string) error {
	g := d.guard
	ctx, c := context.Background(), &chain.Call{Operation: operation, Scope: g.OwnScope()}
	var err error = &refusal.UnsupportedOperationError{Operation: operation}
	if g.Shadows(err) { // only the guard's own scope is known here
		if err = g.PassUnmetered(ctx, c, err); err == nil {
			return nil
		}
	}
	g.EmitRefused(ctx, c, err)
	return &smithy.OperationError{ServiceID: bedrockruntime.ServiceID, OperationName: operation, Err: err}
}
