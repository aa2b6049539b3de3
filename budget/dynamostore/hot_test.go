package dynamostore

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// hotTime is how long each number of callers goes on.
const hotTime = time.Second

// hotLoad is what callers got done at one account, in calls of a reservation and a settlement.
type hotLoad struct {
	callers, calls, failed int
	perSecond              float64
	p50, p99               time.Duration
}

// callHot has so many callers call for some time, each with the patience that a guard has.
func callHot(stores []*Store, callers int, lines []driver.Line) hotLoad {
	const patience = 10 * time.Second
	load := hotLoad{callers: callers}
	var each []time.Duration
	var mu sync.Mutex
	var all sync.WaitGroup
	begun := time.Now()
	for n := range callers {
		s := stores[n%len(stores)]
		all.Go(func() {
			for time.Since(begun) < hotTime {
				began := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				r := hold(2, lines...)
				r.Call = &driver.Call{Scope: driver.Scope{Workflow: "w"}}
				d, err := s.Reserve(ctx, r)
				if err == nil && d.Admitted {
					st := settlement(r, 1)
					st.Call = r.Call
					_, err = s.Settle(ctx, st)
				}
				cancel()
				mu.Lock()
				each = append(each, time.Since(began))
				if err != nil || !d.Admitted {
					load.failed++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	load.calls, load.perSecond = len(each), float64(len(each)-load.failed)/time.Since(begun).Seconds()
	slices.Sort(each)
	load.p50, load.p99 = each[len(each)/2], each[len(each)*99/100]
	return load
}

// Transactions that meet in one item are cancelled by the service, and 64 callers that all share an account and a row of usage would cancel
// each other again and again. They queue in the process instead, and none fails. How much they get done is told with -v, and not
// demanded: it depends on what else the machine does. The service is modelled as one that needs 6 ms for a transaction.
func TestManyCallersShareAHotAccount(t *testing.T) {
	k := &conflicts{latency: 6 * time.Millisecond}
	table := newTable(t, newClient(t, endpoint(t)))
	var wires []*wire
	var stores []*Store // as four processes have them
	for range 4 {
		w, client := newWire(t)
		wires, stores = append(wires, w), append(stores, open(t, client, table))
	}
	lines := []driver.Line{line(1, driver.Daily, 1<<40), line(2, driver.Lifetime, 1<<40)}
	admitted(t, stores[0], hold(1, lines...))
	for _, w := range wires {
		w.follow(k.plan)
	}
	var best float64
	var last hotLoad
	var calls, failed int
	run := func(processes, callers int) hotLoad {
		load := callHot(stores[:processes], callers, lines)
		t.Logf("%d callers in %d processes: %.1f calls/s, p50 %s, p99 %s, %d of %d failed", callers, processes, load.perSecond,
			load.p50.Round(time.Millisecond), load.p99.Round(time.Millisecond), load.failed, load.calls)
		calls, failed = calls+load.calls, failed+load.failed
		return load
	}
	for _, callers := range []int{1, 4, 16, 64} {
		last = run(1, callers)
		best = max(best, last.perSecond)
	}
	t.Logf("best %.1f calls/s, 64 callers %.1f calls/s, %.2f of it; %d of %d failed", best, last.perSecond, last.perSecond/best, failed, calls)
	require.Zero(t, failed)
	t.Logf("%d transactions met another one", k.conflicts())
	require.Less(t, k.conflicts(), calls/2)
	spread := run(4, 64)
	require.Zero(t, spread.failed, "in four processes")
	for _, w := range wires {
		w.follow(nil)
	}
	require.Equal(t, [2]int64{int64(calls), 1}, stands(t, stores[0], lines[0]))
	sums(t, stores[0])
}
