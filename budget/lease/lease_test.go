package lease_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func open(t testing.TB, store driver.Store, limits ...budget.Limit) *budget.Ledger {
	ledger, err := budget.Open(context.Background(), store, budget.Policy{Limits: limits})
	require.NoError(t, err)
	return ledger
}

// usd charges so many nano-USD and one call.
func usd(nano int64) driver.Charge {
	var c driver.Charge
	c[driver.UnitUSD], c[driver.UnitCalls] = nano, 1
	return c
}

func reserve(ledger *budget.Ledger, s driver.Scope, nano int64) (*budget.Receipt, error) {
	return ledger.Reserve(context.Background(), budget.Request{Scope: s, Worst: usd(nano)})
}

// process is one of several that share a store through leases.
type process struct {
	t      *testing.T
	line   *line
	leased *lease.Store
	ledger *budget.Ledger
}

func begin(t *testing.T, store driver.Store, limits ...budget.Limit) *process {
	p := &process{t: t, line: &line{Store: store, steps: new(atomic.Int64)}}
	var err error
	p.leased, err = lease.New(p.line, lease.Options{})
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

func (p *process) reserve(s driver.Scope, nano int64) *budget.Receipt {
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

func (p *process) call(s driver.Scope, worst, actual int64) budget.Outcome {
	p.t.Helper()
	return p.settle(p.reserve(s, worst), actual)
}

func (p *process) refused(s driver.Scope, nano int64) *budget.ExceededError {
	p.t.Helper()
	_, err := reserve(p.ledger, s, nano)
	var e *budget.ExceededError
	require.ErrorAs(p.t, err, &e)
	return e
}

// account is where the only limit of a ledger stands: settled and pending.
func account(t *testing.T, ledger *budget.Ledger, s driver.Scope) [2]int64 {
	t.Helper()
	balances, err := ledger.Balances(t.Context(), s)
	require.NoError(t, err)
	return [2]int64{balances[0].Settled.N, balances[0].Pending.N}
}

func lifetime(nano int64) budget.Limit {
	return budget.Limit{Name: "l", Max: driver.Quantity{N: nano, Unit: driver.UnitUSD}, Window: driver.Lifetime}
}

var anyone driver.Scope

func TestALeaseServesCallsWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
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
		time.Sleep(lease.DefaultLength + lease.DefaultLength/4)
		synctest.Wait()
		require.Equal(t, [2]int64{630, 0}, account(t, direct, anyone), "a process that rests keeps nothing")
	})
}

func TestALeaseGrowsWithWhatIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, memstore.New(memstore.Options{}), lifetime(1<<40))
		steps := p.cost(func() {
			for range 20_000 {
				p.call(anyone, 100, 60)
			}
		})
		require.Less(t, steps, int64(60), "20,000 calls in one moment")
	})
}

// heldBalances is a store that answers Balances once it may.
type heldBalances struct {
	driver.Store
	goOn chan struct{} // nil holds nothing back
}

func (h *heldBalances) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	if h.goOn != nil {
		<-h.goOn
	}
	return h.Store.Balances(ctx, lines)
}

// One id that is reserved twice at once is booked once, whether the lease admits it or the store.
func TestOneReservationMadeTwiceAtOnce(t *testing.T) {
	for _, limit := range []int64{100, 150} {
		synctest.Test(t, func(t *testing.T) {
			store := &heldBalances{Store: memstore.New(memstore.Options{})}
			p := begin(t, store, lifetime(limit))
			lines := []driver.Line{{Account: driver.Key{1}, Unit: driver.UnitUSD, Window: driver.Lifetime, Max: limit}}
			reserve := func(id driver.ID, nano int64) {
				d, err := p.leased.Reserve(context.Background(), driver.Reservation{ID: id, Charge: usd(nano), Lines: lines, TTL: time.Minute})
				if err != nil || !d.Admitted {
					t.Error(d, err)
				}
			}
			settle := func(id driver.ID, nano int64) driver.Posting {
				posting, err := p.leased.Settle(t.Context(), driver.Settlement{ID: id, Actual: usd(nano), Lines: lines})
				require.NoError(t, err)
				return posting
			}
			ids := []driver.ID{driver.NewID(), driver.NewID(), driver.NewID(), driver.NewID(), driver.NewID()}
			for _, id := range ids {
				reserve(id, 10)
			}
			store.goOn = make(chan struct{})
			id := driver.NewID()
			var work sync.WaitGroup
			work.Go(func() { reserve(id, 40) }) // there is too little room in the lease, and another one would be too dear
			synctest.Wait()
			for _, other := range ids {
				settle(other, 0)
			}
			reserve(id, 40) // now there is room
			close(store.goOn)
			work.Wait()
			require.Equal(t, driver.Pending, settle(id, 40).From)
			require.NoError(t, p.leased.Close())
			balances, err := store.Store.Balances(t.Context(), lines)
			require.NoError(t, err)
			require.Equal(t, [2]int64{40, 0}, [2]int64{balances[0].Settled, balances[0].Pending})
		})
	}
}

// A call that is much dearer than a share would be is reserved on its own, and leaves nothing lying idle.
func TestADearCallGoesDirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
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
	short.Window = driver.Rolling(5 * time.Minute)
	for name, limit := range map[string]budget.Limit{"a latching limit": latch, "a short rolling window": short} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := begin(t, memstore.New(memstore.Options{}), limit)
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
		each := budget.Limit{Name: "each", Max: driver.Quantity{N: 900, Unit: driver.UnitUSD}, Window: driver.Daily, Per: budget.PerWorkflow}
		store := memstore.New(memstore.Options{})
		p := begin(t, store, all, each)
		for _, workflow := range []string{"a", "b", "c"} {
			p.call(driver.Scope{Workflow: workflow}, 10, 4) // leaves a lease of the shared limit behind
		}
		pending := p.reserve(driver.Scope{Workflow: "a"}, 10)
		require.Greater(t, account(t, open(t, store, all), anyone)[1], int64(100), "the leases")
		big := p.reserve(driver.Scope{Workflow: "d"}, 900)
		e := p.refused(driver.Scope{Workflow: "e"}, 79)
		require.Equal(t, [3]int64{1000, 12, 910}, [3]int64{e.Max.N, e.Settled.N, e.Pending.N}, "to the unit what was spent and what is in flight")
		last := p.reserve(driver.Scope{Workflow: "e"}, 78)
		require.Equal(t, [2]int64{12, 988}, account(t, p.ledger, driver.Scope{Workflow: "e"}))
		p.settle(pending, 5)
		p.settle(big, 0)
		p.settle(last, 0)
		require.NoError(t, p.leased.Close())
		require.Equal(t, [2]int64{17, 0}, account(t, open(t, store, all), anyone))
	})
}

func TestADenialIsRememberedForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
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

func TestCloseGivesEverythingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		store := memstore.New(memstore.Options{})
		limit := budget.Limit{Name: "l", Max: budget.USD(1), Window: driver.Daily, Per: budget.PerWorkflow}
		p := begin(t, store, limit)
		for _, workflow := range []string{"a", "b", "c"} {
			p.call(driver.Scope{Workflow: workflow}, 100, 7)
		}
		p.reserve(driver.Scope{Workflow: "c"}, 100)
		require.NoError(t, p.leased.Close())
		require.NoError(t, p.leased.Close())
		direct := open(t, store, limit)
		for workflow, want := range map[string][2]int64{"a": {7, 0}, "b": {7, 0}, "c": {107, 0}} {
			require.Equal(t, want, account(t, direct, driver.Scope{Workflow: workflow}), "the call in flight is charged, as expiry would")
		}
		_, err := reserve(p.ledger, anyone, 1)
		require.ErrorIs(t, err, budget.ErrStore)

		p = begin(t, store, limit)
		p.call(anyone, 100, 7)
		p.line.down.Store(true)
		require.ErrorIs(t, p.leased.Close(), errDown)
	})
}

func TestOptions(t *testing.T) {
	for _, o := range []lease.Options{{Length: -1}, {Length: time.Millisecond}, {Length: time.Hour}, {Retention: -1}, {MaxRemembered: -1}} {
		_, err := lease.New(memstore.New(memstore.Options{}), o)
		require.ErrorIs(t, err, driver.ErrInvalidPolicy, "%+v", o)
	}
	_, err := lease.New(nil, lease.Options{})
	require.ErrorIs(t, err, driver.ErrInvalidPolicy)
}

// What was resolved in a lease can be corrected for a while; after that the error says what to correct instead.
func TestCorrectAfterTheCallIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		p := begin(t, store, lifetime(1_000_000))
		r := p.reserve(anyone, 100)
		p.settle(r, 100)
		require.NoError(t, p.ledger.Correct(t.Context(), r.Reservation.ID, usd(40)))
		require.Equal(t, [2]int64{40, 0}, account(t, p.ledger, anyone))
		time.Sleep(lease.DefaultRetention)
		require.NoError(t, p.ledger.Correct(t.Context(), r.Reservation.ID, usd(41)))
		time.Sleep(lease.DefaultRetention + 2*lease.DefaultLength)
		err := p.ledger.Correct(t.Context(), r.Reservation.ID, usd(42))
		require.ErrorIs(t, err, driver.ErrNotFound)
		require.ErrorContains(t, err, "inside a lease")
		require.Equal(t, [2]int64{41, 0}, account(t, open(t, store, lifetime(1_000_000)), anyone))
		entries, err := storetest.Collect(p.ledger.Entries(t.Context(), driver.Query{Max: 10}))
		require.NoError(t, err)
		require.Len(t, entries, 1, "the lease stands for its calls")
		require.Equal(t, int64(41), entries[0].Actual[driver.UnitUSD])
	})
}

func TestOverridesReachLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		here, there := begin(t, store, lifetime(1_000_000)), begin(t, store, lifetime(1_000_000))
		here.call(anyone, 100, 10)
		there.call(anyone, 100, 10)
		require.NoError(t, storetest.Done(here.ledger.Override(t.Context(), "l", anyone, driver.Quantity{N: 15, Unit: driver.UnitUSD}, time.Now().Add(time.Hour))))
		here.refused(anyone, 100)
		there.call(anyone, 100, 10) // from its lease
		time.Sleep(lease.DefaultLength)
		there.refused(anyone, 100)
	})
}

// brokenAnswers is a store that answers fewer questions than it was asked.
type brokenAnswers struct{ driver.Store }

func (brokenAnswers) Balances(context.Context, []driver.Line) ([]driver.Balance, error) {
	return nil, nil
}

func TestAStoreThatAnswersTooLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leased, err := lease.New(brokenAnswers{memstore.New(memstore.Options{})}, lease.Options{})
		require.NoError(t, err)
		defer leased.Close()
		_, err = reserve(open(t, leased, lifetime(100)), anyone, 1)
		require.ErrorIs(t, err, budget.ErrStore)
	})
}

// Amounts near the end of int64 neither wrap nor count as nothing.
func TestLeasesDoNotWrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, memstore.New(memstore.Options{}), lifetime(math.MaxInt64))
		p.call(anyone, math.MaxInt64/4, math.MaxInt64/4)
		p.call(anyone, math.MaxInt64/4, math.MaxInt64/4)
		r := p.reserve(anyone, 1)
		_, err := p.ledger.Settle(t.Context(), r, usd(math.MaxInt64), false)
		require.ErrorIs(t, err, driver.ErrOverflow)
		p.settle(r, 1)
		require.Equal(t, [2]int64{math.MaxInt64/4*2 + 1, 0}, account(t, p.ledger, anyone))
		require.False(t, errors.Is(err, budget.ErrStore))
	})
}
