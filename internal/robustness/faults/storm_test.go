package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

const (
	stormHandles  = 4
	stormWorkers  = 8
	stormSteps    = 30
	stormAccounts = 6
)

// storm is many callers, over many handles, in few accounts.
type storm struct {
	stores []budget.Store
	lines  []driver.Line
	errs   chan error

	mu     sync.Mutex
	booked map[budget.ID][]driver.Line
}

func newStorm(t *testing.T, server backend.Server) *storm {
	s := &storm{errs: make(chan error, stormWorkers), booked: make(map[budget.ID][]driver.Line)}
	address := server.NewLedger(t)
	for range stormHandles {
		s.stores = append(s.stores, backend.MustOpen(t, address))
	}
	for a := range stormAccounts {
		s.lines = append(s.lines, driver.Line{Account: budget.Key{byte(a + 1)}, Unit: budget.UnitUSD, Window: budget.Lifetime, Max: 1 << 40})
	}
	return s
}

// TestAStormOfStepsEndsInOrder: steps that touch the same accounts in every order, expiry and administration among them,
// neither fail for one another's sake nor lose an amount. A store that locks accounts in the order in which it meets them
// ends here in deadlocks.
func TestAStormOfStepsEndsInOrder(t *testing.T) {
	backend.Each(t, nil, func(t *testing.T, _ backend.Backend, server backend.Server) {
		s := newStorm(t, server)
		var workers sync.WaitGroup
		for w := range stormWorkers {
			workers.Go(func() {
				random := rand.New(rand.NewPCG(uint64(w), 5))
				for range stormSteps {
					if err := s.step(t.Context(), s.stores[random.IntN(stormHandles)], random); err != nil {
						s.errs <- err
						return
					}
				}
			})
		}
		workers.Wait()
		close(s.errs)
		for err := range s.errs {
			t.Error(err)
		}
		s.addsUp(t)
		if d, ok := server.(interface{ Deadlocks() (int64, error) }); ok {
			n, err := d.Deadlocks()
			require.NoError(t, err)
			require.Zero(t, n, "deadlocks")
		}
	})
}

// step is something that callers and operators do.
func (s *storm) step(ctx context.Context, store budget.Store, random *rand.Rand) error {
	r := driver.Reservation{ID: driver.NewID(), Owner: budget.Key{1}, Charge: usd(1 + random.Int64N(9)), TTL: time.Hour}
	for _, l := range s.lines {
		if random.IntN(2) == 0 {
			r.Lines = append(r.Lines, l)
		}
	}
	if random.IntN(3) == 0 {
		r.TTL = time.Microsecond
	}
	s.note(r.ID, r.Lines)
	if _, err := store.Reserve(ctx, r); err != nil {
		return err
	}
	var err error
	switch random.IntN(8) {
	case 0:
		err = store.Void(ctx, r.ID, r.Owner)
	case 1:
		_, err = store.Expire(ctx, 50)
	case 2:
		keys := make([]budget.Key, len(s.lines))
		for i, at := range random.Perm(len(keys)) {
			keys[i] = s.lines[at].Account
		}
		err = store.Unlatch(ctx, keys, storetest.NewChange())
	case 3:
		err = store.Override(ctx, s.lines[random.IntN(len(s.lines))].Account, &budget.Override{Max: 1 << 41, Until: time.Now().Add(time.Hour)}, storetest.NewChange())
	case 4: // left to expire, or for ever
	case 5:
		orphan := driver.NewID()
		s.note(orphan, r.Lines)
		_, err = store.Settle(ctx, driver.Settlement{ID: orphan, Owner: r.Owner, Actual: usd(1), Lines: r.Lines})
	default:
		if _, err = store.Settle(ctx, driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(random.Int64N(12)), Lines: r.Lines}); err == nil {
			_, err = store.Correct(ctx, driver.Correction{ID: r.ID, Actual: usd(random.Int64N(12)), Change: storetest.NewChange()})
		}
	}
	if errors.Is(err, driver.ErrResolved) { // somebody expired it
		err = nil
	}
	return err
}

// note remembers where a reservation is booked.
func (s *storm) note(id budget.ID, lines []driver.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.booked[id] = lines
}

// addsUp compares the accounts with what the entries booked in them say.
func (s *storm) addsUp(t *testing.T) {
	entries := entriesOf(t.Context(), t, s.stores[0])
	balances, err := s.stores[0].Balances(t.Context(), s.lines)
	require.NoError(t, err)
	for i, l := range s.lines {
		var settled, pending int64
		for id, booked := range s.booked {
			if !slices.ContainsFunc(booked, func(b driver.Line) bool { return b.Account == l.Account }) {
				continue
			}
			e := entries[id]
			settled += e.Actual[budget.UnitUSD]
			if e.State == driver.Pending {
				pending += e.Reserved[budget.UnitUSD]
			}
		}
		require.Equal(t, [2]int64{settled, pending}, [2]int64{balances[i].Settled, balances[i].Pending}, "settled and pending of account %d", i)
	}
}

// TestNothingIsAdmittedOnceKillHasReturned: what is not in the ledger when Kill returns does not get into it later, in
// whatever process it was asked for.
func TestNothingIsAdmittedOnceKillHasReturned(t *testing.T) {
	backend.Each(t, nil, func(t *testing.T, _ backend.Backend, server backend.Server) {
		for range 3 {
			s := newStorm(t, server)
			scope := budget.Scope{Workflow: "w"}
			var admitted atomic.Int64
			var workers sync.WaitGroup
			for w := range stormWorkers {
				workers.Go(func() {
					for range 1000 {
						d, err := s.stores[w%stormHandles].Reserve(t.Context(), driver.Reservation{
							ID: driver.NewID(), Owner: budget.Key{1}, Charge: usd(1), Lines: s.lines, Dims: scope.Dims(), TTL: time.Hour,
						})
						if err != nil || !d.Admitted {
							return
						}
						admitted.Add(1)
					}
				})
			}
			eventually(t, func() error {
				if admitted.Load() < 20 {
					return errors.New("not under way yet")
				}
				return nil
			})
			require.NoError(t, s.stores[0].Kill(t.Context(), budget.Kill{Scope: scope, Reason: "stop"}, storetest.NewChange()))
			then := entriesOf(t.Context(), t, s.stores[1])
			workers.Wait()
			for id := range entriesOf(t.Context(), t, s.stores[1]) {
				_, known := then[id]
				require.True(t, known, "a reservation became visible after Kill had returned")
			}
		}
	})
}
