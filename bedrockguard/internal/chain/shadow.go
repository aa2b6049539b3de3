package chain

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

// In shadow mode (Options.Shadow) the guard reports most refusals and lets the calls through, so that a policy can be tried out.

// Shadows reports whether the guard is in shadow mode and only reports this refusal: one of a limit, a rate, a brake, the cache policy, a model or
// an operation that can't be priced, or because the store is unreachable. A kill is always carried out, because a person has asked for it, and so
// is the refusal of a malformed request, because the service would refuse it, too. A call whose principal or scope can't be told is refused as well.
func (g *Guard) Shadows(err error) bool {
	if !g.opts.Shadow || errors.Is(err, budget.ErrKilled) {
		return false
	}
	for _, kind := range [...]error{budget.ErrExceeded, budget.ErrStore, refusal.ErrRateLimited, refusal.ErrLooping, catalog.ErrUnpriced, refusal.ErrUnsupportedOperation, cache.ErrRefused} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// pass lets an attempt through that would have been refused, unless its scope was killed. Its cost counts against no limit, so that later
// calls are judged as if this one had been refused; it is recorded as usage all the same. If the worst case can't be worked out, nothing is
// recorded as reserved.
func (g *Guard) pass(ctx context.Context, a *attempt, refused error) error {
	c := a.call
	req := budget.Request{Scope: c.Scope, Operation: c.Operation, TTL: g.opts.ReservationTTL}
	wide, err := g.wide(c)
	if err == nil {
		err = c.Worst(&req.Worst, wide)
	}
	// The cost is not known, which may be what was refused: nothing is reserved.
	if err != nil {
		req.Worst = budget.Charge{}
	}
	if a.receipt, err = g.unlimited(ctx, c, req); err != nil {
		return err
	}
	a.bound = req.Worst[budget.UnitInputTokens]
	g.reportShadowed(ctx, c, a, refused)
	return nil
}

// PassUnmetered lets a call through whose cost is not known, unless its scope was killed. It asks the ledger only for that, with a reservation of
// nothing, which it voids at once. Neither an attempt nor usage is recorded.
func (g *Guard) PassUnmetered(ctx context.Context, c *Call, refused error) error {
	r, err := g.unlimited(ctx, c, budget.Request{Scope: c.Scope, Operation: c.Operation})
	if err != nil {
		return err
	}
	c.Unmetered = true
	g.reportShadowed(ctx, c, nil, refused)
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.opts.StoreTimeout)
	defer cancel()
	_ = g.ledger.Void(detached, r) // nothing was reserved, so that a failure does no harm
	return nil
}

// unlimited makes a reservation that no limit refuses, within a bounded time. It returns an error if the call's scope was killed.
func (g *Guard) unlimited(ctx context.Context, c *Call, req budget.Request) (*budget.Receipt, error) {
	// remaining is what the call may still wait for the store.
	asking, cancel := context.WithTimeout(ctx, c.remaining(g.opts.StoreTimeout))
	defer cancel()
	return g.ledger.Unlimited(asking, req)
}

// ReportShadowed counts a refusal that is not enforced, and emits event.Denied for it, for a door: nothing was reserved.
func (g *Guard) ReportShadowed(ctx context.Context, c *Call, refused error) {
	g.reportShadowed(ctx, c, nil, refused)
}

// reportShadowed counts a refusal that is not enforced, and emits event.Denied for it although the call goes on.
func (g *Guard) reportShadowed(ctx context.Context, c *Call, a *attempt, refused error) {
	g.shadow.note(refused)
	g.emitKind(ctx, c, a, event.Denied, refused)
}

// ShadowLine is bedrockguard.ShadowLine, whose fields it has.
type ShadowLine struct {
	Limit string
	Scope budget.Scope
	Cause string
	Calls int64
}

// maxShadowLines bounds the lines of a report. When there are as many, further accounts are counted together, in lines without a scope.
const maxShadowLines = 10_000

// shadowBook counts refusals that were not carried out. Its zero value is empty.
type shadowBook struct {
	mu    sync.Mutex
	lines map[shadowKey]*ShadowLine
}

// shadowKey is what a line counts the refusals of: its cause, its limit, and its scope as text.
type shadowKey struct{ cause, limit, scope string }

// note counts a refusal in the line of its cause, limit and account. Only a refusal for lack of room names a limit and an account.
func (b *shadowBook) note(refused error) {
	line := ShadowLine{Cause: causeOf(refused)}
	var exceeded *budget.ExceededError
	if errors.As(refused, &exceeded) {
		line.Limit, line.Scope = exceeded.Limit, exceeded.Scope
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lines == nil {
		b.lines = make(map[shadowKey]*ShadowLine)
	}
	key := shadowKey{line.Cause, line.Limit, line.Scope.String()}
	// A full report gets no new account: the call counts in the line without one, which may be new itself.
	if b.lines[key] == nil && len(b.lines) >= maxShadowLines {
		line.Scope, key.scope = budget.Scope{}, ""
	}
	if b.lines[key] == nil {
		b.lines[key] = &line
	}
	b.lines[key].Calls++
}

// causeOf returns the cause of a refusal, in the word that the report has for it. What no other word fits was refused because of the store.
func causeOf(refused error) string {
	for _, c := range [...]struct {
		kind error
		name string
	}{
		{budget.ErrExceeded, "limit"}, {refusal.ErrRateLimited, "rate"}, {refusal.ErrLooping, "loop"}, {catalog.ErrUnpriced, "price"}, {refusal.ErrUnsupportedOperation, "operation"}, {cache.ErrRefused, "cache"},
	} {
		if errors.Is(refused, c.kind) {
			return c.name
		}
	}
	return "store"
}

// ShadowReport returns the refusals that were not carried out, counted by cause, limit and account, the most frequent first.
func (g *Guard) ShadowReport() []ShadowLine {
	g.shadow.mu.Lock()
	defer g.shadow.mu.Unlock()
	all := make([]ShadowLine, 0, len(g.shadow.lines))
	for _, line := range g.shadow.lines {
		all = append(all, *line)
	}
	slices.SortFunc(all, func(a, b ShadowLine) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Limit, b.Limit), cmp.Compare(a.Scope.String(), b.Scope.String()))
	})
	return all
}
