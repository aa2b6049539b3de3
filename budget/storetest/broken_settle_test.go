package storetest_test

import (
	"context"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// memory is what a broken store remembers of the reservations that it admitted.
type memory struct {
	mu    sync.Mutex
	known map[budget.ID]budget.Reservation
}

func (m *memory) remember(r budget.Reservation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = make(map[budget.ID]budget.Reservation)
	}
	m.known[r.ID] = r
}

func (m *memory) recall(id budget.ID) (budget.Reservation, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, found := m.known[id]
	return r, found
}

// remembering is a store that knows its reservations; broken ones embed it.
type remembering struct {
	budget.Store
	memory
}

func (s *remembering) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	if d.Admitted {
		s.remember(r)
	}
	return d, err
}

// doubleSettle posts a settlement as often as it arrives.
type doubleSettle struct{ budget.Store }

func (s doubleSettle) Settle(ctx context.Context, st budget.Settlement) (budget.Posting, error) {
	p, err := s.Store.Settle(ctx, st)
	if p.Replayed {
		st.ID = budget.NewID()
		_, _ = s.Store.Settle(ctx, st)
	}
	return p, err
}

// clamps posts no more than was set aside.
type clamps struct{ remembering }

func (s *clamps) Settle(ctx context.Context, st budget.Settlement) (budget.Posting, error) {
	if r, found := s.recall(st.ID); found {
		for u := range st.Actual {
			st.Actual[u] = min(st.Actual[u], r.Charge[u])
		}
	}
	return s.Store.Settle(ctx, st)
}

// settlesNow posts in the windows of the settlement instead of those of the reservation.
type settlesNow struct{ remembering }

func (s *settlesNow) Settle(ctx context.Context, st budget.Settlement) (budget.Posting, error) {
	_, found := s.recall(st.ID)
	if !found || s.Void(ctx, st.ID, st.Owner) != nil {
		return s.Store.Settle(ctx, st)
	}
	p, err := s.Store.Settle(ctx, st)
	if p.From == budget.Voided {
		p.From = budget.Pending
	}
	return p, err
}

// marksRepeat reports each mark that settled spend stands above, every time.
type marksRepeat struct{ budget.Store }

func (s marksRepeat) Settle(ctx context.Context, st budget.Settlement) (budget.Posting, error) {
	p, err := s.Store.Settle(ctx, st)
	if err != nil || p.Replayed {
		return p, err
	}
	all, err := s.Balances(ctx, st.Lines)
	p.Crossed = nil
	for i, b := range all {
		for m, mark := range st.Lines[i].Marks {
			if b.Settled >= mark {
				p.Crossed = append(p.Crossed, budget.Crossing{Line: i, Mark: m, Settled: b.Settled})
			}
		}
	}
	return p, err
}

// noTombstone forgets a void that overtook its reservation.
type noTombstone struct{ remembering }

func (s *noTombstone) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	if _, found := s.recall(id); !found {
		return nil
	}
	return s.Store.Void(ctx, id, owner)
}

// correctAdds posts a repeated correction on top of the first.
type correctAdds struct{ remembering }

func (s *correctAdds) Correct(ctx context.Context, id budget.ID, actual budget.Charge) (budget.Posting, error) {
	p, err := s.Store.Correct(ctx, id, actual)
	if r, found := s.recall(id); found && p.Replayed {
		_, _ = s.Store.Settle(ctx, budget.Settlement{ID: budget.NewID(), Owner: r.Owner, Actual: actual, Lines: r.Lines})
	}
	return p, err
}

// releases gives back what nobody settled in time.
type releases struct {
	remembering
	clock *storetest.Clock
}

func (s *releases) Expire(ctx context.Context, limit int) (charged int, err error) {
	entries, err := s.Entries(ctx, budget.Query{State: budget.Pending, Max: 10_000})
	for _, e := range entries {
		r, found := s.recall(e.ID)
		due := found && !s.clock.Now().Before(e.ReservedAt.Add(r.TTL))
		if charged < limit && due && s.Void(ctx, e.ID, r.Owner) == nil {
			charged++
		}
	}
	return charged, err
}

// losable is a store whose memory can be destroyed. It notices, unless it is told to begin again from zero.
type losable struct {
	budget.Store
	clock    *storetest.Clock
	fromZero bool
}

func (s *losable) wipe() {
	if s.fromZero {
		s.Store = newMemstore(s.clock)
		return
	}
	_ = s.Store.Close()
}

// handle is one more on a ledger in memory: closing it leaves the others open.
type handle struct{ budget.Store }

func (handle) Close() error { return nil }

// blind is a handle that does not see the flags that others set.
type blind struct{ handle }

func (s blind) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	if d.Killed != nil {
		r.Dims = nil
		return s.Store.Reserve(ctx, r)
	}
	return d, err
}
