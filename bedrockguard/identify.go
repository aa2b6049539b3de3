package bedrockguard

import (
	"context"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

const identifyID = "bedrockguard.Identify"

// identifyMiddleware is the front door of SDK calls: it turns the operation's input into a call, or refuses it before
// anything was serialised, reserved or sent.
type identifyMiddleware struct{ guard *Guard }

// ID implements middleware.InitializeMiddleware.
func (*identifyMiddleware) ID() string { return identifyID }

// HandleInitialize implements middleware.InitializeMiddleware.
func (m *identifyMiddleware) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, md middleware.Metadata, err error) {
	c := new(call)
	var modelID *string
	if c.operation, modelID, c.streams = operationOf(in.Parameters); c.operation == "" {
		return m.unmetered(ctx, in, next)
	}
	if m.guard.cache != nil {
		defer func() {
			if !c.streaming.Load() { // panics and runtime.Goexit included
				m.guard.cacheLost(ctx, c, err)
			}
		}()
	}
	if in.Parameters, err = m.guard.identify(ctx, c, in.Parameters, modelID); err != nil {
		return m.refuse(ctx, c, err)
	}
	return next.HandleInitialize(withCall(ctx, c), in)
}

// unmetered passes on what costs nothing and what is another service's, and refuses what spends unmetered.
func (m *identifyMiddleware) unmetered(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	operation := awsmiddleware.GetOperationName(ctx)
	if foreign(ctx) || treatmentOf(operation) == free {
		return next.HandleInitialize(ctx, in)
	}
	return m.refuse(ctx, &call{operation: operation}, &UnsupportedOperationError{Operation: operation})
}

func (m *identifyMiddleware) refuse(ctx context.Context, c *call, err error) (middleware.InitializeOutput, middleware.Metadata, error) {
	m.guard.emitKind(ctx, c, nil, EventDenied, err)
	return middleware.InitializeOutput{}, middleware.Metadata{}, err
}

// identify fills in the call: who pays, which model at which price, and what is asked for. It returns the request as it is
// to be sent.
func (g *Guard) identify(ctx context.Context, c *call, input any, modelID *string) (any, error) {
	err := g.scope(ctx, &c.scope)
	if err != nil {
		return nil, err
	}
	if modelID == nil || *modelID == "" {
		return nil, malformed("modelId", "is missing")
	}
	c.ask.modelID = *modelID
	resolved, err := g.catalog.Resolve(c.ask.modelID, awsmiddleware.GetRegion(ctx))
	if err != nil {
		return nil, err
	}
	c.scope.Model = resolved.ModelID
	c.ask.hidden = resolved.HidesText
	if g.cache != nil && !c.ask.hidden {
		if input, err = g.checkCache(ctx, c, input, resolved); err != nil {
			return nil, err
		}
	}
	if err = c.ask.read(input, resolved.ModelID); err != nil {
		return nil, err
	}
	if c.ask.unpriced != "" {
		return nil, &UnpricedError{ModelID: c.ask.modelID, Reason: c.ask.unpriced + " has no token price"}
	}
	if c.ask.hidden {
		c.ask.media.Blocks = append(c.ask.media.Blocks, tokens.Block{Kind: tokens.Opaque})
	}
	if resolved.Model.Cache.Implicit {
		c.ask.writes = max(c.ask.writes, budget.CacheWrites5m)
	}
	return input, c.priced(resolved)
}

// scope works out on whose account the call is: the caller's identity stands above the context, and the guard's default
// fills in what both leave open.
func (g *Guard) scope(ctx context.Context, scope *budget.Scope) (err error) {
	if *scope, err = budget.ScopeFrom(ctx); err != nil {
		return err
	}
	// The model is the library's to fill in: a caller must not be able to move its spend to another model's account.
	scope.Model = ""
	if g.identity.ask == nil && !g.defaultScope {
		return nil
	}
	return g.complete(ctx, scope)
}

func (g *Guard) complete(ctx context.Context, scope *budget.Scope) error {
	if g.identity.ask != nil {
		principal, err := g.identity.principal(ctx)
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

// read fills in what the request asks for.
func (a *ask) read(input any, modelID string) error {
	a.input = input
	var parts converseParts
	if parts.of(input) {
		return a.readConverse(&parts)
	}
	switch in := input.(type) {
	case *bedrockruntime.InvokeModelInput:
		return a.readInvoke(modelID, in.Body, in.GuardrailIdentifier != nil, in.ServiceTier, in.PerformanceConfigLatency)
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		return a.readInvoke(modelID, in.Body, in.GuardrailIdentifier != nil, in.ServiceTier, in.PerformanceConfigLatency)
	default:
		return malformed("input", "is of an unknown type")
	}
}
