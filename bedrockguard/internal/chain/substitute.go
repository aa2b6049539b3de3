package chain

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// Pressure is bedrockguard.Pressure, whose fields it has.
type Pressure struct {
	ModelID  string
	Scope    budget.Scope
	Balances []budget.AccountBalance
}

// Substitute asks Options.Substitute for a cheaper model, and returns the input to send and its model: a copy with the other model, if there is one
// that is dearer in no class of tokens. A request that can't be judged here stays as it is: the error shows when it is read or reserved.
func (g *Guard) Substitute(ctx context.Context, c *Call, input any, modelID *string) (any, *string) {
	var scope budget.Scope
	if modelID == nil || g.Scope(ctx, &scope) != nil {
		return input, modelID
	}
	asked, err := g.catalog.Resolve(*modelID, c.Region)
	if err != nil {
		return input, modelID
	}
	scope.Model, scope.Region, scope.Profile = asked.ModelID, c.Region, profile(*modelID)
	name, ok := g.askSubstitute(ctx, *modelID, scope)
	if !ok || name == *modelID {
		return input, modelID
	}
	c.Scope = scope // for the events below: the call's own is worked out later
	if err := g.mayReplace(asked, *modelID, name, c.Region); err != nil {
		// Nothing is replaced, so that the event names the same model twice.
		g.emit(ctx, c, nil, event.Event{Kind: event.Substituted, Asked: *modelID, Answered: *modelID, Err: err})
		return input, modelID
	}
	g.emit(ctx, c, nil, event.Event{Kind: event.Substituted, Asked: *modelID, Answered: name})
	return withModel(input, name)
}

// askSubstitute reads how full the limits of a scope are, and asks Options.Substitute with that. It returns false if the model is to stay, and if
// the limits can't be read.
func (g *Guard) askSubstitute(ctx context.Context, modelID string, scope budget.Scope) (name string, ok bool) {
	asking, cancel := context.WithTimeout(ctx, g.opts.StoreTimeout)
	defer cancel()
	balances, err := g.ledger.Balances(asking, scope)
	if err != nil {
		return "", false
	}
	return g.opts.Substitute(ctx, Pressure{ModelID: modelID, Scope: scope, Balances: balances})
}

// mayReplace returns why the model called name can't replace the one that is asked for: it has no price, or it is dearer. Nil says that it can.
func (g *Guard) mayReplace(asked *catalog.Resolved, askedID, name, region string) error {
	instead, err := g.catalog.Resolve(name, region)
	if err != nil {
		return err
	}
	// DearerIn names the first class of tokens that is dearer, and is empty if there is none.
	if class := instead.DearerIn(asked); class != "" {
		return &catalog.UnpricedError{ModelID: name, Reason: "it is no substitute, because it is dearer in " + class + ": the call stays with " + askedID}
	}
	return nil
}

// withModel returns a copy of a Converse input that names another model, and that name. Any other input stays as it is: Substitutes is false for it.
func withModel(input any, name string) (any, *string) {
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		own := *in
		own.ModelId = aws.String(name)
		return &own, own.ModelId
	case *bedrockruntime.ConverseStreamInput:
		own := *in
		own.ModelId = aws.String(name)
		return &own, own.ModelId
	default:
		return input, inputs.ModelOf(input)
	}
}

// Substitutes reports whether another model may answer this operation: only Converse has the same format for all models.
func (g *Guard) Substitutes(input any) bool {
	if g.opts.Substitute == nil {
		return false
	}
	_, unary := input.(*bedrockruntime.ConverseInput)
	_, streamed := input.(*bedrockruntime.ConverseStreamInput)
	return unary || streamed
}
