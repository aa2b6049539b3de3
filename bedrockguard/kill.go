package bedrockguard

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Kill is the ledger's KillAs, except that the scope's Model may be any id that calls use, such as the id of an inference profile or an ARN:
// it is resolved to the foundation model. A value with patterns is left as it is, and so is an id that leads to no model of the catalog.
func (g *Guard) Kill(ctx context.Context, k budget.Kill) (accounts int, err error) {
	if k.Scope.Model != "" && !k.Patterns {
		k.Scope.Model = g.catalog.FoundationID(k.Scope.Model)
	}
	return g.ledger.KillAs(ctx, k)
}
