package bedrockguard

import (
	"context"
	"strings"

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
	operation := operationOf(in.Parameters)
	if operation == "" {
		if foreign(ctx) {
			return next.HandleInitialize(ctx, in)
		}
		operation = awsmiddleware.GetOperationName(ctx)
	}
	c := &call{operation: operation}
	switch treatmentOf(operation) {
	case free:
		return next.HandleInitialize(ctx, in)
	case refused:
		return m.refuse(ctx, c, &UnsupportedOperationError{Operation: operation})
	}
	defer func() {
		if !c.streaming.Load() { // panics and runtime.Goexit included
			m.guard.cacheLost(ctx, c, err)
		}
	}()
	input, err := m.guard.identify(ctx, c, in.Parameters)
	if err != nil {
		return m.refuse(ctx, c, err)
	}
	in.Parameters = input
	return next.HandleInitialize(withCall(ctx, c), in)
}

func (m *identifyMiddleware) refuse(ctx context.Context, c *call, err error) (middleware.InitializeOutput, middleware.Metadata, error) {
	m.guard.emit(ctx, c, nil, Event{Kind: EventDenied, Err: err})
	return middleware.InitializeOutput{}, middleware.Metadata{}, err
}

// identify fills in the call: who pays, which model at which price, and what is asked for. It returns the request as it is
// to be sent.
func (g *Guard) identify(ctx context.Context, c *call, input any) (any, error) {
	scope, err := g.scope(ctx)
	if err != nil {
		return nil, err
	}
	c.scope = scope
	modelID, err := modelIDOf(input)
	if err != nil {
		return nil, err
	}
	resolved, err := g.catalog.Resolve(modelID, awsmiddleware.GetRegion(ctx))
	if err != nil {
		return nil, err
	}
	c.scope.Model = resolved.ModelID
	c.ask.hidden = hidesText(modelID)
	if !c.ask.hidden {
		if input, err = g.checkCache(ctx, c, input, resolved); err != nil {
			return nil, err
		}
	}
	if err = c.ask.read(input, resolved.ModelID); err != nil {
		return nil, err
	}
	c.ask.modelID = modelID
	if c.ask.unpriced != "" {
		return nil, &UnpricedError{ModelID: modelID, Reason: c.ask.unpriced + " has no token price"}
	}
	if c.ask.hidden {
		c.ask.media.Blocks = append(c.ask.media.Blocks, tokens.Block{Kind: tokens.Opaque})
	}
	if resolved.Model.Cache.Implicit {
		c.ask.writes = max(c.ask.writes, budget.CacheWrites5m)
	}
	return input, c.priced(resolved)
}

// hidesText reports whether the id is that of a managed prompt, whose text the service adds to the request: its size can't
// be known from here.
func hidesText(modelID string) bool {
	return strings.HasPrefix(modelID, "arn:") && strings.Contains(modelID, "prompt/") ||
		strings.IndexByte(modelID, '%') >= 0 && strings.Contains(modelID, "%3Aprompt%2F")
}

// scope works out on whose account the call is: the caller's identity stands above the context, and the guard's default
// fills in what both leave open.
func (g *Guard) scope(ctx context.Context) (budget.Scope, error) {
	scope, err := budget.ScopeFrom(ctx)
	if err != nil {
		return scope, err
	}
	// The model is the library's to fill in: a caller must not be able to move its spend to another model's account.
	scope.Model = ""
	principal, err := g.identity.principal(ctx)
	if err != nil {
		return scope, err
	}
	if principal != "" {
		if scope, err = scope.Under(budget.Scope{Principal: principal}); err != nil {
			return scope, err
		}
	}
	rest := g.opts.Scope
	rest.Model = ""
	return scope.Fill(rest), nil
}

func modelIDOf(input any) (string, error) {
	var id *string
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		id = in.ModelId
	case *bedrockruntime.ConverseStreamInput:
		id = in.ModelId
	case *bedrockruntime.InvokeModelInput:
		id = in.ModelId
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		id = in.ModelId
	}
	if id == nil || *id == "" {
		return "", malformed("modelId", "is missing")
	}
	return *id, nil
}

// read fills in what the request asks for.
func (a *ask) read(input any, modelID string) error {
	a.input = input
	if parts, ok := partsOf(input); ok {
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
