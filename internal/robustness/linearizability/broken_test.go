package linearizability

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// pause stands for a round trip between two steps that should have been one.
func pause() { time.Sleep(time.Duration(rand.Int64N(int64(200 * time.Microsecond)))) }

// checkThenAct asks for the balances first and spends in a second step.
type checkThenAct struct{ budget.Store }

func (s checkThenAct) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	all, err := s.Balances(ctx, r.Lines)
	if err != nil {
		return driver.Decision{}, err
	}
	for i, b := range all {
		if b.Settled+b.Pending+r.Charge[r.Lines[i].Unit] > r.Lines[i].Max {
			return s.Store.Reserve(ctx, r)
		}
	}
	pause()
	r.Lines = slices.Clone(r.Lines)
	for i := range r.Lines {
		r.Lines[i].Max = math.MaxInt64
	}
	return s.Store.Reserve(ctx, r)
}

// partialReserve leaves what it had added when it met a line without room.
type partialReserve struct{ budget.Store }

func (s partialReserve) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	if len(d.Denied) > 0 && d.Denied[0].Line > 0 {
		part := r
		part.ID, part.Lines = driver.NewID(), r.Lines[:d.Denied[0].Line]
		_, _ = s.Store.Reserve(ctx, part)
	}
	return d, err
}

// lineByLine books the lines of a reservation one after the other and takes them back when one has no room.
type lineByLine struct{ budget.Store }

func (s lineByLine) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if len(r.Lines) < 2 {
		return s.Store.Reserve(ctx, r)
	}
	first := r
	first.ID, first.Lines = driver.NewID(), r.Lines[:1]
	if d, err := s.Store.Reserve(ctx, first); err != nil || !d.Admitted {
		return d, err
	}
	pause()
	defer func() { _ = s.Void(ctx, first.ID, first.Owner) }()
	return s.Store.Reserve(ctx, r)
}

// doubleSettle posts a settlement again when it is repeated.
type doubleSettle struct{ budget.Store }

func (s doubleSettle) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	p, err := s.Store.Settle(ctx, st)
	if p.Replayed {
		again := st
		again.ID = driver.NewID()
		_, _ = s.Store.Settle(ctx, again)
	}
	return p, err
}

// staleReads answers questions about balances from what it saw a moment ago, as a replica would.
type staleReads struct {
	budget.Store
	mu    sync.Mutex
	seen  map[budget.Key]driver.Balance
	until time.Time
}

func (s *staleReads) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	all, err := s.Store.Balances(ctx, lines)
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().After(s.until) {
		s.seen, s.until = make(map[budget.Key]driver.Balance), time.Now().Add(300*time.Microsecond)
	}
	for i := range all {
		if old, ok := s.seen[lines[i].Account]; ok {
			all[i] = old
		}
		s.seen[lines[i].Account] = all[i]
	}
	return all, err
}

// flagsFirst reads the kill flags in a step of their own.
type flagsFirst struct{ budget.Store }

func (s flagsFirst) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	kills, err := s.Kills(ctx)
	if err != nil {
		return driver.Decision{}, err
	}
	for _, k := range kills {
		if slices.Contains(r.Dims, k.Scope.Dims()[0]) {
			return s.Store.Reserve(ctx, r)
		}
	}
	pause()
	r.Dims = nil
	return s.Store.Reserve(ctx, r)
}

// noTombstone forgets to remember the void of what it does not know.
type noTombstone struct{ budget.Store }

func (s noTombstone) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	all, err := s.Entries(ctx, budget.Query{Max: 10_000})
	if err != nil || !slices.ContainsFunc(all, func(e budget.Entry) bool { return e.ID == id }) {
		return err
	}
	return s.Store.Void(ctx, id, owner)
}

// lostWrites acknowledges a reservation now and then that it does not keep, as a failover to a lagging replica does.
type lostWrites struct{ budget.Store }

func (s lostWrites) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if rand.IntN(25) == 0 {
		forgotten := r
		forgotten.ID = driver.NewID()
		d, err := s.Store.Reserve(ctx, forgotten)
		_ = s.Void(ctx, forgotten.ID, forgotten.Owner)
		return d, err
	}
	return s.Store.Reserve(ctx, r)
}

// lateRepeats makes changes that arrive late as if they were new.
type lateRepeats struct{ budget.Store }

func (s lateRepeats) Revive(ctx context.Context, f budget.Flag, c driver.Change) error {
	err := s.Store.Revive(ctx, f, c)
	if errors.Is(err, budget.ErrSuperseded) {
		_ = s.Store.Revive(ctx, f, storetest.NewChange())
	}
	return err
}

func (s lateRepeats) Correct(ctx context.Context, c driver.Correction) (driver.Posting, error) {
	p, err := s.Store.Correct(ctx, c)
	if errors.Is(err, budget.ErrSuperseded) {
		_, _ = s.Store.Correct(ctx, driver.Correction{ID: c.ID, Actual: c.Actual, Change: storetest.NewChange()})
	}
	return p, err
}

var brokenStores = map[string]func(budget.Store) budget.Store{
	"check then act":                     func(s budget.Store) budget.Store { return checkThenAct{s} },
	"a refused reservation stays partly": func(s budget.Store) budget.Store { return partialReserve{s} },
	"lines are booked one by one":        func(s budget.Store) budget.Store { return lineByLine{s} },
	"a settlement counts twice":          func(s budget.Store) budget.Store { return doubleSettle{s} },
	"balances are stale":                 func(s budget.Store) budget.Store { return &staleReads{Store: s} },
	"kill flags are read first":          func(s budget.Store) budget.Store { return flagsFirst{s} },
	"a void leaves no tombstone":         func(s budget.Store) budget.Store { return noTombstone{s} },
	"changes that arrive late are made":  func(s budget.Store) budget.Store { return lateRepeats{s} },
	"acknowledged writes are lost":       func(s budget.Store) budget.Store { return lostWrites{s} },
}

// TestBrokenStoresAreCaught: a check that passes everything proves nothing. Each of these stores breaks one promise, and a
// few histories must show it.
func TestBrokenStoresAreCaught(t *testing.T) {
	const histories = 25
	for name, spoil := range brokenStores {
		t.Run(name, func(t *testing.T) {
			caught := 0
			for seed := range uint64(histories) {
				p := newPlan(seed, clientCounts, 150, 1)
				history, failed := record(t.Context(), p, []budget.Store{spoil(memstore.New(memstore.Options{}))}, nil)
				require.Empty(t, failed)
				verdict := check(p, history)
				require.NotEqual(t, porcupine.Unknown, verdict, "seed %d is undecided", seed)
				if verdict == porcupine.Illegal {
					caught++
				}
			}
			t.Logf("caught in %d of %d histories", caught, histories)
			require.Positive(t, caught)
		})
	}
}
