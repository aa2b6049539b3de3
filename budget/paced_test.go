package budget_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

func rate(nano int64, per time.Duration) budget.Limit {
	return budget.Limit{Name: "rate", Max: nanoUSD(nano), Window: budget.Rolling(per), Paced: true}
}

// A rate that several processes share lets calls through as time passes, in the order in which they came, and never more of them in a minute
// than it says.
func TestAPacedLimitIsASharedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countedStore{Store: memstore.New(memstore.Options{})}
		ledgers := []*budget.Ledger{open(t, store, rate(600, time.Minute)), open(t, store, rate(600, time.Minute))}
		begun := time.Now()
		var mu sync.Mutex
		var admitted []time.Duration
		when := make([]time.Duration, 30) // by the order in which they came
		var callers sync.WaitGroup
		for n := range 30 {
			callers.Go(func() {
				time.Sleep(time.Duration(n) * time.Millisecond)
				l := n % len(ledgers)
				r, err := ledgers[l].Wait(t.Context(), budget.Request{Worst: usd(100), MaxWait: time.Hour})
				at := time.Since(begun)
				if err == nil {
					_, err = ledgers[l].Settle(context.Background(), r, usd(100), false)
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				admitted = append(admitted, at)
				when[n] = at
			})
		}
		callers.Wait()
		require.Len(t, admitted, 30)
		slices.Sort(admitted)
		for i := 6; i < len(admitted); i++ {
			require.GreaterOrEqual(t, admitted[i]-admitted[i-6], time.Minute, "seven calls in a minute")
		}
		require.Less(t, admitted[29], 5*time.Minute, "and no slower than it has to be")
		for n := len(ledgers); n < len(when); n++ { // of several at the same moment nobody can tell which one was first
			require.GreaterOrEqual(t, when[n], when[n-len(ledgers)], "first come, first served in each process: call %d", n)
		}
		t.Logf("30 calls asked %d times", store.asked.Load())
		require.LessOrEqual(t, store.asked.Load(), int64(3*30), "it is known when there is room: nobody has to ask before")
	})
}

// Who may not wait so long is refused at once, and told when to come back; so is what never fits.
func TestAPacedRefusalSaysWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, memstore.New(memstore.Options{}), rate(100, time.Minute))
		r, err := ledger.Wait(t.Context(), budget.Request{Worst: usd(100)})
		require.NoError(t, err)
		_, err = ledger.Settle(t.Context(), r, usd(100), false)
		require.NoError(t, err)
		begun := time.Now()
		_, err = ledger.Wait(t.Context(), budget.Request{Worst: usd(50), MaxWait: 10 * time.Second})
		var e *budget.ExceededError
		require.ErrorAs(t, err, &e)
		require.Zero(t, time.Since(begun))
		require.True(t, e.Paced && e.Waiting)
		require.Equal(t, 61*time.Second, e.ResetAfter)
		require.ErrorContains(t, err, "which is a rate: try again in 1m1s")
		_, err = ledger.Wait(t.Context(), budget.Request{Worst: usd(101), MaxWait: time.Hour})
		require.ErrorAs(t, err, &e)
		require.Zero(t, time.Since(begun))
		require.False(t, e.Waiting)
		_, err = ledger.Reserve(t.Context(), budget.Request{Worst: usd(50)})
		require.ErrorAs(t, err, &e)
		require.True(t, e.Paced, "Reserve waits for nobody, and tells the same")
	})
}

// A limit that is no rate, and has no room, lets nobody wait for the rate beside it.
func TestARateIsNoReasonToWaitForOtherLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, memstore.New(memstore.Options{}), rate(100, time.Minute), limit("day", 150, budget.Daily))
		r, err := ledger.Wait(t.Context(), budget.Request{Worst: usd(100)})
		require.NoError(t, err)
		_, err = ledger.Settle(t.Context(), r, usd(100), false)
		require.NoError(t, err)
		begun := time.Now()
		_, err = ledger.Wait(t.Context(), budget.Request{Worst: usd(60), MaxWait: time.Hour})
		require.ErrorIs(t, err, budget.ErrExceeded)
		require.Zero(t, time.Since(begun))
	})
}

func TestPacesThatMakeNoSense(t *testing.T) {
	for name, l := range map[string]budget.Limit{
		"never again": {Name: "l", Max: nanoUSD(1), Window: budget.Lifetime, Paced: true},
		"latched":     {Name: "l", Max: nanoUSD(1), Window: budget.Daily, Paced: true, Latch: true},
	} {
		require.ErrorIs(t, budget.Policy{Limits: []budget.Limit{l}}.Validate(), budget.ErrInvalidPolicy, name)
	}
}
