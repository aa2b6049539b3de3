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

// identifyMiddleware begins the handling of an SDK call: it turns the operation's input into a call, or refuses it before anything was
// reserved or sent.
type identifyMiddleware struct {
	door  *Door
	stack *middleware.Stack // of this call
}

// ID implements middleware.InitializeMiddleware.
func (*identifyMiddleware) ID() string { return identifyID }

// HandleInitialize implements middleware.InitializeMiddleware. In shadow mode the guard only reports most of what it would refuse: then a call
// that identify refuses goes on, with its input as it was before.
func (m *identifyMiddleware) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, md middleware.Metadata, err error) {
	c := &chain.Call{Region: region(ctx)}
	var modelID *string
	if c.Operation, modelID, c.Streams = inputs.OperationOf(in.Parameters); c.Operation == "" {
		return m.unmetered(ctx, in, next)
	}
	if m.door.guard.Substitutes(in.Parameters) {
		in.Parameters, modelID = m.door.guard.Substitute(ctx, c, in.Parameters, modelID)
	}
	if m.door.guard.ChecksCache() {
		defer func() { m.door.guard.CacheOver(ctx, c, err) }() // deferred because of panics and runtime.Goexit
	}
	asked := in.Parameters
	if in.Parameters, err = m.door.guard.Identify(ctx, c, in.Parameters, modelID); err != nil {
		switch {
		case !m.door.guard.Shadows(err):
			return m.refuse(ctx, c, err)
		case !errors.Is(err, catalog.ErrUnpriced): // the cost can still be worked out
			m.door.guard.ReportShadowed(ctx, c, err)
		default:
			if err = m.door.guard.PassUnmetered(ctx, c, err); err != nil {
				return m.refuse(ctx, c, err)
			}
		}
		in.Parameters = asked // identify need not return an input with an error
	}
	m.observeLast()
	return m.next(ctx, c, in, next)
}

// observeLast moves the last look after all middlewares that were added to the stack after the guard, so that only the HTTP client can
// change or repeat a request after it. The SDK builds this step's handlers anew for each attempt, so that the order can still be changed
// here.
func (m *identifyMiddleware) observeLast() {
	steps := m.stack.Deserialize
	if _, err := steps.Remove(observeID); err == nil {
		_ = steps.Add(&m.door.steps.observe, middleware.After) // can't fail: its id was just removed
	}
}

// unmetered passes operations that cost nothing and those of other services, and refuses operations whose cost can't be metered.
func (m *identifyMiddleware) unmetered(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	operation := awsmiddleware.GetOperationName(ctx)
	if foreign(ctx) || inputs.TreatmentOf(operation) == inputs.Free {
		return next.HandleInitialize(ctx, in)
	}
	c := &chain.Call{Operation: operation, Region: region(ctx)}
	flat, ok := m.door.guard.FlatPrice(operation)
	if !ok {
		return m.unsupported(ctx, c, in, next)
	}
	if err := m.door.guard.IdentifyFlat(ctx, c, in.Parameters, flat); err != nil {
		return m.refuse(ctx, c, err)
	}
	m.observeLast()
	return next.HandleInitialize(chain.WithCall(ctx, c), in)
}

// unsupported refuses an operation whose cost can't be metered; in shadow mode it only reports it.
func (m *identifyMiddleware) unsupported(ctx context.Context, c *chain.Call, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	var err error = &refusal.UnsupportedOperationError{Operation: c.Operation}
	if m.door.guard.Shadows(err) {
		if unknown := m.door.guard.Scope(ctx, &c.Scope); unknown != nil {
			err = unknown
		} else {
			err = m.door.guard.PassUnmetered(ctx, c, err)
		}
	}
	if err != nil {
		return m.refuse(ctx, c, err)
	}
	return next.HandleInitialize(ctx, in)
}

// refuse emits the event for a refusal, and returns it as the operation's error.
func (m *identifyMiddleware) refuse(ctx context.Context, c *chain.Call, err error) (middleware.InitializeOutput, middleware.Metadata, error) {
	m.door.guard.EmitRefused(ctx, c, err)
	return middleware.InitializeOutput{}, middleware.Metadata{}, err
}

// region is where the call's client sends to.
func region(ctx context.Context) string { return awsmiddleware.GetRegion(ctx) }

// next runs the rest of the chain on a request whose output limit is set, and lowered if need be.
func (m *identifyMiddleware) next(ctx context.Context, c *chain.Call, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, md middleware.Metadata, err error) {
	if !m.door.guard.LimitsOutput() {
		return next.HandleInitialize(chain.WithCall(ctx, c), in)
	}
	err = m.door.guard.Limited(ctx, c, in.Parameters, func(input any) error {
		in.Parameters = input
		out, md, err = next.HandleInitialize(chain.WithCall(ctx, c), in)
		return err
	})
	return out, md, err
}
