package bedrockguard

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// Pressure is what Options.Substitute is called with: a call, and how full its limits are.
type Pressure struct {
	ModelID  string                  // as the caller wrote it
	Scope    budget.Scope            // the call's scope, with the resolved model
	Balances []budget.AccountBalance // of each limit that the call counts in, in the policy's order
}

// Used is how full the fullest limit is, settled and pending together: 1 is full, and more is possible because actual costs may exceed a
// limit. Observe-only limits do not count, and a limit with a Max of zero is full.
func (p *Pressure) Used() float64 {
	fullest := 0.0
	for i := range p.Balances {
		b := &p.Balances[i]
		switch {
		case b.Observe:
		case b.Latched || b.Max.N == 0:
			fullest = max(fullest, 1)
		default:
			fullest = max(fullest, (float64(b.Settled.N)+float64(b.Pending.N))/float64(b.Max.N))
		}
	}
	return fullest
}

// substitute asks for a cheaper model, and returns the input to send: a copy with the other model, if there is one. A request that can't be
// judged here stays as it is: the error shows when it is read or reserved.
func (g *Guard) substitute(ctx context.Context, c *call, input any, modelID *string) (any, *string) {
	var scope budget.Scope
	if modelID == nil || g.scope(ctx, &scope) != nil {
		return input, modelID
	}
	asked, err := g.catalog.Resolve(*modelID, c.region)
	if err != nil {
		return input, modelID
	}
	scope.Model, scope.Region, scope.Profile = asked.ModelID, c.region, profile(*modelID)
	asking, cancel := context.WithTimeout(ctx, g.opts.StoreTimeout)
	defer cancel()
	balances, err := g.ledger.Balances(asking, scope)
	if err != nil {
		return input, modelID
	}
	name, ok := g.opts.Substitute(ctx, Pressure{ModelID: *modelID, Scope: scope, Balances: balances})
	if !ok || name == *modelID {
		return input, modelID
	}
	c.scope = scope // the scope for the events
	told := event.Event{Kind: event.Substituted, Asked: *modelID, Answered: name}
	instead, err := g.catalog.Resolve(name, c.region)
	if err == nil {
		if class := instead.DearerIn(asked); class != "" {
			err = &catalog.UnpricedError{ModelID: name, Reason: "it is no substitute, because it is dearer in " + class + ": the call stays with " + *modelID}
		}
	}
	if told.Err = err; err != nil {
		told.Answered = *modelID
		g.emit(ctx, c, nil, told)
		return input, modelID
	}
	g.emit(ctx, c, nil, told)
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		own := *in
		own.ModelId = aws.String(name)
		return &own, own.ModelId
	case *bedrockruntime.ConverseStreamInput:
		own := *in
		own.ModelId = aws.String(name)
		return &own, own.ModelId
	}
	return input, modelID
}

// substitutes reports whether another model may answer this operation: only Converse has the same format for all models.
func (g *Guard) substitutes(input any) bool {
	if g.opts.Substitute == nil {
		return false
	}
	_, unary := input.(*bedrockruntime.ConverseInput)
	_, streamed := input.(*bedrockruntime.ConverseStreamInput)
	return unary || streamed
}
