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
	opts      Config
	ledger    *budget.Ledger
	listeners listeners.All

	// Who calls, and what may refuse a call besides the ledger.
	identity     identity.Identity
	defaultScope bool              // opts.Scope has any value besides its Model
	cache        *cacheLink        // nil if the policy switches the cache check off
	loops        *brakes.Loops     // counts how often workflows repeat themselves; nil without Brakes
	rate         *ratelimit.Limits // the limit of uncached input tokens per minute
	shadow       shadowBook        // counts the refusals that shadow mode has not carried out

	// What calls cost.
	catalog  *catalog.Catalog
	flat     pricing.FlatPrices // Options.FlatPrices: the most that one call costs with what has no price by tokens
	enforced *pricing.Enforced  // guardrails that evaluate calls without being named in them

	// What the guard learns.
	answers  answers       // how answers have differed from what was asked for
	ratios   *tokens.Ratio // by model, how many input tokens were billed in relation to the bounds that were reserved
	outputs  outputs       // how long answers were, for Estimate
	foretold atomic.Bool   // Estimate was called, so that the real token counts of prompts are worth learning
	assumed  sync.Map      // keys are askedKey: models and regions for which event.PriceAssumed was emitted

	// What goes on after a call.
	watch  *watch.Streams // ends running streams whose scope is killed
	drains *drain.Drains  // answers of callers who have left, which are read on
}

// Config is bedrockguard.Options for the links of the chain, checked and with its defaults filled in. The fields have the names that they have
// there, where each is described in full.
type Config struct {
	// Who calls.
	Scope    budget.Scope // for what neither the caller's identity nor the context names
	Identity func(context.Context) (string, error)

	// What calls cost.
	Models             *catalog.Catalog // with the models, ids and discounts of the options
	FlatPrices         pricing.FlatPrices
	EnforcedGuardrails []pricing.Guardrail
	StrictBound        bool                           // reserve by the length of the body alone, never by its text
	Outcomes           map[event.Outcome]event.Action // replaces the table of Config.action, outcome by outcome

	// What changes or refuses a call.
	Cache      cache.Policy
	Rate       ratelimit.Rule
	Brakes     brakes.Numbers
	Output     Output
	Substitute func(context.Context, Pressure) (modelID string, ok bool)
	Shadow     bool // report refusals, and let the calls go on

	// The store, and reservations in it.
	ReservationTTL    time.Duration
	ReservationHeader string        // the request header that gets the reservation's id; empty for none
	StoreTimeout      time.Duration // what a call waits for the store before it is sent, in all
	MaxWait           time.Duration // what a call waits for room that others hold
	SettleTimeout     time.Duration
	KillPoll          time.Duration // how often the store is asked for kills while streams run

	// Answers without a caller.
	DrainTimeout time.Duration // how long an answer is read on without its caller; zero or less cuts it
	MaxDrains    int           // answers that are read on at the same time

	// Events.
	OnEvent       func(context.Context, event.Event)
	Listeners     []func(context.Context, event.Event)
	ListenerQueue int

	Clock func() time.Time // for the cache check, and for the age of the catalog; nil is time.Now
}

// New returns a guard over a ledger.
func New(ledger *budget.Ledger, opts Config) *Guard {
	opts.Scope.Model = "" // only the library sets it
	g := &Guard{
		opts: opts, ledger: ledger, listeners: listeners.New(opts.OnEvent, opts.Listeners, opts.ListenerQueue),
		identity: identity.Identity{Ask: opts.Identity}, defaultScope: len(opts.Scope.Dims()) > 0,
		cache: newCacheLink(opts.Cache, opts.Clock), loops: brakes.New(opts.Brakes), rate: ratelimit.New(opts.Rate),
		catalog: opts.Models, flat: opts.FlatPrices, enforced: pricing.NewEnforced(opts.EnforcedGuardrails),
		ratios: tokens.NewRatio(),
		watch:  watch.New(ledger, opts.KillPoll), drains: drain.New(opts.MaxDrains),
	}
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
