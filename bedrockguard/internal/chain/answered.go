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

// learn lets note write a difference into a copy of what is remembered of a key, and stores the copy if note returns true: then it was news. learn
// returns whether the difference is to be reported.
func (a *answers) learn(key askedKey, note func(*difference) bool) bool {
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
	if !note(&next) {
		return false
	}
	a.byID[key] = &next
	a.known.Store(true)
	return true
}

// served returns the quote by which an answer is priced: that of the call, changed where the answer names another model, or the
// latency-optimised mode unasked. Each new difference emits event.AnswerDiffers.
func (g *Guard) served(ctx context.Context, a *attempt, r *wire.Reported) pricing.Quote {
	q := g.servedModel(ctx, a, r)
	g.compareTier(ctx, a, r, &q)
	// A quote without Latency was made for the standard mode. If LatencyOptimized is nil, the other mode has no price of its own.
	if r.Latency == pricing.LatencyOptimized && q.Latency == nil && q.Resolved.LatencyOptimized != nil {
		q.Latency = q.Resolved.LatencyOptimized
		g.differs(ctx, a, "latency", "standard", pricing.LatencyOptimized, (*difference).addOptimized)
	}
	return q
}

// differs remembers a difference as note writes it down, and emits event.AnswerDiffers if it is news. what is the word for what differs, such as
// "model".
func (g *Guard) differs(ctx context.Context, a *attempt, what, asked, answered string, note func(*difference) bool) {
	if g.answers.learn(askedKey{a.call.Demand.ModelID, a.call.Region}, note) {
		g.emit(ctx, a.call, a, event.Event{Kind: event.AnswerDiffers, Asked: what + " " + asked, Answered: what + " " + answered})
	}
}

// servedModel returns the quote of the model that has answered. That is the call's own quote, unless the answer names another model or profile, which
// the catalog knows: an answer of a model that the catalog does not know is priced as was asked.
func (g *Guard) servedModel(ctx context.Context, a *attempt, r *wire.Reported) pricing.Quote {
	c := a.call
	asked := c.Quote.Resolved
	// A model with a flat price alone (FlatModel) has no token price to compare.
	if r.Model == "" || c.FlatModel || !g.isOther(asked, r, c.Region) {
		return c.Quote
	}
	other, known := g.catalog.Answered(r.Model, c.Region)
	if !known {
		name := r.Model
		g.differs(ctx, a, "model", asked.ModelID, name, func(d *difference) bool { return d.addUnknown(name) })
		return c.Quote
	}
	// false: that the answer came in the latency-optimised mode is looked at by served, after this.
	q := c.Demand.AnyQuote(other, false)
	g.differs(ctx, a, "model", profiled(asked), profiled(other), func(d *difference) bool { return d.addModel(other) })
	return q
}

// compareTier remembers the service tier that an answer names, if it is dearer than any at which the request could be served (Quote.Tier). The quote
// stays as it is: Quote.Cost goes by the tier of the answer.
func (g *Guard) compareTier(ctx context.Context, a *attempt, r *wire.Reported, q *pricing.Quote) {
	if r.ServiceTier == "" {
		return
	}
	if factor := q.Resolved.ServedTier(r.ServiceTier); factor > q.Tier {
		g.differs(ctx, a, "service tier", tierName(a.call.Demand.Tiers), r.ServiceTier, func(d *difference) bool { return d.addFactor(factor) })
	}
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
	// Profile is the geography in front of the name, if there is one.
	if named.Profile != "" {
		return named.Profile != asked.Profile
	}
	// A name without a geography says something only if a prompt router chose the model (Routed): the router used no profile then. That costs the
	// geo premium, so it is another price than that of the global profile.
	return r.Routed && asked.Profile == globalProfile
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

// addUnknown, addFactor, addOptimized and addModel note one difference, and return whether it is news.

// addUnknown notes the name of a model that the catalog does not know. Only the last one is remembered.
func (d *difference) addUnknown(name string) bool {
	news := d.unknown != name
	d.unknown = name
	return news
}

// addFactor notes the factor of a service tier. Only the highest one is remembered.
func (d *difference) addFactor(factor price.Tier) bool {
	news := factor > d.factor
	d.factor = max(d.factor, factor)
	return news
}

// addOptimized notes that the latency-optimised mode was served.
func (d *difference) addOptimized() bool {
	news := !d.optimized
	d.optimized = true
	return news
}

// addModel notes a model that has answered. A model for which there is no room is news each time.
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

// guardrailsOf prices the guardrails of an answer: those of which it reports units by these, and all others of the call at the most that they can
// cost.
func (g *Guard) guardrailsOf(ctx context.Context, a *attempt, r *wire.Reported) (price.Amount, error) {
	c := a.call
	if len(r.Guardrails) > 0 {
		// A guardrail that the request did not name is one that the account enforces. Learn returns the ids of those that were not known before.
		for _, id := range g.enforced.Learn(r.Guardrails, c.Demand.Guardrail) {
			g.emit(ctx, c, a, event.Event{Kind: event.AnswerDiffers, Asked: "no guardrail", Answered: "guardrail " + id})
		}
	}
	reported, err := pricing.GuardrailCost(r.Guardrails)
	if err != nil {
		return 0, err
	}
	// GuardrailsWorst leaves out the guardrails that are reported.
	unreported, err := c.GuardrailsWorst(r.Usage.OutputTokens, r.Guardrails)
	if err != nil {
		return 0, err
	}
	return reported.Add(unreported)
}
