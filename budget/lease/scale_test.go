package lease_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// Ten thousand processes share one limit: they use all of it, never a nano-USD more, and ask the store once in three calls.
func TestLeasesOfTenThousandHolders(t *testing.T) {
	holders := 10_000
	if raceDetector || testing.Short() {
		holders /= 10
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, int64(holders)*25*worstCall)
		f.run(holders)
		perCall := func(steps, calls int64) float64 { return float64(steps) / float64(calls) }
		used := func(n int64) float64 { return 100 * float64(n) / float64(f.limit.Max.N) }
		t.Logf("%d holders: %d calls admitted, %d denied, %d steps of the store until the last call, %d in all", holders, f.calls.Load(), f.denied.Load(), f.drained.Load(), f.steps.Load())
		t.Logf("steps a call: %.3f before the first denial, %.3f until the limit was used up", perCall(f.stepsAtFirst, f.callsAtFirst), perCall(f.drained.Load(), f.calls.Load()))
		t.Logf("used of the limit: %.2f %% at the first denial, %.4f %% in the end", used(f.spentAtFirst), used(f.spent.Load()))
		settled := f.stands().Settled.N
		require.Zero(t, f.overshot.Load(), "nano-USD spent beyond the limit")
		require.Equal(t, f.spent.Load(), settled, "what was spent, and what the store was told")
		require.GreaterOrEqual(t, used(settled), 99.0)
		require.LessOrEqual(t, perCall(f.drained.Load(), f.calls.Load()), 0.35)
	})
}

// troubled is a fleet in which lines fail for minutes, with and without the loss of what was under way, calls outlast
// their reservations, and with deaths set processes end in the middle of a call and come back as new ones.
func troubled(t *testing.T, deaths bool) *fleet {
	f := newFleet(t, 200*25*worstCall)
	f.fate = func(h *holder) {
		if h.line.down.Load() && time.Now().After(h.heals) {
			h.line.down.Store(false)
		}
		switch p := h.random.IntN(400); {
		case p < 4: // the line fails
			h.line.lost.Store(p < 2)
			h.line.down.Store(true)
			h.heals = time.Now().Add(time.Duration(h.random.Int64N(int64(10 * time.Minute))))
		case p == 4: // a call is settled long after everything has expired
			if r, err := h.ledger.Reserve(context.Background(), budget.Request{Worst: usd(worstCall), TTL: time.Second}); err == nil {
				cost := h.send()
				h.pause(10 * time.Minute)
				h.settle(r, cost)
			}
		case p < 8 && deaths:
			if _, err := h.ledger.Reserve(context.Background(), budget.Request{Worst: usd(worstCall), TTL: time.Minute}); err == nil {
				h.send()
			}
			h.leased.Die()
			h.line.down.Store(false)
			h.lost.Add(1)
			h.open()
		}
	}
	return f
}

// Whatever happens to lines and processes, no more is spent than the limit, and the store counts no less than was spent.
// It counts more only for calls of which nobody knows whether they were made.
func TestLeasesSurviveFailuresOfTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := troubled(t, false)
		f.run(200)
		settled := f.stands().Settled.N
		t.Logf("%d calls, %d of unknown fate, %d denied; spent %.2f %%, counted %.2f %%", f.calls.Load(), f.unknown.Load(), f.denied.Load(),
			100*float64(f.spent.Load())/float64(f.limit.Max.N), 100*float64(settled)/float64(f.limit.Max.N))
		require.Zero(t, f.overshot.Load(), "nano-USD spent beyond the limit")
		require.LessOrEqual(t, settled, f.limit.Max.N)
		require.GreaterOrEqual(t, settled, f.spent.Load())
		require.LessOrEqual(t, settled-f.spent.Load(), f.unknown.Load()*worstCall)
		require.Positive(t, f.unknown.Load())
	})
}

func TestLeasesSurviveDeaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := troubled(t, true)
		f.run(200)
		settled := f.stands().Settled.N
		t.Logf("%d calls, %d deaths; spent %.2f %%, counted %.2f %%", f.calls.Load(), f.lost.Load(),
			100*float64(f.spent.Load())/float64(f.limit.Max.N), 100*float64(settled)/float64(f.limit.Max.N))
		require.Zero(t, f.overshot.Load(), "nano-USD spent beyond the limit")
		require.LessOrEqual(t, settled, f.limit.Max.N)
		require.GreaterOrEqual(t, settled, f.spent.Load(), "a dead process's lease is charged")
		require.GreaterOrEqual(t, settled, f.limit.Max.N/100*99)
		require.Positive(t, f.lost.Load())
	})
}

// spoiled is a store with one promise broken that leases rest on.
type spoiled struct {
	driver.Store
	mu  sync.Mutex
	due map[driver.ID]due

	reserve func(driver.Reservation) driver.Reservation
	settle  func(driver.Settlement, driver.Reservation) driver.Settlement
	release bool // what expires
}

type due struct {
	driver.Reservation
	at time.Time
}

func (s *spoiled) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	asked := r
	if s.reserve != nil {
		r = s.reserve(r)
	}
	d, err := s.Store.Reserve(ctx, r)
	if d.Admitted {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.due[r.ID] = due{asked, d.ExpiresAt}
	}
	return d, err
}

func (s *spoiled) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	s.mu.Lock()
	r := s.due[st.ID]
	delete(s.due, st.ID)
	s.mu.Unlock()
	if s.settle != nil {
		st = s.settle(st, r.Reservation)
	}
	return s.Store.Settle(ctx, st)
}

func (s *spoiled) Expire(ctx context.Context, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.due {
		if s.release && !time.Now().Before(r.at) {
			_ = s.Void(ctx, id, r.Owner)
			delete(s.due, id)
		}
	}
	return s.Store.Expire(ctx, limit)
}

// The tests above have teeth: each of these breaks the cap, and they see it.
func TestTheFleetCatchesBrokenLeases(t *testing.T) {
	for name, broken := range map[string]*spoiled{
		"releases what lapses": {release: true},
		"lets a process spend twice its share": {reserve: func(r driver.Reservation) driver.Reservation {
			r.Charge[driver.UnitUSD] /= 2
			return r
		}},
		"takes the rest of a lease back twice": {settle: func(st driver.Settlement, r driver.Reservation) driver.Settlement {
			rest := r.Charge[driver.UnitUSD] - st.Actual[driver.UnitUSD]
			st.Actual[driver.UnitUSD] = max(st.Actual[driver.UnitUSD]-rest, 0)
			st.Shares = nil
			return st
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := troubled(t, true)
				broken.Store, broken.due = memstore.New(memstore.Options{}), make(map[driver.ID]due)
				f.store = broken
				f.run(200)
				require.Positive(t, f.overshot.Load())
			})
		})
	}
}

// perPrincipal is a fleet's policy: one limit for all and one for each.
func perPrincipal(t *testing.T) *process {
	p := begin(t, memstore.New(memstore.Options{}),
		budget.Limit{Name: "all", Max: budget.USD(1000), Window: driver.Daily},
		budget.Limit{Name: "each", Max: budget.USD(1), Window: driver.Daily, Per: budget.PerPrincipal})
	p.line.delay.Store(int64(10 * time.Millisecond))
	return p
}

// A process whose calls fall under a hundred new sets of accounts a second keeps up with giving their leases back, no call
// pays for those of others, and Close gives the rest back.
func TestLeasesOnManyAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seconds := 180
		if raceDetector {
			seconds /= 3
		}
		p := perPrincipal(t)
		var slowest atomic.Int64
		var calls sync.WaitGroup
		for n := range 100 * seconds {
			calls.Go(func() {
				since := time.Now()
				r, err := reserve(p.ledger, driver.Scope{Principal: strconv.Itoa(n)}, 100)
				if !assert.NoError(t, err) {
					return
				}
				for took := int64(time.Since(since)); ; {
					if old := slowest.Load(); took <= old || slowest.CompareAndSwap(old, took) {
						break
					}
				}
				time.Sleep(2 * time.Second)
				_, err = p.ledger.Settle(context.Background(), r, usd(10), false)
				assert.NoError(t, err)
			})
			time.Sleep(10 * time.Millisecond)
		}
		live, _ := p.leased.Remembered()
		require.Less(t, live, 100*46, "leases of more than one length and a half")
		require.Less(t, time.Duration(slowest.Load()), time.Second)
		calls.Wait()
		require.NoError(t, p.leased.Close())
	})
}

// A call is denied only after idle leases were given back, many at a time.
func TestADenialGivesManyLeasesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := perPrincipal(t)
		for n := range 320 {
			p.call(driver.Scope{Principal: strconv.Itoa(n)}, 100, 10)
		}
		since := time.Now()
		p.refused(driver.Scope{Principal: "0"}, 2e9)
		require.Less(t, time.Since(since), 320*10*time.Millisecond/8)
	})
}
