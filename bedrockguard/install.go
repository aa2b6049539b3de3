package bedrockguard

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
)

// Install guards the client that is built with these options: bedrockruntime.New(opts, guard.Install). The other functions in this file are
// shorthands for it.
//
// It adds middlewares at four places. In the Initialize step, after validation. In the Serialize step, directly after the serializer, where
// it reads what the request asks for. In the Finalize step, directly inside the SDK's Retry, so that each attempt that the SDK makes is
// reserved and settled separately. In the Deserialize step, next to the transport and after whatever a caller adds later, where it looks at
// the request once more: if it was changed on the way, a new reservation is made, and if it is sent twice, two are. A per-call option that
// clears APIOptions removes the guard; calls that do not use this client are not guarded either.
//
// The client's streams may run at the same time, which those of an unguarded client may not (aws/smithy-go#714).
func (g *Guard) Install(o *bedrockruntime.Options) {
	keepStreamsApart(o)
	o.APIOptions = append(o.APIOptions, g.attach)
}

// NewFromConfig is bedrockruntime.NewFromConfig with the guard installed. The options pass straight through.
func (g *Guard) NewFromConfig(cfg aws.Config, optFns ...func(*bedrockruntime.Options)) *bedrockruntime.Client {
	return bedrockruntime.NewFromConfig(cfg, append(optFns[:len(optFns):len(optFns)], g.Install)...)
}

// Wrap returns a guarded client with the options of an existing one, which stays as it was: calls of the existing client are not guarded.
func (g *Guard) Wrap(client *bedrockruntime.Client) *bedrockruntime.Client {
	return bedrockruntime.New(client.Options(), g.Install)
}

// InstallConfig guards the Bedrock runtime clients that are built from this config. The guard is also added to clients of other services,
// because a config is for all of them, and lets their calls pass unchanged. Unlike with Install, two streams at once on one such client
// share the SDK's decoder.
func (g *Guard) InstallConfig(cfg *aws.Config) {
	cfg.APIOptions = append(cfg.APIOptions[:len(cfg.APIOptions):len(cfg.APIOptions)], g.attach)
}

// foreign reports whether the call is made by another service's client: InstallConfig puts the guard into these too, and they pass.
func foreign(ctx context.Context) bool {
	id := awsmiddleware.GetServiceID(ctx)
	return id != "" && id != bedrockruntime.ServiceID
}

// steps are the middlewares without any state of a call, so that all stacks share them.
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
	if stack.ID() == inputs.BidirectionalStream {
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

// refuseUnanswered refuses an operation while its stack is being built; the SDK reports that error at once.
func (g *Guard) refuseUnanswered(operation string) error {
	ctx, c := context.Background(), &call{operation: operation, scope: g.opts.Scope}
	var err error = &refusal.UnsupportedOperationError{Operation: operation}
	if g.shadows(err) { // only the guard's own scope is known here
		if err = g.passUnmetered(ctx, c, err); err == nil {
			return nil
		}
	}
	g.emitKind(ctx, c, nil, refusalKind(err), err)
	return &smithy.OperationError{ServiceID: bedrockruntime.ServiceID, OperationName: operation, Err: err}
}
