package chain

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// To resolve a reservation is to settle it, which posts an amount, or to void it, which gives all of it back. Several goroutines may try. The
// first one claims it (attempt.claim), which locks attempt.resolving; the functions whose names end in Claimed run after that and unlock it.

// settleBody settles an answer that has arrived completely. The provider decides how its counts are read. Demand.Writes, the cache points that the
// request has asked for, decides the lifetime of those cache writes for which the answer tells none.
func (g *Guard) settleBody(ctx context.Context, a *attempt, body []byte) {
	// Such an operation, for example ApplyGuardrail, has a flat price, and its answer has no counts of tokens.
	if a.call.FlatOperation {
		g.settleFlat(ctx, a, body)
		return
	}
	// Bedrock tells counts in headers, too.
	reported, ok, err := wire.ParseUsage(a.call.Provider, a.call.Demand.Writes, a.header, body)
	// ok is false if the answer reports no counts, and the error is that of counts that can't be true.
	switch {
	case ok && err == nil:
		g.settleUsage(ctx, a, &reported)
	case a.call.Demand.Queries > 0 && err == nil: // billed by the query: the fees are known, and there are no tokens
		g.settleUsage(ctx, a, new(wire.Reported))
	default:
		g.finish(ctx, a, event.OutcomeNoUsage)
	}
}

// settleUsage settles the reservation with the usage that the answer reports, and learns from it.
func (g *Guard) settleUsage(ctx context.Context, a *attempt, r *wire.Reported) {
	charge, err := g.actual(ctx, a, r)
	if err != nil {
		// Usage that can't be priced counts as none.
		g.finish(ctx, a, event.OutcomeNoUsage)
		return
	}
	if !a.claim() {
		return
	}
	// The rate limit had only guessed the tokens. The debit is nil if it took none, and Settle does nothing then.
	a.debit.Settle(r.Usage)
	// foretold: Estimate is in use, which expects answers of the usual length.
	if g.foretold.Load() {
		g.outputs.learn(&a.call.Scope, r.Usage.OutputTokens)
	}
	// In these cases somebody needs what learn records; in all others its lock is saved.
	if a.tight || g.rate.On() || g.foretold.Load() || r.Usage.InputTokens > a.bound {
		g.learn(a, r.Usage.InputTokens)
	}
	g.postClaimed(ctx, a, &charge, &r.Usage, event.OutcomeUsage)
	// A call has a turn if the cache check has looked at it.
	if a.call.cache.turn != nil {
		g.cacheEnded(ctx, a.call, r.Usage, r.Disagrees)
	}
}

// learn records the bound that was reserved and the input tokens that were billed, by model. That is needed only if the tight bound was used, which
// is computed from the text and is given up for a model for which it was too low; if the rate limit or Estimate uses expected tokens; or if any
// bound was too low.
func (g *Guard) learn(a *attempt, inputTokens int64) {
	seen := tokens.Observation{WideBound: a.bound, Actual: inputTokens}
	if a.tight {
		seen = tokens.Observation{TightBound: a.bound, Actual: inputTokens}
	}
	g.ratios.Learn(a.call.Scope.Model, seen)
}

// finish resolves an attempt without reported usage, by the table of outcomes (Config.action): it voids the reservation or charges all of it. Of
// several calls only the first one does anything.
func (g *Guard) finish(ctx context.Context, a *attempt, outcome event.Outcome) {
	if !a.claim() {
		return
	}
	if g.opts.action(outcome) == event.Void {
		a.debit.GiveBack()
		g.voidClaimed(ctx, a, outcome)
		return
	}
	// The rate limit keeps the tokens that it had guessed (a.debit): no better number is known.
	a.call.charged++ // for the cache check, which learns of attempts that were charged without an answer
	worst := &a.receipt.Reservation.Charge
	// Without counts of the cache all of the input is uncached.
	usage := price.Usage{InputTokens: worst[budget.UnitInputTokens], OutputTokens: worst[budget.UnitOutputTokens]}
	g.postClaimed(ctx, a, worst, &usage, outcome)
}

// postClaimed settles the reservation that was claimed, unlocks it, and emits the event. The event comes last, because a listener may use the call.
func (g *Guard) postClaimed(ctx context.Context, a *attempt, charge *budget.Charge, usage *price.Usage, outcome event.Outcome) {
	result, err := g.post(ctx, a, charge, outcome)
	if g.listened() {
		g.emitPosted(ctx, a, charge, usage, outcome, &result, err)
	}
}

// post settles the reservation in the ledger, and unlocks it. All outcomes but OutcomeUsage post an estimated amount.
func (g *Guard) post(ctx context.Context, a *attempt, charge *budget.Charge, outcome event.Outcome) (budget.Outcome, error) {
	defer a.resolving.Unlock()
	store := a.detached(ctx, g.opts.SettleTimeout)
	defer store.Cancel()
	estimated := outcome != event.OutcomeUsage
	result, err := g.ledger.SettleAs(store, a.receipt, *charge, estimated, reference(a))
	a.call.lost(store, err)
	return result, err
}

// reference returns AWS's id of the attempt's request, by which logs and the entry can be matched; empty if there was no answer.
func reference(a *attempt) string {
	id := a.header.Get(requestIDHeader)
	if len(id) > driver.MaxScopeValue { // AWS never sends so many bytes
		return ""
	}
	return id
}

// emitPosted emits the events of a settlement: that it was posted or failed; each threshold of a limit that it was the first to reach; and that the
// actual amount was above the reserved one.
func (g *Guard) emitPosted(ctx context.Context, a *attempt, charge *budget.Charge, usage *price.Usage, outcome event.Outcome, result *budget.Outcome, err error) {
	e := event.Event{Kind: event.Settled, Actual: *charge, Usage: *usage, Estimated: outcome != event.OutcomeUsage, Outcome: outcome}
	if err != nil {
		e.Kind, e.Err = event.Unsettled, err
	}
	g.emit(ctx, a.call, a, e)
	if err != nil {
		return
	}
	for _, crossed := range result.Crossed {
		g.emit(ctx, a.call, a, event.Event{Kind: event.ThresholdCrossed, Actual: *charge, Usage: *usage, Estimated: e.Estimated, Crossed: crossed, Outcome: outcome})
	}
	// Violated is the first unit of which more was posted than reserved; zero for none. An estimated amount is the reserved one.
	if result.Violated != 0 {
		g.emit(ctx, a.call, a, event.Event{Kind: event.EstimateViolated, Actual: *charge, Usage: *usage, Outcome: outcome})
	}
}

// voidClaimed voids the reservation that was claimed, unlocks it, and emits the event.
func (g *Guard) voidClaimed(ctx context.Context, a *attempt, outcome event.Outcome) {
	err := g.void(ctx, a)
	if !g.listened() {
		return
	}
	if err != nil {
		g.emit(ctx, a.call, a, event.Event{Kind: event.Unsettled, Outcome: outcome, Err: err})
		return
	}
	g.emit(ctx, a.call, a, event.Event{Kind: event.Voided, Outcome: outcome})
}

// void voids the reservation in the ledger, and unlocks it.
func (g *Guard) void(ctx context.Context, a *attempt) error {
	defer a.resolving.Unlock()
	store := a.detached(ctx, g.opts.SettleTimeout)
	defer store.Cancel()
	err := g.ledger.Void(store, a.receipt)
	a.call.lost(store, err)
	return err
}
