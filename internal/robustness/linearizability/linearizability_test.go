package linearizability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/faults"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// handles is how many processes a history plays.
const handles = 4

// TestHistoriesAreLinearizable records short histories of many clients at tight limits and looks for an order that
// explains each. ROBUSTNESS_HISTORIES says how many, ROBUSTNESS_OPERATIONS how long the longest may be, and ROBUSTNESS_SEED
// where to begin.
func TestHistoriesAreLinearizable(t *testing.T) {
	backend.Each(t, nil, func(t *testing.T, _ backend.Backend, s backend.Server) {
		address := s.NewLedger(t)
		var stores []budget.Store
		for range handles {
			stores = append(stores, backend.MustOpen(t, address))
		}
		var total tally
		from := uint64(size("ROBUSTNESS_SEED", 1))
		seeds := make(chan uint64)
		var checkers sync.WaitGroup
		for range 2 { // one records while the other searches
			checkers.Go(func() {
				for seed := range seeds {
					total.run(t, seed, stores)
				}
			})
		}
		for n := range size("ROBUSTNESS_HISTORIES", 100) {
			seeds <- from + uint64(n)
		}
		close(seeds)
		checkers.Wait()
		t.Logf("from seed %d: %s", from, &total)
	})
}

// run records and checks the history of one seed.
func (y *tally) run(t *testing.T, seed uint64, stores []budget.Store) {
	random := rand.New(rand.NewPCG(seed, 1))
	losses := random.IntN(8) * random.IntN(2) // half of all histories lose none
	p := newPlan(seed, clientCounts, 30+random.IntN(max(size("ROBUSTNESS_OPERATIONS", 80)-29, 1)), losses)
	history, failed := record(context.Background(), p, stores, nil)
	if len(failed) > 0 {
		t.Errorf("seed %d: a store with nothing wrong owes an answer: %v", seed, failed)
	}
	y.check(t, p, history)
}

// TestHistoriesOverABadNetworkAreLinearizable loses messages between the stores and their server. What a client was told of
// as an error may have happened, and may still happen; and what it got an answer to may have been asked twice.
func TestHistoriesOverABadNetworkAreLinearizable(t *testing.T) {
	backend.Each(t, backend.Remote, func(t *testing.T, _ backend.Backend, s backend.Server) {
		proxy := faults.NewProxy(t, s.(backend.Networked).HostPort())
		address := s.NewLedger(t)
		var stores []budget.Store
		for range handles {
			stores = append(stores, backend.MustOpen(t, address, func(o *backend.Options) { o.Via = proxy.Addr() }))
		}
		var total tally
		for seed := range uint64(max(size("ROBUSTNESS_HISTORIES", 100)/10, 1)) {
			p := newPlan(seed, []int{2, 3, 4}, 60, 0)
			stop := lose(proxy, rand.New(rand.NewPCG(seed, 2)), 5)
			history, _ := record(context.Background(), p, stores, proxy.Hits)
			stop()
			total.check(t, p, history)
		}
		t.Logf("%d messages lost: %s", proxy.Hits(), &total)
	})
}

// lose lets up to so many messages get lost, one every few milliseconds, until it is stopped.
func lose(proxy *faults.Proxy, random *rand.Rand, most int) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for range most {
			cut := faults.Cuts[random.IntN(len(faults.Cuts))]
			for cut.Silent() { // each would cost the whole patience of a store
				cut = faults.Cuts[random.IntN(len(faults.Cuts))]
			}
			proxy.Arm(cut, random.IntN(4))
			select {
			case <-done:
				return
			case <-time.After(time.Duration(2+random.IntN(10)) * time.Millisecond):
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		proxy.Disarm()
	}
}

// tally adds up what was checked.
type tally struct {
	mu                            sync.Mutex
	histories, operations, losses int
	admitted, denied, killed      int
	longest                       time.Duration
}

func (y *tally) check(t *testing.T, p *plan, history []porcupine.Operation) {
	begun := time.Now()
	if verdict := check(p, history); verdict != porcupine.Ok {
		t.Errorf("seed %d is %s:\n%s", p.seed, verdict, explain(p, history, t.ArtifactDir()))
	}
	y.add(history, time.Since(begun))
}

func (y *tally) add(history []porcupine.Operation, took time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.histories++
	y.longest = max(y.longest, took)
	for _, o := range history {
		y.operations++
		switch r := o.Output.(result); {
		case r.unknown:
			y.losses++
		case r.admitted:
			y.admitted++
		case r.denied:
			y.denied++
		case r.killed:
			y.killed++
		}
	}
}

func (y *tally) String() string {
	return fmt.Sprintf("%d histories of %d operations (%d without an answer, %d admitted, %d denied, %d killed), longest search %s",
		y.histories, y.operations, y.losses, y.admitted, y.denied, y.killed, y.longest.Round(time.Millisecond))
}
