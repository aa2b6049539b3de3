package bedrockguard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/brakes"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/drain"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/identity"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/listeners"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/pricing"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/ratelimit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/watch"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// Guard enforces a ledger's limits for Bedrock clients. It is immutable after New and safe for concurrent use; one Guard can serve any
// number of clients.
type Guard struct {
	ledger    *budget.Ledger
	shadow    shadowBook
	opts      Options
	catalog   *catalog.Catalog
	ratios    *tokens.Ratio
	rate      *ratelimit.Limits
	loops     *brakes.Loops // nil without Brakes
	watch     *watch.Streams
	identity  identity.Identity
	cache     *cacheLink // nil if the policy switches the cache check off
	drains    *drain.Drains
	answers   answers
	enforced  *pricing.Enforced
	flat      pricing.FlatPrices
	assumed   sync.Map // keys are askedKey: models and regions for which EventPriceAssumed was emitted
	steps     steps
	outputs   outputs
	foretold  atomic.Bool // Estimate was called, so that the real token counts of prompts are worth learning
	listeners listeners.All

	defaultScope bool // opts.Scope has any value besides its Model
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
	g := &Guard{
		ledger: ledger, opts: opts, catalog: models,
		ratios: tokens.NewRatio(),
		rate:   ratelimit.New(ratelimit.Rule(opts.Rate)), loops: brakes.New(brakes.Numbers(opts.Brakes)), watch: watch.New(ledger, opts.KillPoll),
		identity: identity.Identity{Ask: opts.Identity}, cache: newCacheLink(opts.Cache, opts.Clock),
	}
	g.drains = drain.New(opts.MaxDrains)
	g.listeners = listeners.New(opts.OnEvent, opts.Listeners, opts.ListenerQueue)
	declared := make([]pricing.Guardrail, len(opts.EnforcedGuardrails))
	for i, one := range opts.EnforcedGuardrails {
		declared[i] = pricing.Guardrail(one)
	}
	g.enforced = pricing.NewEnforced(declared)
	g.flat, _ = pricing.NewFlatPrices(opts.FlatPrices) // validated before
	g.opts.Scope.Model = ""                            // only the library sets it
	g.defaultScope = len(g.opts.Scope.Dims()) > 0
	g.steps = steps{describeMiddleware{g}, attemptMiddleware{g}, observeMiddleware{g}}
	g.emitOldCatalog()
	g.emitInShadow()
	return g, nil
}

// Close waits until no answer is read on any longer whose caller has left, or until the context ends: then the rest are cut and charged with
// their worst case, and Close says how many there were. None is left when it returns, except if an HTTP client does not return when its
// context ends. Close then waits until the listeners have had all events, as long as they make progress. Clients of the guard may still be
// used; if their callers leave from then on, the worst case is charged.
func (g *Guard) Close(ctx context.Context) error {
	err := g.drains.Close(ctx)
	if busy := g.listeners.Wait(ctx); busy > 0 {
		err = errors.Join(err, fmt.Errorf("bedrockguard: %d listeners have not come to the end of what they are told", busy))
	}
	return err
}

// Draining returns how many answers of callers who have left are being read, for metrics. It is safe for concurrent use.
func (g *Guard) Draining() int {
	return g.drains.Reading()
}

// catalogAge is the age of the built-in table of prices from which New emits EventCatalogOld.
const catalogAge = 120 * 24 * time.Hour

// emitInShadow emits EventInShadow if the guard is in shadow mode.
func (g *Guard) emitInShadow() {
	if g.opts.Shadow {
		g.emit(context.Background(), new(call), nil, event.Event{Kind: event.InShadow})
	}
}

// emitOldCatalog emits EventCatalogOld if the built-in table of prices is old: it lacks changes of prices since its date.
func (g *Guard) emitOldCatalog() {
	now := time.Now
	if g.opts.Clock != nil {
		now = g.opts.Clock
	}
	date, err := time.Parse(time.DateOnly, g.catalog.Date())
	if err == nil && now().Sub(date) > catalogAge {
		g.emit(context.Background(), new(call), nil, event.Event{Kind: event.CatalogOld, Asked: g.catalog.Date()})
	}
}

func newCatalog(opts Options) (*catalog.Catalog, error) {
	models, err := catalog.Default().With(toCatalog(opts.Models)...)
	if err == nil && len(opts.ModelFor) > 0 {
		models, err = models.Map(opts.ModelFor)
	}
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
		if l.Match.Model == "" {
			continue
		}
		found := false
		for m := range models.Models() {
			if (budget.Match{Model: l.Match.Model}).Selects(budget.Scope{Model: m.ID}) {
				found = true
				break
			}
		}
		if !found {
			errs = append(errs, fmt.Errorf("%w: limit %q matches no known model: %q is compared with foundation-model ids such as anthropic.claude-opus-4-6-v1", ErrInvalidOptions, l.Name, l.Match.Model))
		}
	}
	return errors.Join(errs...)
}
