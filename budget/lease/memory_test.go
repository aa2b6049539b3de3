package lease_test

import (
	"context"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// What is remembered of a call is what was said of it, to the unit.
func TestAmountsArePackedWithoutLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amounts := rapid.SliceOfN(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1<<20), rapid.Int64Range(0, math.MaxInt64)), 2*driver.NumUnits, 2*driver.NumUnits).Draw(t, "amounts")
		var reserved, actual driver.Charge
		copy(reserved[:], amounts)
		copy(actual[:], amounts[driver.NumUnits:])
		gotReserved, gotActual := lease.Repack(reserved, actual)
		require.Equal(t, reserved, gotReserved)
		require.Equal(t, actual, gotActual)
	})
}

// A remembered call costs less than 200 bytes.
func TestARememberedCallIsSmall(t *testing.T) {
	const calls = 200_000
	clock := storetest.NewClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	store := memstore.New(memstore.Options{Clock: clock.Now})
	leased, err := lease.NewWithClock(store, lease.Options{}, clock.Now)
	require.NoError(t, err)
	defer leased.Close()
	lines := []driver.Line{{Account: driver.Key{1}, Unit: driver.UnitUSD, Window: driver.Lifetime, Max: math.MaxInt64}}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for n := range int64(calls) {
		worst, cost := price.Amount(1_234_567_890+n), price.Amount(345_678_901+n)
		r := driver.Reservation{ID: driver.NewID(), Charge: driver.ChargeOf(price.Usage{InputTokens: 150_000 + n, OutputTokens: 64_000}, worst), Lines: lines, TTL: time.Hour}
		d, err := leased.Reserve(context.Background(), r)
		require.NoError(t, err)
		require.True(t, d.Admitted)
		_, err = leased.Settle(context.Background(), driver.Settlement{ID: r.ID, Actual: driver.ChargeOf(price.Usage{InputTokens: 120_000 + n, OutputTokens: 2000}, cost), Lines: lines})
		require.NoError(t, err)
	}
	each := float64(heap()-before) / calls
	require.Equal(t, calls, leased.RememberedCalls())
	t.Logf("%.0f bytes a call", each)
	require.Less(t, each, 200.0)
}

// However many calls are made within the retention, no more are remembered than was asked for; what is pending or has expired is, and the
// newest are.
func TestRememberedCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		leased, err := lease.New(store, lease.Options{MaxRemembered: 1000})
		require.NoError(t, err)
		defer leased.Close()
		ledger := open(t, leased, lifetime(1<<40))
		call := func(ttl time.Duration) *budget.Receipt {
			r, err := ledger.Reserve(t.Context(), budget.Request{Worst: usd(1000), TTL: ttl})
			require.NoError(t, err)
			return r
		}
		settle := func(r *budget.Receipt, nano int64) {
			_, err := ledger.Settle(t.Context(), r, usd(nano), false)
			require.NoError(t, err)
		}
		expires, pending, most := call(time.Second), call(24*time.Hour), 0
		time.Sleep(2 * lease.DefaultLength)
		first := call(time.Minute)
		settle(first, 1)
		var last *budget.Receipt
		for range 100 {
			for range 200 {
				last = call(time.Minute)
				settle(last, 1)
			}
			time.Sleep(lease.DefaultLength / 4)
			most = max(most, leased.RememberedCalls())
		}
		require.LessOrEqual(t, most, 1000+7*200, "and those of leases that the store has yet to be told of")
		time.Sleep(2 * lease.DefaultLength)
		require.LessOrEqual(t, leased.RememberedCalls(), 1002)

		require.ErrorIs(t, ledger.Correct(t.Context(), first.Reservation.ID, usd(2)), driver.ErrNotFound)
		require.NoError(t, ledger.Correct(t.Context(), last.Reservation.ID, usd(3)))
		settle(last, 3)
		settle(expires, 5)
		settle(pending, 7)
		require.NoError(t, leased.Close())
		require.Equal(t, [2]int64{20_000 + 1 - 1 + 3 + 5 + 7, 0}, account(t, open(t, store, lifetime(1<<40)), anyone))
	})
}
