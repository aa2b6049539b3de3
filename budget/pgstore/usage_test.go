package pgstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func callOf(workflow int) *driver.Call {
	return &driver.Call{Scope: driver.Scope{Workflow: fmt.Sprint(workflow)}}
}

// usageSum adds all rows up, in USD, and counts them.
func usageSum(t *testing.T, s *Store) (sum int64, rows int) {
	t.Helper()
	all, err := s.Usage(t.Context(), driver.UsageMark{}, 10_000)
	require.NoError(t, err)
	for _, row := range all {
		sum += row.Charge[driver.UnitUSD]
	}
	return sum, len(all)
}

// Settlements of several processes, on limits of their own and alone or in company, add up to the last unit on the rows that they share,
// and never wait for each other in a circle, whichever rows each transaction touches in which order.
func TestUsageOfManyProcessesAddsUpWithoutDeadlocks(t *testing.T) {
	server, schema := ownServer(t, "fsync=off"), newSchema() // that counts no other test's deadlocks
	const workflows, workers, each = 6, 32, 20
	pools := []*pgxpool.Pool{newPool(t, server.DSN()), newPool(t, server.DSN())}
	var stores []*Store
	for _, pool := range pools {
		stores = append(stores, open(t, pool, schema, func(o *Options) { o.AllowVolatile, o.UsageRows = true, workflows-1 })) // one is other
	}
	var spent atomic.Int64
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 11))
			s := stores[w%len(stores)]
			for range each {
				r := hold(5, line(byte(w%4), driver.Monthly, 1<<40))
				r.Call = callOf(random.IntN(workflows))
				if d, err := s.Reserve(t.Context(), r); err != nil || !d.Admitted {
					t.Errorf("%+v: %v", d, err)
					return
				}
				n := random.Int64N(9)
				st := settlement(r, n)
				st.Call = r.Call
				if _, err := s.Settle(t.Context(), st); err != nil {
					t.Error(err)
					return
				}
				if random.IntN(4) == 0 {
					n++
					c := driver.Correction{ID: r.ID, Actual: usd(n), Change: storetest.NewChange()}
					if _, err := s.Correct(t.Context(), c); err != nil {
						t.Error(err)
						return
					}
				}
				spent.Add(n)
			}
		})
	}
	all.Wait()
	sum, rows := usageSum(t, stores[0])
	require.Equal(t, spent.Load(), sum)
	require.LessOrEqual(t, rows, workflows)
	for i := range stores { // a session tells what it counted when it ends, at the latest
		require.NoError(t, stores[i].Close())
		pools[i].Close()
	}
	require.Zero(t, deadlocks(t, server.DSN()), "deadlocks that the server had to break")
}

// Of settlements that share a transaction, one that would overflow its row of usage fails alone.
func TestAnOverflowOfUsageInCompanyFailsAlone(t *testing.T) {
	s := fresh(t)
	l, full := line(1, driver.Monthly, 1<<62), callOf(1)
	_, err := s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: usd(1<<63 - 5), Lines: []driver.Line{line(2, driver.Monthly, 1<<62)}, Call: full})
	require.NoError(t, err)
	var made []driver.Reservation
	for n := range 24 {
		r := hold(10, l)
		if r.Call = callOf(2); n%3 == 0 {
			r.Call = full
		}
		admitted(t, s, r)
		made = append(made, r)
	}
	var failed atomic.Int64
	var all sync.WaitGroup
	for _, r := range made {
		all.Go(func() {
			st := settlement(r, 10)
			st.Call = r.Call
			switch _, err := s.Settle(t.Context(), st); {
			case errors.Is(err, driver.ErrOverflow):
				failed.Add(1)
			case err != nil:
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, int64(8), failed.Load())
	stands(t, s, l, 160, 80)
}

// Rows of usage are forgotten once their time is past, a batch at a time, and the day's count of them, too.
func TestUsageIsForgotten(t *testing.T) {
	s, advance := aged(t)
	for n := range pruneBatch + 50 {
		_, err := s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: usd(1), Call: callOf(n)})
		require.NoError(t, err)
	}
	advance(driver.UsageRetention - 24*time.Hour)
	s.judge(t)
	expire(t, s, 0)
	require.Equal(t, pruneBatch+50, s.count(t, "usage"))
	advance(48 * time.Hour)
	s.judge(t)
	expire(t, s, 0)
	require.Zero(t, s.count(t, "usage"))
	require.Zero(t, s.count(t, "usage_day"))
}

// judge moves the time on that forgetting goes by, as months of upkeep would.
func (s *Store) judge(t *testing.T) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), "UPDATE "+s.opts.quoted()+".meta SET judged = $1", s.opts.Clock().UnixNano())
	require.NoError(t, err)
}

// What was spent in a month is known for thirteen of them, however short the retention; parts of rolling windows are not kept for that.
func TestPastWindowsAreKept(t *testing.T) {
	s, advance := aged(t)
	lines := []driver.Line{line(1, driver.Monthly, 100), line(2, driver.Rolling(24*time.Hour), 100)}
	_, err := s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: usd(5), Lines: lines})
	require.NoError(t, err)
	periods := func() (n [2]int) {
		for i := range lines {
			all, err := s.Periods(t.Context(), lines[i].Account, time.Time{}, 100)
			require.NoError(t, err)
			n[i] = len(all)
		}
		return n
	}
	advance(390 * 24 * time.Hour)
	s.judge(t)
	expire(t, s, 0)
	require.Equal(t, [2]int{1, 0}, periods())
	advance(40 * 24 * time.Hour)
	s.judge(t)
	expire(t, s, 0)
	require.Equal(t, [2]int{0, 0}, periods())
}

// A policy that one process sets or takes back is heard of by those that listen.
func TestPoliciesAreSignalled(t *testing.T) {
	schema := newSchema()
	_, signals, _ := listening(t, schema)
	other := open(t, newPool(t, dsn(t)), schema)
	for _, document := range [][]byte{[]byte("limits: []"), nil} {
		require.NoError(t, other.SetPolicy(t.Context(), document, storetest.NewChange()))
		<-signals
	}
}

// A flag with patterns that is set while reservations are under way holds for each that begins after Kill has returned, in each process.
func TestPatternsHoldOnceKillHasReturned(t *testing.T) {
	schema := newSchema()
	killer, other := open(t, newPool(t, dsn(t)), schema), open(t, newPool(t, dsn(t)), schema)
	for n := range 20 {
		var killed atomic.Bool
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				for refused := false; !refused; {
					before := killed.Load()
					r := hold(1, line(byte(w%2), driver.Monthly, 1<<40))
					r.Call = &driver.Call{Scope: driver.Scope{Workflow: fmt.Sprintf("run %d of %d", n, w)}}
					d, err := other.Reserve(t.Context(), r)
					if err != nil || before && d.Admitted {
						t.Errorf("admitted after the flag was set: %+v: %v", d, err)
						return
					}
					refused = !d.Admitted
				}
			})
		}
		require.NoError(t, killer.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Workflow: fmt.Sprintf("run %d *", n)}, Patterns: true}, storetest.NewChange()))
		killed.Store(true)
		all.Wait()
	}
}
