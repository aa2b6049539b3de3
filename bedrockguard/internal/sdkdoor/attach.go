// Package sdkdoor brings the calls of the AWS SDK's clients to the chain (package chain), which judges, reserves for and settles each. For that
// it puts middlewares into the stacks of the clients.
//
// A stack is what the SDK builds for each call: its middlewares, in the steps Initialize, Serialize, Finalize and Deserialize. Finalize holds the
// SDK's retry loop, so that what stands inside of the loop runs once for each attempt. A chain.Call, kept in the context, is what the middlewares
// know of a call; a context without one belongs to a call that is not guarded. A chain.Sending holds the current attempt of a call. In shadow
// mode (bedrockguard.Options.Shadow) most refusals are only reported: Guard.Shadows says whether one is only reported. If such a refusal
// leaves the cost of the call unknown, Guard.PassUnmetered sets Call.Unmetered, and the call is sent without any reservation.
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

// foreign reports whether the call is made by another service's client: bedrockguard.Guard.InstallConfig puts the guard into these clients too,
// and their calls pass.
func foreign(ctx context.Context) bool {
	// The id is empty in a stack that names no service: its calls count as Bedrock's, so that none of Bedrock's passes by mistake.
	id := awsmiddleware.GetServiceID(ctx)
	return id != "" && id != bedrockruntime.ServiceID
}

// Door puts a guard into the middleware stacks of the SDK's clients.
type Door struct {
	guard *chain.Guard // judges the calls
	steps steps
}

// New returns the door of a guard.
func New(g *chain.Guard) *Door {
	return &Door{guard: g, steps: steps{describeMiddleware{g}, attemptMiddleware{g}, observeMiddleware{g}}}
}

// steps are the middlewares that keep no state of a call, so that all stacks share them. Only identifyMiddleware is made for each stack.
type steps struct {
	describe describeMiddleware // Serialize: reads what the request asks for
	attempt  attemptMiddleware  // Finalize: reserves and settles each attempt
	observe  observeMiddleware  // Deserialize: the last look before the transport
}

// Attach adds the middlewares to one operation's stack. It is one of a client's APIOptions, which the SDK runs for each call. The names
// "OperationSerializer" and "Retry" are the SDK's ids of its own middlewares.
func (d *Door) Attach(stack *middleware.Stack) error {
	if _, twice := stack.Initialize.Get(identifyID); twice {
		return fmt.Errorf("%w: %s", refusal.ErrInstalled, stack.ID())
	}
	if stack.ID() == inputs.BidirectionalStream { // a refusal by a middleware would leave its caller waiting for ever
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

// refuseUnanswered refuses an operation whose caller would never get a middleware's error. It does so while the stack is being built: the SDK
// returns that error at once. It returns nil if the guard is in shadow mode and nobody has killed the scope.
func (d *Door) refuseUnanswered(operation string) error {
	g := d.guard
	ctx, c := context.Background(), &chain.Call{Operation: operation, Scope: g.OwnScope()}
	var err error = &refusal.UnsupportedOperationError{Operation: operation}
	if g.Shadows(err) { // judged for the guard's own scope, because there is no caller's context here
		// Nothing is reserved for the call. An error says that the scope was killed.
		if err = g.PassUnmetered(ctx, c, err); err == nil {
			return nil
		}
	}
	g.EmitRefused(ctx, c, err)
	return &smithy.OperationError{ServiceID: bedrockruntime.ServiceID, OperationName: operation, Err: err}
}
