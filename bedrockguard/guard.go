package bedrockguard

import (
	"context"
	"errors"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/sdkdoor"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// Guard enforces a ledger's limits for Bedrock clients. It is immutable after New and safe for concurrent use; one Guard can serve any
// number of clients.
type Guard struct {
	chain *chain.Guard  // every call runs through it
	sdk   *sdkdoor.Door // puts the guard into the middleware stacks of SDK clients
}

// New returns a guard over a ledger, or every reason why the options can't be enforced (ErrInvalidOptions).
func New(ledger *budget.Ledger, opts Options) (*Guard, error) {
	if ledger == nil {
		return nil, fmt.Errorf("%w: no ledger", ErrInvalidOptions)
	}
	if err := opts.validate(); err != nil {
		return nil, err
	}
	opts.fillDefaults()
	models, err := newCatalog(opts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidOptions, err)
	}
	if err := reachable(ledger.Policy(), models); err != nil {
		return nil, err
	}
	g := chain.New(ledger, opts.config(models))
	return &Guard{chain: g, sdk: sdkdoor.New(g)}, nil
}

// Close waits for answers that are read on although their callers have left (Options.DrainTimeout). If the context ends before them, the rest
// are cut and charged with their worst case, and the error says how many there were. None is left when Close returns, except if an HTTP
// client does not return when its context ends. Close then waits until the listeners have had all events, as long as they make progress. Clients of
// the guard may still be used; if their callers leave from then on, the worst case is charged.
func (g *Guard) Close(ctx context.Context) error { return g.chain.Close(ctx) }

// Draining returns how many answers of callers who have left are being read, for metrics. It is safe for concurrent use.
func (g *Guard) Draining() int { return g.chain.Draining() }

// Kill is the ledger's KillAs, except that the scope's Model may be any id that calls use, such as the id of an inference profile or an ARN:
// it is resolved to the foundation model. A value with patterns is left as it is, and so is an id that leads to no model of the catalog.
func (g *Guard) Kill(ctx context.Context, k budget.Kill) (accounts int, err error) {
	return g.chain.Kill(ctx, k)
}

// ReviveCache lets the workflows of a scope go on that had tripped, which means that they read too little from the prompt cache (Floor in
// cache.Policy), and forgets what was known of them. A scope without a principal stands for that workflow of every principal, and an empty one
// for all. It returns how many workflows there were.
func (g *Guard) ReviveCache(s budget.Scope) int { return g.chain.ReviveCache(s) }

// newCatalog returns the built-in catalog of models with the changes that Models, ModelFor and Discounts ask for.
func newCatalog(opts Options) (*catalog.Catalog, error) {
	models, err := catalog.Default().With(toCatalog(opts.Models)...)
	if err == nil && len(opts.ModelFor) > 0 {
		models, err = models.Map(opts.ModelFor)
	}
	// The discounts come last, so that they apply to added models, too.
	if err == nil && len(opts.Discounts) > 0 {
		models, err = models.Discounted(opts.Discounts)
	}
	return models, err
}

// reachable reports limits whose Match.Model selects no model with a price. They could never apply: the pattern is wrong, and the caller
// must not believe that it protects anything.
func reachable(policy budget.Policy, models *catalog.Catalog) error {
	var errs []error
	for _, l := range policy.Limits {
		if l.Match.Model != "" && !selectsAny(l.Match.Model, models) {
			errs = append(errs, fmt.Errorf("%w: limit %q matches no known model: %q is compared with foundation-model ids such as anthropic.claude-opus-4-6-v1", ErrInvalidOptions, l.Name, l.Match.Model))
		}
	}
	return errors.Join(errs...)
}

// selectsAny reports whether a glob selects any model of a catalog.
func selectsAny(glob string, models *catalog.Catalog) bool {
	for m := range models.Models() {
		// Selects compares the glob with the id of the model alone: the scope has no other value.
		if (budget.Match{Model: glob}).Selects(budget.Scope{Model: m.ID}) {
			return true
		}
	}
	return false
}
