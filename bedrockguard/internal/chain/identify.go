package chain

import (
	"cmp"
	"context"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// Identify fills in the call's scope and model, and runs the cache check, which needs the model. It returns the input that is to be
// serialised.
func (g *Guard) Identify(ctx context.Context, c *Call, input any, modelID *string) (any, error) {
	err := g.Scope(ctx, &c.Scope)
	if err != nil {
		return input, err
	}
	return g.Checked(ctx, c, input, modelID)
}

// Checked runs the prompt-cache check on a request, if there is one, and returns the input that is to be sent. A managed prompt, whose text the
// service adds to the request (HidesText), can't be checked.
func (g *Guard) Checked(ctx context.Context, c *Call, input any, modelID *string) (any, error) {
	if g.cache == nil {
		return input, nil // nothing else needs the model before the request is read as it is sent
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

// resolve finds the model and its price, and puts the model into the call's scope. It also takes back what an earlier reading of the request has
// added of flat prices, because the request may have changed.
func (g *Guard) resolve(ctx context.Context, c *Call, modelID *string) (*catalog.Resolved, error) {
	if modelID == nil || *modelID == "" {
		return nil, request.MalformedField("modelId", "is missing")
	}
	c.Flat, c.FlatGuardrail, c.FlatModel = 0, 0, false
	resolved, err := g.catalog.Resolve(*modelID, c.Region)
	if err != nil {
		// The error may be that the model has no price by tokens; a flat price is as good.
		if resolved = g.flatModel(c, *modelID); resolved == nil {
			return nil, err
		}
	}
	c.Scope.Model, c.Scope.Region, c.Scope.Profile = resolved.ModelID, c.Region, profile(*modelID)
	if resolved.Assumed && !c.silent {
		g.emitAssumed(ctx, c)
	}
	return resolved, nil
}

// profile returns the inference profile that a model id names, as the caller wrote it; empty for the id of a model. If it is too long for a
// scope its beginning is cut off, because profiles differ at the end.
func profile(modelID string) string {
	// IsProfile is true for an id with the prefix of a geography, and for the ARN of a profile.
	if !catalog.IsProfile(modelID) {
		return ""
	}
	return modelID[max(0, len(modelID)-driver.MaxScopeValue):]
}

// emitAssumed emits event.PriceAssumed, once for each model and region: the catalog has no price of the model for the region, and uses its highest.
func (g *Guard) emitAssumed(ctx context.Context, c *Call) {
	key := askedKey{c.Scope.Model, c.Region}
	if _, told := g.assumed.Load(key); told { // as for all calls of the model but the first
		return
	}
	// Of several calls at the same time only one stores the key, and emits.
	if _, told := g.assumed.LoadOrStore(key, true); !told {
		g.emit(ctx, c, nil, event.Event{Kind: event.PriceAssumed, Asked: c.Scope.Model + " in " + cmp.Or(c.Region, "an unknown region")})
	}
}

// flatModel returns a stand-in for a model that has no price in the catalog, but one in Options.FlatPrices: the most that one call can cost. It
// returns nil if there is no flat price either. The provider is the part of a model's id before the first dot.
func (g *Guard) flatModel(c *Call, modelID string) *catalog.Resolved {
	id := g.catalog.FoundationID(modelID)
	flat, ok := g.flat.Model(id)
	if !ok {
		return nil
	}
	c.Flat, c.FlatModel = flat, true
	provider, _, _ := strings.Cut(id, ".")
	return &catalog.Resolved{ModelID: id, Model: &catalog.Model{ID: id, Provider: provider}}
}

// complete works out what the request can cost, after c.Demand has been read from it. Over HTTP, StrictBound also refuses requests because of
// which the service reads more than they hold.
func (g *Guard) complete(c *Call, resolved *catalog.Resolved) error {
	strict := c.OverHTTP && g.opts.StrictBound
	if err := c.Complete(g.enforced, &g.flat, strict, resolved); err != nil {
		return err
	}
	return g.priced(c, resolved)
}

// Scope works out to which scope the call counts: the context's scope, in the name of the caller's identity if the guard asks for that, and the
// guard's default for what both leave empty.
func (g *Guard) Scope(ctx context.Context, scope *budget.Scope) (err error) {
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
		// Under puts the principal into the scope, or returns an error if the context names another one.
		if *scope, err = scope.Under(budget.Scope{Principal: principal}); err != nil {
			return err
		}
	}
	*scope = scope.Fill(g.opts.Scope)
	return nil
}
