package bedrockguard

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// shadows reports whether a refusal is one that a guard in shadow tells of and does not carry out: of a limit, a rate, a price, the cache
// policy, or for want of a store. A kill is a person's act, and a request that is malformed would be refused by the service, too.
func (g *Guard) shadows(err error) bool {
	if !g.opts.Shadow || errors.Is(err, budget.ErrKilled) {
		return false
	}
	for _, of := range [...]error{budget.ErrExceeded, budget.ErrStore, ErrRateLimited, ErrLooping, ErrUnpriced, ErrUnsupportedOperation, cache.ErrRefused} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

// pass lets an attempt through that would have been refused, unless what it is for was killed. What it costs counts against no limit,
// as it would not if it had been refused, so that the next call is judged as it would have been; it is usage all the same.
func (g *Guard) pass(ctx context.Context, a *attempt, refused error) error {
	c := a.call
	req := budget.Request{Scope: c.scope, Operation: c.operation, TTL: g.opts.ReservationTTL}
	wide, err := g.wide(c)
	if err == nil {
		err = c.worst(&req.Worst, wide)
	}
	if err != nil {
		req.Worst = budget.Charge{}
	}
	if a.receipt, err = g.unlimited(ctx, c, req); err != nil {
		return err
	}
	a.bound = req.Worst[budget.UnitInputTokens]
	g.tellPassed(ctx, c, a, refused)
	return nil
}

// passUnmetered lets a call through whose cost nobody knows, unless what it is for was killed.
func (g *Guard) passUnmetered(ctx context.Context, c *call, refused error) error {
	r, err := g.unlimited(ctx, c, budget.Request{Scope: c.scope, Operation: c.operation})
	if err != nil {
		return err
	}
	c.unmetered = true
	g.tellPassed(ctx, c, nil, refused)
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.opts.StoreTimeout)
	defer cancel()
	_ = g.ledger.Void(detached, r) // it set nothing aside
	return nil
}

// unlimited asks the ledger whether the call was killed, for a bounded time.
func (g *Guard) unlimited(ctx context.Context, c *call, req budget.Request) (*budget.Receipt, error) {
	asking, cancel := context.WithTimeout(ctx, c.remaining(g.opts.StoreTimeout))
	defer cancel()
	return g.ledger.Unlimited(asking, req)
}

// tellPassed tells of a refusal that is not carried out, and counts it.
func (g *Guard) tellPassed(ctx context.Context, c *call, a *attempt, refused error) {
	g.shadow.note(refused)
	g.emitKind(ctx, c, a, EventDenied, refused)
}

// ShadowLine is how often enforcing would have refused for one reason.
type ShadowLine struct {
	Limit string       // the limit's name; empty for another reason
	Scope budget.Scope // the account's values
	Cause string       // "limit", "rate", "price", "operation", "cache" or "store"
	Calls int64
}

// maxShadowLines bounds what a report tells apart; the rest has no scope.
const maxShadowLines = 10_000

// shadowBook counts refusals that were not carried out. Its zero value is empty.
type shadowBook struct {
	mu    sync.Mutex
	lines map[shadowKey]*ShadowLine
}

type shadowKey struct{ cause, limit, scope string }

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
	if b.lines[key] == nil && len(b.lines) >= maxShadowLines {
		line.Scope, key.scope = budget.Scope{}, ""
	}
	if b.lines[key] == nil {
		b.lines[key] = &line
	}
	b.lines[key].Calls++
}

func causeOf(refused error) string {
	for _, c := range [...]struct {
		of   error
		name string
	}{
		{budget.ErrExceeded, "limit"}, {ErrRateLimited, "rate"}, {ErrUnpriced, "price"}, {ErrUnsupportedOperation, "operation"}, {cache.ErrRefused, "cache"},
	} {
		if errors.Is(refused, c.of) {
			return c.name
		}
	}
	return "store"
}

// ShadowReport tells how often a guard in shadow let a call through that enforcing would have refused, by limit and account, the most
// frequent first, since it was made.
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
