package bedrockguard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// Guard puts a ledger in front of Bedrock clients. It is immutable after New and safe for concurrent use; one Guard can
// serve any number of clients.
type Guard struct {
	ledger   *budget.Ledger
	shadow   shadowBook
	opts     Options
	catalog  *catalog.Catalog
	ratios   *tokens.Ratio
	rate     *rateLimits
	loops    *loops // nil when nothing is braked
	watch    *watch
	identity identity
	cache    *cacheLink // nil when the policy switches the check off
	drains   drains
	answers  answers
	enforced *enforced
	flat     flatPrices
	assumed  sync.Map // of askedKey: models and regions whose assumed price was told
	steps    steps
	outputs  outputs
	foretold atomic.Bool // somebody has asked for an Estimate, so that what prompts really count is worth learning
	direct   *listener   // OnEvent; nil without
	queued   []*listener // Listeners

	defaultScope bool // opts.Scope, which names no model, sets anything
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
		rate:   newRateLimits(opts.Rate), loops: newLoops(opts.Brakes), watch: newWatch(ledger, opts.KillPoll),
		identity: identity{ask: opts.Identity}, cache: newCacheLink(opts.Cache, opts.Clock),
	}
	g.drains.limit = opts.MaxDrains
	g.direct, g.queued = newListeners(&opts)
	g.enforced = newEnforced(opts.EnforcedGuardrails)
	g.flat, _ = newFlatPrices(opts.FlatPrices) // validated before
	g.opts.Scope.Model = ""                    // it is the library's to fill in
	g.defaultScope = len(g.opts.Scope.Dims()) > 0
	g.steps = steps{describeMiddleware{g}, attemptMiddleware{g}, observeMiddleware{g}}
	g.emitOldCatalog()
	g.emitInShadow()
	return g, nil
}

// Close waits until no answer is read on any longer whose caller has left, or until the context ends: then those that remain
// are cut short and charged at their worst case, and Close says how many. None is left when it returns, but of an
// HTTP client that does not end with its context. It then waits until the listeners were told everything, as long as they get on
// with it. Clients of the guard may be used on afterwards; what their callers leave is charged at the worst case from then on.
func (g *Guard) Close(ctx context.Context) error {
	err := g.drains.close(ctx)
	busy := 0
	for _, l := range g.queued {
		if !l.wait(ctx) {
			busy++
		}
	}
	if g.direct != nil && !g.direct.wait(ctx) {
		busy++
	}
	if busy > 0 {
		err = errors.Join(err, fmt.Errorf("bedrockguard: %d listeners have not come to the end of what they are told", busy))
	}
	return err
}

// Draining returns how many answers are read on now whose callers have left, for metrics. It is safe for concurrent use.
func (g *Guard) Draining() int {
	g.drains.mu.Lock()
	defer g.drains.mu.Unlock()
	return g.drains.reading
}

// catalogAge is how old the built-in table of prices may grow before New says so.
const catalogAge = 120 * 24 * time.Hour

// emitInShadow emits EventInShadow if the guard is in shadow mode.
func (g *Guard) emitInShadow() {
	if g.opts.Shadow {
		g.emit(context.Background(), new(call), nil, Event{Kind: EventInShadow})
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
		g.emit(context.Background(), new(call), nil, Event{Kind: EventCatalogOld, Asked: g.catalog.Date()})
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

// reachable reports limits whose Match.Model selects no model that can be priced: they could never apply, which is a
// mistake in the pattern and must not pass for protection.
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
