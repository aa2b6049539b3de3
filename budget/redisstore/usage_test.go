package redisstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

func callOf(workflow int) *driver.Call {
	return &driver.Call{Scope: driver.Scope{Workflow: fmt.Sprint(workflow)}}
}

// Settlements of several connections add up to the last unit on the rows that they share.
func TestUsageOfManyConnectionsAddsUp(t *testing.T) {
	first := open(t, func(o *Options) { o.UsageRows = 3 })
	stores := []*Store{first}
	for range 2 {
		s, err := Open(t.Context(), dial(t, shared.Addr), first.opts)
		require.NoError(t, err)
		defer s.Close()
		stores = append(stores, s)
	}
	var spent atomic.Int64
	var all sync.WaitGroup
	for w := range 24 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 3))
			s := stores[w%len(stores)]
			for range 30 {
				r := reservation(5, daily(byte(w%4), 1<<40))
				r.Call = callOf(random.IntN(6))
				if d, err := s.Reserve(t.Context(), r); err != nil || !d.Admitted {
					t.Errorf("%+v: %v", d, err)
					return
				}
				n := random.Int64N(9)
				_, err := s.Settle(t.Context(), driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(n), Lines: r.Lines, Call: r.Call})
				if err == nil && random.IntN(4) == 0 {
					n++
					_, err = s.Correct(t.Context(), driver.Correction{ID: r.ID, Actual: usd(n), Change: storetest.NewChange()})
				}
				if err != nil {
					t.Error(err)
					return
				}
				spent.Add(n)
			}
		})
	}
	all.Wait()
	rows, err := first.Usage(t.Context(), driver.UsageMark{}, 100)
	require.NoError(t, err)
	sum := int64(0)
	for _, row := range rows {
		sum += row.Charge[driver.UnitUSD]
	}
	require.Equal(t, spent.Load(), sum)
	require.LessOrEqual(t, len(rows), 4)
}

// A step that would take a row of usage out of its range changes nothing, in no part: a script that fails is not undone.
func TestAnOverflowOfUsageHasNoPartialEffects(t *testing.T) {
	s := open(t)
	lines, full := daily(1, 1<<60), callOf(1)
	_, err := s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: usd(maxSum - 5), Lines: daily(2, 1<<60), Call: full})
	require.NoError(t, err)
	pending, settled := reservation(10, lines), reservation(1, lines)
	pending.Call, settled.Call = full, callOf(2)
	for _, r := range []driver.Reservation{pending, settled} {
		_, err := s.Reserve(t.Context(), r)
		require.NoError(t, err)
	}
	_, err = s.Settle(t.Context(), driver.Settlement{ID: settled.ID, Owner: settled.Owner, Actual: usd(1), Lines: lines, Call: settled.Call})
	require.NoError(t, err)
	shared := func(n int64) []driver.Share { // of a row that is not there yet, and of the full one
		all := []driver.Share{{Call: callOf(3), Amount: usd(1)}, {Call: full, Amount: usd(n - 1)}}
		if a, b := all[0].Call.UsageKey(), all[1].Call.UsageKey(); string(a[:]) > string(b[:]) {
			all[0], all[1] = all[1], all[0]
		}
		return all
	}
	before := contents(t, s)
	for step, run := range map[string]func() error{
		"Settle": func() error {
			_, err := s.Settle(t.Context(), driver.Settlement{ID: pending.ID, Owner: pending.Owner, Actual: usd(6), Lines: lines, Call: full})
			return err
		},
		"Settle with shares": func() error {
			_, err := s.Settle(t.Context(), driver.Settlement{ID: pending.ID, Owner: pending.Owner, Actual: usd(7), Lines: lines, Shares: shared(7)})
			return err
		},
		"Settle an orphan": func() error {
			_, err := s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: usd(6), Lines: daily(9, 100), Call: full})
			return err
		},
		"Correct": func() error {
			_, err := s.Correct(t.Context(), driver.Correction{ID: settled.ID, Actual: usd(7), Shares: shared(7), Change: storetest.NewChange()})
			return err
		},
	} {
		require.ErrorIs(t, run(), driver.ErrOverflow, step)
		require.Equal(t, before, contents(t, s), step)
	}
	_, err = s.Settle(t.Context(), driver.Settlement{ID: pending.ID, Owner: pending.Owner, Actual: usd(5), Lines: lines, Call: full})
	require.NoError(t, err)
}

// contents is everything that a ledger holds.
func contents(t *testing.T, s *Store) map[string]any {
	all := make(map[string]any)
	for _, key := range s.keys.names() {
		if s.rdb.Type(t.Context(), key).Val() == "zset" {
			all[key] = s.rdb.ZRangeWithScores(t.Context(), key, 0, -1).Val()
		} else {
			all[key] = s.rdb.HGetAll(t.Context(), key).Val()
		}
	}
	return all
}

// A policy that one process sets or takes back is heard of by those that listen.
func TestPoliciesAreSignalled(t *testing.T) {
	servers.Require(t, sharedErr)
	s := open(t)
	signals := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = s.Signal(ctx, func() { signals <- struct{}{} }) })
	defer all.Wait()
	defer cancel()
	<-signals // the connection is made
	other, err := Open(ctx, dial(t, shared.Addr), s.opts)
	require.NoError(t, err)
	defer other.Close()
	for _, document := range [][]byte{[]byte("limits: []"), nil} {
		require.NoError(t, other.SetPolicy(t.Context(), document, storetest.NewChange()))
		<-signals
	}
}

// What was spent in a month is known for thirteen of them, however short the retention; parts of rolling windows are not kept for that.
func TestPastWindowsAreKept(t *testing.T) {
	s, advance := aged(t)
	lines := append(line(1, driver.Monthly), line(2, driver.Rolling(24*time.Hour))...)
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
	judge(t, s)
	sweep(t, s)
	require.Equal(t, [2]int{1, 0}, periods())
	require.Equal(t, 1, rows(t, s))
	advance(40 * 24 * time.Hour)
	judge(t, s)
	sweep(t, s)
	require.Equal(t, [2]int{0, 0}, periods())
	require.Zero(t, rows(t, s))
}

// Flags that have ended are forgotten a while later, with patterns and without, whether or not anybody sets others; those without an end
// stay.
func TestFlagsThatEndedAreForgotten(t *testing.T) {
	s, advance := aged(t)
	until := s.opts.Clock().Add(time.Hour)
	for _, k := range []driver.Kill{
		{Scope: driver.Scope{Workflow: "a"}, Until: until},
		{Scope: driver.Scope{Workflow: "b", Principal: "c"}, Until: until.Add(time.Hour)},
		{Scope: driver.Scope{Workflow: "b", Principal: "c"}, Patterns: true, Until: until},
		{Scope: driver.Scope{Principal: "c"}},
		{Scope: driver.Scope{Workflow: "d*"}, Patterns: true},
	} {
		require.NoError(t, s.Kill(t.Context(), k, storetest.NewChange()))
	}
	held := func() (n int64) {
		for _, text := range s.rdb.HVals(t.Context(), s.keys.kills).Val() {
			n += int64(len(text))
		}
		return n
	}
	whole := held()
	advance(driver.FlagRetention)
	judge(t, s)
	sweep(t, s)
	require.Equal(t, whole, held(), "a clock may go back")
	advance(3 * time.Hour)
	judge(t, s)
	sweep(t, s)
	require.Less(t, held(), whole/2+100)
	kills, err := s.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, kills, 2)
	require.Zero(t, s.rdb.ZCard(t.Context(), s.keys.due).Val())
	r := reservation(1, line(1, driver.Daily))
	r.Call = &driver.Call{Scope: driver.Scope{Workflow: "dx"}}
	d, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.NotNil(t, d.Killed)
	require.NoError(t, s.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Principal: "c"}}, storetest.NewChange()))
	require.NoError(t, s.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Workflow: "d*"}, Patterns: true}, storetest.NewChange()))
	require.Zero(t, held())
	d, err = s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.True(t, d.Admitted)
}
