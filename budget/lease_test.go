package budget_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// process is one of several that share a store through leases.
type process struct {
	t      *testing.T
	line   *line
	leased *budget.LeasedStore
	ledger *budget.Ledger
}

func begin(t *testing.T, store budget.Store, limits ...budget.Limit) *process {
	p := &process{t: t, line: &line{Store: store, steps: new(atomic.Int64)}}
	var err error
	p.leased, err = budget.Lease(p.line, budget.LeaseOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.leased.Close() })
	p.ledger = open(t, p.leased, limits...)
	return p
}

// cost returns how many steps of the store something takes.
func (p *process) cost(do func()) int64 {
	before := p.line.steps.Load()
	do()
	return p.line.steps.Load() - before
}

func (p *process) reserve(s budget.Scope, nano int64) *budget.Receipt {
	p.t.Helper()
	r, err := reserve(p.ledger, s, nano)
	require.NoError(p.t, err)
	return r
}

func (p *process) settle(r *budget.Receipt, nano int64) budget.Outcome {
	p.t.Helper()
	out, err := p.ledger.Settle(p.t.Context(), r, usd(nano), false)
	require.NoError(p.t, err)
	return out
}

func (p *process) call(s budget.Scope, worst, actual int64) budget.Outcome {
	p.t.Helper()
	return p.settle(p.reserve(s, worst), actual)
}

func (p *process) refused(s budget.Scope, nano int64) *budget.ExceededError {
	p.t.Helper()
	_, err := reserve(p.ledger, s, nano)
	var e *budget.ExceededError
	require.ErrorAs(p.t, err, &e)
	return e
}

// account is where the only limit of a ledger stands: settled and pending.
func account(t *testing.T, ledger *budget.Ledger, s budget.Scope) [2]int64 {
	t.Helper()
	balances, err := ledger.Balances(t.Context(), s)
	require.NoError(t, err)
	return [2]int64{balances[0].Settled.N, balances[0].Pending.N}
}

func lifetime(nano int64) budget.Limit {
	return budget.Limit{Name: "l", Max: budget.Quantity{N: nano, Unit: budget.UnitUSD}, Window: budget.Lifetime}
}

var anyone budget.Scope

func TestALeaseServesCallsWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p := begin(t, store, lifetime(1_000_000))
		require.Equal(t, int64(2), p.cost(func() { p.call(anyone, 100, 30) }), "one look at what is left, one grant")
		require.Zero(t, p.cost(func() {
			for range 20 {
				p.call(anyone, 100, 30)
			}
		}))
		direct := open(t, store, lifetime(1_000_000))
		require.Equal(t, [2]int64{0, 800}, account(t, direct, anyone), "others see the share")
		require.Equal(t, [2]int64{630, 0}, account(t, p.ledger, anyone), "the process itself sees what it spent")
		time.Sleep(budget.DefaultLeaseLength + budget.DefaultLeaseLength/4)
		synctest.Wait()
		require.Equal(t, [2]int64{630, 0}, account(t, direct, anyone), "a process that rests keeps nothing")
	})
}

func TestALeaseGrowsWithWhatIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, memstore.New(), lifetime(1<<40))
		steps := p.cost(func() {
			for range 20_000 {
				p.call(anyone, 100, 60)
			}
		})
		require.Less(t, steps, int64(60), "20,000 calls in one moment")
	})
}

// A call that is much dearer than a share would be is reserved on its own, and leaves nothing lying idle.
func TestADearCallGoesDirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p := begin(t, store, lifetime(1000))
		p.call(anyone, 10, 10)
		r := p.reserve(anyone, 600)
		require.Equal(t, [2]int64{0, 680}, account(t, open(t, store, lifetime(1000)), anyone), "the lease of 80 and the call")
		p.settle(r, 1)
		require.Equal(t, [2]int64{1, 80}, account(t, open(t, store, lifetime(1000)), anyone))
	})
}

func TestWhatIsNotLeased(t *testing.T) {
	latch := lifetime(1 << 40)
	latch.Latch = true
	short := lifetime(1 << 40)
	short.Window = budget.Rolling(5 * time.Minute)
	for name, limit := range map[string]budget.Limit{"a latching limit": latch, "a short rolling window": short} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := begin(t, memstore.New(), limit)
				require.Equal(t, int64(20), p.cost(func() {
					for range 10 {
						p.call(anyone, 10, 10)
					}
				}))
			})
		})
	}
}

// A call is denied for want of room, never for its own process's idle shares; the numbers are those of the store.
func TestADenialIsAsTrueAsADirectOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // away from the edge of a day
		all := lifetime(1000)
		each := budget.Limit{Name: "each", Max: budget.Quantity{N: 900, Unit: budget.UnitUSD}, Window: budget.Daily, Per: budget.PerWorkflow}
		store := memstore.New()
		p := begin(t, store, all, each)
		for _, workflow := range []string{"a", "b", "c"} {
			p.call(budget.Scope{Workflow: workflow}, 10, 4) // leaves a lease of the shared limit behind
		}
		pending := p.reserve(budget.Scope{Workflow: "a"}, 10)
		require.Greater(t, account(t, open(t, store, all), anyone)[1], int64(100), "the leases")
		big := p.reserve(budget.Scope{Workflow: "d"}, 900)
		e := p.refused(budget.Scope{Workflow: "e"}, 79)
		require.Equal(t, [3]int64{1000, 12, 910}, [3]int64{e.Max.N, e.Settled.N, e.Pending.N}, "to the unit what was spent and what is in flight")
		last := p.reserve(budget.Scope{Workflow: "e"}, 78)
		require.Equal(t, [2]int64{12, 988}, account(t, p.ledger, budget.Scope{Workflow: "e"}))
		p.settle(pending, 5)
		p.settle(big, 0)
		p.settle(last, 0)
		require.NoError(t, p.leased.Close())
		require.Equal(t, [2]int64{17, 0}, account(t, open(t, store, all), anyone))
	})
}

func TestADenialIsRememberedForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		other := open(t, store, lifetime(1000))
		r, err := reserve(other, anyone, 995)
		require.NoError(t, err)
		p := begin(t, store, lifetime(1000))
		own := p.reserve(anyone, 5)
		require.Positive(t, p.cost(func() { p.refused(anyone, 10) }))
		require.Zero(t, p.cost(func() {
			for range 1000 {
				p.refused(anyone, 10)
				p.refused(anyone, 11)
			}
		}))
		require.Positive(t, p.cost(func() { p.refused(anyone, 9) }), "a smaller call might fit")
		require.NoError(t, other.Void(t.Context(), r))
		p.refused(anyone, 10)
		time.Sleep(time.Second)
		p.call(anyone, 10, 10)

		p.refused(anyone, 990)
		p.settle(own, 0)
		p.reserve(anyone, 990) // room that the process itself has made counts at once
	})
}

// Whatever is in flight stays set aside, or charged, while its lease is given back.
func TestCallsInFlightStayCovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		limit := lifetime(1_000_000)
		p := begin(t, store, limit)
		p.call(anyone, 100, 10)
		a, b := p.reserve(anyone, 100), p.reserve(anyone, 100)
		sum := func() int64 { s := account(t, open(t, store, limit), anyone); return s[0] + s[1] }
		require.Equal(t, int64(800), sum())
		time.Sleep(2 * budget.DefaultLeaseLength)
		require.Equal(t, int64(210), sum(), "what is idle was given back, what is in flight was not")
		require.Equal(t, [2]int64{10, 200}, account(t, p.ledger, anyone))
		p.settle(a, 1)
		require.GreaterOrEqual(t, sum(), int64(111))
		p.settle(b, 2)
		require.Equal(t, int64(13), sum())
		require.NoError(t, p.ledger.Correct(t.Context(), a.Reservation.ID, usd(50)))
		require.Equal(t, int64(62), sum(), "a correction of a call whose lease was given back")
	})
}

// The cap needs no clock: a process whose clock stands still goes on spending its lease, which has been charged in full.
func TestAClockThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		limit := lifetime(1000)
		stopped := time.Now()
		leased, err := budget.LeaseWithClock(store, budget.LeaseOptions{}, func() time.Time { return stopped })
		require.NoError(t, err)
		paused := open(t, leased, limit)
		spent := int64(0)
		call := func(ledger *budget.Ledger) error {
			r, err := ledger.Reserve(t.Context(), budget.Request{Worst: usd(10), TTL: time.Second})
			if err == nil {
				spent += 10
				_, err = ledger.Settle(t.Context(), r, usd(10), false)
			}
			return err
		}
		require.NoError(t, call(paused))
		time.Sleep(time.Hour)
		other := open(t, store, limit)
		require.Equal(t, [2]int64{80, 0}, account(t, other, anyone), "charged in full")
		for call(other) == nil {
		}
		require.Equal(t, int64(10+920), spent)
		for range 7 {
			require.NoError(t, call(paused), "from a lease that has lapsed")
		}
		require.Error(t, call(paused))
		require.Equal(t, int64(1000), spent)
		require.NoError(t, leased.Close())
		require.Equal(t, [2]int64{1000, 0}, account(t, other, anyone), "the truth came late and was what had been charged")
	})
}

// A call whose time is up is charged when somebody expires it, in a lease as in a store, and not unasked.
func TestACallInALeaseExpiresWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, memstore.New(), lifetime(1000))
		r, err := p.ledger.Reserve(t.Context(), budget.Request{Worst: usd(10), TTL: time.Second})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		state := func() budget.State {
			entries, err := p.leased.Entries(t.Context(), budget.Query{Max: 10})
			require.NoError(t, err)
			require.Len(t, entries, 1)
			require.Equal(t, r.Reservation.ID, entries[0].ID)
			return entries[0].State
		}
		require.Equal(t, budget.Pending, state())
		n, err := p.leased.Expire(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, budget.Expired, state())
		require.Equal(t, budget.Expired, p.settle(r, 3).From)
		require.Equal(t, [2]int64{3, 0}, account(t, p.ledger, anyone))
	})
}

// A crash loses no more than the lease, and whoever finds the truth can put it right.
func TestACrashLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p := begin(t, store, lifetime(1000))
		p.call(anyone, 10, 3)
		p.leased.Die()
		time.Sleep(time.Hour)
		ledger := open(t, store, lifetime(1000))
		require.Equal(t, [2]int64{80, 0}, account(t, ledger, anyone))
		entries, err := ledger.Entries(t.Context(), budget.Query{Max: 10, Estimated: true})
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.NoError(t, ledger.Correct(t.Context(), entries[0].ID, usd(3)))
		require.Equal(t, [2]int64{3, 0}, account(t, ledger, anyone))
	})
}

// While the store does not answer, calls go on inside the lease until its length has passed, and no longer.
func TestAnOutageOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p := begin(t, store, lifetime(1_000_000))
		p.call(anyone, 100, 1)
		p.line.down.Store(true)
		time.Sleep(budget.DefaultLeaseLength - time.Nanosecond)
		p.call(anyone, 100, 1)
		time.Sleep(time.Nanosecond)
		_, err := reserve(p.ledger, anyone, 100)
		require.ErrorIs(t, err, budget.ErrStore)
		require.ErrorIs(t, err, errDown)
		time.Sleep(time.Hour)
		direct := open(t, store, lifetime(1_000_000))
		require.Equal(t, [2]int64{800, 0}, account(t, direct, anyone), "the lease has lapsed and is charged")
		p.line.down.Store(false)
		time.Sleep(budget.DefaultLeaseLength / 4)
		synctest.Wait()
		require.Equal(t, [2]int64{2, 0}, account(t, direct, anyone), "and put right when the process is back")
	})
}

// sluggish is a store whose answers to Reserve take ten seconds.
type sluggish struct{ budget.Store }

func (s sluggish) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	time.Sleep(10 * time.Second)
	return d, err
}

// The length of a lease is measured from before it was asked for: the store has begun to count no earlier.
func TestALeaseBeginsBeforeItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, sluggish{memstore.New()}, lifetime(1_000_000))
		began := time.Now()
		p.call(anyone, 100, 1)
		require.Equal(t, 10*time.Second, time.Since(began))
		time.Sleep(time.Until(began.Add(budget.DefaultLeaseLength - time.Nanosecond)))
		require.Zero(t, p.cost(func() { p.call(anyone, 100, 1) }))
		time.Sleep(time.Nanosecond)
		require.Positive(t, p.cost(func() { p.call(anyone, 100, 1) }))
	})
}

// A grant whose answer was lost is taken back, not left to lapse.
func TestALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p := begin(t, store, lifetime(1_000_000))
		p.call(anyone, 100, 1)
		p.line.lost.Store(true)
		for range 10 {
			time.Sleep(budget.DefaultLeaseLength)
			p.line.down.Store(true)
			_, err := reserve(p.ledger, anyone, 900)
			require.ErrorIs(t, err, budget.ErrStore)
			p.line.down.Store(false)
			p.call(anyone, 900, 1)
		}
		require.NoError(t, p.leased.Close())
		require.Equal(t, [2]int64{11, 0}, account(t, open(t, store, lifetime(1_000_000)), anyone))
	})
}

// A truth beyond the worst case is posted at once, or the settlement fails: the store must not count less than was spent.
func TestATruthBeyondTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p := begin(t, store, lifetime(1000))
		direct := open(t, store, lifetime(1000))
		r := p.reserve(anyone, 10)
		out := p.settle(r, 500)
		require.Equal(t, budget.UnitUSD, out.Violated)
		require.Equal(t, [2]int64{500, 0}, account(t, direct, anyone))

		r = p.reserve(anyone, 10)
		p.line.down.Store(true)
		_, err := p.ledger.Settle(t.Context(), r, usd(300), false)
		require.ErrorIs(t, err, budget.ErrStore)
		p.line.down.Store(false)
		p.settle(r, 300)
		require.Equal(t, [2]int64{800, 0}, account(t, direct, anyone))
	})
}

// So it is while other calls are in flight, and no more is admitted anywhere in the process until the store has been asked.
func TestATruthBeyondTheLeaseOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		store := memstore.New()
		all := lifetime(1000)
		each := budget.Limit{Name: "each", Max: budget.USD(1), Window: budget.Daily, Per: budget.PerWorkflow}
		p := begin(t, store, all, each)
		direct := open(t, store, all)
		a, b := budget.Scope{Workflow: "a"}, budget.Scope{Workflow: "b"}
		p.call(b, 10, 1)
		r, other := p.reserve(a, 10), p.reserve(a, 10)
		p.settle(r, 2000)
		require.GreaterOrEqual(t, account(t, direct, anyone)[0], int64(2000))
		require.Equal(t, int64(2001), p.refused(b, 10).Settled.N)
		p.settle(other, 3)
		require.NoError(t, p.leased.Close())
		require.Equal(t, [2]int64{2004, 0}, account(t, direct, anyone))
	})
}

// A return whose answer was lost is repeated unchanged, though calls have ended since; the difference comes after it.
func TestALostAnswerToAReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p := begin(t, store, lifetime(1_000_000))
		p.call(anyone, 100, 10)
		a, b := p.reserve(anyone, 100), p.reserve(anyone, 100)
		p.line.lost.Store(true)
		p.line.down.Store(true)
		time.Sleep(2 * budget.DefaultLeaseLength)
		require.Equal(t, [2]int64{210, 0}, account(t, open(t, store, lifetime(1_000_000)), anyone), "it has arrived")
		p.settle(a, 1)
		p.settle(b, 2)
		p.line.down.Store(false)
		time.Sleep(budget.DefaultLeaseLength)
		synctest.Wait()
		require.Equal(t, [2]int64{13, 0}, account(t, open(t, store, lifetime(1_000_000)), anyone))
	})
}

func TestCloseGivesEverythingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		store := memstore.New()
		limit := budget.Limit{Name: "l", Max: budget.USD(1), Window: budget.Daily, Per: budget.PerWorkflow}
		p := begin(t, store, limit)
		for _, workflow := range []string{"a", "b", "c"} {
			p.call(budget.Scope{Workflow: workflow}, 100, 7)
		}
		p.reserve(budget.Scope{Workflow: "c"}, 100)
		require.NoError(t, p.leased.Close())
		require.NoError(t, p.leased.Close())
		direct := open(t, store, limit)
		for workflow, want := range map[string][2]int64{"a": {7, 0}, "b": {7, 0}, "c": {107, 0}} {
			require.Equal(t, want, account(t, direct, budget.Scope{Workflow: workflow}), "the call in flight is charged, as expiry would")
		}
		_, err := reserve(p.ledger, anyone, 1)
		require.ErrorIs(t, err, budget.ErrStore)

		p = begin(t, store, limit)
		p.call(anyone, 100, 7)
		p.line.down.Store(true)
		require.ErrorIs(t, p.leased.Close(), errDown)
	})
}

func TestLeaseOptions(t *testing.T) {
	for _, o := range []budget.LeaseOptions{{Length: -1}, {Length: time.Millisecond}, {Length: time.Hour}, {Retention: -1}} {
		_, err := budget.Lease(memstore.New(), o)
		require.ErrorIs(t, err, budget.ErrInvalidPolicy, "%+v", o)
	}
	_, err := budget.Lease(nil, budget.LeaseOptions{})
	require.ErrorIs(t, err, budget.ErrInvalidPolicy)
}

// What was resolved in a lease can be corrected for a while; after that the error says what to correct instead.
func TestCorrectAfterTheCallIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p := begin(t, store, lifetime(1_000_000))
		r := p.reserve(anyone, 100)
		p.settle(r, 100)
		require.NoError(t, p.ledger.Correct(t.Context(), r.Reservation.ID, usd(40)))
		require.Equal(t, [2]int64{40, 0}, account(t, p.ledger, anyone))
		time.Sleep(budget.DefaultLeaseRetention)
		require.NoError(t, p.ledger.Correct(t.Context(), r.Reservation.ID, usd(41)))
		time.Sleep(budget.DefaultLeaseRetention + 2*budget.DefaultLeaseLength)
		err := p.ledger.Correct(t.Context(), r.Reservation.ID, usd(42))
		require.ErrorIs(t, err, budget.ErrNotFound)
		require.ErrorContains(t, err, "inside a lease")
		require.Equal(t, [2]int64{41, 0}, account(t, open(t, store, lifetime(1_000_000)), anyone))
		entries, err := p.ledger.Entries(t.Context(), budget.Query{Max: 10})
		require.NoError(t, err)
		require.Len(t, entries, 1, "the lease stands for its calls")
		require.Equal(t, int64(41), entries[0].Actual[budget.UnitUSD])
	})
}

func TestOverridesReachLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		here, there := begin(t, store, lifetime(1_000_000)), begin(t, store, lifetime(1_000_000))
		here.call(anyone, 100, 10)
		there.call(anyone, 100, 10)
		require.NoError(t, here.ledger.Override(t.Context(), "l", anyone, budget.Quantity{N: 15, Unit: budget.UnitUSD}, time.Now().Add(time.Hour)))
		here.refused(anyone, 100)
		there.call(anyone, 100, 10) // from its lease
		time.Sleep(budget.DefaultLeaseLength)
		there.refused(anyone, 100)
	})
}

// brokenAnswers is a store that answers fewer questions than it was asked.
type brokenAnswers struct{ budget.Store }

func (brokenAnswers) Balances(context.Context, []budget.Line) ([]budget.Balance, error) {
	return nil, nil
}

func TestAStoreThatAnswersTooLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leased, err := budget.Lease(brokenAnswers{memstore.New()}, budget.LeaseOptions{})
		require.NoError(t, err)
		defer leased.Close()
		_, err = reserve(open(t, leased, lifetime(100)), anyone, 1)
		require.ErrorIs(t, err, budget.ErrStore)
	})
}

// Amounts near the end of int64 neither wrap nor count as nothing.
func TestLeasesDoNotWrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, memstore.New(), lifetime(math.MaxInt64))
		p.call(anyone, math.MaxInt64/4, math.MaxInt64/4)
		p.call(anyone, math.MaxInt64/4, math.MaxInt64/4)
		r := p.reserve(anyone, 1)
		_, err := p.ledger.Settle(t.Context(), r, usd(math.MaxInt64), false)
		require.ErrorIs(t, err, budget.ErrOverflow)
		p.settle(r, 1)
		require.Equal(t, [2]int64{math.MaxInt64/4*2 + 1, 0}, account(t, p.ledger, anyone))
		require.False(t, errors.Is(err, budget.ErrStore))
	})
}
