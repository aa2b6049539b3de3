package budget_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// crowd is many processes that call all the time and pay nothing, under a limit with plenty of room, and somebody among or beside
// them who has one dear call to make.
type crowd struct {
	t        *testing.T
	store    budget.Store
	limit    budget.Limit
	holders  int
	parallel int           // calls in flight of each
	cheap    int64         // worst case of an ordinary call
	pause    time.Duration // mean time between two calls of a process, each of which lasts a second on average
	over     atomic.Bool
	work     sync.WaitGroup
	steps    atomic.Int64
	calls    atomic.Int64
	denied   atomic.Int64 // ordinary calls
	flying   atomic.Int64 // worst cases in flight
	most     atomic.Int64
}

func (c *crowd) open() (*budget.LeasedStore, *budget.Ledger) {
	leased, err := budget.Lease(&line{Store: c.store, steps: &c.steps}, budget.LeaseOptions{Retention: 10 * time.Second})
	require.NoError(c.t, err)
	return leased, open(c.t, leased, c.limit)
}

// call makes one call that costs nothing in the end, and reports whether it was admitted.
func (c *crowd) call(ledger *budget.Ledger, worst int64, takes time.Duration) bool {
	r, err := reserve(ledger, anyone, worst)
	if err != nil {
		assert.ErrorIs(c.t, err, budget.ErrExceeded)
		return false
	}
	flying := c.flying.Add(worst)
	for most := c.most.Load(); flying > most && !c.most.CompareAndSwap(most, flying); {
		most = c.most.Load()
	}
	time.Sleep(takes)
	c.flying.Add(-worst)
	_, err = ledger.Settle(context.Background(), r, usd(0), false)
	assert.NoError(c.t, err)
	return true
}

func (c *crowd) agent(ledger *budget.Ledger, random *rand.Rand) {
	mean := func(d time.Duration) time.Duration { return time.Duration(random.ExpFloat64() * float64(d)) }
	for time.Sleep(mean(c.pause)); !c.over.Load(); time.Sleep(mean(c.pause)) {
		c.calls.Add(1)
		if !c.call(ledger, c.cheap, min(mean(time.Second), 5*time.Second)) {
			c.denied.Add(1)
		}
	}
}

// waits runs the crowd and returns how long the dear call was refused, at most ten minutes. It is tried once a second.
func (c *crowd) waits(seed uint64, dear int64) (waited time.Duration) {
	random := rand.New(rand.NewPCG(seed, 11))
	var all []*budget.LeasedStore
	var last *budget.Ledger
	for i := range c.holders {
		leased, ledger := c.open()
		all, last = append(all, leased), ledger
		for n := range c.parallel {
			c.work.Go(func() { c.agent(ledger, rand.New(rand.NewPCG(seed, uint64(i*c.parallel+n)))) })
		}
	}
	if seed%2 == 0 { // else it is made by a process that makes cheap ones as well
		leased, ledger := c.open()
		all, last = append(all, leased), ledger
	}
	time.Sleep(2*budget.DefaultLeaseLength + time.Duration(random.Int64N(int64(2*budget.DefaultLeaseLength))))
	for since := time.Now(); ; time.Sleep(time.Second) {
		if waited = time.Since(since); c.call(last, dear, time.Second) || waited > 10*time.Minute {
			break
		}
	}
	c.over.Store(true)
	c.work.Wait()
	for _, leased := range all {
		require.NoError(c.t, leased.Close())
	}
	require.LessOrEqual(c.t, c.most.Load(), c.limit.Max.N, "in flight")
	return waited
}

// runs is how often each of the tests below is repeated.
func runs(t *testing.T, usual int) uint64 {
	if n, err := strconv.Atoi(os.Getenv("LEASE_RUNS")); err == nil && n > 0 {
		return uint64(n)
	}
	if raceDetector || testing.Short() {
		return 1
	}
	return uint64(usual)
}

// A call that fits is admitted within two lengths of a lease, however many processes hold leases for cheap calls that go on and on.
func TestADearCallGetsItsTurn(t *testing.T) {
	for _, of := range []struct {
		holders, parallel int
		limit, dear       int64
		cheap             int64
		pause             time.Duration
		usual             int
	}{
		{10, 1, 4000, 3800, 20, time.Second, 20},
		{10, 10, 4000, 3800, 2, 10 * time.Millisecond, 20},
		{10, 4, 4000, 3000, 5, time.Second, 20},
		{50, 1, 20_000, 19_000, 20, time.Second, 10},
		{50, 4, 4000, 3000, 1, time.Second, 10},
		{200, 1, 80_000, 76_000, 20, time.Second, 4},
		{200, 1, 4000, 3000, 2, time.Second, 4},
		{1000, 1, 400_000, 380_000, 20, time.Second, 1},
		{1000, 1, 4000, 3000, 1, time.Second, 1},
	} {
		t.Run(strconv.Itoa(of.holders)+" holders of "+strconv.FormatInt(of.limit, 10)+" with "+strconv.Itoa(of.parallel)+" calls", func(t *testing.T) {
			var all []time.Duration
			var steps, calls, denied int64
			for seed := range runs(t, of.usual) {
				synctest.Test(t, func(t *testing.T) {
					c := &crowd{t: t, store: memstore.New(func(o *memstore.Options) { o.Retention = time.Minute }), limit: lifetime(of.limit), holders: of.holders, parallel: of.parallel, cheap: of.cheap, pause: of.pause}
					all = append(all, c.waits(seed, of.dear))
					steps, calls, denied = steps+c.steps.Load(), calls+c.calls.Load(), denied+c.denied.Load()
				})
			}
			slices.Sort(all)
			length := float64(budget.DefaultLeaseLength)
			t.Logf("%d runs: admitted after %.2f lengths in the middle, %.2f at most; %.3f steps of the store a cheap call, %d of %d of them denied", len(all),
				float64(all[len(all)/2])/length, float64(all[len(all)-1])/length, float64(steps)/float64(calls), denied, calls)
			require.LessOrEqual(t, all[len(all)-1], 2*budget.DefaultLeaseLength)
		})
	}
}
