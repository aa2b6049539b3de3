// Package chain handles calls: each runs through its links, from the identity of the caller to the settlement of what its answer costs. The
// doors bring calls here, the SDK's middlewares (package sdkdoor) and the HTTP transport (package httpdoor).
//
// A call is one use of the client. Each try to send its request is an attempt, with a reservation in the budget of its own. A reservation is
// resolved exactly once: it is settled, which charges an amount, or voided, which gives all of it back. Answers of callers who have left are
// read on (drained), because they are billed. In shadow mode most refusals are only reported, and the call goes on.
package chain

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
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// Guard is a guard without its doors: it takes calls from them, and runs each through the links of the chain. It is immutable after New,
// except for what it learns, and safe for concurrent use.
type Guard struct {
	ledger    *budget.Ledger
	shadow    shadowBook // counts the refusals that shadow mode has not carried out
	opts      Config
	catalog   *catalog.Catalog
	ratios    *tokens.Ratio // by model, how many input tokens were billed in relation to the bounds that were reserved
	rate      *ratelimit.Limits
	loops     *brakes.Loops  // agents that repeat themselves; nil without Brakes
	watch     *watch.Streams // ends running streams whose scope is killed
	identity  identity.Identity
	cache     *cacheLink         // nil if the policy switches the cache check off
	drains    *drain.Drains      // answers of callers who have left, which are read on
	answers   answers            // how answers have differed from what was asked for
	enforced  *pricing.Enforced  // guardrails that evaluate calls without being named in them
	flat      pricing.FlatPrices // Options.FlatPrices: the most that one call costs with what has no price by tokens
	assumed   sync.Map           // keys are askedKey: models and regions for which event.PriceAssumed was emitted
	outputs   outputs            // how long answers were, for Estimate
	foretold  atomic.Bool        // Estimate was called, so that the real token counts of prompts are worth learning
	listeners listeners.All

	defaultScope bool // opts.Scope has any value besides its Model
}

// Config is bedrockguard.Options for the links of the chain, checked and with its defaults filled in. The fields have the names that they have
// there, where each is described in full.
type Config struct {
	Cache              cache.Policy
	Scope              budget.Scope // for what neither the caller's identity nor the context names
	Identity           func(context.Context) (string, error)
	Models             *catalog.Catalog // with the models, ids and discounts of the options
	FlatPrices         pricing.FlatPrices
	EnforcedGuardrails []pricing.Guardrail
	Rate               ratelimit.Rule
	Outcomes           map[event.Outcome]event.Action // replaces the table of Config.action, outcome by outcome
	StrictBound        bool                           // reserve by the length of the body alone, never by its text
	Shadow             bool                           // report refusals, and let the calls go on
	Output             Output
	Substitute         func(context.Context, Pressure) (modelID string, ok bool)
	Brakes             brakes.Numbers
	ReservationTTL     time.Duration
	StoreTimeout       time.Duration // what a call waits for the store before it is sent, in all
	MaxWait            time.Duration // what a call waits for room that others hold
	SettleTimeout      time.Duration
	DrainTimeout       time.Duration // how long an answer is read on without its caller; zero cuts it
	MaxDrains          int           // answers that are read on at the same time
	KillPoll           time.Duration // how often the store is asked for kills while streams run
	ReservationHeader  string        // the request header that gets the reservation's id; empty for none
	Clock              func() time.Time
	OnEvent            func(context.Context, event.Event)
	Listeners          []func(context.Context, event.Event)
	ListenerQueue      int
}

// New returns a guard over a ledger.
func New(ledger *budget.Ledger, opts Config) *Guard {
	g := &Guard{
		ledger: ledger, opts: opts, catalog: opts.Models,
		ratios: tokens.NewRatio(),
		rate:   ratelimit.New(opts.Rate), loops: brakes.New(opts.Brakes), watch: watch.New(ledger, opts.KillPoll),
		identity: identity.Identity{Ask: opts.Identity}, cache: newCacheLink(opts.Cache, opts.Clock),
	}
	g.drains = drain.New(opts.MaxDrains)
	g.listeners = listeners.New(opts.OnEvent, opts.Listeners, opts.ListenerQueue)
	g.enforced = pricing.NewEnforced(opts.EnforcedGuardrails)
	g.flat = opts.FlatPrices
	g.opts.Scope.Model = "" // only the library sets it
	g.defaultScope = len(g.opts.Scope.Dims()) > 0
	g.emitOldCatalog()
	g.emitInShadow()
	return g
}

// Close is bedrockguard.Guard.Close: it waits for the answers that are being read on and for the listeners, until the context ends.
func (g *Guard) Close(ctx context.Context) error {
	err := g.drains.Close(ctx)
	if busy := g.listeners.Wait(ctx); busy > 0 {
		err = errors.Join(err, fmt.Errorf("bedrockguard: %d listeners have not come to the end of what they are told", busy))
	}
	return err
}

// Draining returns how many answers of callers who have left are being read.
func (g *Guard) Draining() int { return g.drains.Reading() }

// OwnScope is Options.Scope: the scope of calls that name none.
func (g *Guard) OwnScope() budget.Scope { return g.opts.Scope }

// Kill is bedrockguard.Guard.Kill. A model may be named by any of its ids, such as an inference profile, unless the scope's values are patterns.
func (g *Guard) Kill(ctx context.Context, k budget.Kill) (accounts int, err error) {
	if k.Scope.Model != "" && !k.Patterns {
		k.Scope.Model = g.catalog.FoundationID(k.Scope.Model)
	}
	return g.ledger.KillAs(ctx, k)
}

// catalogAge is the age of the built-in table of prices from which New emits event.CatalogOld.
const catalogAge = 120 * 24 * time.Hour

// emitInShadow emits event.InShadow if the guard is in shadow mode.
func (g *Guard) emitInShadow() {
	if g.opts.Shadow {
		g.emit(context.Background(), new(Call), nil, event.Event{Kind: event.InShadow})
	}
}

// emitOldCatalog emits event.CatalogOld if the built-in table of prices is old: it lacks changes of prices since its date.
func (g *Guard) emitOldCatalog() {
	now := time.Now
	if g.opts.Clock != nil {
		now = g.opts.Clock
	}
	// Without a date that can be read the age is not known, and nothing is emitted.
	date, err := time.Parse(time.DateOnly, g.catalog.Date())
	if err == nil && now().Sub(date) > catalogAge {
		g.emit(context.Background(), new(Call), nil, event.Event{Kind: event.CatalogOld, Asked: g.catalog.Date()})
	}
}
