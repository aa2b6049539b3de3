package budget_test

import (
	"context"
	"errors"
	"math/rand/v2"
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
)

// waited makes a call that waits for room, takes a while, and costs a part of what it has set aside.
func waited(ctx context.Context, l *budget.Ledger, worst, actual int64, takes time.Duration) error {
	r, err := l.Wait(ctx, budget.Request{Worst: usd(worst)})
	if err != nil {
		return err
	}
	time.Sleep(takes)
	_, err = l.Settle(context.WithoutCancel(ctx), r, usd(actual), false)
	return err
}

// A fan-out within a budget that holds what all of it costs is served whole, though its worst cases together have no room; in the order in
// which it came; and with few questions to the store.
func TestAFanOutWaitsForWhatIsPending(t *testing.T) {
	for name, leased := range map[string]bool{"direct": false, "through leases": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &countedStore{Store: memstore.New(memstore.Options{})}
				ledger := open(t, store, lifetime(1000))
				if leased {
					leases, err := lease.New(store, lease.Options{})
					require.NoError(t, err)
					defer leases.Close()
					ledger = open(t, leases, lifetime(1000))
				}
				var mu sync.Mutex
				var served []int
				var all sync.WaitGroup
				for n := range 50 {
					time.Sleep(time.Millisecond)
					all.Go(func() {
						r, err := ledger.Wait(t.Context(), budget.Request{Worst: usd(100)})
						require.NoError(t, err)
						mu.Lock()
						served = append(served, n)
						mu.Unlock()
						time.Sleep(time.Second)
						_, err = ledger.Settle(t.Context(), r, usd(18), false)
						require.NoError(t, err)
					})
				}
				all.Wait()
				require.Equal(t, [2]int64{900, 0}, account(t, ledger, budget.Scope{}))
				for i, n := range served {
					require.InDelta(t, i, n, 1, "the order %v", served)
				}
				if !leased {
					require.Less(t, store.steps.Load(), int64(6*50), "steps of the store")
				}
			})
		})
	}
}

// What pending calls can't make room for is refused at once, and so is what is killed, or latched.
func TestWaitRefusesAtOnceWhatNeverFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, memstore.New(memstore.Options{}), lifetime(1000))
		begun := time.Now()
		require.ErrorIs(t, waited(t.Context(), ledger, 1001, 0, 0), budget.ErrExceeded)
		require.NoError(t, waited(t.Context(), ledger, 900, 900, 0))
		require.ErrorIs(t, waited(t.Context(), ledger, 200, 0, 0), budget.ErrExceeded)
		_, err := ledger.KillAll(t.Context(), "stop")
		require.NoError(t, err)
		require.ErrorIs(t, waited(t.Context(), ledger, 1, 0, 0), budget.ErrKilled)
		require.Zero(t, time.Since(begun))
		_, err = ledger.Wait(t.Context(), budget.Request{Worst: budget.Charge{budget.UnitUSD: -1}})
		require.ErrorIs(t, err, driver.ErrInvalidCharge)
	})
}

// Whoever's time is up while it waits is told why, with its own numbers, whether it had its turn or not; nothing stays set aside for it,
// and nobody behind it waits for it.
func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, memstore.New(memstore.Options{}), lifetime(100))
		held, err := ledger.Reserve(t.Context(), budget.Request{Worst: usd(100)})
		require.NoError(t, err)
		var all sync.WaitGroup
		for n := range int64(3) {
			time.Sleep(time.Millisecond)
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := ledger.Wait(ctx, budget.Request{Worst: usd(10 + n)})
				var e *budget.ExceededError
				require.ErrorAs(t, err, &e)
				require.True(t, e.Waiting)
				require.Equal(t, [2]int64{100, 10 + n}, [2]int64{e.Pending.N, e.Requested.N})
			})
		}
		var patient atomic.Bool
		all.Go(func() {
			time.Sleep(10 * time.Millisecond)
			require.NoError(t, waited(t.Context(), ledger, 50, 50, 0))
			patient.Store(true)
		})
		time.Sleep(2 * time.Second)
		require.False(t, patient.Load())
		require.NoError(t, ledger.Void(t.Context(), held))
		synctest.Wait()
		require.True(t, patient.Load(), "it is called when there is room, not when it asks again")
		all.Wait()
		require.Equal(t, [2]int64{50, 0}, account(t, ledger, budget.Scope{}))
	})
}

// A room that opens in another process is found by asking; a store that fails is an error and not a wait.
func TestWaitFindsRoomThatOthersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		here, there := open(t, store, lifetime(100)), open(t, store, lifetime(100))
		held, err := there.Reserve(t.Context(), budget.Request{Worst: usd(100)})
		require.NoError(t, err)
		time.AfterFunc(3*time.Second, func() { _ = there.Void(context.Background(), held) })
		begun := time.Now()
		require.NoError(t, waited(t.Context(), here, 100, 1, 0))
		require.InDelta(t, 3.25, time.Since(begun).Seconds(), 0.3)
		require.NoError(t, store.Close())
		require.ErrorIs(t, waited(t.Context(), here, 1, 1, 0), budget.ErrStore)
	})
}

// Calls under many limits at once, that wait, give up, are voided and die: nothing hangs, nothing is admitted beyond a limit.
func TestWaitingUnderManyLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		limits := []budget.Limit{
			lifetime(3000),
			{Name: "each", Max: budget.Quantity{N: 400, Unit: budget.UnitUSD}, Window: budget.Lifetime, Per: budget.PerWorkflow},
		}
		ledger := open(t, store, limits...)
		var all sync.WaitGroup
		var admitted, refused atomic.Int64
		for n := range 200 {
			all.Go(func() {
				random := rand.New(rand.NewPCG(7, uint64(n)))
				time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random.IntN(20))*time.Second)
				defer cancel()
				scope := budget.Scope{Workflow: string(rune('a' + random.IntN(8)))}
				r, err := ledger.Wait(ctx, budget.Request{Scope: scope, Worst: usd(1 + random.Int64N(150))})
				switch {
				case errors.Is(err, budget.ErrExceeded):
					refused.Add(1)
					return
				case err != nil:
					t.Error(err)
					return
				}
				admitted.Add(1)
				balances, err := ledger.Balances(t.Context(), scope)
				require.NoError(t, err)
				for _, b := range balances {
					require.LessOrEqual(t, b.Settled.N+b.Pending.N, b.Max.N)
				}
				time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
				if random.IntN(4) == 0 {
					require.NoError(t, ledger.Void(t.Context(), r))
				} else {
					_, err = ledger.Settle(t.Context(), r, usd(r.Reservation.Charge[budget.UnitUSD]/3), false)
					require.NoError(t, err)
				}
			})
		}
		all.Wait()
		require.Positive(t, refused.Load())
		require.Greater(t, admitted.Load(), int64(60))
		require.Equal(t, int64(0), account(t, ledger, budget.Scope{})[1])
	})
}

// laggingStore takes a while for each reservation.
type laggingStore struct {
	budget.Store
	takes time.Duration
}

func (s *laggingStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	select {
	case <-time.After(s.takes):
		return s.Store.Reserve(ctx, r)
	case <-ctx.Done():
		return driver.Decision{}, ctx.Err()
	}
}

// A store that takes longer to answer than a call may wait is not taken for one that is away: there is room, or there is a refusal.
func TestAShortWaitIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, &laggingStore{memstore.New(memstore.Options{}), 100 * time.Millisecond}, lifetime(100))
		request := budget.Request{Worst: usd(60), MaxWait: 10 * time.Millisecond, StepTimeout: time.Second}
		_, err := ledger.Wait(t.Context(), request)
		require.NoError(t, err)
		_, err = ledger.Wait(t.Context(), request)
		require.ErrorIs(t, err, budget.ErrExceeded)
		require.NotErrorIs(t, err, budget.ErrStore)

		request.MaxWait = 0
		for _, ends := range []time.Duration{150 * time.Millisecond, 250 * time.Millisecond, 350 * time.Millisecond} { // in the second question, between two, and later
			ctx, cancel := context.WithTimeout(t.Context(), ends)
			_, err = ledger.Wait(ctx, request)
			cancel()
			require.ErrorIs(t, err, budget.ErrExceeded, "%s", ends)
			require.NotErrorIs(t, err, budget.ErrStore)
		}
		request.StepTimeout = 50 * time.Millisecond
		_, err = ledger.Wait(t.Context(), request)
		require.ErrorIs(t, err, budget.ErrStore, "a store that does not answer within a step is away")
	})
}

// A call that waits goes on as soon as somebody gives its account more room.
func TestAWaitingCallIsGivenMoreRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, memstore.New(memstore.Options{}), lifetime(100))
		_, err := reserve(ledger, budget.Scope{}, 100)
		require.NoError(t, err)
		time.AfterFunc(10*time.Second, func() {
			_, err := ledger.Override(context.Background(), "l", budget.Scope{}, nanoUSD(200), time.Now().Add(time.Hour))
			require.NoError(t, err)
		})
		begun := time.Now()
		_, err = ledger.Wait(t.Context(), budget.Request{Worst: usd(60), MaxWait: time.Minute})
		require.NoError(t, err)
		require.InDelta(t, 10.25, time.Since(begun).Seconds(), 0.3)
	})
}

// A refusal belongs to the call that got it: what its owner writes into it is not seen by those who wait behind, nor at the same time.
func TestARefusalIsItsCallersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, memstore.New(memstore.Options{}), lifetime(1000))
		held, err := ledger.Reserve(t.Context(), budget.Request{Worst: usd(900)})
		require.NoError(t, err)
		refusals := make(chan *budget.ExceededError, 8)
		for range cap(refusals) {
			go func() {
				_, err := ledger.Wait(t.Context(), budget.Request{Worst: usd(200), MaxWait: time.Second})
				var e *budget.ExceededError
				if errors.As(err, &e) {
					e.Reason += "mine"
				}
				refusals <- e
			}()
		}
		for range cap(refusals) {
			e := <-refusals
			require.NotNil(t, e)
			require.Equal(t, "mine", e.Reason)
		}
		require.NoError(t, ledger.Void(t.Context(), held))
	})
}
