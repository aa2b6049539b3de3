package bedrockguard

import (
	"cmp"
	"context"
	"errors"
	"strings"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

const identifyID = "bedrockguard.Identify"

// identifyMiddleware begins the handling of an SDK call: it turns the operation's input into a call, or refuses it before anything was
// reserved or sent.
type identifyMiddleware struct {
	guard *Guard
	stack *middleware.Stack // of this call
}

// ID implements middleware.InitializeMiddleware.
func (*identifyMiddleware) ID() string { return identifyID }

// HandleInitialize implements middleware.InitializeMiddleware. In shadow mode the guard only reports most of what it would refuse: then a call
// that identify refuses goes on, with its input as it was before.
func (m *identifyMiddleware) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, md middleware.Metadata, err error) {
	c := &call{region: region(ctx)}
	var modelID *string
	if c.operation, modelID, c.streams = inputs.OperationOf(in.Parameters); c.operation == "" {
		return m.unmetered(ctx, in, next)
	}
	if m.guard.substitutes(in.Parameters) {
		in.Parameters, modelID = m.guard.substitute(ctx, c, in.Parameters, modelID)
	}
	if m.guard.cache != nil {
		defer func() {
			if !c.streaming.Load() { // a stream tells of its end itself, later; this is deferred because of panics and runtime.Goexit
				m.guard.cacheLost(ctx, c, err)
			}
		}()
	}
	asked := in.Parameters
	if in.Parameters, err = m.guard.identify(ctx, c, in.Parameters, modelID); err != nil {
		switch {
		case !m.guard.shadows(err):
			return m.refuse(ctx, c, err)
		case !errors.Is(err, catalog.ErrUnpriced): // the cost can still be worked out
			m.guard.reportShadowed(ctx, c, nil, err)
		default:
			if err = m.guard.passUnmetered(ctx, c, err); err != nil {
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
		_ = steps.Add(&m.guard.steps.observe, middleware.After) // can't fail: its id was just removed
	}
}

// unmetered passes operations that cost nothing and those of other services, and refuses operations whose cost can't be metered.
func (m *identifyMiddleware) unmetered(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	operation := awsmiddleware.GetOperationName(ctx)
	if foreign(ctx) || inputs.TreatmentOf(operation) == inputs.Free {
		return next.HandleInitialize(ctx, in)
	}
	c := &call{operation: operation, region: region(ctx)}
	flat, ok := m.guard.flat.Operations[operation]
	if !ok {
		return m.unsupported(ctx, c, in, next)
	}
	if err := m.guard.identifyFlat(ctx, c, in.Parameters, flat); err != nil {
		return m.refuse(ctx, c, err)
	}
	m.observeLast()
	return next.HandleInitialize(withCall(ctx, c), in)
}

// unsupported refuses an operation whose cost can't be metered; in shadow mode it only reports it.
func (m *identifyMiddleware) unsupported(ctx context.Context, c *call, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	var err error = &refusal.UnsupportedOperationError{Operation: c.operation}
	if m.guard.shadows(err) {
		if unknown := m.guard.scope(ctx, &c.scope); unknown != nil {
			err = unknown
		} else {
			err = m.guard.passUnmetered(ctx, c, err)
		}
	}
	if err != nil {
		return m.refuse(ctx, c, err)
	}
	return next.HandleInitialize(ctx, in)
}

// refuse emits the event for a refusal, and returns it as the operation's error.
func (m *identifyMiddleware) refuse(ctx context.Context, c *call, err error) (middleware.InitializeOutput, middleware.Metadata, error) {
	m.guard.emitKind(ctx, c, nil, refusalKind(err), err)
	return middleware.InitializeOutput{}, middleware.Metadata{}, err
}

// identify fills in the call's scope and model, and runs the cache check, which needs the model. It returns the input that is to be
// serialised.
func (g *Guard) identify(ctx context.Context, c *call, input any, modelID *string) (any, error) {
	err := g.scope(ctx, &c.scope)
	if err != nil || g.cache == nil {
		return input, err // the model is only known once the serialised input has been read
	}
	resolved, err := g.resolve(ctx, c, modelID)
	if err != nil {
		return nil, err
	}
	if !resolved.HidesText {
		return g.checkCache(ctx, c, input, resolved)
	}
	return input, nil
}

// resolve finds the model and its price, and puts the model into the call's scope.
func (g *Guard) resolve(ctx context.Context, c *call, modelID *string) (*catalog.Resolved, error) {
	if modelID == nil || *modelID == "" {
		return nil, request.MalformedField("modelId", "is missing")
	}
	c.Flat, c.FlatGuardrail, c.FlatModel = 0, 0, false
	resolved, err := g.catalog.Resolve(*modelID, c.region)
	if err != nil {
		if resolved = g.flatModel(c, *modelID); resolved == nil {
			return nil, err
		}
	}
	c.scope.Model, c.scope.Region, c.scope.Profile = resolved.ModelID, c.region, profile(*modelID)
	if resolved.Assumed && !c.silent {
		g.emitAssumed(ctx, c)
	}
	return resolved, nil
}

// profile returns the inference profile that a model id names, as the caller wrote it; empty for the id of a model. If it is too long for a
// scope its beginning is cut off, because profiles differ at the end.
func profile(modelID string) string {
	if !catalog.IsProfile(modelID) {
		return ""
	}
	return modelID[max(0, len(modelID)-driver.MaxScopeValue):]
}

// emitAssumed emits event.PriceAssumed, once for each model and region.
func (g *Guard) emitAssumed(ctx context.Context, c *call) {
	key := askedKey{c.scope.Model, c.region}
	if _, told := g.assumed.Load(key); told {
		return
	}
	if _, told := g.assumed.LoadOrStore(key, true); !told {
		g.emit(ctx, c, nil, event.Event{Kind: event.PriceAssumed, Asked: c.scope.Model + " in " + cmp.Or(c.region, "an unknown region")})
	}
}

// flatModel returns a stand-in for a model that has a flat price and no other, or nil.
func (g *Guard) flatModel(c *call, modelID string) *catalog.Resolved {
	id := g.catalog.FoundationID(modelID)
	flat, ok := g.flat.Model(id)
	if !ok {
		return nil
	}
	c.Flat, c.FlatModel = flat, true
	provider, _, _ := strings.Cut(id, ".")
	return &catalog.Resolved{ModelID: id, Model: &catalog.Model{ID: id, Provider: provider}}
}

// complete works out what the request can cost.
func (g *Guard) complete(c *call, resolved *catalog.Resolved) error {
	if err := c.Complete(g.enforced, &g.flat, c.overHTTP && g.opts.StrictBound, resolved); err != nil {
		return err
	}
	return g.priced(c, resolved)
}

// scope works out to which scope the call counts: first the caller's identity, then the context's scope, and the guard's default for what
// both leave empty.
func (g *Guard) scope(ctx context.Context, scope *budget.Scope) (err error) {
	if *scope, err = budget.ScopeFrom(ctx); err != nil {
		return err
	}
	// Only the library sets the model: a caller must not be able to move its spend to another model's account.
	scope.Model = ""
	if g.identity.Ask == nil && !g.defaultScope {
		return nil
	}
	return g.completeScope(ctx, scope)
}

// completeScope puts the caller's identity into a scope, and the guard's default for what is empty.
func (g *Guard) completeScope(ctx context.Context, scope *budget.Scope) error {
	if g.identity.Ask != nil {
		principal, err := g.identity.Principal(ctx)
		if err != nil {
			return err
		}
		if *scope, err = scope.Under(budget.Scope{Principal: principal}); err != nil {
			return err
		}
	}
	*scope = scope.Fill(g.opts.Scope)
	return nil
}
