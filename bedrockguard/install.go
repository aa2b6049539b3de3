package bedrockguard

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// Install guards the client that is built with these options: bedrockruntime.New(opts, guard.Install). Everything else
// in this file is sugar over it.
//
// It sits first after validation in the Initialize step; directly behind the serializer, where it reads what the request asks
// for; directly inside the SDK's Retry in the Finalize step, so that each attempt that the SDK makes is reserved and settled on
// its own; and next to the transport in the Deserialize step, behind whatever a caller adds later, where it looks at the request
// once more: what was changed on the way is reserved anew, and what is sent twice is reserved twice. A per-call option that
// clears APIOptions removes the guard; so does talking to Bedrock without this client.
//
// The client's streams may run at once, which those of a bare client may not (aws/smithy-go#714).
func (g *Guard) Install(o *bedrockruntime.Options) {
	keepStreamsApart(o)
	o.APIOptions = append(o.APIOptions, g.attach)
}

// NewFromConfig is bedrockruntime.NewFromConfig with the guard installed. The options pass straight through.
func (g *Guard) NewFromConfig(cfg aws.Config, optFns ...func(*bedrockruntime.Options)) *bedrockruntime.Client {
	return bedrockruntime.NewFromConfig(cfg, append(optFns[:len(optFns):len(optFns)], g.Install)...)
}

// Wrap returns a guarded client with the options of an existing one, which stays as it was: whoever still holds it
// spends unguarded.
func (g *Guard) Wrap(client *bedrockruntime.Client) *bedrockruntime.Client {
	return bedrockruntime.New(client.Options(), g.Install)
}

// InstallConfig guards the Bedrock runtime clients that others build from this config. It sits in the stacks of other services'
// clients too, because a config does not tell them apart, and lets their calls pass untouched. Unlike with Install, two streams at once
// on one such client share the SDK's decoder.
func (g *Guard) InstallConfig(cfg *aws.Config) {
	cfg.APIOptions = append(cfg.APIOptions[:len(cfg.APIOptions):len(cfg.APIOptions)], g.attach)
}

// foreign reports whether the call is made by another service's client.
func foreign(ctx context.Context) bool {
	id := awsmiddleware.GetServiceID(ctx)
	return id != "" && id != bedrockruntime.ServiceID
}

// steps are the middlewares that keep nothing of a call, so that all stacks share them.
type steps struct {
	describe describeMiddleware
	attempt  attemptMiddleware
	observe  observeMiddleware
}

// attach adds the middlewares to one operation's stack.
func (g *Guard) attach(stack *middleware.Stack) error {
	if _, twice := stack.Initialize.Get(identifyID); twice {
		return fmt.Errorf("%w: %s", ErrInstalled, stack.ID())
	}
	if stack.ID() == bidirectionalStream {
		return g.refuseUnanswered(stack.ID())
	}
	if err := stack.Initialize.Add(&identifyMiddleware{g, stack}, middleware.After); err != nil {
		return err
	}
	if err := stack.Serialize.Insert(&g.steps.describe, "OperationSerializer", middleware.After); err != nil {
		if err := stack.Serialize.Add(&g.steps.describe, middleware.After); err != nil { // another service's serializer
			return err
		}
	}
	if err := stack.Finalize.Insert(&g.steps.attempt, "Retry", middleware.After); err != nil {
		if err := stack.Finalize.Add(&g.steps.attempt, middleware.Before); err != nil { // a client without retries
			return err
		}
	}
	return stack.Deserialize.Add(&g.steps.observe, middleware.After)
}

// bidirectionalStream is the one operation whose caller the SDK leaves waiting forever when a middleware refuses it: the
// call returns only what the Deserialize step hands over.
const bidirectionalStream = "InvokeModelWithBidirectionalStream"

// refuseUnanswered refuses an operation while its stack is being built, which the SDK reports at once.
func (g *Guard) refuseUnanswered(operation string) error {
	ctx, c := context.Background(), &call{operation: operation, scope: g.opts.Scope}
	var err error = &UnsupportedOperationError{Operation: operation}
	if g.shadows(err) { // only the guard's own scope is known here
		if err = g.passUnmetered(ctx, c, err); err == nil {
			return nil
		}
	}
	g.emitKind(ctx, c, nil, refusalKind(err), err)
	return &smithy.OperationError{ServiceID: bedrockruntime.ServiceID, OperationName: operation, Err: err}
}
