package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// A process that is alone hears of a threshold with the settlement that reaches it.
func TestThresholdsInsideALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := lifetime(10_000)
		limit.Notify = []float64{0.1, 0.5}
		p := begin(t, memstore.New(memstore.Options{}), limit)
		var at []int64
		for spent := int64(10); spent <= 6000; spent += 10 {
			for _, c := range p.call(anyone, 30, 10).Crossed {
				require.Equal(t, spent, c.Settled.N)
				at = append(at, spent)
			}
		}
		require.Equal(t, []int64{1000, 5000}, at)
		require.Less(t, p.line.steps.Load(), int64(600), "calls stay inside the lease before and after")
	})
}

// Over several processes each threshold is reported once, not before it is reached, and at most a lease late.
func TestThresholdsOverSeveralProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := lifetime(10_000)
		limit.Notify = []float64{0.5}
		store := memstore.New(memstore.Options{})
		ps := []*process{begin(t, store, limit), begin(t, store, limit), begin(t, store, limit)}
		spent, reported := int64(0), int64(0)
		for range 300 {
			for _, p := range ps {
				out := p.call(anyone, 10, 8)
				if spent += 8; len(out.Crossed) > 0 {
					require.Zero(t, reported)
					require.GreaterOrEqual(t, spent, int64(5000))
					reported = spent
				}
			}
			time.Sleep(time.Second)
		}
		require.Positive(t, reported)
		const perLength = 3 * 8 * int64(lease.DefaultLength/time.Second)
		require.LessOrEqual(t, reported, 5000+2*perLength)
	})
}

// A threshold that is reached when a process at rest gives its lease back is reported with the next call, not to nobody.
func TestAThresholdReachedByAReturnIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := lifetime(10_000)
		limit.Notify = []float64{0.5}
		store := memstore.New(memstore.Options{})
		p, direct := begin(t, store, limit), open(t, store, limit)
		require.Empty(t, p.call(anyone, 100, 100).Crossed)
		r, err := reserve(direct, anyone, 4500)
		require.NoError(t, err)
		_, err = direct.Settle(t.Context(), r, usd(4500), false)
		require.NoError(t, err)
		for range 6 {
			require.Empty(t, p.call(anyone, 100, 100).Crossed, "nobody knows yet")
		}
		time.Sleep(2 * lease.DefaultLength)
		require.Equal(t, int64(5200), account(t, direct, anyone)[0])
		require.Len(t, p.call(anyone, 100, 1).Crossed, 1)
		require.Empty(t, p.call(anyone, 100, 1).Crossed)
	})
}

// A rehearsed limit refuses nothing, and says what it would have refused.
func TestObservedLimitsInsideLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rehearsed := budget.Limit{Name: "rehearsed", Max: driver.Quantity{N: 100, Unit: driver.UnitUSD}, Window: driver.Lifetime, Observe: true}
		p := begin(t, memstore.New(memstore.Options{}), lifetime(100_000), rehearsed)
		observed := 0
		for range 50 {
			r := p.reserve(anyone, 10)
			for _, e := range r.Observed {
				require.Equal(t, "rehearsed", e.Limit)
				require.Greater(t, e.Settled.N+e.Pending.N+10, int64(100), "an idle share is not what it was full of")
				observed++
			}
			p.settle(r, 4)
		}
		require.Equal(t, 50-23, observed, "23 calls of 4 leave less than 10")
	})
}
