package chain

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/pricing"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// An answer is priced by the model, the service tier and the latency mode that it names. If these differ from what was asked for, later calls
// of the same model id reserve at the higher of the two prices.
//
// A quote is what one model charges for what a call asks. A factor is that of a service tier on every rate, in thousandths: 1000 is standard.
// A profile is the geography of an inference profile, such as "us" or "global", that stands in front of a model's id.

// answers remembers, by model id and region, how answers differed from what was asked for. It is safe for concurrent use.
type answers struct {
	known atomic.Bool // something is remembered in byID
	mu    sync.RWMutex
	byID  map[askedKey]*difference
}

// askedKey is what a caller asks for: a model id, as written in the request, and the region to which it is sent.
type askedKey struct{ modelID, region string }

// difference is how the answers to calls of one model id have differed from what the calls asked for. It is never changed, so that it can be
// read without a lock: learn puts a changed copy in its place.
type difference struct {
	models    []*catalog.Resolved // other models that have answered
	factor    price.Tier          // the highest factor of a service tier that was served without being asked for
	optimized bool                // the latency-optimised mode was served without being asked for
	unknown   string              // the last name of a model in an answer that the catalog does not know
}

// maxAnswers bounds how many keys (model ids in a region) are remembered, and maxAnswering how many other models for each.
const (
	maxAnswers   = 1024
	maxAnswering = 16
)

// find returns what is remembered of a key, or nil. The flag known saves the lock as long as nothing has differed.
func (a *answers) find(key askedKey) *difference {
	if !a.known.Load() {
		return nil
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byID[key]
}

// learn lets change edit a copy of what is remembered of a key, and stores the copy if change returns true: then it was news. learn returns
// whether the difference is to be reported.
func (a *answers) learn(key askedKey, change func(*difference) bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byID == nil {
		a.byID = make(map[askedKey]*difference)
	}
	// This copy is edited, because others read the stored one without the lock.
	next := difference{}
	if old := a.byID[key]; old != nil {
		next = *old
	} else if len(a.byID) >= maxAnswers {
		return true // no room to remember it, so that it is reported every time
	}
	if !change(&next) {
		return false
	}
	a.byID[key] = &next
	a.known.Store(true)
	return true
}

// served returns the quote by which an answer is priced: that of the call, changed where the answer names another model, or the
// latency-optimised mode unasked. A dearer tier than the call's own is only remembered here; Quote.Cost applies it. An answer of a model that
// the catalog does not know is priced as was asked. Each new difference emits event.AnswerDiffers.
func (g *Guard) served(ctx context.Context, a *attempt, r *wire.Reported) pricing.Quote {
	c := a.call
	q := c.Quote
	key := askedKey{c.Demand.ModelID, c.Region}
	// tell remembers a difference as change writes it down, and emits the event if it is news.
	tell := func(what, asked, answered string, change func(*difference) bool) {
		if g.answers.learn(key, change) {
			g.emit(ctx, c, a, event.Event{Kind: event.AnswerDiffers, Asked: what + " " + asked, Answered: what + " " + answered})
		}
	}
	// A model with a flat price alone (FlatModel) has no token price to compare.
	if r.Model != "" && !c.FlatModel && g.isOther(q.Resolved, r, c.Region) {
		if other, ok := g.catalog.Answered(r.Model, c.Region); ok {
			// false: whether the answer came in the latency-optimised mode is looked at below.
			q = c.Demand.AnyQuote(other, false)
			tell("model", profiled(c.Quote.Resolved), profiled(other), func(d *difference) bool { return d.addModel(other) })
		} else {
			// A name that the catalog does not know: of these only the last one is remembered.
			name := r.Model
			tell("model", q.Resolved.ModelID, name, func(d *difference) bool {
				news := d.unknown != name
				d.unknown = name
				return news
			})
		}
	}
	// ServedTier is the factor of the tier that the answer names, and q.Tier the highest that the request could be served at.
	if r.ServiceTier != "" && q.Resolved.ServedTier(r.ServiceTier) > q.Tier {
		factor := q.Resolved.ServedTier(r.ServiceTier)
		tell("service tier", tierName(c.Demand.Tiers), r.ServiceTier, func(d *difference) bool {
			news := factor > d.factor
			if news {
				d.factor = factor
			}
			return news
		})
	}
	// A quote without Latency was made for the standard mode. If LatencyOptimized is nil, the other mode has no price of its own.
	if r.Latency == pricing.LatencyOptimized && q.Latency == nil && q.Resolved.LatencyOptimized != nil {
		q.Latency = q.Resolved.LatencyOptimized
		tell("latency", "standard", pricing.LatencyOptimized, func(d *difference) bool {
			news := !d.optimized
			d.optimized = true
			return news
		})
	}
	return q
}

// globalProfile is the geography of the inference profiles that may answer anywhere. All other calls cost a surcharge, the geo premium.
const globalProfile = "global"

// isOther reports whether the name of the model in an answer stands for another price than the one that was asked for: it is another model, or
// the same one in an inference profile of another geography, such as "us" or "global". Where the name does not tell the geography, the answer
// has the price that was asked for.
func (g *Guard) isOther(asked *catalog.Resolved, r *wire.Reported, region string) bool {
	name := r.Model
	if !g.catalog.SameModel(asked, name) {
		return true
	}
	if !strings.Contains(name, ".") { // a name that the model's maker gave it, without Bedrock's prefixes: it tells no geography
		return false
	}
	named, ok := g.catalog.Answered(name, region)
	if !ok { // the name fits no model with a price
		return false
	}
	// A geography in front of the name tells the profile. A name without one tells something only if a prompt router chose the model: the router
	// used no profile then, which costs more than the global profile, the only one without the geo premium.
	tellsProfile := named.Profile != "" || r.Routed && asked.Profile == globalProfile
	return tellsProfile && named.Profile != asked.Profile
}

// profiled returns a model's id with the prefix of its geography.
func profiled(r *catalog.Resolved) string {
	if r.Profile == "" {
		return r.ModelID
	}
	return r.Profile + "." + r.ModelID
}

// tierName returns the first service tier that a request asks for; it may ask in up to three places.
func tierName(asked [3]string) string {
	for _, name := range asked {
		if name != "" {
			return name
		}
	}
	// This is the service's own name for the tier of requests that ask for none.
	return "default"
}

// addModel remembers a model that has answered, and returns whether that is news. A model for which there is no room is news each time.
func (d *difference) addModel(r *catalog.Resolved) bool {
	for _, m := range d.models {
		if m.ModelID == r.ModelID && m.Profile == r.Profile {
			return false
		}
	}
	if len(d.models) >= maxAnswering {
		return true
	}
	// A copy of d shares the old array, so that the model goes into a new one.
	d.models = append(d.models[:len(d.models):len(d.models)], r)
	return true
}

// others adds to the call the prices of all models that have answered calls of this id before, so that the dearest of them is reserved. The
// model that is asked for is among them, because it may have answered in a dearer tier or mode than was asked for.
func (g *Guard) others(c *Call) {
	d := g.answers.find(askedKey{c.Demand.ModelID, c.Region})
	if d == nil {
		return
	}
	for _, r := range append([]*catalog.Resolved{c.Quote.Resolved}, d.models...) {
		c.AlsoBy(r, d.optimized, d.factor)
	}
}

// actual prices what a response reports: its usage by the quote of the model that answered, and its guardrails. It adds the call's flat prices, which
// are due whatever the call consumed: they are for features without a token price, such as web search.
func (g *Guard) actual(ctx context.Context, a *attempt, r *wire.Reported) (budget.Charge, error) {
	c := a.call
	q := g.served(ctx, a, r)
	cost, err := q.Cost(r)
	if err != nil {
		return budget.Charge{}, err
	}
	extra, err := g.guardrailsOf(ctx, a, r)
	if err == nil {
		extra, err = extra.Add(c.Flat)
	}
	if err == nil {
		cost, err = cost.Add(extra)
	}
	if err != nil {
		return budget.Charge{}, err
	}
	return driver.ChargeOf(r.Usage, cost), nil
}

// guardrailsOf prices the guardrails of an answer: by the units that it reports, and others at the most that they can cost.
func (g *Guard) guardrailsOf(ctx context.Context, a *attempt, r *wire.Reported) (price.Amount, error) {
	c := a.call
	if len(r.Guardrails) > 0 {
		// A guardrail that the request did not name is one that the account enforces.
		for _, id := range g.enforced.Learn(r.Guardrails, c.Demand.Guardrail) {
			g.emit(ctx, c, a, event.Event{Kind: event.AnswerDiffers, Asked: "no guardrail", Answered: "guardrail " + id})
		}
	}
	reported, err := pricing.GuardrailCost(r.Guardrails)
	if err != nil {
		return 0, err
	}
	unreported, err := c.GuardrailsWorst(r.Usage.OutputTokens, r.Guardrails)
	if err != nil {
		return 0, err
	}
	return reported.Add(unreported)
}
