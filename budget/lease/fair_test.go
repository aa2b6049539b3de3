package lease_test

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
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// crowd is many processes that call all the time and pay nothing, under a limit with plenty of room, and somebody among or beside
// them who has one dear call to make.
type crowd struct {
	t        *testing.T
	store    driver.Store
	limit    budget.Limit
	others   []budget.Limit // beside it, wide enough
	holders  int
	parallel int           // calls in flight of each
	cheap    int64         // worst case of an ordinary call
	pause    time.Duration // mean time between two calls of an agent
	takes    time.Duration // mean time of a call, of which none takes a minute
	retry    time.Duration // time between two tries of the dear call
	warm     time.Duration // how long the others have called by the first one, at least
	over     atomic.Bool
	work     sync.WaitGroup
	steps    atomic.Int64
	calls    atomic.Int64
	denied   atomic.Int64 // ordinary calls
	longest  atomic.Int64 // time for which an agent was denied all of its calls
	flying   atomic.Int64 // worst cases in flight
	most     atomic.Int64
}

func (c *crowd) open() (*lease.Store, *budget.Ledger) {
	leased, err := lease.New(&line{Store: c.store, steps: &c.steps}, lease.Options{Retention: 10 * time.Second})
	require.NoError(c.t, err)
	return leased, open(c.t, leased, append(c.others, c.limit)...)
}

// call makes one call that costs nothing in the end, and reports whether it was admitted.
func (c *crowd) call(ledger *budget.Ledger, who driver.Scope, worst int64, takes time.Duration) bool {
	r, err := reserve(ledger, who, worst)
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

func (c *crowd) agent(ledger *budget.Ledger, who driver.Scope, random *rand.Rand) {
	var since time.Time // the first denial in a row
	mean := func(d time.Duration) time.Duration { return time.Duration(random.ExpFloat64() * float64(d)) }
	for time.Sleep(mean(c.pause)); !c.over.Load(); time.Sleep(mean(c.pause)) {
		if since.IsZero() {
			since = time.Now()
		}
		c.calls.Add(1)
		before := time.Now()
		if !c.call(ledger, who, c.cheap, min(mean(c.takes), 50*time.Second)) {
			c.denied.Add(1)
			continue
		}
		for waited, most := int64(before.Sub(since)), c.longest.Load(); waited > most && !c.longest.CompareAndSwap(most, waited); {
			most = c.longest.Load()
		}
		since = time.Time{}
	}
}

// waits runs the crowd and returns how long the dear call was refused, at most ten minutes.
func (c *crowd) waits(seed uint64, dear int64) (waited time.Duration) {
	random := rand.New(rand.NewPCG(seed, 11))
	var all []*lease.Store
	var last *budget.Ledger
	for i := range c.holders {
		leased, ledger := c.open()
		all, last = append(all, leased), ledger
		for n := range c.parallel {
			c.work.Go(func() {
				c.agent(ledger, driver.Scope{Principal: strconv.Itoa(i)}, rand.New(rand.NewPCG(seed, uint64(i*c.parallel+n))))
			})
		}
	}
	if seed%2 == 0 { // else it is made by a process that makes cheap ones as well
		leased, ledger := c.open()
		all, last = append(all, leased), ledger
	}
	time.Sleep(c.warm + time.Duration(random.Int64N(int64(2*lease.DefaultLength))))
	for since := time.Now(); ; time.Sleep(c.retry) {
		if waited = time.Since(since); c.call(last, driver.Scope{Principal: "dear"}, dear, time.Second) || waited > 10*time.Minute {
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

func newCrowd(t *testing.T, of *crowd, limit int64) *crowd {
	return &crowd{
		t: t, store: memstore.New(memstore.Options{Retention: time.Minute}), limit: lifetime(limit), others: of.others,
		holders: of.holders, parallel: of.parallel, cheap: of.cheap, pause: of.pause, takes: max(of.takes, time.Second), retry: time.Second, warm: 2 * lease.DefaultLength,
	}
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
	wide := []budget.Limit{
		{Name: "each", Max: budget.USD(1), Window: driver.Daily, Per: budget.PerPrincipal},
		{Name: "calls", Max: budget.Calls(1_000_000), Window: driver.Rolling(time.Hour)},
	}
	for name, of := range map[string]struct {
		*crowd
		limit, dear int64
		usual       int // runs
	}{
		"10 holders":                              {&crowd{holders: 10, parallel: 1, cheap: 20, pause: time.Second}, 4000, 3800, 20},
		"10 holders of many calls":                {&crowd{holders: 10, parallel: 10, cheap: 2, pause: 10 * time.Millisecond}, 4000, 3800, 4},
		"10 holders with accounts of their own":   {&crowd{holders: 10, parallel: 2, cheap: 10, pause: time.Second, others: wide}, 4000, 3800, 10},
		"10 holders of long calls":                {&crowd{holders: 10, parallel: 2, cheap: 10, pause: time.Second, takes: 20 * time.Second}, 4000, 3800, 10},
		"50 holders":                              {&crowd{holders: 50, parallel: 1, cheap: 20, pause: time.Second}, 20_000, 19_000, 10},
		"50 holders of one call's worth each":     {&crowd{holders: 50, parallel: 1, cheap: 20, pause: time.Second}, 4000, 3000, 10},
		"200 holders":                             {&crowd{holders: 200, parallel: 1, cheap: 20, pause: time.Second}, 80_000, 76_000, 4},
		"200 holders, a call in tens of seconds":  {&crowd{holders: 200, parallel: 1, cheap: 5, pause: 9 * time.Second}, 4000, 3000, 4},
		"1000 holders":                            {&crowd{holders: 1000, parallel: 1, cheap: 20, pause: time.Second}, 400_000, 380_000, 1},
		"1000 holders, a call in tens of seconds": {&crowd{holders: 1000, parallel: 1, cheap: 1, pause: 9 * time.Second}, 4000, 3000, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var all []time.Duration
			var steps, calls, denied int64
			for seed := range runs(t, of.usual) {
				synctest.Test(t, func(t *testing.T) {
					c := newCrowd(t, of.crowd, of.limit)
					all = append(all, c.waits(seed, of.dear))
					steps, calls, denied = steps+c.steps.Load(), calls+c.calls.Load(), denied+c.denied.Load()
				})
			}
			slices.Sort(all)
			length := float64(lease.DefaultLength)
			t.Logf("%d runs: admitted after %.2f lengths in the middle, %.2f at most; %.3f steps of the store a cheap call, %d of %d of them denied", len(all),
				float64(all[len(all)/2])/length, float64(all[len(all)-1])/length, float64(steps)/float64(calls), denied, calls)
			require.LessOrEqual(t, all[len(all)-1], 2*lease.DefaultLength)
		})
	}
}

// As long as nobody waits, no call that fits is denied, and calls cost what they did before there were wishes.
func TestACrowdInWhichNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, &crowd{holders: 50, parallel: 1, cheap: 20, pause: time.Second}, 20_000)
		c.warm = 20 * lease.DefaultLength
		require.Zero(t, c.waits(1, 20))
		require.Zero(t, c.denied.Load())
		perCall := float64(c.steps.Load()) / float64(c.calls.Load())
		t.Logf("%d calls, %.3f steps of the store each", c.calls.Load(), perCall)
		require.LessOrEqual(t, perCall, 0.25)
	})
}

// deaf is a store that keeps wishes from being left, or from being heard.
type deaf struct {
	driver.Store
	toLooks, toDraws, toWishes bool
}

func (d deaf) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if d.toWishes {
		for i := range r.Lines {
			r.Lines[i].Latch = false
		}
	}
	decision, err := d.Store.Reserve(ctx, r)
	if d.toDraws {
		decision.Observed = nil
	}
	return decision, err
}

func (d deaf) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	all, err := d.Store.Balances(ctx, lines)
	for i := range all {
		all[i].Latched = all[i].Latched && !d.toLooks
	}
	return all, err
}

// The test above has teeth: where nobody leaves wishes, or hears of them, the call waits for good.
func TestTheCrowdCatchesDeafHolders(t *testing.T) {
	for name, d := range map[string]deaf{"no wish is left": {toWishes: true}, "holders hear nothing": {toLooks: true, toDraws: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, &crowd{holders: 50, parallel: 1, cheap: 20, pause: time.Second}, 20_000)
				d.Store = c.store
				c.store = d
				require.Greater(t, c.waits(0, 19_000), 10*time.Minute)
			})
		})
	}
}

// A wish is one step for a call that is denied, and none for those that follow. It leaves nothing in the ledger, admits nothing, keeps
// nobody from making calls that fit, and ends though its process has died.
func TestAWishEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		direct := open(t, store, lifetime(1000))
		held, err := reserve(direct, anyone, 500)
		require.NoError(t, err)
		holder, dear := begin(t, store, lifetime(1000)), begin(t, store, lifetime(1000))
		holder.call(anyone, 10, 0)
		require.Equal(t, int64(3), dear.cost(func() { dear.refused(anyone, 600) }), "a look, the call itself, the wish")
		time.Sleep(time.Second)
		require.Equal(t, int64(1), dear.cost(func() { dear.refused(anyone, 600) }))
		dear.leased.Die()

		time.Sleep(lease.DefaultLength)
		require.Equal(t, int64(3), holder.cost(func() { holder.call(anyone, 10, 0) }), "a look, and the call on its own")
		require.Equal(t, int64(20), holder.cost(func() {
			for range 10 {
				holder.call(anyone, 10, 0)
			}
		}))
		require.Equal(t, [2]int64{0, 500}, account(t, direct, anyone), "nothing lies idle")
		entries, err := store.Entries(t.Context(), driver.Query{Max: 100})
		require.NoError(t, err)
		for _, e := range entries {
			require.True(t, e.State != driver.Pending || e.ID == held.Reservation.ID)
			require.Zero(t, e.Actual[driver.UnitUSD])
		}

		time.Sleep(2 * lease.DefaultLength)
		holder.call(anyone, 10, 0)
		require.Zero(t, holder.cost(func() {
			for range 10 {
				holder.call(anyone, 10, 0)
			}
		}))
	})
}

// A wish is about the window whose room denied the call: the next one has room of its own, and holders draw leases in it as if nobody had
// waited.
func TestAWishEndsWithItsWindow(t *testing.T) {
	for name, before := range map[string]time.Duration{"ten seconds before": 10 * time.Second, "half a second before": 500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limit := budget.Limit{Name: "l", Max: driver.Quantity{N: 1000, Unit: driver.UnitUSD}, Window: driver.Daily}
				store := memstore.New(memstore.Options{})
				direct := open(t, store, limit)
				time.Sleep(24*time.Hour - before - lease.DefaultLength/2)
				holder, dear := begin(t, store, limit), begin(t, store, limit)
				_, err := reserve(direct, anyone, 500)
				require.NoError(t, err)
				time.Sleep(lease.DefaultLength / 2)
				dear.refused(anyone, 600)
				time.Sleep(before + time.Second) // leases keep clear of the edge itself
				for _, p := range []*process{holder, dear} {
					p.call(anyone, 10, 0)
					require.Zero(t, p.cost(func() {
						for range 10 {
							p.call(anyone, 10, 0)
						}
					}), "calls of the new day are admitted from leases")
				}
			})
		})
	}
}
