package redisstore

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// everyStep runs each step of a store once.
func everyStep(t *testing.T, s *Store, r driver.Reservation) map[string]error {
	ctx, st := t.Context(), driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(1), Lines: r.Lines}
	errs := make(map[string]error)
	_, errs["Reserve"] = s.Reserve(ctx, reservation(1, r.Lines))
	_, errs["Reserve again"] = s.Reserve(ctx, r)
	_, errs["Settle"] = s.Settle(ctx, st)
	st.ID = driver.NewID()
	_, errs["Settle an orphan"] = s.Settle(ctx, st)
	errs["Void"] = s.Void(ctx, r.ID, r.Owner)
	errs["Void unknown"] = s.Void(ctx, driver.NewID(), r.Owner)
	_, errs["Correct"] = s.Correct(ctx, driver.Correction{ID: r.ID, Actual: usd(1), Change: storetest.NewChange()})
	_, errs["Expire"] = s.Expire(ctx, 10)
	_, errs["Balances"] = s.Balances(ctx, r.Lines)
	errs["Override"] = s.Override(ctx, r.Lines[0].Account, nil, storetest.NewChange())
	errs["Unlatch"] = s.Unlatch(ctx, []driver.Key{r.Lines[0].Account}, storetest.NewChange())
	errs["Kill"] = s.Kill(ctx, driver.Kill{}, storetest.NewChange())
	errs["Revive"] = s.Revive(ctx, driver.Flag{Scope: driver.Scope{}}, storetest.NewChange())
	_, errs["Kills"] = s.Kills(ctx)
	_, errs["Entries"] = s.Entries(ctx, driver.Query{Max: 10})
	return errs
}

// forgotten asserts that a store notices, in each step, that its ledger is not what it was.
func forgotten(t *testing.T, s *Store, r driver.Reservation) {
	t.Helper()
	for step, err := range everyStep(t, s, r) {
		require.ErrorIs(t, err, errReplaced, step)
	}
}

// A server that was flushed knows nothing, and nobody takes that for nothing spent: neither who had the ledger open, nor who
// opens it later; and who makes a new one does not bring the old ones back.
func TestAFlushedServerIsRefused(t *testing.T) {
	server := own(t, "appendonly yes")
	rdb, name := dial(t, server.Addr), named()
	s, err := Open(t.Context(), rdb, with(name))
	require.NoError(t, err)
	defer s.Close()
	r := reservation(3, daily(1, 10))
	_, err = s.Reserve(t.Context(), r)
	require.NoError(t, err)

	require.NoError(t, rdb.FlushAll(t.Context()).Err())
	forgotten(t, s, r)
	keys, err := rdb.DBSize(t.Context()).Result()
	require.NoError(t, err)
	require.Zero(t, keys, "no step makes the ledger anew")
	_, err = Open(t.Context(), rdb, with(name, func(o *Options) { o.Create = false }))
	require.ErrorContains(t, err, "Options.Create")

	again, err := Open(t.Context(), rdb, with(name))
	require.NoError(t, err)
	defer again.Close()
	forgotten(t, s, r)
	stands(t, again, r.Lines, 0, 0)
	for again.seen.Load() <= s.seen.Load() {
		require.NoError(t, again.Unlatch(t.Context(), nil, storetest.NewChange()))
	}
	forgotten(t, s, r) // the new one has come further than the old one was, and is another one all the same

	ledger, err := budget.Open(t.Context(), s, budget.Policy{Limits: []budget.Limit{{Name: "all", Max: budget.USD(1), Window: driver.Daily}}})
	require.ErrorIs(t, err, budget.ErrStore)
	require.Nil(t, ledger)
}

// A ledger whose parts are lost is not opened, and not made anew over what is left.
func TestALedgerInPartIsRefused(t *testing.T) {
	s := open(t)
	r := reservation(3, daily(1, 10))
	_, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.NoError(t, s.rdb.Del(t.Context(), s.keys.ledger).Err())
	forgotten(t, s, r)
	again, err := Open(t.Context(), s.rdb, Options{Ledger: s.opts.Ledger, Create: true})
	require.NoError(t, err)
	defer again.Close()
	forgotten(t, again, r)
}

// A server that comes back with an older state is refused by those who have seen a later one.
func TestARestoredBackupIsRefused(t *testing.T) {
	servers.Require(t, sharedErr)
	dir := t.TempDir()
	server, err := servers.StartRedis(dir, "appendonly yes")
	servers.Require(t, err)
	defer server.Kill()
	s, err := Open(t.Context(), dial(t, server.Addr), with(named()))
	require.NoError(t, err)
	defer s.Close()
	r := reservation(3, daily(1, 1000))
	_, err = s.Reserve(t.Context(), r)
	require.NoError(t, err)
	backup := t.TempDir()
	require.NoError(t, server.Stop())
	require.NoError(t, os.CopyFS(backup, os.DirFS(filepath.Join(dir, "appendonlydir"))))
	require.NoError(t, server.Restart())
	for range 5 {
		_, err = s.Reserve(t.Context(), reservation(3, r.Lines))
		require.NoError(t, err)
	}
	require.NoError(t, server.Kill())
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "appendonlydir")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "appendonlydir"), os.DirFS(backup)))
	require.NoError(t, server.Restart())
	forgotten(t, s, r)

	younger, err := Open(t.Context(), s.rdb, Options{Ledger: s.opts.Ledger})
	require.NoError(t, err)
	defer younger.Close()
	stands(t, younger, r.Lines, 0, 3)
}

// What was acknowledged before the server was killed is there afterwards, and the sums are those of the entries.
func TestAcknowledgedReservationsSurviveKill(t *testing.T) {
	server := own(t, "appendonly yes", "appendfsync everysec")
	s, err := Open(t.Context(), dial(t, server.Addr), with(named(), func(o *Options) { o.Timeout = 5 * time.Second }))
	require.NoError(t, err)
	defer s.Close()
	lines := append(daily(1, 1<<40), driver.Line{Account: driver.Key{2}, Unit: driver.UnitUSD, Window: driver.Rolling(time.Hour), Max: 1 << 40})
	var mu sync.Mutex
	var acknowledged []driver.ID
	var workers sync.WaitGroup
	enough := make(chan struct{})
	for range 8 {
		workers.Go(func() {
			for {
				r := reservation(3, lines)
				if _, err := s.Reserve(t.Context(), r); err != nil {
					return
				}
				mu.Lock()
				if acknowledged = append(acknowledged, r.ID); len(acknowledged) == 500 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	require.NoError(t, server.Kill())
	workers.Wait()
	require.NoError(t, server.Restart())

	known, pending := make(map[driver.ID]bool), int64(0)
	for q := (driver.Query{Max: 1000}); ; {
		page, err := s.Entries(t.Context(), q)
		require.NoError(t, err)
		for _, e := range page {
			known[e.ID], q.After = true, e.ID
			pending += e.Reserved[driver.UnitUSD]
		}
		if len(page) < q.Max {
			break
		}
	}
	for _, id := range acknowledged {
		require.True(t, known[id], "an acknowledged reservation is lost")
	}
	for i := range lines {
		stands(t, s, lines[i:], 0, pending)
	}
}

// A server that is gone, or that answers nothing, is an error within the time that a step may take, and no answer.
func TestAServerThatDoesNotAnswer(t *testing.T) {
	server := own(t, "appendonly yes")
	for name, connect := range clients {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), connect(t, server.Addr), with(named(), func(o *Options) { o.Timeout = time.Hour }))
			require.NoError(t, err)
			defer s.Close()
			r := reservation(3, daily(1, 10))
			_, err = s.Reserve(t.Context(), r)
			require.NoError(t, err)
			s.opts.Timeout = 20 * time.Millisecond // a step that did not keep to it would last an hour
			require.NoError(t, server.Pause())
			for step, err := range everyStep(t, s, r) {
				require.Error(t, err, step)
				require.NotErrorIs(t, err, errReplaced, step)
			}
			require.NoError(t, server.Resume())
			s.opts.Timeout = 20 * time.Second
			require.Eventually(t, func() bool { // requests that were given up may still be carried out
				_, err := s.Entries(t.Context(), driver.Query{Max: 10})
				return err == nil
			}, 20*time.Second, time.Millisecond)
		})
	}
}

// A server that is full admits nothing more, and lets what it holds be resolved and stopped.
func TestAFullServer(t *testing.T) {
	server := own(t, "appendonly yes", "maxmemory 100mb")
	rdb := dial(t, server.Addr)
	s, err := Open(t.Context(), rdb, with(named()))
	require.NoError(t, err)
	defer s.Close()
	lines := daily(1, 1<<40)
	settled, voided, due := reservation(3, lines), reservation(3, lines), reservation(3, lines)
	due.TTL = 0
	for _, r := range []driver.Reservation{settled, voided, due} {
		_, err := s.Reserve(t.Context(), r)
		require.NoError(t, err)
	}
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	_, err = s.Reserve(t.Context(), reservation(3, lines))
	require.ErrorContains(t, err, "OOM")
	require.ErrorContains(t, s.Void(t.Context(), driver.NewID(), driver.Key{}), "OOM", "tombstones would fill it further")
	stands(t, s, lines, 0, 9)
	_, err = s.Settle(t.Context(), driver.Settlement{ID: settled.ID, Owner: settled.Owner, Actual: usd(2), Lines: lines})
	require.NoError(t, err)
	_, err = s.Correct(t.Context(), driver.Correction{ID: settled.ID, Actual: usd(1), Change: storetest.NewChange()})
	require.NoError(t, err)
	require.NoError(t, s.Void(t.Context(), voided.ID, voided.Owner))
	n, err := s.Expire(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, s.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange()))
	stands(t, s, lines, 4, 0)
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory", "100mb").Err())
	require.NoError(t, s.Revive(t.Context(), driver.Flag{Scope: driver.Scope{}}, storetest.NewChange()))
	_, err = s.Reserve(t.Context(), reservation(3, lines))
	require.NoError(t, err)
}

// A server that lost its scripts is sent them again.
func TestScriptsAreSentAgain(t *testing.T) {
	server := own(t, "appendonly yes")
	rdb := dial(t, server.Addr)
	s, err := Open(t.Context(), rdb, with(named()))
	require.NoError(t, err)
	defer s.Close()
	r := reservation(3, daily(1, 10))
	_, err = s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.NoError(t, rdb.ScriptFlush(t.Context()).Err())
	for step, err := range everyStep(t, s, r) {
		if err != nil {
			require.ErrorIs(t, err, driver.ErrResolved, step) // Void after Settle
		}
	}
}

// A server that can't even be connected to is an error as soon: waiting for a connection is part of a step.
func TestAServerThatCanNotBeReached(t *testing.T) {
	release := make(chan struct{})
	rdb := dial(t, "127.0.0.1:1", func(o *redis.Options) {
		o.DialTimeout, o.PoolTimeout = time.Hour, time.Hour
		o.Dialer = func(context.Context, string, string) (net.Conn, error) {
			<-release
			return nil, net.ErrClosed
		}
	})
	defer close(release)
	_, err := Open(t.Context(), rdb, with(named(), func(o *Options) { o.Timeout = 20 * time.Millisecond }))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// What an accepted loss has left out is made again by the steps that need it, and no step takes that for another loss.
func TestStepsGoOnAfterAnAcceptedLoss(t *testing.T) {
	lines := append(daily(1, 1000), driver.Line{Account: driver.Key{2}, Unit: driver.UnitUSD, Window: driver.Rolling(time.Hour), Max: 1000})
	names := []string{}
	for n := 0; ; n++ {
		s := open(t)
		pending, expired := reservation(3, lines), reservation(3, lines)
		expired.TTL = 0
		for _, r := range []driver.Reservation{pending, expired} {
			_, err := s.Reserve(t.Context(), r)
			require.NoError(t, err)
		}
		_, err := s.Expire(t.Context(), 10)
		require.NoError(t, err)
		lost := losePart(t, s, n)
		if lost == "" {
			break
		}
		names = append(names, lost)
		require.NoError(t, s.AcceptLoss(t.Context(), storetest.NewChange()), lost)
		for range 2 {
			_, err = s.Reserve(t.Context(), reservation(1, lines))
			require.NoError(t, err, lost)
			for _, r := range []driver.Reservation{pending, expired} {
				_, err = s.Settle(t.Context(), driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(2), Lines: lines})
				require.NoError(t, err, lost)
			}
			_, err = s.Correct(t.Context(), driver.Correction{ID: pending.ID, Actual: usd(1), Change: storetest.NewChange()})
			if err != nil {
				require.ErrorIs(t, err, driver.ErrNotFound, lost)
			}
			pending, expired = reservation(3, lines), reservation(3, lines)
			for _, r := range []driver.Reservation{pending, expired} {
				_, err := s.Reserve(t.Context(), r)
				require.NoError(t, err, lost)
			}
			_, err = s.Balances(t.Context(), lines)
			require.NoError(t, err, lost)
		}
	}
	require.Greater(t, len(names), 10)
}
