package storetest_test

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// roomy returns the lines with limits that never refuse.
func roomy(lines []budget.Line) []budget.Line {
	wide := append([]budget.Line(nil), lines...)
	for i := range wide {
		wide[i].Max, wide[i].Latch = 1<<61, false
	}
	return wide
}

// again reserves the same amount once more, under an id that nobody knows.
func again(ctx context.Context, s budget.Store, r budget.Reservation, lines []budget.Line) {
	r.ID, r.Lines, r.Dims = budget.NewID(), roomy(lines), nil
	_, _ = s.Reserve(ctx, r)
}

// toctou checks in one step and spends in another.
type toctou struct{ budget.Store }

func (s toctou) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	all, err := s.Balances(ctx, r.Lines)
	if err != nil {
		return budget.Decision{}, err
	}
	runtime.Gosched()
	for i, b := range all {
		if amount := r.Charge[r.Lines[i].Unit]; !r.Lines[i].Observe && b.Settled+b.Pending+amount > b.Max {
			return budget.Decision{Denied: &budget.Denial{Line: i, Balance: b}}, nil
		}
	}
	r.Lines = roomy(r.Lines)
	return s.Store.Reserve(ctx, r)
}

// partial keeps what it booked in the lines before the one that refused.
type partial struct{ budget.Store }

func (s partial) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	if d.Denied != nil && d.Denied.Line > 0 {
		again(ctx, s.Store, r, r.Lines[:d.Denied.Line])
	}
	return d, err
}

// denialCounts adds refused amounts to pending, as counters that are raised before they are looked at do.
type denialCounts struct{ budget.Store }

func (s denialCounts) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	if d.Denied != nil {
		again(ctx, s.Store, r, r.Lines[d.Denied.Line:d.Denied.Line+1])
	}
	return d, err
}

// replayAdds sets the amount of a replay aside once more.
type replayAdds struct{ budget.Store }

func (s replayAdds) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	if d.Replayed {
		again(ctx, s.Store, r, r.Lines)
	}
	return d, err
}

// sharedReplay admits a known id to whoever names it.
type sharedReplay struct{ budget.Store }

func (s sharedReplay) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	if errors.Is(err, budget.ErrIDConflict) {
		return budget.Decision{Admitted: true, Replayed: true}, nil
	}
	return d, err
}

// wraps lets a sum run out of int64 into the negative, where it is below every limit.
type wraps struct{ budget.Store }

func (s wraps) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	if errors.Is(err, budget.ErrOverflow) {
		return budget.Decision{Admitted: true}, nil
	}
	return d, err
}

// tentativeLatches treats the refusal of a tentative reservation as final.
type tentativeLatches struct{ budget.Store }

func (s tentativeLatches) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	r.Tentative = false
	return s.Store.Reserve(ctx, r)
}

// observeRefuses enforces a limit that is only rehearsed.
type observeRefuses struct{ budget.Store }

func (s observeRefuses) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	r.Lines = append([]budget.Line(nil), r.Lines...)
	for i := range r.Lines {
		r.Lines[i].Observe = false
	}
	return s.Store.Reserve(ctx, r)
}

// killIgnored takes flags and never looks at them.
type killIgnored struct{ budget.Store }

func (killIgnored) Kill(context.Context, budget.Kill) error { return nil }

// uncancellable goes on after its caller left.
type uncancellable struct{ budget.Store }

func (s uncancellable) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	return s.Store.Void(context.WithoutCancel(ctx), id, owner)
}

// unbounded charges everything that is due, whatever it was asked to.
type unbounded struct{ budget.Store }

func (s unbounded) Expire(ctx context.Context, _ int) (int, error) { return s.Store.Expire(ctx, 1<<30) }

// endless overrides for good.
type endless struct{ budget.Store }

func (s endless) Override(ctx context.Context, account budget.Key, o *budget.Override) error {
	if o != nil {
		o = &budget.Override{Max: o.Max, Until: o.Until.Add(50 * 365 * 24 * time.Hour)}
	}
	return s.Store.Override(ctx, account, o)
}

// forgetful begins an empty ledger when its clock goes back.
type forgetful struct {
	budget.Store
	clock *storetest.Clock
	last  time.Time
}

func (s *forgetful) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	now := s.clock.Now()
	if now.Before(s.last) {
		s.Store = newMemstore(s.clock)
	}
	s.last = now
	return s.Store.Reserve(ctx, r)
}

func newMemstore(clock *storetest.Clock) budget.Store {
	return memstore.New(func(o *memstore.Options) {
		o.Clock, o.Retention = clock.Now, storetest.Retention
	})
}
