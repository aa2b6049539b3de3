package lease_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// Spend counts in the window in which it is made: a lease does not outlive the day in which it was drawn.
func TestALeaseEndsWithItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := budget.Limit{Name: "l", Max: driver.Quantity{N: 1000, Unit: driver.UnitUSD}, Window: driver.Daily}
		store := memstore.New(memstore.Options{})
		p, direct := begin(t, store, limit), open(t, store, limit)
		time.Sleep(24*time.Hour - 10*time.Second)
		p.call(anyone, 10, 10)
		require.Zero(t, p.cost(func() { p.call(anyone, 10, 10) }))
		late := p.reserve(anyone, 10)
		time.Sleep(10*time.Second - time.Nanosecond)
		require.Zero(t, p.cost(func() { p.call(anyone, 10, 10) }))
		time.Sleep(time.Nanosecond)
		for range 99 {
			p.call(anyone, 10, 10)
		}
		require.Equal(t, [2]int64{990, 0}, account(t, p.ledger, anyone), "the new day's calls count in the new day")
		p.settle(late, 3)
		require.Equal(t, [2]int64{990, 0}, account(t, p.ledger, anyone), "a call settles in the day in which it was reserved")
		require.NoError(t, p.leased.Close())
		require.Equal(t, [2]int64{990, 0}, account(t, direct, anyone))
	})
}

// late is a store that is reached three seconds late, once it is told to be.
type late struct {
	driver.Store
	now bool
}

func (l *late) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if l.now {
		time.Sleep(3 * time.Second)
	}
	return l.Store.Reserve(ctx, r)
}

// A grant that is asked for before midnight and made after it does not pay for the new day from the old one.
func TestAGrantThatCrossesTheEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := budget.Limit{Name: "l", Max: driver.Quantity{N: 1000, Unit: driver.UnitUSD}, Window: driver.Daily}
		store := &late{Store: memstore.New(memstore.Options{})}
		time.Sleep(time.Second) // so that no round of the background work falls on midnight
		p := begin(t, store, limit)
		time.Sleep(24*time.Hour - 6*time.Second)
		p.call(anyone, 10, 1)
		store.now = true
		time.Sleep(2500 * time.Millisecond)
		p.call(anyone, 80, 80)
		require.Equal(t, [2]int64{80, 0}, account(t, p.ledger, anyone))
		require.NoError(t, p.leased.Close())
		require.Equal(t, [2]int64{80, 0}, account(t, open(t, store, limit), anyone))
	})
}

// The store's clock decides, though the process has another one.
func TestALeaseKeepsToTheStoresClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := budget.Limit{Name: "l", Max: driver.Quantity{N: 1000, Unit: driver.UnitUSD}, Window: driver.Daily}
		ahead := 12*time.Hour - 10*time.Second // it is ten seconds before midnight there, and noon here
		store := memstore.New(memstore.Options{Clock: func() time.Time { return time.Now().Add(ahead) }})
		time.Sleep(12 * time.Hour)
		p := begin(t, store, limit)
		for range 10 {
			p.call(anyone, 10, 10)
		}
		time.Sleep(10 * time.Second)
		for range 10 {
			p.call(anyone, 10, 10)
		}
		require.NoError(t, p.leased.Close())
		require.Equal(t, [2]int64{100, 0}, account(t, open(t, store, limit), anyone))
	})
}

// No interval of a rolling window's length holds more than the limit, though two processes serve most calls from leases.
func TestLeasesHoldRollingLimitsInEveryInterval(t *testing.T) {
	for _, length := range []time.Duration{20 * time.Minute, time.Hour, 7*time.Hour + 13*time.Minute} {
		t.Run(length.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rolling(t, length) })
		})
	}
}

func rolling(t *testing.T, length time.Duration) {
	const limit = 10_000
	type spend struct {
		at time.Time
		n  int64
	}
	var log []spend
	var sum int64 // of what was spent within the last length
	random := rand.New(rand.NewPCG(uint64(length), 1))
	store := memstore.New(memstore.Options{Retention: 2 * length})
	rule := budget.Limit{Name: "l", Max: driver.Quantity{N: limit, Unit: driver.UnitUSD}, Window: driver.Rolling(length)}
	ps := []*process{begin(t, store, rule), begin(t, store, rule)}
	denied, steps := 0, ps[0].line.steps.Load()+ps[1].line.steps.Load()
	for range 6000 { // in bursts
		gap := time.Second
		if random.IntN(20) == 0 {
			gap = length / 15
		}
		time.Sleep(time.Duration(random.Int64N(int64(gap))))
		for len(log) > 0 && !log[0].at.After(time.Now().Add(-length)) {
			sum -= log[0].n
			log = log[1:]
		}
		p, worst := ps[random.IntN(2)], 1+random.Int64N(60)
		r, err := reserve(p.ledger, anyone, worst)
		if err != nil {
			require.ErrorIs(t, err, budget.ErrExceeded)
			denied++
			continue
		}
		actual := 1 + random.Int64N(worst)
		p.settle(r, actual)
		log, sum = append(log, spend{time.Now(), actual}), sum+actual
		require.LessOrEqual(t, sum, int64(limit), "within %s", length)
	}
	steps = ps[0].line.steps.Load() + ps[1].line.steps.Load() - steps
	t.Logf("%d denied, %d steps", denied, steps)
	require.Positive(t, denied)
	require.Less(t, steps, int64(6000), "many calls were served from leases")
}

// A lease that is drawn at the end of a rolling window's bucket, and used later, would count as spent too early, and so be
// forgotten too early.
func TestALeaseEndsWithItsBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1000
		length, bucket := 20*time.Minute, 20*time.Second
		rule := budget.Limit{Name: "l", Max: driver.Quantity{N: limit, Unit: driver.UnitUSD}, Window: driver.Rolling(length)}
		p := begin(t, memstore.New(memstore.Options{}), rule)
		spend := func() (n int64) {
			for {
				r, err := reserve(p.ledger, anyone, 10)
				if err != nil {
					require.ErrorIs(t, err, budget.ErrExceeded)
					return n
				}
				p.settle(r, 10)
				n += 10
			}
		}
		time.Sleep(time.Hour + bucket - time.Second)
		p.call(anyone, 10, 10)
		time.Sleep(25 * time.Second)
		within := spend()
		require.Equal(t, int64(limit-10), within)
		time.Sleep(length - 24*time.Second) // the first bucket has just left the window, the calls have not
		require.Equal(t, int64(10), spend())
		time.Sleep(24*time.Second - time.Nanosecond)
		require.Zero(t, spend())
	})
}
