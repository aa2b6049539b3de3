package budget_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// shares is what each of many callers got.
type shares struct {
	calls  []int
	waited []time.Duration // on average
	first  []time.Duration // how long the first call waited
}

// spread is how far the least and the most of what the callers got are apart, as a part of the mean.
func spread[T int | time.Duration](got []T) float64 {
	least, most, sum := got[0], got[0], T(0)
	for _, n := range got {
		least, most, sum = min(least, n), max(most, n), sum+n
	}
	return float64(most-least) * float64(len(got)) / float64(sum)
}

// contend has callers call for room that a few of them fill, for a while; worst says what a caller sets aside, and ledger where it calls.
func contend(t *testing.T, callers int, while time.Duration, ledger func(n int) *budget.Ledger, worst func(n int) int64) shares {
	s := shares{make([]int, callers), make([]time.Duration, callers), make([]time.Duration, callers)}
	ctx, cancel := context.WithTimeout(t.Context(), while)
	defer cancel()
	var all sync.WaitGroup
	for n := range callers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			if ledger(n) != ledger(0) {
				time.Sleep(time.Second) // the first process has all the room by then
			}
			for ctx.Err() == nil {
				asked := time.Now()
				r, err := ledger(n).Wait(ctx, budget.Request{Worst: usd(worst(n))})
				if err != nil {
					require.ErrorIs(t, err, budget.ErrExceeded)
					return
				}
				if s.calls[n]++; s.calls[n] == 1 {
					s.first[n] = time.Since(asked)
				}
				s.waited[n] += time.Since(asked)
				time.Sleep(time.Duration(500+random.IntN(1000)) * time.Millisecond)
				_, err = ledger(n).Settle(context.WithoutCancel(ctx), r, usd(0), false)
				require.NoError(t, err)
			}
		})
	}
	all.Wait()
	for n := range s.waited {
		s.waited[n] /= time.Duration(max(s.calls[n], 1))
	}
	return s
}

// Fifty callers that want ten times the room there is get equally many calls and wait equally long, within a tenth; and whoever asks for much
// at once gets as many as whoever asks for little. They ask the store less than three times a call.
func TestFiftyCallersShareWaitingFairly(t *testing.T) {
	for name, worst := range map[string]func(n int) int64{
		"equal calls":          func(int) int64 { return 200 },
		"large and small ones": func(n int) int64 { return 50 + 350*int64(n%2) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &countedStore{Store: memstore.New(memstore.Options{})}
				ledger := open(t, store, lifetime(1000))
				got := contend(t, 50, 10*time.Minute, func(int) *budget.Ledger { return ledger }, worst)
				calls := 0
				for _, n := range got.calls {
					calls += n
				}
				t.Logf("%d calls, apart by %.3f of the mean; waits apart by %.3f; %.2f reservations tried a call", calls, spread(got.calls), spread(got.waited), float64(store.asked.Load())/float64(calls))
				require.Less(t, spread(got.calls), 0.1)
				require.Less(t, spread(got.waited), 0.1)
				require.Less(t, store.asked.Load(), int64(3*calls))
			})
		})
	}
}

// sluggishStore takes four milliseconds for a step, as one behind a network.
type sluggishStore struct{ budget.Store }

func (s *sluggishStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	time.Sleep(2 * time.Millisecond)
	defer time.Sleep(2 * time.Millisecond)
	return s.Store.Reserve(ctx, r)
}

func (s *sluggishStore) Settle(ctx context.Context, p driver.Settlement) (driver.Posting, error) {
	time.Sleep(2 * time.Millisecond)
	defer time.Sleep(2 * time.Millisecond)
	return s.Store.Settle(ctx, p)
}

// A process whose calls wait does not keep its room to itself for as long as they do: another one that comes later finds some within seconds, and
// gets about as much in the end. Without others, looking for them costs no room.
func TestProcessesThatWaitLeaveRoomToEachOther(t *testing.T) {
	for name, store := range map[string]func() budget.Store{
		"at once":          func() budget.Store { return memstore.New(memstore.Options{}) },
		"behind a network": func() budget.Store { return &sluggishStore{memstore.New(memstore.Options{})} },
	} {
		t.Run(name, func(t *testing.T) {
			alone := 0
			for _, processes := range []int{1, 2, 4} {
				synctest.Test(t, func(t *testing.T) {
					counted := &countedStore{Store: store()}
					var ledgers []*budget.Ledger
					for range processes {
						ledgers = append(ledgers, open(t, counted, lifetime(1000)))
					}
					got := contend(t, 50, 5*time.Minute, func(n int) *budget.Ledger { return ledgers[n%processes] }, func(int) int64 { return 200 })
					calls, all := make([]int, processes), 0
					for n, of := range got.calls {
						calls[n%processes] += of
						all += of
					}
					if processes == 1 {
						alone = all
					}
					t.Logf("%d processes made %v calls, first after %v, %.2f reservations tried a call", processes, calls, got.first[:processes], float64(counted.asked.Load())/float64(all))
					require.Less(t, spread(calls), 0.3)
					require.Less(t, slices.Max(got.first), time.Minute)
					require.Greater(t, float64(all), 0.9*float64(alone), "calls in all")
					require.Less(t, counted.asked.Load(), int64(4*all))
				})
			}
		})
	}
}

// A fan-out of fifty over two processes is served whole, and neither process waits for the other's end.
func TestAFanOutOverTwoProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countedStore{Store: memstore.New(memstore.Options{})}
		ledgers := []*budget.Ledger{open(t, store, lifetime(1000)), open(t, store, lifetime(1000))}
		var waited [2]atomic.Int64
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				asked := time.Now()
				r, err := ledgers[n%2].Wait(t.Context(), budget.Request{Worst: usd(100)})
				require.NoError(t, err)
				waited[n%2].Add(int64(time.Since(asked)))
				time.Sleep(time.Second)
				_, err = ledgers[n%2].Settle(t.Context(), r, usd(18), false)
				require.NoError(t, err)
			})
		}
		all.Wait()
		require.Equal(t, [2]int64{900, 0}, account(t, ledgers[0], budget.Scope{}))
		t.Logf("waited %s and %s on average; %d reservations tried", time.Duration(waited[0].Load()/25), time.Duration(waited[1].Load()/25), store.asked.Load())
		require.Less(t, store.asked.Load(), int64(6*50))
	})
}
