package pgstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// However many callers of however many processes meet at a limit, exactly what fits is admitted.
func TestConcurrentReservesAreExactAtTheLimit(t *testing.T) {
	schema := newSchema()
	stores := []*Store{open(t, newPool(t, dsn(t)), schema), open(t, newPool(t, dsn(t)), schema), open(t, newPool(t, dsn(t)), schema)}
	lines := []driver.Line{line(1, driver.Monthly, 100), line(2, driver.Lifetime, 1<<40)}
	var fits, full atomic.Int64
	var all sync.WaitGroup
	for w := range 60 {
		all.Go(func() {
			for range 5 {
				d, err := stores[w%len(stores)].Reserve(t.Context(), hold(1, lines...))
				switch {
				case err != nil:
					t.Error(err)
				case d.Admitted:
					fits.Add(1)
				default:
					full.Add(1)
				}
			}
		})
	}
	all.Wait()
	require.Equal(t, [2]int64{100, 200}, [2]int64{fits.Load(), full.Load()}, "admitted and refused")
	for _, l := range lines {
		stands(t, stores[0], l, 0, 100)
	}
}

// The same where the account is made meanwhile: a step that did not find it to lock must not go on when it sees it.
func TestConcurrentReservesAreExactInANewAccount(t *testing.T) {
	schema := newSchema()
	var stores []*Store
	for range 4 {
		stores = append(stores, open(t, newPool(t, dsn(t)), schema))
	}
	for range 150 {
		l := driver.Line{Account: driver.Key(driver.NewID()), Unit: driver.UnitUSD, Window: driver.Monthly, Max: 3}
		var fits atomic.Int64
		var all sync.WaitGroup
		for w := range 12 {
			all.Go(func() {
				d, err := stores[w%len(stores)].Reserve(t.Context(), hold(1, l))
				if err != nil {
					t.Error(err)
				} else if d.Admitted {
					fits.Add(1)
				}
			})
		}
		all.Wait()
		require.Equal(t, l.Max, fits.Load(), "admitted")
		stands(t, stores[0], l, 0, l.Max)
	}
}

// Callers that name their accounts in any order never wait for each other in a circle: the function locks in one order.
func TestLinesInRandomOrderDoNotDeadlock(t *testing.T) {
	server, schema := ownServer(t), newSchema() // that counts no other test's deadlocks
	pools := []*pgxpool.Pool{newPool(t, server.DSN()), newPool(t, server.DSN())}
	stores := []*Store{open(t, pools[0], schema), open(t, pools[1], schema)}
	var all sync.WaitGroup
	var booked [8]atomic.Int64
	for w := range 32 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			for range 15 {
				var lines []driver.Line
				for _, i := range random.Perm(8)[:4] {
					lines = append(lines, line(byte(i+1), driver.Monthly, 1<<40))
				}
				s, r := stores[w%len(stores)], hold(1, lines...)
				if d, err := s.Reserve(t.Context(), r); err != nil || !d.Admitted {
					t.Errorf("%+v: %v", d, err)
					return
				}
				if _, err := s.Settle(t.Context(), settlement(r, 1)); err != nil {
					t.Error(err)
					return
				}
				for _, l := range lines {
					booked[l.Account[0]-1].Add(1)
				}
			}
		})
	}
	all.Wait()
	for i := range booked {
		stands(t, stores[0], line(byte(i+1), driver.Monthly, 1<<40), booked[i].Load(), 0)
	}
	for i := range stores { // a session tells what it counted when it ends, at the latest
		require.NoError(t, stores[i].Close())
		pools[i].Close()
	}
	require.Zero(t, deadlocks(t, server.DSN()), "deadlocks that the server had to break")
}

// deadlocks returns how many there have been in a database, once the sessions of everybody else have ended.
func deadlocks(t *testing.T, dsn string) (n int64) {
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.Eventually(t, func() bool {
		var others int
		err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()").Scan(&others)
		return err == nil && others == 0
	}, waitFor, tick)
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&n))
	return n
}

// A deadlock with somebody else's transaction is met by trying again.
func TestADeadlockIsTriedAgain(t *testing.T) {
	s := fresh(t)
	a, b := line(1, driver.Monthly, 100), line(2, driver.Monthly, 100)
	admitted(t, s, hold(1, a, b))
	stranger := begin(t, s.pool)
	lock := "SELECT FROM " + s.opts.quoted() + ".account WHERE key = $1 FOR UPDATE"
	_, err := stranger.Exec(t.Context(), lock, b.Account[:])
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() { admitted(t, s, hold(1, a, b)) }) // holds a, waits for b
	awaitBlocked(t, s)
	_, err = stranger.Exec(t.Context(), lock, a.Account[:]) // one of the two is ended
	require.True(t, err == nil || isCode(err, "40P01"), "%v", err)
	require.NoError(t, stranger.Rollback(t.Context()))
	all.Wait()
	stands(t, s, a, 0, 2)
}

// begin starts a transaction of somebody else, which ends with the test at the latest.
func begin(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// awaitBlocked waits until a step of the store waits for a lock.
func awaitBlocked(t *testing.T, s *Store) {
	t.Helper()
	awaitAllBlocked(t, s, 1)
}

// awaitAllBlocked waits until so many of them do.
func awaitAllBlocked(t *testing.T, s *Store, want int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := s.pool.QueryRow(context.Background(),
			"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%'||$1||'%'", s.opts.Schema+`"`).Scan(&n)
		return err == nil && n >= want
	}, waitFor, tick)
}

// An account that somebody else keeps locked is an error in the time that Options allows, never an admission, and holds
// up no other account.
func TestALockTimeoutFailsClosed(t *testing.T) {
	s := fresh(t, func(o *Options) { o.LockTimeout, o.Timeout = millis(50), millis(400) })
	a, b := line(1, driver.Monthly, 100), line(2, driver.Monthly, 100)
	admitted(t, s, hold(1, a))
	admitted(t, s, hold(1, b))
	stranger := begin(t, s.pool)
	_, err := stranger.Exec(t.Context(), "SELECT FROM "+s.opts.quoted()+".account WHERE key = $1 FOR UPDATE", a.Account[:])
	require.NoError(t, err)
	r := hold(1, a)
	d, err := s.Reserve(t.Context(), r)
	require.Error(t, err)
	require.False(t, d.Admitted)
	require.True(t, isCode(err, "55P03") || isCode(err, "57014") || errors.Is(err, context.DeadlineExceeded), "%v", err)
	admitted(t, s, hold(1, b))
	require.NoError(t, stranger.Rollback(t.Context()))
	stands(t, s, a, 0, 1)
	admitted(t, s, r)
	stands(t, s, a, 0, 2)
}

// The constraint refuses what the function should have refused: here the function is broken on purpose.
func TestTheConstraintIsASecondLock(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 10)
	admitted(t, s, hold(8, l))
	var source string
	require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT pg_get_functiondef(to_regproc($1))", s.opts.quoted()+".reserve").Scan(&source))
	blind := replaceOnce(t, source, "b.settled + b.pending + w.amount <= w.max", "true")
	_, err := s.pool.Exec(t.Context(), blind)
	require.NoError(t, err)
	d, err := s.Reserve(t.Context(), hold(3, l))
	require.True(t, isCode(err, "23514"), "%v", err)
	require.False(t, d.Admitted)
	stands(t, s, l, 0, 8)
	admitted(t, s, hold(2, l))
}

// Without row locks, many would decide by the same sum: the constraint catches those too.
func TestTheConstraintHoldsWithoutLocks(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 100)
	admitted(t, s, hold(1, l))
	var source string
	require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT pg_get_functiondef(to_regproc($1))", s.opts.quoted()+".reserve").Scan(&source))
	_, err := s.pool.Exec(t.Context(), replaceOnce(t, source, "ORDER BY a.key FOR UPDATE;", "ORDER BY a.key;"))
	require.NoError(t, err)
	var fits atomic.Int64
	fits.Add(1)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 15 {
				if d, err := s.Reserve(t.Context(), hold(1, l)); err == nil && d.Admitted {
					fits.Add(1)
				}
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, fits.Load(), int64(100))
	stands(t, s, l, 0, fits.Load())
}

// A row that the server sends before it commits is no admission.
func TestAnAdmissionCountsOnceItIsCommitted(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 10)
	admitted(t, s, hold(1, l))
	schema := s.opts.quoted()
	admin(t, dsn(t),
		"CREATE FUNCTION "+schema+".late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'too late'; END $$",
		"CREATE CONSTRAINT TRIGGER late AFTER INSERT ON "+schema+".reservation DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "+schema+".late()")
	d, err := s.Reserve(t.Context(), hold(1, l))
	require.ErrorContains(t, err, "too late")
	require.False(t, d.Admitted)
	stands(t, s, l, 0, 1)
}

// Steps that share a transaction don't share its fate: the one that can't be done fails alone.
func TestOneStepThatFailsTakesNoOtherWithIt(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 1<<62)
	var good, bad []driver.Reservation
	for i := range 40 {
		r := hold(1, l)
		admitted(t, s, r)
		if i%8 == 0 {
			bad = append(bad, r)
		} else {
			good = append(good, r)
		}
	}
	var all sync.WaitGroup
	for _, r := range good {
		all.Go(func() {
			if _, err := s.Settle(t.Context(), settlement(r, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	orphan := hold(0, l)
	_, err := s.Settle(t.Context(), settlement(orphan, 1<<63-100))
	require.NoError(t, err)
	for _, r := range bad {
		all.Go(func() {
			if _, err := s.Settle(t.Context(), settlement(r, 1<<62)); !errors.Is(err, driver.ErrOverflow) {
				t.Errorf("want an overflow, got %v", err)
			}
		})
	}
	all.Wait()
	stands(t, s, l, 1<<63-100+int64(len(good)), int64(len(bad)))
}

// Two lines of one account would be counted once by a set-based update: they are refused before anything is sent.
func TestTwoLinesOfOneAccountAreRefused(t *testing.T) {
	s := fresh(t)
	_, err := s.Reserve(t.Context(), hold(1, line(1, driver.Daily, 10), line(1, driver.Monthly, 10)))
	require.ErrorIs(t, err, errTwice)
	require.NotErrorIs(t, err, driver.ErrInvalidCharge)
}

// A connection pool that is smaller than the callers, and limits that they share in part, serve everybody.
func TestASmallPoolServesEverybody(t *testing.T) {
	s := open(t, newPool(t, dsn(t)+" pool_max_conns=2"), newSchema())
	var all sync.WaitGroup
	for w := range 24 {
		all.Go(func() {
			for range 5 {
				lines := []driver.Line{line(1, driver.Monthly, 1<<40), line(byte(2+w%5), driver.Rolling(millis(60_000)), 1<<40)}
				r := hold(1, lines...)
				if d, err := s.Reserve(t.Context(), r); err != nil || !d.Admitted {
					t.Error(fmt.Errorf("%+v: %w", d, err))
				}
			}
		})
	}
	all.Wait()
	stands(t, s, line(1, driver.Monthly, 1<<40), 0, 120)
}

// The moment that counts is the one at which the locks were had: a step that waited belongs to the window in which it was
// decided.
func TestTheClockIsReadAfterTheLocks(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 100)
	admitted(t, s, hold(1, l))
	stranger := begin(t, s.pool)
	_, err := stranger.Exec(t.Context(), "SELECT FROM "+s.opts.quoted()+".account FOR UPDATE")
	require.NoError(t, err)
	var all sync.WaitGroup
	var d driver.Decision
	all.Go(func() { d, err = s.Reserve(t.Context(), hold(1, l)) })
	awaitBlocked(t, s)
	released := time.Now()
	require.NoError(t, stranger.Rollback(t.Context()))
	all.Wait()
	require.NoError(t, err)
	require.False(t, d.ExpiresAt.Before(released.Add(time.Hour)), "%s", d.ExpiresAt)
}
