package bedrockguard

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Kill is the ledger's KillAs for those who know a model by the id that calls name: the id of an inference profile, or an ARN, in the
// scope's Model stands for the model that it leads to. A value with patterns is left as it is. An id that leads to no model of the
// catalog's is taken for that of a model.
func (g *Guard) Kill(ctx context.Context, k budget.Kill) (accounts int, err error) {
	if k.Scope.Model != "" && !k.Patterns {
		k.Scope.Model = g.catalog.FoundationID(k.Scope.Model)
	}
	return g.ledger.KillAs(ctx, k)
}
