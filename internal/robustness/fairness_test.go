package robustness

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// In front of every store a call that fits is admitted although others call all the time from their leases: they hear that it waits through
// the store alone.
func TestADearCallGetsItsTurnOverEachStore(t *testing.T) {
	const holders, limit, dear, cheap = 10, 4000, 3800, 20
	backend.Each(t, nil, func(t *testing.T, b backend.Backend, s backend.Server) {
		address := s.NewLedger(t)
		open := func() *budget.Ledger {
			leased, err := lease.New(backend.MustOpen(t, address), lease.Options{Length: time.Second})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, leased.Close()) })
			ledger, err := budget.Open(t.Context(), leased, budget.Policy{Limits: []budget.Limit{
				{Name: "all", Max: budget.Quantity{N: limit, Unit: budget.UnitUSD}, Window: budget.Lifetime},
			}})
			require.NoError(t, err)
			return ledger
		}
		call := func(ledger *budget.Ledger, worst int64) error {
			var c budget.Charge
			c[budget.UnitUSD] = worst
			r, err := ledger.Reserve(context.Background(), budget.Request{Worst: c, TTL: time.Minute})
			if err == nil {
				_, err = ledger.Settle(context.Background(), r, budget.Charge{}, false)
			}
			return err
		}
		over, stop := context.WithCancel(t.Context())
		var agents, begun sync.WaitGroup
		for range holders {
			ledger := open()
			begun.Add(1)
			agents.Go(func() {
				pace := time.NewTicker(50 * time.Millisecond)
				defer pace.Stop()
				for n := 0; over.Err() == nil; n++ {
					if err := call(ledger, cheap); err != nil {
						assert.ErrorIs(t, err, budget.ErrExceeded)
					}
					if n == 20 {
						begun.Done()
					}
					<-pace.C
				}
			})
		}
		waiting := open()
		begun.Wait()
		since, tries := time.Now(), 0
		require.Eventually(t, func() bool {
			tries++
			err := call(waiting, dear)
			if err != nil {
				assert.ErrorIs(t, err, budget.ErrExceeded)
			}
			return err == nil
		}, 30*time.Second, 50*time.Millisecond, "admitted never")
		t.Logf("admitted after %d tries, in %.2f lengths of a lease", tries, time.Since(since).Seconds())
		stop()
		agents.Wait()
	})
}

// Over every store a process whose calls wait finds room although another one has all of it, and calls that take it up again at once.
func TestAProcessThatComesLaterFindsRoomOverEachStore(t *testing.T) {
	backend.Each(t, nil, func(t *testing.T, _ backend.Backend, s backend.Server) {
		address := s.NewLedger(t)
		open := func() *budget.Ledger {
			ledger, err := budget.Open(t.Context(), backend.MustOpen(t, address), budget.Policy{Limits: []budget.Limit{
				{Name: "all", Max: budget.Calls(3), Window: budget.Lifetime},
			}})
			require.NoError(t, err)
			return ledger
		}
		// call holds one of the three places for a while, and costs nothing in the end.
		call := func(ctx context.Context, ledger *budget.Ledger, held func()) error {
			r, err := ledger.Wait(ctx, budget.Request{Worst: budget.Charge{budget.UnitCalls: 1}, TTL: time.Minute})
			if err != nil {
				return err
			}
			held()
			_, err = ledger.Settle(context.Background(), r, budget.Charge{}, false)
			return err
		}
		over, stop := context.WithCancel(t.Context())
		before, later := open(), open()
		var agents, begun sync.WaitGroup
		for range 12 {
			begun.Add(1)
			begin := sync.OnceFunc(begun.Done)
			agents.Go(func() {
				for over.Err() == nil {
					if err := call(over, before, func() { begin(); <-time.After(100 * time.Millisecond) }); err != nil && over.Err() == nil {
						assert.NoError(t, err)
					}
				}
			})
		}
		begun.Wait()
		since := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, call(ctx, later, func() {}))
		t.Logf("admitted after %.1f s", time.Since(since).Seconds())
		stop()
		agents.Wait()
		requireVerified(t.Context(), t, backend.MustOpen(t, address))
	})
}
