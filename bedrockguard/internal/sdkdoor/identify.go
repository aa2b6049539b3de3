package sdkdoor

import (
	"context"
	"errors"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

const identifyID = "bedrockguard.Identify"

// The middlewares behind this one find the call by withCall in the context; they pass what has no call there. In shadow mode the guard only
// reports most of what it would refuse. Guard.Shadows says whether a refusal is one of those. If the cost of the call is then unknown,
// PassUnmetered marks it as one for which nothing is reserved; it returns an error if the call's scope was killed.

// identifyMiddleware begins the handling of an SDK call: it turns the operation's input into a chain.Call, or refuses it before anything was
// reserved or sent.
type identifyMiddleware struct {
	door  *Door
	stack *middleware.Stack // of this call; the SDK builds one for each
}

// ID implements middleware.InitializeMiddleware.
func (*identifyMiddleware) ID() string { return identifyID }

// HandleInitialize implements middleware.InitializeMiddleware. It may replace the model (Options.Substitute), works out the call's scope and
// model, and runs the cache check, which may change the input's cache points. If shadow mode only reports a refusal, the call goes on with the
// input as it was before the cache check.
func (m *identifyMiddleware) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, md middleware.Metadata, err error) {
	c := &chain.Call{Region: region(ctx)}
	var modelID *string
	if c.Operation, modelID, c.Streams = inputs.OperationOf(in.Parameters); c.Operation == "" {
		return m.otherOperation(ctx, in, next)
	}
	// Substitutes is true if Options.Substitute is set and the operation is one of Converse's.
	if m.door.guard.Substitutes(in.Parameters) {
		in.Parameters, modelID = m.door.guard.Substitute(ctx, c, in.Parameters, modelID)
	}
	if m.door.guard.ChecksCache() {
		defer func() { m.door.guard.CacheOver(ctx, c, err) }() // tells the check that the call is over, also after a panic or runtime.Goexit
	}
	checked, err := m.door.guard.Identify(ctx, c, in.Parameters, modelID)
	if err == nil {
		in.Parameters = checked
	} else if err = m.refuseUnlessShadow(ctx, c, err); err != nil {
		return out, md, err
	}
	m.observeLast()
	return m.runLimited(ctx, c, in, next)
}

// refuseUnlessShadow returns what Identify refuses, after its event. It returns nil if shadow mode only reports the refusal: then the call goes on.
func (m *identifyMiddleware) refuseUnlessShadow(ctx context.Context, c *chain.Call, err error) error {
	g := m.door.guard
	switch {
	case !g.Shadows(err): // it is refused, below
	case errors.Is(err, catalog.ErrUnpriced): // the cost is not known: nothing is reserved, and only a kill refuses the call
		if err = g.PassUnmetered(ctx, c, err); err == nil {
			return nil
		}
	default: // the cache check refuses: the cost can still be worked out and reserved
		g.ReportShadowed(ctx, c, err)
		return nil
	}
	g.EmitRefused(ctx, c, err)
	return err
}

// observeLast moves observeMiddleware, which takes the last look at a request, behind all middlewares that were added to the Deserialize step
// after the guard: then only the HTTP client can change or repeat a request after that look. The order can still be changed here, because the
// SDK begins the Deserialize step later, anew for each attempt.
func (m *identifyMiddleware) observeLast() {
	steps := m.stack.Deserialize
	if _, err := steps.Remove(observeID); err == nil {
		_ = steps.Add(&m.door.steps.observe, middleware.After) // can't fail: its id was just removed
	}
}

// otherOperation handles every operation but the four that are billed by tokens. Those that cost nothing and those of other services pass. One that
// has an entry in Options.FlatPrices is guarded at that price. All others are refused, because their cost can't be metered.
func (m *identifyMiddleware) otherOperation(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	operation := awsmiddleware.GetOperationName(ctx)
	if foreign(ctx) || inputs.TreatmentOf(operation) == inputs.Free {
		return next.HandleInitialize(ctx, in)
	}
	c := &chain.Call{Operation: operation, Region: region(ctx)}
	// ok is false for an operation without an entry in Options.FlatPrices.
	flat, ok := m.door.guard.FlatPrice(operation)
	if !ok {
		return m.unsupported(ctx, c, in, next)
	}
	if err := m.door.guard.IdentifyFlat(ctx, c, in.Parameters, flat); err != nil {
		return m.refuse(ctx, c, err)
	}
	m.observeLast()
	return next.HandleInitialize(withCall(ctx, c), in)
}

// unsupported refuses an operation whose cost can't be metered; in shadow mode it only reports it. For that it first works out the caller's
// scope, because a killed scope is refused even then.
func (m *identifyMiddleware) unsupported(ctx context.Context, c *chain.Call, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	var err error = &refusal.UnsupportedOperationError{Operation: c.Operation}
	if m.door.guard.Shadows(err) {
		if scopeErr := m.door.guard.Scope(ctx, &c.Scope); scopeErr != nil {
			err = scopeErr
		} else {
			err = m.door.guard.PassUnmetered(ctx, c, err)
		}
	}
	if err != nil {
		return m.refuse(ctx, c, err)
	}
	// Without withCall the middlewares behind this one pass the operation: nothing is reserved for it.
	return next.HandleInitialize(ctx, in)
}

// refuse emits the event for a refusal, and returns it as the operation's error.
func (m *identifyMiddleware) refuse(ctx context.Context, c *chain.Call, err error) (middleware.InitializeOutput, middleware.Metadata, error) {
	m.door.guard.EmitRefused(ctx, c, err)
	return middleware.InitializeOutput{}, middleware.Metadata{}, err
}

// region is the AWS region to which the call's client sends; its prices apply.
func region(ctx context.Context) string { return awsmiddleware.GetRegion(ctx) }

// runLimited runs the rest of the stack. With Options.Output, Guard.Limited sets the request's output limit, and runs the rest again with a lower
// one as long as the budget has no room for the call and nothing was sent. The error is that of the last run.
func (m *identifyMiddleware) runLimited(ctx context.Context, c *chain.Call, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, md middleware.Metadata, err error) {
	if !m.door.guard.LimitsOutput() {
		return next.HandleInitialize(withCall(ctx, c), in)
	}
	err = m.door.guard.Limited(ctx, c, in.Parameters, func(input any) error {
		// The last run decides what is returned.
		in.Parameters = input
		out, md, err = next.HandleInitialize(withCall(ctx, c), in)
		return err
	})
	return out, md, err
}
