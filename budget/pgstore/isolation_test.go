package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// The isolation that a role, a database or a connection may have for its default must not matter.
var levels = []string{"read committed", "repeatable read", "serializable"}

func isolated(t *testing.T, level, schema string) *Store {
	return open(t, newPool(t, dsn(t), func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["default_transaction_isolation"] = level }), schema)
}

// holdCommits keeps every transaction that makes a reservation from being committed until the one that it returns has ended.
func holdCommits(t *testing.T, s *Store) pgx.Tx {
	schema, gate := s.opts.quoted(), begin(t, newPool(t, dsn(t)))
	admin(t, dsn(t),
		"CREATE FUNCTION "+schema+".late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(hashtext(TG_TABLE_SCHEMA)); RETURN NULL; END $$",
		"CREATE CONSTRAINT TRIGGER late AFTER INSERT ON "+schema+".reservation DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "+schema+".late()")
	_, err := gate.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtext($1))", s.opts.Schema)
	require.NoError(t, err)
	return gate
}

// A step that waited for the one before it judges what that one booked, in a rolling window too, where the two write different
// buckets.
func TestAStepSeesWhatItWaitedFor(t *testing.T) {
	for _, level := range levels {
		t.Run(level, func(t *testing.T) {
			now := time.Date(2026, 11, 24, 12, 30, 0, 0, time.UTC)
			schema, l := newSchema(), line(1, driver.Rolling(time.Minute), 10)
			a, b := isolated(t, level, schema), isolated(t, level, schema)
			a.opts.Clock = func() time.Time { return now }
			b.opts.Clock = func() time.Time { return now.Add(2 * time.Second) } // another bucket
			_, err := a.Settle(t.Context(), settlement(hold(0, l), 0))
			require.NoError(t, err)
			gate := holdCommits(t, a)
			var all sync.WaitGroup
			all.Go(func() { admitted(t, a, hold(8, l)) })
			awaitBlocked(t, a)
			all.Go(func() {
				d, err := b.Reserve(context.Background(), hold(8, l))
				if err != nil || d.Admitted {
					t.Errorf("admitted beyond the limit: %+v, %v", d, err)
				}
			})
			awaitAllBlocked(t, a, 2)
			require.NoError(t, gate.Rollback(t.Context()))
			all.Wait()
			stands(t, b, l, 0, 8)
		})
	}
}

// A reservation that waits while a flag is set is refused.
func TestAKillHoldsForStepsThatWait(t *testing.T) {
	for _, level := range levels {
		t.Run(level, func(t *testing.T) {
			s, l := isolated(t, level, newSchema()), line(1, driver.Monthly, 100)
			admitted(t, s, hold(1, l))
			stranger := begin(t, newPool(t, dsn(t)))
			_, err := stranger.Exec(t.Context(), "SELECT FROM "+s.opts.quoted()+".account FOR UPDATE")
			require.NoError(t, err)
			var all sync.WaitGroup
			all.Go(func() {
				d, err := s.Reserve(context.Background(), hold(1, l))
				if err != nil || d.Killed == nil {
					t.Errorf("%+v, %v", d, err)
				}
			})
			awaitBlocked(t, s)
			require.NoError(t, s.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange()))
			require.NoError(t, stranger.Rollback(t.Context()))
			all.Wait()
		})
	}
}

// Whoever sees that a flag was set, by the flag or by the trail, sees no call admitted after that which it holds for: a kill waits for steps
// that have looked at the flags before it shows anything.
func TestAKillShowsNothingWhileStepsHaveNotSeenIt(t *testing.T) {
	s, l := fresh(t), line(1, driver.Monthly, 100)
	admitted(t, s, hold(1, l))
	patient(t, s)
	gate := holdCommits(t, s)
	var all sync.WaitGroup
	all.Go(func() { admitted(t, s, hold(1, l)) })
	awaitBlocked(t, s)
	all.Go(func() {
		if err := s.Kill(context.Background(), driver.Kill{Reason: "stop"}, storetest.NewChange()); err != nil {
			t.Error(err)
		}
	})
	awaitAllBlocked(t, s, 2)
	revision, err := s.Revision(t.Context())
	require.NoError(t, err)
	require.Zero(t, revision, "a change is told before it is made")
	stands(t, s, l, 0, 1)
	require.NoError(t, gate.Rollback(t.Context()))
	all.Wait()
	stands(t, s, l, 0, 2)
	revision, err = s.Revision(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), revision)
}

// patient has a kill wait for as long as it takes.
func patient(t *testing.T, s *Store) {
	conn, err := s.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	row, err := queryRow(t.Context(), conn, "SELECT pg_get_functiondef('"+s.opts.quoted()+".await_steps()'::regprocedure)")
	require.NoError(t, err)
	definition := strings.Replace(row[0], "'250'", "'600000'", 1)
	require.NotEqual(t, row[0], definition)
	admin(t, dsn(t), definition)
}

// Replicas that start together make one schema.
func TestMigrationsMeetAtAnyIsolation(t *testing.T) {
	for _, level := range levels {
		schema := newSchema()
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				pool := newPool(t, dsn(t), func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["default_transaction_isolation"] = level })
				s, err := Open(context.Background(), pool, Options{Schema: schema, Create: true})
				if err != nil {
					t.Errorf("%s: %v", level, err)
					return
				}
				_ = s.Close()
			})
		}
		all.Wait()
	}
}

// Whatever steps meet, none waits for another one that waits for it: the server would end one of them a second later, and until then every step
// behind them stands still. Kills and revivals used to take the table of flags and the row of the revision in either order.
func TestStepsAtOnceDoNotDeadlock(t *testing.T) {
	server := ownServer(t)
	pool := newPool(t, server.DSN(), func(c *pgxpool.Config) { c.MaxConns = 32 })
	s := open(t, pool, newSchema(), func(o *Options) { o.Timeout, o.LockTimeout = time.Minute, time.Minute }) // for a machine that has much else to do
	ctx := context.Background()
	failed := func(step string, err error) {
		if err != nil && !errors.Is(err, driver.ErrSuperseded) {
			t.Errorf("%s: %v", step, err)
		}
	}
	booked := func(n int) driver.Reservation {
		lines := []driver.Line{line(byte(n%3), driver.Monthly, 1<<40), line(byte(3+n%2), driver.Rolling(time.Hour), 1<<40), line(6, driver.Lifetime, 1<<40)}
		r := hold(2, lines...)
		_, err := s.Reserve(ctx, r)
		failed("reserve", err)
		_, err = s.Settle(ctx, settlement(r, 1))
		failed("settle", err)
		return r
	}
	var all sync.WaitGroup
	for n := range 32 {
		all.Go(func() {
			scope := driver.Scope{Workflow: fmt.Sprint("agent-", n)}
			for range 5 {
				r := booked(n)
				keys := []driver.Key{r.Lines[2].Account, r.Lines[0].Account}
				failed("kill", s.Kill(ctx, driver.Kill{Scope: scope, Reason: "stop"}, storetest.NewChange()))
				failed("override", s.Override(ctx, keys[n%2], &driver.Override{Max: 1 << 41, Until: time.Now().Add(time.Hour)}, storetest.NewChange()))
				_, err := s.Correct(ctx, driver.Correction{ID: r.ID, Actual: usd(2), Change: storetest.NewChange()})
				failed("correct", err)
				failed("unlatch", s.Unlatch(ctx, keys, storetest.NewChange()))
				failed("policy", s.SetPolicy(ctx, []byte("limits: []"), storetest.NewChange()))
				failed("revive", s.Revive(ctx, driver.Flag{Scope: scope}, storetest.NewChange()))
				_, err = s.Expire(ctx, 100)
				failed("expire", err)
			}
		})
	}
	all.Wait()
	pool.Close() // the server counts what a session met once that has ended
	conn, err := pgx.Connect(t.Context(), server.DSN())
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.Eventually(t, func() bool {
		var sessions int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()").Scan(&sessions))
		return sessions == 0
	}, time.Minute, 10*time.Millisecond)
	var deadlocks int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT sum(deadlocks) FROM pg_stat_database").Scan(&deadlocks))
	require.Zero(t, deadlocks)
}
