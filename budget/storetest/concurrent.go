package storetest

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The rules of concurrent steps. s.reopen returns another handle on the same ledger, as another process would have it; a store that lives in one
// process has none. s.newReservation returns a reservation that is not sent to the store. s.remember notes where a reservation is booked, so that the
// accounts can be added up at the end. A hold is what a pending reservation has set aside.
var concurrentRules = []rule{
	{"ConcurrentReservesStayWithinTheLimit", "check and spend are one step: many callers at a tight limit, over all handles, never exceed it together", func(s *subject) {
		stores := []driver.Store{s.store}
		if s.h.Reopen != nil {
			stores = append(stores, s.reopen())
		}
		// Only a and b ever refuse: the Max of c is never reached.
		lines := sorted(line("a", driver.Daily, 20), line("b", driver.Rolling(time.Hour), 25), line("c", driver.Lifetime, 1<<40))
		var workers, watcher sync.WaitGroup
		var admitted, done atomic.Int64
		// watch looks at the balances again and again, until done is 1, while the workers compete.
		watcher.Go(func() { s.watch(lines, &done) })
		for w := range s.h.Workers {
			workers.Go(func() {
				admitted.Add(s.compete(stores[w%len(stores)], rand.New(rand.NewPCG(uint64(w), 1)), lines))
			})
		}
		workers.Wait()
		done.Store(1)
		watcher.Wait()
		require.Positive(s.t, admitted.Load())
	}},
	{"ConcurrentReplaysAreAdmittedOnce", "the same reservation from many callers at once is one hold", func(s *subject) {
		l := line("a", driver.Daily, 100)
		for range 20 {
			r := s.newReservation(3, l)
			// Noted before the workers send the reservation, because any of them may be the one that is admitted.
			s.remember(r.ID, r.Lines)
			var fresh atomic.Int64
			var workers sync.WaitGroup
			for range s.h.Workers {
				workers.Go(func() {
					d, err := s.store.Reserve(s.ctx, r)
					if err == nil && d.Admitted && !d.Replayed {
						fresh.Add(1)
					}
				})
			}
			workers.Wait()
			require.Equal(s.t, int64(1), fresh.Load())
			s.requireBalance(l, 0, 3)
			s.void(r)
		}
	}},
	{"ConcurrentResolutionsHappenOnce", "settle, void and expiry race, and one of them wins", func(s *subject) {
		l := line("a", driver.Lifetime, 1<<40)
		for range 20 {
			r := s.reserve(3, l)
			s.clock.Advance(r.TTL) // so that Expire may charge it
			var workers sync.WaitGroup
			for w := range s.h.Workers {
				workers.Go(func() {
					// Results are dropped: any order is right. After the rule the accounts are added up from the entries (verifySums).
					switch w % 3 {
					case 0:
						_, _ = s.store.Settle(s.ctx, s.settlement(r, 2))
					case 1:
						_ = s.store.Void(s.ctx, r.ID, r.Owner)
					default:
						_, _ = s.store.Expire(s.ctx, 10)
					}
				})
			}
			workers.Wait()
		}
		require.Zero(s.t, s.balance(l).Pending)
	}},
	{"ConcurrentKillIsFinal", "once Kill has returned, no Reserve that begins later is admitted by any handle", func(s *subject) {
		stores := []driver.Store{s.store}
		if s.h.Reopen != nil {
			stores = append(stores, s.reopen())
		}
		race := killRace{enough: make(chan struct{})}
		var workers sync.WaitGroup
		for w := range s.h.Workers {
			workers.Go(func() { s.raceWithKill(stores[w%len(stores)], &race) })
		}
		workers.Go(func() {
			<-race.enough
			if err := s.store.Kill(s.ctx, driver.Kill{Scope: driver.Scope{Workflow: callScope.Workflow}, Reason: "stop"}, NewChange()); err != nil {
				s.t.Error(err)
			}
			// killed is set even if the Kill has failed, because the workers end only after that.
			race.killed.Store(true)
		})
		workers.Wait()
		require.GreaterOrEqual(s.t, race.admitted.Load(), int64(50), "admitted before Kill")
		require.Zero(s.t, race.late.Load(), "admitted after Kill returned")
	}},
}

// killRace is what the workers of ConcurrentKillIsFinal share with the goroutine that kills their scope.
type killRace struct {
	asked    atomic.Int64
	admitted atomic.Int64
	late     atomic.Int64 // those that were admitted although they began after the Kill
	killed   atomic.Bool  // the Kill has returned
	// enough is closed once some were admitted; or ten thousand were refused, so that a store that refuses everything does not hang the suite.
	enough chan struct{}
	once   sync.Once // to close enough
}

// raceWithKill makes calls of callScope until 20 have begun after the Kill.
func (s *subject) raceWithKill(store driver.Store, race *killRace) {
	for n := 0; n < 20; {
		// killed is read before the call begins: a call that overlaps the Kill may be admitted or refused.
		after := race.killed.Load()
		r := s.newReservation(1, line("a", driver.Lifetime, 1<<40))
		r.Dims = callScope.Dims()
		d, err := store.Reserve(s.ctx, r)
		if err == nil && d.Admitted {
			s.remember(r.ID, r.Lines)
			race.admitted.Add(1)
			if after {
				race.late.Add(1)
			}
		}
		if race.asked.Add(1) >= 10_000 || race.admitted.Load() >= 50 {
			race.once.Do(func() { close(race.enough) })
		}
		if after {
			n++
		}
	}
}

// compete makes 60 reservations and settles, voids or abandons at random those that are admitted. It returns how many were.
func (s *subject) compete(store driver.Store, random *rand.Rand, lines []driver.Line) (admitted int64) {
	for range 60 {
		r := s.newReservation(1+random.Int64N(9), lines...)
		d, err := store.Reserve(s.ctx, r)
		if err != nil {
			s.t.Errorf("reserve: %v", err)
			return admitted
		}
		if !d.Admitted {
			continue
		}
		s.remember(r.ID, r.Lines)
		admitted++
		// The caller looks before it gives its amount back: whoever watches from outside may get no turn while an overshoot lasts.
		if !s.look(lines) {
			return admitted
		}
		// Most are voided, so that the limit stays tight and contested to the end.
		switch random.IntN(20) {
		case 0:
			_, err = store.Settle(s.ctx, s.settlement(r, 1))
		case 1: // abandoned
		default:
			err = store.Void(s.ctx, r.ID, r.Owner)
		}
		if err != nil {
			s.t.Errorf("resolve: %v", err)
		}
	}
	return admitted
}

// watch looks at the balances in every state that it sees, until done is 1 or something is wrong.
func (s *subject) watch(lines []driver.Line, done *atomic.Int64) {
	for done.Load() == 0 && s.look(lines) {
	}
}

// look asserts that no limit is exceeded and that lines booked together agree. It returns false if not. It runs in goroutines of the test's own, where
// a test must not be ended by require.
func (s *subject) look(lines []driver.Line) bool {
	all, err := s.store.Balances(s.ctx, lines)
	if err != nil {
		s.t.Errorf("balances: %v", err)
		return false
	}
	for i, b := range all {
		if b.Settled+b.Pending > b.Max {
			s.t.Errorf("line %d: %d settled and %d pending exceed %d", i, b.Settled, b.Pending, b.Max)
			return false
		}
		// All reservations are in all lines, and no window ends meanwhile.
		if b.Settled != all[0].Settled || b.Pending != all[0].Pending {
			s.t.Errorf("lines that are booked together stand at %+v and %+v: a step is visible in part", all[0], b)
			return false
		}
	}
	return true
}
