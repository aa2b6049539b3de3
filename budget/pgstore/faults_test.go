package pgstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// A reply that is lost after the step was done makes the store or its caller do it again, and it counts once.
func TestLostRepliesCountOnce(t *testing.T) {
	for name, f := range map[string]fault{"FIN": fin, "RST": rst, "BlackHole": blackHole, "HalfReply": halfReply} {
		t.Run(name, func(t *testing.T) {
			direct := fresh(t)
			p := newProxy(t, sharedServer.Addr())
			pool := newPool(t, fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", p.port()))
			s := open(t, pool, direct.opts.Schema, func(o *Options) { o.Timeout = time.Second })
			l, rounds := line(1, driver.Monthly, 1000), int64(5)
			if f == blackHole { // each one takes its time
				rounds = 2
			}
			spoil := func(step func() error) {
				before := p.spoilt.Load()
				p.arm(f)
				for step() != nil || p.spoilt.Load() == before { // again, as the ledger does with all but Reserve
				}
			}
			for n := range rounds {
				r, given := hold(10, l), hold(10, l)
				spoil(func() error {
					d, err := s.Reserve(t.Context(), r)
					require.True(t, err != nil || d.Admitted)
					return err
				})
				stands(t, direct, l, 7*n, 10)
				spoil(func() error { _, err := s.Settle(t.Context(), settlement(r, 7)); return err })
				stands(t, direct, l, 7*(n+1), 0)
				admitted(t, s, given)
				spoil(func() error { return s.Void(t.Context(), given.ID, given.Owner) })
				stands(t, direct, l, 7*(n+1), 0)
			}
			entries, err := direct.Entries(t.Context(), driver.Query{Max: 100})
			require.NoError(t, err)
			require.Len(t, entries, int(2*rounds))
		})
	}
}

// A Reserve whose reply is lost and that is given up is voided by its caller, whichever of the two arrives first.
func TestAnAbandonedReserveHoldsNothing(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 1000)
	admitted(t, s, hold(1, l))
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			r := hold(5, l)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
			defer cancel()
			if _, err := s.Reserve(ctx, r); err == nil {
				_ = s.Void(t.Context(), r.ID, r.Owner)
				return
			}
			if err := s.Void(t.Context(), r.ID, r.Owner); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.NoError(t, s.Close()) // waits for steps whose callers have left
	stands(t, open(t, s.pool, s.opts.Schema), l, 0, 1)
}

// Sessions that are ended in the middle of their steps cost repetitions, not correctness.
func TestKilledSessions(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 1<<40)
	admitted(t, s, hold(0, l))
	killer, stop := newPool(t, dsn(t)), make(chan struct{})
	var killed atomic.Int64
	var all, killing sync.WaitGroup
	killing.Go(func() {
		for {
			var n int64
			err := killer.QueryRow(context.Background(), "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE query LIKE '%'||$1||'%' AND pid <> pg_backend_pid() AND state = 'active' LIMIT 1) victims", s.opts.Schema+`".reserve`).Scan(&n)
			if err != nil {
				t.Error(err)
			}
			killed.Add(n)
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	var sum atomic.Int64
	for range 16 {
		all.Go(func() {
			for n := 0; n < 40 || killed.Load() < 5 && n < 4000; n++ {
				r := hold(1, l)
				d, err := s.Reserve(t.Context(), r)
				if err != nil { // what became of it is unknown: it is given up
					err = s.Void(t.Context(), r.ID, r.Owner)
				} else if d.Admitted {
					sum.Add(1)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	close(stop)
	killing.Wait()
	require.GreaterOrEqual(t, killed.Load(), int64(5), "sessions ended")
	stands(t, s, l, 0, sum.Load())
}

// A server that is killed keeps what it acknowledged, and a store that was open goes on when it is back.
func TestAKilledServerKeepsWhatItAcknowledged(t *testing.T) {
	server := ownServer(t)
	s := open(t, newPool(t, server.DSN()), newSchema(), func(o *Options) { o.Timeout = 2 * time.Second })
	l := line(1, driver.Monthly, 1<<40)
	for range 3 {
		acknowledged, tried := crash(t, server, s, l)
		require.NoError(t, server.Restart())
		entries, err := s.Entries(t.Context(), driver.Query{Max: 10_000})
		require.NoError(t, err)
		known := make(map[driver.ID]bool, len(entries))
		for _, e := range entries {
			known[e.ID] = true
		}
		for _, id := range acknowledged {
			require.True(t, known[id], "an acknowledged reservation is lost")
		}
		require.LessOrEqual(t, len(acknowledged), tried)
		stands(t, s, l, 0, int64(len(entries)))
		admitted(t, s, hold(1, l))
	}
}

// crash kills the server while reservations are made, and returns those that were admitted.
func crash(t *testing.T, server *servers.Postgres, s *Store, l driver.Line) (acknowledged []driver.ID, tried int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	enough := make(chan struct{})
	var once sync.Once
	for range 8 {
		all.Go(func() {
			for {
				r := hold(1, l)
				d, err := s.Reserve(context.Background(), r)
				mu.Lock()
				tried++
				if err == nil && d.Admitted {
					acknowledged = append(acknowledged, r.ID)
				}
				if len(acknowledged) > 100 {
					once.Do(func() { close(enough) })
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	<-enough
	require.NoError(t, server.Kill())
	all.Wait()
	return acknowledged, tried
}

// A server that is down or does not answer is an error in time, and the store works again when it is back.
func TestAServerThatDoesNotAnswer(t *testing.T) {
	server := ownServer(t)
	s := open(t, newPool(t, server.DSN()), newSchema(), func(o *Options) { o.Timeout = time.Second })
	r := hold(1, line(1, driver.Monthly, 100))
	admitted(t, s, r)
	require.NoError(t, server.Pause())
	unknown := hold(1, r.Lines...)
	_, err := s.Reserve(t.Context(), unknown)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "no answer in time")
	require.NoError(t, server.Resume())
	require.Eventually(t, func() bool { _, err := s.Balances(t.Context(), r.Lines); return err == nil }, waitFor, tick)

	require.NoError(t, server.Stop())
	_, err = s.Balances(t.Context(), r.Lines)
	require.ErrorContains(t, err, "pgstore: balances: ")
	for _, secret := range []string{"127.0.0.1", "postgres", fmt.Sprint(server.Addr())} {
		require.NotContains(t, err.Error(), secret)
	}
	require.NoError(t, server.Restart())
	require.Eventually(t, func() bool { _, err := s.Balances(t.Context(), r.Lines); return err == nil }, waitFor, tick)
	require.NoError(t, s.Void(t.Context(), unknown.ID, unknown.Owner)) // whether it was made or not
	stands(t, s, r.Lines[0], 0, 1)
}

// A ledger that lost its memory answers nothing to stores that knew it: not what it lost, and not what is left.
func TestALedgerThatLostItsMemory(t *testing.T) {
	schema := func(s *Store) string { return s.opts.quoted() }
	cases := map[string]func(s *Store) []string{
		"dropped":         func(s *Store) []string { return []string{"DROP SCHEMA " + schema(s) + " CASCADE"} },
		"account emptied": func(s *Store) []string { return []string{"TRUNCATE " + schema(s) + ".account"} },
		"bucket emptied":  func(s *Store) []string { return []string{"TRUNCATE " + schema(s) + ".bucket"} },
		"entries emptied": func(s *Store) []string { return []string{"TRUNCATE " + schema(s) + ".reservation"} },
		"flags emptied":   func(s *Store) []string { return []string{"TRUNCATE " + schema(s) + ".kill"} },
		"epoch emptied":   func(s *Store) []string { return []string{"TRUNCATE " + schema(s) + ".meta"} },
		"another epoch": func(s *Store) []string {
			return []string{"UPDATE " + schema(s) + ".meta SET epoch = gen_random_uuid()"}
		},
		"steps set back": func(s *Store) []string { return []string{"SELECT setval('" + schema(s) + ".step', 2)"} },
		"made again alike": func(s *Store) []string {
			return []string{
				"CREATE TABLE public.keep_" + s.opts.Schema + " AS SELECT * FROM " + schema(s) + ".meta",
				"ALTER TABLE " + schema(s) + ".meta RENAME TO old",
				"CREATE TABLE " + schema(s) + ".meta AS SELECT * FROM public.keep_" + s.opts.Schema,
			}
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			s := fresh(t)
			r := hold(3, line(1, driver.Monthly, 100))
			admitted(t, s, r)
			admitted(t, s, hold(3, r.Lines...))
			admin(t, dsn(t), spoil(s)...)
			unanswered(t, s, r)
		})
	}
}

// unanswered asserts that every step fails, with nothing that could be taken for an answer.
func unanswered(t *testing.T, s *Store, r driver.Reservation) {
	t.Helper()
	ctx := t.Context()
	steps := map[string]func() error{
		"Reserve": func() error { _, err := s.Reserve(ctx, hold(1, r.Lines...)); return err },
		"Settle":  func() error { _, err := s.Settle(ctx, settlement(r, 1)); return err },
		"Orphan":  func() error { _, err := s.Settle(ctx, settlement(hold(1, r.Lines...), 1)); return err },
		"Void":    func() error { return s.Void(ctx, r.ID, r.Owner) },
		"Correct": func() error {
			_, err := s.Correct(ctx, driver.Correction{ID: r.ID, Actual: usd(1), Change: storetest.NewChange()})
			return err
		},
		"Expire":   func() error { _, err := s.Expire(ctx, 10); return err },
		"Balances": func() error { _, err := s.Balances(ctx, r.Lines); return err },
		"Override": func() error {
			return s.Override(ctx, r.Lines[0].Account, &driver.Override{Max: 1 << 50, Until: time.Now().Add(time.Hour)}, storetest.NewChange())
		},
		"Unlatch": func() error { return s.Unlatch(ctx, []driver.Key{r.Lines[0].Account}, storetest.NewChange()) },
		"Kill":    func() error { return s.Kill(ctx, driver.Kill{Reason: "x"}, storetest.NewChange()) },
		"Revive":  func() error { return s.Revive(ctx, driver.Flag{Scope: driver.Scope{}}, storetest.NewChange()) },
		"Kills":   func() error { _, err := s.Kills(ctx); return err },
		"Entries": func() error { _, err := s.Entries(ctx, driver.Query{Max: 10}); return err },
	}
	for name, step := range steps {
		// Another process knows no more than this one did: a step that was turned away leaves no trace that hides the loss from it.
		for _, next := range []func() error{step, steps["Kills"]} {
			s.mu.Lock()
			s.memory.lost = false
			s.mu.Unlock()
			err := next()
			require.Error(t, err, name)
			for _, answer := range []error{driver.ErrOverflow, driver.ErrInvalidCharge, driver.ErrIDConflict, driver.ErrResolved, driver.ErrNotFound} {
				require.NotErrorIs(t, err, answer, name)
			}
		}
	}
}

// A backup that is played back under an open store takes spend with it, down to a single step.
func TestAServerThatWasSetBack(t *testing.T) {
	server := ownServer(t)
	s := open(t, newPool(t, server.DSN()), newSchema())
	r := hold(3, line(1, driver.Monthly, 100))
	admitted(t, s, r)
	backup := filepath.Join(t.TempDir(), "backup")
	require.NoError(t, server.Pause()) // a snapshot of a disk, on which the count of steps may run ahead
	copied(t, server.Data(), backup)
	require.NoError(t, server.Resume())
	admitted(t, s, hold(3, r.Lines...))
	require.NoError(t, server.Stop())
	require.NoError(t, os.RemoveAll(server.Data()))
	copied(t, backup, server.Data())
	require.NoError(t, os.Remove(filepath.Join(server.Data(), "postmaster.pid")))
	require.NoError(t, server.Restart())
	unanswered(t, s, r)
	again := open(t, newPool(t, server.DSN()), s.opts.Schema)
	stands(t, again, r.Lines[0], 0, 3)
}

func copied(t *testing.T, from, to string) {
	out, err := exec.Command("cp", "-a", from, to).CombinedOutput()
	require.NoError(t, err, string(out))
}

// A standby is refused when a store is opened, and so is every step on a primary that became one.
func TestAStandbyIsRefused(t *testing.T) {
	server := ownServer(t)
	s := open(t, newPool(t, server.DSN()), newSchema())
	r := hold(3, line(1, driver.Monthly, 100))
	admitted(t, s, r)
	require.NoError(t, server.Stop())
	signal := filepath.Join(server.Data(), "standby.signal")
	require.NoError(t, os.WriteFile(signal, nil, 0o644))
	require.NoError(t, server.Restart())
	unanswered(t, s, r)
	_, err := s.Balances(t.Context(), r.Lines)
	require.ErrorContains(t, err, "standby")
	_, err = Open(t.Context(), s.pool, Options{Schema: s.opts.Schema, Create: true})
	require.ErrorIs(t, err, errStandby)

	require.NoError(t, server.Stop())
	require.NoError(t, os.Remove(signal))
	require.NoError(t, server.Restart())
	stands(t, s, r.Lines[0], 0, 3) // it lost nothing, so the store goes on
}

// A server that forgets on a crash what it acknowledged is refused, at Open and whenever it begins to.
func TestAVolatileServerIsRefused(t *testing.T) {
	server := ownServer(t)
	schema := newSchema()
	off := func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["synchronous_commit"] = "off" }
	_, err := Open(t.Context(), newPool(t, server.DSN(), off), Options{Schema: schema, Create: true})
	require.ErrorIs(t, err, errVolatile)
	told := open(t, newPool(t, server.DSN(), off), schema, func(o *Options) { o.AllowVolatile = true })
	r := hold(3, line(1, driver.Monthly, 100))
	admitted(t, told, r)

	s := open(t, newPool(t, server.DSN()), schema)
	admitted(t, s, hold(3, r.Lines...))
	admin(t, server.DSN(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
	require.Eventually(t, func() bool {
		_, err := s.Reserve(t.Context(), hold(1, r.Lines...))
		return err != nil
	}, waitFor, tick)
	unanswered(t, s, r)
	_, err = s.Balances(t.Context(), r.Lines)
	require.ErrorContains(t, err, "fsync")
	require.False(t, errors.Is(err, budget.ErrExceeded))
	admitted(t, told, hold(1, r.Lines...))
}

// A host whose network is cut before the last bytes of a step have arrived must not keep the accounts of a hot limit from all others.
func TestAHostCutOffInTheMiddleOfAStepHoldsNothing(t *testing.T) {
	server := ownServer(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var cut atomic.Bool
	swallowed := make(chan struct{})
	var once sync.Once
	var mu sync.Mutex
	var conns []net.Conn
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server.Addr())
			if err != nil {
				client.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, client, upstream)
			mu.Unlock()
			all.Go(func() { io.Copy(client, upstream) }) //nolint:errcheck // either end may break it off
			all.Go(func() {
				buf := make([]byte, 64<<10)
				for {
					n, err := client.Read(buf)
					if err != nil {
						return
					}
					if cut.Load() { // the connection stays, as the server sees it
						upstream.Write(buf[:n-5])
						once.Do(func() { close(swallowed) })
						io.Copy(io.Discard, client)
						return
					}
					upstream.Write(buf[:n])
				}
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})

	schema := newSchema()
	others := open(t, newPool(t, server.DSN()), schema)
	host := open(t, newPool(t, server.DSN(), func(c *pgxpool.Config) {
		c.ConnConfig.Host, c.ConnConfig.Port = "127.0.0.1", uint16(listener.Addr().(*net.TCPAddr).Port)
		c.ConnConfig.Fallbacks = nil
	}), schema)
	l := line(1, driver.Monthly, 1000)
	admitted(t, host, hold(1, l))
	cut.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = host.Reserve(ctx, hold(1, l))
	require.Error(t, err)
	<-swallowed
	others.opts.Timeout = 5 * time.Second
	admitted(t, others, hold(1, l))
	require.NoError(t, others.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Principal: "x"}, Reason: "stop"}, storetest.NewChange()))
	stands(t, others, l, 0, 2)
}
