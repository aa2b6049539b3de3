package bedrockguard

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// settleResult settles a unary call from its answer.
func (g *Guard) settleResult(ctx context.Context, a *attempt, result any) {
	switch out := result.(type) {
	case *bedrockruntime.ConverseOutput:
		if reported, ok := converseUsage(a.call, out); ok {
			g.settleUsage(ctx, a, &reported)
			return
		}
	case *bedrockruntime.InvokeModelOutput:
		g.settleBody(ctx, a, out.Body)
		return
	}
	g.finish(ctx, a, OutcomeNoUsage)
}

func (g *Guard) settleBody(ctx context.Context, a *attempt, body []byte) {
	reported, ok, err := wire.ParseUsage(a.call.provider, a.call.ask.writes, a.header, body)
	switch {
	case ok && err == nil:
		g.settleUsage(ctx, a, &reported)
	case a.call.ask.queries > 0 && err == nil: // billed by the query: the fees are known, and there are no tokens
		g.settleUsage(ctx, a, new(wire.Reported))
	default:
		g.finish(ctx, a, OutcomeNoUsage)
	}
}

func converseUsage(c *call, out *bedrockruntime.ConverseOutput) (wire.Reported, bool) {
	u := out.Usage
	if u == nil || u.InputTokens == nil || u.OutputTokens == nil {
		return wire.Reported{}, false
	}
	counts := wire.ConverseUsage{
		InputTokens: tokenCount(u.InputTokens), OutputTokens: tokenCount(u.OutputTokens), TotalTokens: tokenCount(u.TotalTokens),
		CacheReadInputTokens: tokenCount(u.CacheReadInputTokens), CacheWriteInputTokens: tokenCount(u.CacheWriteInputTokens),
	}
	for _, d := range u.CacheDetails {
		if d.Ttl == types.CacheTTLFiveMinutes {
			counts.CacheWrite5mTokens += tokenCount(d.InputTokens)
		} else {
			counts.CacheWrite1hTokens += tokenCount(d.InputTokens)
		}
	}
	reported, err := wire.FromConverse(c.provider, c.ask.writes, &counts)
	if err != nil {
		return wire.Reported{}, false
	}
	if out.ServiceTier != nil {
		reported.ServiceTier = string(out.ServiceTier.Type)
	}
	if out.PerformanceConfig != nil {
		reported.Latency = string(out.PerformanceConfig.Latency)
	}
	return reported, true
}

func tokenCount(n *int32) int64 {
	if n == nil {
		return 0
	}
	return int64(*n)
}

// settleUsage posts what the answer reports, and learns from it.
func (g *Guard) settleUsage(ctx context.Context, a *attempt, r *wire.Reported) {
	charge, err := a.call.actual(r)
	if err != nil {
		g.finish(ctx, a, OutcomeNoUsage)
		return
	}
	if !a.claim() {
		return
	}
	defer a.resolving.Unlock()
	if a.debit != nil {
		a.debit.settle(r.Usage)
	}
	if a.call.tightBase > 0 || g.rate.limits() || r.Usage.InputTokens > a.bound {
		g.learn(a, r.Usage.InputTokens)
	}
	g.post(ctx, a, &charge, OutcomeUsage)
	if a.call.cache.turn != nil {
		g.cacheEnded(ctx, a.call, r.Usage, r.Disagrees)
	}
}

// learn takes in how far the bounds were from the truth. Somebody needs it only where a call was counted, where the rate
// guesses, and where a bound did not hold.
func (g *Guard) learn(a *attempt, inputTokens int64) {
	seen := tokens.Observation{WideBound: a.bound, TightBound: a.call.tightBase, Actual: inputTokens}
	if a.bound == a.call.tight {
		seen.WideBound = 0 // the reservation was made from the tight bound
	}
	g.ratios.Learn(a.call.scope.Model, seen)
}

// finish resolves an attempt that told no usage, by the table of outcomes.
func (g *Guard) finish(ctx context.Context, a *attempt, outcome Outcome) {
	if !a.claim() {
		return
	}
	defer a.resolving.Unlock()
	if g.opts.action(outcome) == Void {
		a.debit.giveBack()
		g.void(ctx, a, outcome)
		return
	}
	a.call.charged++
	g.post(ctx, a, &a.receipt.Reservation.Charge, outcome)
}

// post settles the reservation. Requires a.resolving held.
func (g *Guard) post(ctx context.Context, a *attempt, charge *budget.Charge, outcome Outcome) {
	store := g.detached(ctx, a)
	defer store.cancel()
	estimated := outcome != OutcomeUsage
	result, err := g.ledger.Settle(store, a.receipt, *charge, estimated)
	if g.listened() {
		g.emitPosted(ctx, a, charge, outcome, &result, err)
	}
}

// emitPosted tells what became of a settlement.
func (g *Guard) emitPosted(ctx context.Context, a *attempt, charge *budget.Charge, outcome Outcome, result *budget.Outcome, err error) {
	estimated := outcome != OutcomeUsage
	if err != nil {
		g.emit(ctx, a.call, a, Event{Kind: EventUnsettled, Actual: *charge, Estimated: estimated, Outcome: outcome, Err: err})
		return
	}
	g.emit(ctx, a.call, a, Event{Kind: EventSettled, Actual: *charge, Estimated: estimated, Outcome: outcome})
	for _, crossed := range result.Crossed {
		g.emit(ctx, a.call, a, Event{Kind: EventThresholdCrossed, Actual: *charge, Crossed: crossed, Outcome: outcome})
	}
	if result.Violated != 0 {
		g.emit(ctx, a.call, a, Event{Kind: EventEstimateViolated, Actual: *charge, Outcome: outcome})
	}
}

// void gives the reservation back. Requires a.resolving held.
func (g *Guard) void(ctx context.Context, a *attempt, outcome Outcome) {
	store := g.detached(ctx, a)
	defer store.cancel()
	err := g.ledger.Void(store, a.receipt)
	if !g.listened() {
		return
	}
	if err != nil {
		g.emit(ctx, a.call, a, Event{Kind: EventUnsettled, Outcome: outcome, Err: err})
		return
	}
	g.emit(ctx, a.call, a, Event{Kind: EventVoided, Outcome: outcome})
}
