package lease_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// usageOf tells what each workflow has spent, by the store's own rows.
func usageOf(ctx context.Context, t *testing.T, store driver.Store) map[string]int64 {
	t.Helper()
	operator, err := budget.Operate(ctx, store)
	require.NoError(t, err)
	rows, err := storetest.Collect(operator.Usage(ctx, budget.UsageQuery{By: budget.PerWorkflow}))
	require.NoError(t, err)
	sums := make(map[string]int64)
	for _, r := range rows {
		sums[r.Scope.Workflow] = r.Charge[driver.UnitUSD]
	}
	return sums
}

// What leases spend is usage of those who spent it, to the last unit, once they are given back; and in the process that holds them, at once.
// More workflows than a settlement can tell apart, corrections, calls that end late and ones that nobody settles are among them.
func TestLeasesTellWhoseTheirUsageIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		var mu sync.Mutex
		want := make(map[string]int64)
		var all sync.WaitGroup
		var processes []*process
		for range 3 {
			processes = append(processes, begin(t, store, lifetime(1e9)))
		}
		for n := range 24 {
			all.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(n)))
				p := processes[n%3]
				for range 60 {
					workflow := fmt.Sprintf("w%d", random.IntN(2*driver.MaxShares))
					worst := 1 + random.Int64N(50)
					r, err := reserve(p.ledger, driver.Scope{Workflow: workflow}, worst)
					require.NoError(t, err)
					time.Sleep(time.Duration(random.Int64N(int64(3 * time.Second))))
					actual := random.Int64N(worst + 1)
					switch random.IntN(10) {
					case 0:
						require.NoError(t, p.ledger.Void(t.Context(), r))
						continue
					case 1: // it expires, and its worst case is what it cost
						actual = worst
					case 2:
						_, err = p.ledger.Settle(t.Context(), r, usd(actual), true)
						require.NoError(t, err)
						actual = random.Int64N(worst + 1)
						require.NoError(t, p.ledger.Correct(t.Context(), r.Reservation.ID, usd(actual)))
					default:
						_, err = p.ledger.Settle(t.Context(), r, usd(actual), false)
						require.NoError(t, err)
					}
					mu.Lock()
					want[workflow] += actual
					mu.Unlock()
				}
			})
		}
		all.Wait()
		time.Sleep(2 * budget.DefaultTTL)
		for _, p := range processes {
			_, err := p.ledger.Balances(t.Context(), driver.Scope{}) // which charges what has expired
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		for _, p := range processes {
			require.NoError(t, p.leased.Close())
		}
		for workflow, n := range want {
			if n == 0 {
				delete(want, workflow)
			}
		}
		require.Equal(t, want, usageOf(t.Context(), t, store))
		ledger := open(t, store, lifetime(1e9))
		var sum int64
		for _, n := range want {
			sum += n
		}
		require.Equal(t, [2]int64{sum, 0}, account(t, ledger, driver.Scope{}))
	})
}

// A process tells its own leases' usage at once.
func TestUsageInALeaseIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, memstore.New(memstore.Options{}), lifetime(1e9))
		for n := range int64(5) {
			p.call(driver.Scope{Workflow: "w"}, 10, 1+n)
			p.call(driver.Scope{Workflow: "x"}, 10, 2)
		}
		p.reserve(driver.Scope{Workflow: "y"}, 10)
		require.Equal(t, map[string]int64{"w": 15, "x": 10}, usageOf(t.Context(), t, p.leased))
	})
}

// Pages of any size hold the same rows, those of this process's leases among them.
func TestUsageInALeaseIsInSmallPagesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		direct := open(t, store, lifetime(1e9))
		p := begin(t, store, lifetime(1e9))
		for n := range 12 {
			r, err := reserve(direct, driver.Scope{Workflow: fmt.Sprintf("direct %d", n)}, 10)
			require.NoError(t, err)
			_, err = direct.Settle(t.Context(), r, usd(3), false)
			require.NoError(t, err)
			p.call(driver.Scope{Workflow: fmt.Sprintf("leased %d", n)}, 10, 2)
		}
		whole, err := p.leased.Usage(t.Context(), driver.UsageMark{}, 1000)
		require.NoError(t, err)
		require.Len(t, whole, 24)
		for limit := 1; limit <= 25; limit++ {
			var all []driver.UsageRow
			for from := (driver.UsageMark{}); ; {
				page, err := p.leased.Usage(t.Context(), from, limit)
				require.NoError(t, err)
				all = append(all, page...)
				if len(page) < limit {
					break
				}
				from = driver.UsageMark{Day: page[limit-1].Day, After: page[limit-1].Key}
			}
			require.Equal(t, whole, all, "pages of %d", limit)
		}
	})
}
