package lease_test

import (
	"context"
	"math"
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

// Whatever is in flight stays set aside, or charged, while its lease is given back.
func TestCallsInFlightStayCovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		limit := lifetime(1_000_000)
		p := begin(t, store, limit)
		p.call(anyone, 100, 10)
		a, b := p.reserve(anyone, 100), p.reserve(anyone, 100)
		sum := func() int64 { s := account(t, open(t, store, limit), anyone); return s[0] + s[1] }
		require.Equal(t, int64(800), sum())
		time.Sleep(2 * lease.DefaultLength)
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
		store := memstore.New(memstore.Options{})
		limit := lifetime(1000)
		stopped := time.Now()
		leased, err := lease.NewWithClock(store, lease.Options{}, func() time.Time { return stopped })
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
		p := begin(t, memstore.New(memstore.Options{}), lifetime(1000))
		r, err := p.ledger.Reserve(t.Context(), budget.Request{Worst: usd(10), TTL: time.Second})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		state := func() driver.State {
			entries, err := p.leased.Entries(t.Context(), driver.Query{Max: 10})
			require.NoError(t, err)
			require.Len(t, entries, 1)
			require.Equal(t, r.Reservation.ID, entries[0].ID)
			return entries[0].State
		}
		require.Equal(t, driver.Pending, state())
		n, err := p.leased.Expire(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, driver.Expired, state())
		require.Equal(t, driver.Expired, p.settle(r, 3).From)
		require.Equal(t, [2]int64{3, 0}, account(t, p.ledger, anyone))
	})
}

// A crash loses no more than the lease, and whoever finds the truth can put it right.
func TestACrashLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		p := begin(t, store, lifetime(1000))
		p.call(anyone, 10, 3)
		p.leased.Die()
		time.Sleep(time.Hour)
		ledger := open(t, store, lifetime(1000))
		require.Equal(t, [2]int64{80, 0}, account(t, ledger, anyone))
		entries, err := storetest.Collect(ledger.Entries(t.Context(), driver.Query{Max: 10, Estimated: true}))
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.NoError(t, ledger.Correct(t.Context(), entries[0].ID, usd(3)))
		require.Equal(t, [2]int64{3, 0}, account(t, ledger, anyone))
	})
}

// While the store does not answer, calls go on inside the lease until its length has passed, and no longer.
func TestAnOutageOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		p := begin(t, store, lifetime(1_000_000))
		p.call(anyone, 100, 1)
		p.line.down.Store(true)
		time.Sleep(lease.DefaultLength - time.Nanosecond)
		p.call(anyone, 100, 1)
		time.Sleep(time.Nanosecond)
		_, err := reserve(p.ledger, anyone, 100)
		require.ErrorIs(t, err, budget.ErrStore)
		require.ErrorIs(t, err, errDown)
		time.Sleep(time.Hour)
		direct := open(t, store, lifetime(1_000_000))
		require.Equal(t, [2]int64{800, 0}, account(t, direct, anyone), "the lease has lapsed and is charged")
		p.line.down.Store(false)
		time.Sleep(lease.DefaultLength / 4)
		synctest.Wait()
		require.Equal(t, [2]int64{2, 0}, account(t, direct, anyone), "and put right when the process is back")
	})
}

// sluggish is a store whose answers to Reserve take ten seconds.
type sluggish struct{ driver.Store }

func (s sluggish) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	time.Sleep(10 * time.Second)
	return d, err
}

// The length of a lease is measured from before it was asked for: the store has begun to count no earlier.
func TestALeaseBeginsBeforeItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, sluggish{memstore.New(memstore.Options{})}, lifetime(1_000_000))
		began := time.Now()
		p.call(anyone, 100, 1)
		require.Equal(t, 10*time.Second, time.Since(began))
		time.Sleep(time.Until(began.Add(lease.DefaultLength - time.Nanosecond)))
		require.Zero(t, p.cost(func() { p.call(anyone, 100, 1) }))
		time.Sleep(time.Nanosecond)
		require.Positive(t, p.cost(func() { p.call(anyone, 100, 1) }))
	})
}

// A grant whose answer was lost is taken back, not left to lapse.
func TestALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		p := begin(t, store, lifetime(1_000_000))
		p.call(anyone, 100, 1)
		p.line.lost.Store(true)
		for range 10 {
			time.Sleep(lease.DefaultLength)
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
		store := memstore.New(memstore.Options{})
		p := begin(t, store, lifetime(1000))
		direct := open(t, store, lifetime(1000))
		r := p.reserve(anyone, 10)
		out := p.settle(r, 500)
		require.Equal(t, driver.UnitUSD, out.Violated)
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
		store := memstore.New(memstore.Options{})
		all := lifetime(1000)
		each := budget.Limit{Name: "each", Max: budget.USD(1), Window: driver.Daily, Per: budget.PerWorkflow}
		p := begin(t, store, all, each)
		direct := open(t, store, all)
		a, b := driver.Scope{Workflow: "a"}, driver.Scope{Workflow: "b"}
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
		store := memstore.New(memstore.Options{})
		p := begin(t, store, lifetime(1_000_000))
		p.call(anyone, 100, 10)
		a, b := p.reserve(anyone, 100), p.reserve(anyone, 100)
		p.line.lost.Store(true)
		p.line.down.Store(true)
		time.Sleep(2 * lease.DefaultLength)
		require.Equal(t, [2]int64{210, 0}, account(t, open(t, store, lifetime(1_000_000)), anyone), "it has arrived")
		p.settle(a, 1)
		p.settle(b, 2)
		p.line.down.Store(false)
		time.Sleep(lease.DefaultLength)
		synctest.Wait()
		require.Equal(t, [2]int64{13, 0}, account(t, open(t, store, lifetime(1_000_000)), anyone))
	})
}

// A correction whose answer was lost is made sure of, even if the next one brings the sum back to what it was.
func TestALostAnswerToACorrection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		p := begin(t, store, lifetime(1_000_000))
		p.line.lost.Store(true)
		a, b := p.reserve(anyone, 100), p.reserve(anyone, 100)
		p.settle(a, 100)
		p.settle(b, 100)
		time.Sleep(2 * lease.DefaultLength)
		p.line.down.Store(true)
		require.ErrorIs(t, p.ledger.Correct(t.Context(), a.Reservation.ID, usd(60)), budget.ErrStore)
		p.line.down.Store(false)
		require.NoError(t, p.ledger.Correct(t.Context(), b.Reservation.ID, usd(140)))
		require.Equal(t, [2]int64{200, 0}, account(t, open(t, store, lifetime(1_000_000)), anyone))
	})
}

// However many calls fail while the store does not answer, one reservation is in doubt, and nothing of it is kept.
func TestAnOutageLeavesOneDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, memstore.New(memstore.Options{}), lifetime(1_000_000))
		p.call(anyone, 100, 1)
		time.Sleep(2 * lease.DefaultLength)
		before, _ := p.leased.Remembered()
		p.line.down.Store(true)
		for range 1000 {
			_, err := reserve(p.ledger, anyone, 100)
			require.ErrorIs(t, err, budget.ErrStore)
		}
		live, _ := p.leased.Remembered()
		require.LessOrEqual(t, live, before+1)
		p.line.down.Store(false)
		p.call(anyone, 100, 1)
		time.Sleep(24 * time.Hour)
		live, leases := p.leased.Remembered()
		require.Equal(t, [2]int{}, [2]int{live, leases})
	})
}

// A call that expired in its lease and is settled much later is charged once.
func TestACallSettledLongAfterItExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, memstore.New(memstore.Options{}), lifetime(1_000_000))
		r := p.reserve(anyone, 100)
		time.Sleep(budget.DefaultTTL + time.Minute)
		require.Equal(t, [2]int64{100, 0}, account(t, p.ledger, anyone))
		for range 10 {
			time.Sleep(time.Hour)
			p.call(anyone, 100, 0)
		}
		require.Equal(t, driver.Expired, p.settle(r, 40).From)
		time.Sleep(2 * lease.DefaultLength)
		require.Equal(t, [2]int64{40, 0}, account(t, p.ledger, anyone))
		time.Sleep(25 * time.Hour)
		_, leases := p.leased.Remembered()
		require.Zero(t, leases)
	})
}

// A correction that is refused tells nothing of the one before it, whose answer was lost.
func TestARefusedCorrectionBehindALostOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		p := begin(t, store, lifetime(math.MaxInt64))
		a, b := p.reserve(anyone, 100), p.reserve(anyone, 100)
		p.settle(a, 100)
		p.settle(b, 100)
		time.Sleep(2 * lease.DefaultLength)
		const most = math.MaxInt64 - 1000
		direct := open(t, store, lifetime(math.MaxInt64))
		r, err := reserve(direct, anyone, most)
		require.NoError(t, err)
		_, err = direct.Settle(t.Context(), r, usd(most), false)
		require.NoError(t, err)
		p.line.down.Store(true)
		require.ErrorIs(t, p.ledger.Correct(t.Context(), a.Reservation.ID, usd(60)), budget.ErrStore)
		p.line.down.Store(false)
		require.ErrorIs(t, p.ledger.Correct(t.Context(), b.Reservation.ID, usd(5000)), driver.ErrOverflow)
		time.Sleep(2 * lease.DefaultLength)
		require.Equal(t, [2]int64{most + 160, 0}, account(t, direct, anyone))
	})
}

// A correction that was refused is refused again when it is repeated, also behind one that was made.
func TestARefusedCorrectionIsNotRememberedAsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		p := begin(t, store, lifetime(math.MaxInt64))
		a := p.reserve(anyone, 100)
		p.settle(a, 100)
		time.Sleep(2 * lease.DefaultLength)
		const most = math.MaxInt64 - 1000
		direct := open(t, store, lifetime(math.MaxInt64))
		r, err := reserve(direct, anyone, most)
		require.NoError(t, err)
		_, err = direct.Settle(t.Context(), r, usd(most), false)
		require.NoError(t, err)
		for _, fits := range []int64{60, 70} {
			tooMuch := driver.Correction{ID: a.Reservation.ID, Actual: usd(5000), Change: storetest.NewChange()}
			for range 2 {
				_, err = p.leased.Correct(t.Context(), tooMuch)
				require.ErrorIs(t, err, driver.ErrOverflow)
			}
			_, err = p.leased.Correct(t.Context(), driver.Correction{ID: a.Reservation.ID, Actual: usd(fits), Change: storetest.NewChange()})
			require.NoError(t, err)
			require.Equal(t, [2]int64{most + fits, 0}, account(t, direct, anyone))
		}
	})
}
