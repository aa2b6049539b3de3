package pgstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// aged opens a store with a retention of a day, and returns how its clock is moved. Each move makes it time to forget.
func aged(t *testing.T) (*Store, func(time.Duration)) {
	now := time.Date(2026, 11, 24, 12, 30, 0, 0, time.UTC)
	s := fresh(t, func(o *Options) { o.Clock, o.Retention = func() time.Time { return now }, 24*time.Hour })
	return s, func(d time.Duration) {
		now = now.Add(d)
		s.pruneAt.Store(0)
	}
}

func (s *Store) count(t *testing.T, table string) (n int) {
	t.Helper()
	require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT count(*) FROM "+s.opts.quoted()+"."+table).Scan(&n))
	return n
}

func expire(t *testing.T, s *Store, want int) {
	t.Helper()
	n, err := s.Expire(t.Context(), 1000)
	require.NoError(t, err)
	require.Equal(t, want, n)
	for range 1100 { // what is forgotten goes by a time that moves on by an hour at most
		var before, after int64
		judged := "SELECT coalesce(judged, 0) FROM " + s.opts.quoted() + ".meta"
		s.pruning.Wait()
		require.NoError(t, s.pool.QueryRow(t.Context(), judged).Scan(&before))
		s.pruneAt.Store(0)
		s.forget()
		s.pruning.Wait()
		require.NoError(t, s.pool.QueryRow(t.Context(), judged).Scan(&after))
		if before == after {
			break
		}
	}
}

// What is resolved is forgotten a retention later and not earlier, its sums once their window is as old, and accounts
// with nothing left to say.
func TestForgetsWhatIsPastTheRetention(t *testing.T) {
	s, advance := aged(t)
	l := line(1, driver.Hourly, 100)
	for range 5 {
		r := hold(1, l)
		admitted(t, s, r)
		_, err := s.Settle(t.Context(), settlement(r, 1))
		require.NoError(t, err)
	}
	require.NoError(t, s.Override(t.Context(), driver.Key{2}, &driver.Override{Max: 5, Until: s.opts.Clock().Add(80 * time.Hour)}, storetest.NewChange()))
	advance(24*time.Hour - time.Nanosecond)
	expire(t, s, 0)
	require.Equal(t, 5, s.count(t, "reservation"))
	advance(time.Nanosecond)
	expire(t, s, 0)
	require.Zero(t, s.count(t, "reservation"))
	require.Equal(t, 1, s.count(t, "bucket"), "its window ended 23.5 hours ago")
	advance(time.Hour)
	expire(t, s, 0)
	require.Zero(t, s.count(t, "bucket"))
	require.Equal(t, 1, s.count(t, "account"), "the one with an override")
	advance(80 * time.Hour)
	expire(t, s, 0)
	require.Zero(t, s.count(t, "account"))
	admitted(t, s, hold(1, l))
}

// Pending reservations and what counts are never forgotten, and a late settlement finds its window.
func TestRemembersWhatStillCounts(t *testing.T) {
	s, advance := aged(t)
	hour, life := line(1, driver.Hourly, 100), line(2, driver.Lifetime, 100)
	r := hold(5, hour, life)
	r.TTL = 5000 * time.Hour
	admitted(t, s, r)
	spent := hold(3, life)
	admitted(t, s, spent)
	_, err := s.Settle(t.Context(), settlement(spent, 3))
	require.NoError(t, err)
	advance(1000 * time.Hour)
	expire(t, s, 0)
	stands(t, s, life, 3, 5)
	_, err = s.Settle(t.Context(), settlement(r, 4))
	require.NoError(t, err)
	stands(t, s, life, 7, 0)
	require.Equal(t, 2, s.count(t, "bucket"))
}

// One reservation that can't be charged holds up no other, and a refund past the retention brings no sum back.
func TestExpiryAndRefundsAtTheEdges(t *testing.T) {
	s, advance := aged(t)
	full, other := line(1, driver.Daily, 1<<62), line(2, driver.Daily, 1<<62)
	stuck := hold(10, full)
	admitted(t, s, stuck)
	_, err := s.Settle(t.Context(), settlement(hold(0, full), 1<<63-5))
	require.NoError(t, err)
	refunded := hold(10, other)
	refunded.Call = &driver.Call{Scope: driver.Scope{Workflow: "other"}} // whose row of usage is not full
	refunded.TTL = 2 * time.Hour
	admitted(t, s, refunded)
	advance(3 * time.Hour)
	n, err := s.Expire(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, 1, n, "the one that is due longer takes no turn")
	entries, err := s.Entries(t.Context(), driver.Query{State: driver.Pending, Max: 10})
	require.NoError(t, err)
	require.Equal(t, stuck.ID, entries[0].ID)

	_, err = s.pool.Exec(t.Context(), fmt.Sprintf(`BEGIN; SET LOCAL bedrockguard.forgetting = 'on'; DELETE FROM %s.bucket WHERE account = '%x'; COMMIT`, s.opts.quoted(), other.Account[:]))
	require.NoError(t, err)
	_, err = s.Correct(t.Context(), driver.Correction{ID: refunded.ID, Actual: usd(1), Change: storetest.NewChange()})
	require.NoError(t, err)
	stands(t, s, other, 0, 0)
}

// Sums of a pending reservation that are gone are a ledger that lost its memory.
func TestMissingSumsAreNoticed(t *testing.T) {
	for name, resolve := range map[string]func(*Store, driver.Reservation) error{
		"Settle": func(s *Store, r driver.Reservation) error {
			_, err := s.Settle(t.Context(), settlement(r, 1))
			return err
		},
		"Void": func(s *Store, r driver.Reservation) error { return s.Void(t.Context(), r.ID, r.Owner) },
	} {
		s := fresh(t)
		r := hold(1, line(1, driver.Monthly, 10))
		admitted(t, s, r)
		_, err := s.pool.Exec(t.Context(), "DELETE FROM "+s.opts.quoted()+".bucket")
		require.NoError(t, err)
		require.ErrorContains(t, resolve(s, r), errReplaced.Error(), name)
		_, err = s.Balances(t.Context(), r.Lines)
		require.ErrorIs(t, err, errReplaced)
	}
}

// A limit that is met all the time stays small: its row is updated in place, and dead versions are pruned as it goes.
func TestAHotLimitDoesNotGrow(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 1<<40)
	for range 1500 {
		r := hold(1, l)
		admitted(t, s, r)
		_, err := s.Settle(t.Context(), settlement(r, 1))
		require.NoError(t, err)
	}
	table := s.opts.quoted() + ".bucket"
	var pages int
	require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT pg_relation_size($1) / 8192", table).Scan(&pages))
	require.LessOrEqual(t, pages, 4)
	require.Eventually(t, func() bool {
		var updated, hot int
		err := s.pool.QueryRow(t.Context(), "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = to_regclass($1)", table).Scan(&updated, &hot)
		return err == nil && updated >= 2900 && hot*100 >= updated*95
	}, waitFor, 20*tick, "at least 95 of 100 updates stay on their page")
}

// Kill returns only when no transaction is left that looked at the flags before, and may still admit: not those that begin
// later, and not those that only read.
func TestKillAwaitsWhatIsUnderWay(t *testing.T) {
	s := fresh(t)
	looks := func(writes bool) pgx.Tx {
		tx := begin(t, newPool(t, dsn(t)))
		if writes {
			_, err := tx.Exec(t.Context(), "SELECT pg_current_xact_id()")
			require.NoError(t, err)
		}
		_, err := tx.Exec(t.Context(), "SELECT FROM "+s.opts.quoted()+".kill")
		require.NoError(t, err)
		return tx
	}
	looks(false) // a backup
	before := looks(true)
	returned := make(chan error, 1)
	var all sync.WaitGroup
	all.Go(func() { returned <- s.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange()) })
	defer all.Wait()
	require.Eventually(t, func() bool { kills, err := s.Kills(t.Context()); return err == nil && len(kills) == 1 }, waitFor, tick)
	time.Sleep(20 * tick)
	require.Empty(t, returned, "Kill returned while a step was under way that may not have seen it")
	looks(true) // begins after the flag was set
	require.NoError(t, before.Commit(t.Context()))
	require.NoError(t, <-returned)
}

// A kill that can't be sure in time says so, and the flag is set.
func TestKillThatCannotBeSure(t *testing.T) {
	s := fresh(t, func(o *Options) { o.Timeout = millis(300) })
	tx := begin(t, newPool(t, dsn(t)))
	_, err := tx.Exec(t.Context(), "SELECT pg_current_xact_id() FROM (SELECT count(*) FROM "+s.opts.quoted()+".kill) k")
	require.NoError(t, err)
	err = s.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "set it again")
	kills, err := s.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, kills, 1)
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, s.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange()))
}

// A reservation that is admitted but not committed yet when a flag is set: Kill returns after it, with limits and without.
func TestKillAwaitsReservations(t *testing.T) {
	for name, lines := range map[string][]driver.Line{"without a limit": nil, "with one": {line(1, driver.Monthly, 100)}} {
		t.Run(name, func(t *testing.T) {
			s := fresh(t)
			gate := holdCommits(t, s)
			r := hold(1, lines...)
			returned := make(chan error, 1)
			var all sync.WaitGroup
			all.Go(func() { admitted(t, s, r) })
			awaitBlocked(t, s)
			all.Go(func() { returned <- s.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange()) })
			require.Eventually(t, func() bool { kills, err := s.Kills(t.Context()); return err == nil && len(kills) == 1 }, waitFor, tick)
			time.Sleep(20 * tick)
			require.Empty(t, returned, "Kill returned before the reservation that had not seen it")
			require.NoError(t, gate.Rollback(t.Context()))
			require.NoError(t, <-returned)
			all.Wait()
			entries, err := s.Entries(t.Context(), driver.Query{Max: 10})
			require.NoError(t, err)
			require.Len(t, entries, 1)
			d, err := s.Reserve(t.Context(), hold(1, lines...))
			require.NoError(t, err)
			require.False(t, d.Admitted)
		})
	}
}

// A reservation of nothing whose bucket was forgotten is settled, voided or charged like any other: nothing is lost with it.
func TestAReservationOfNothingOutlivesItsBucket(t *testing.T) {
	s, advance := aged(t)
	var made []driver.Reservation
	for i := range 4 {
		r := hold(0, line(byte(i+1), driver.Hourly, 100))
		r.TTL = 5000 * time.Hour
		admitted(t, s, r)
		made = append(made, r)
	}
	advance(1000 * time.Hour)
	expire(t, s, 0)
	require.Zero(t, s.count(t, "bucket"))
	_, err := s.Settle(t.Context(), settlement(made[0], 0))
	require.NoError(t, err)
	marked := settlement(made[1], 0)
	marked.Lines = []driver.Line{made[1].Lines[0]}
	marked.Lines[0].Notify = []float64{0.5}
	_, err = s.Settle(t.Context(), marked)
	require.NoError(t, err)
	require.NoError(t, s.Void(t.Context(), made[2].ID, made[2].Owner))
	advance(5000 * time.Hour)
	expire(t, s, 1)
	admitted(t, s, hold(1, line(9, driver.Monthly, 100)))
}

// An account that gets its first bucket while it is about to be forgotten stays.
func TestAnAccountInUseIsNotForgotten(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 100)
	require.NoError(t, s.Override(t.Context(), l.Account, &driver.Override{Max: 50, Until: time.Unix(1, 0)}, storetest.NewChange()))
	var source string
	require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT pg_get_functiondef(to_regproc($1))", s.opts.quoted()+".forget").Scan(&source))
	const moment = "AND NOT EXISTS (SELECT FROM %[1]s.bucket b WHERE b.account = a.key)\n\t\tLIMIT p_batch FOR UPDATE"
	old := fmt.Sprintf(moment, s.opts.quoted())
	held := strings.Replace(old, "\n\t\tLIMIT", " AND pg_advisory_xact_lock_shared(77) IS NOT NULL\n\t\tLIMIT", 1) // behind its snapshot, before its lock
	admin(t, dsn(t), replaceOnce(t, source, old, held))
	gate := begin(t, newPool(t, dsn(t)))
	_, err := gate.Exec(t.Context(), "SELECT pg_advisory_xact_lock(77)")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := s.Expire(context.Background(), 10); err != nil {
			t.Error(err)
		}
	})
	awaitBlocked(t, s)
	admitted(t, s, hold(1, l))
	require.NoError(t, gate.Rollback(t.Context()))
	all.Wait()
	require.Equal(t, [2]int{1, 1}, [2]int{s.count(t, "account"), s.count(t, "bucket")})
}

// A reservation whose bucket is forgotten in the middle of it is booked anew.
func TestAReservationIsNeverBookedNowhere(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 100)
	first := hold(1, l)
	admitted(t, s, first)
	require.NoError(t, s.Void(t.Context(), first.ID, first.Owner))
	forgets := begin(t, newPool(t, dsn(t)))
	_, err := forgets.Exec(t.Context(), "SET LOCAL bedrockguard.forgetting = 'on'; DELETE FROM "+s.opts.quoted()+".bucket")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() { admitted(t, s, hold(90, l)) })
	awaitBlocked(t, s)
	require.NoError(t, forgets.Commit(t.Context()))
	all.Wait()
	stands(t, s, l, 0, 90)
}

// An orphan whose account is forgotten in the middle of it is tried again, and posted under the account's lock.
func TestAnOrphanIsPostedUnderItsAccountsLock(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 100)
	require.NoError(t, s.Override(t.Context(), l.Account, &driver.Override{Max: 50, Until: time.Unix(1, 0)}, storetest.NewChange()))
	forgets := begin(t, newPool(t, dsn(t)))
	_, err := forgets.Exec(t.Context(), "SELECT FROM "+s.opts.quoted()+".account FOR UPDATE")
	require.NoError(t, err)
	id, actual := driver.NewID(), usd(8)
	settle := call{function: "settle", moments: true, lines: []driver.Line{l}, makes: true, args: func(at *placement) []any {
		return []any{[16]byte(id), [16]byte{}, actual[:], false, at.accounts, at.units, at.starts, at.widths, at.ends, at.steps, at.maxes, at.markLines, at.markNumber, at.marks}
	}}
	var all sync.WaitGroup
	all.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, _, err := s.try(ctx, &settle, s.recalled(), manner{now: time.Now().UnixNano(), makes: true}); !isCode(err, codeMissing) {
			t.Errorf("%v, want %s: the account was there, and is gone", err, codeMissing)
		}
	})
	awaitBlocked(t, s)
	_, err = forgets.Exec(t.Context(), "SET LOCAL bedrockguard.forgetting = 'on'; DELETE FROM "+s.opts.quoted()+".account")
	require.NoError(t, err)
	require.NoError(t, forgets.Commit(t.Context()))
	all.Wait()
	require.Zero(t, s.count(t, "bucket"))
	require.Equal(t, whileTimeLasts, retry(&pgconn.PgError{Code: codeMissing}), "it is tried again")
}
