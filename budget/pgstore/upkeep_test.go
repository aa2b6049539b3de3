package pgstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
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
}

// What is resolved is forgotten a retention later and not earlier, its sums once their window is as old, and accounts
// with nothing left to say.
func TestForgetsWhatIsPastTheRetention(t *testing.T) {
	s, advance := aged(t)
	l := line(1, budget.Hourly, 100)
	for range 5 {
		r := hold(1, l)
		admitted(t, s, r)
		_, err := s.Settle(t.Context(), settlement(r, 1))
		require.NoError(t, err)
	}
	require.NoError(t, s.Override(t.Context(), budget.Key{2}, &budget.Override{Max: 5, Until: s.opts.Clock().Add(80 * time.Hour)}))
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
	hour, life := line(1, budget.Hourly, 100), line(2, budget.Lifetime, 100)
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
	full, other := line(1, budget.Daily, 1<<62), line(2, budget.Daily, 1<<62)
	stuck := hold(10, full)
	admitted(t, s, stuck)
	_, err := s.Settle(t.Context(), settlement(hold(0, full), 1<<63-5))
	require.NoError(t, err)
	refunded := hold(10, other)
	refunded.TTL = 2 * time.Hour
	admitted(t, s, refunded)
	advance(3 * time.Hour)
	n, err := s.Expire(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, 1, n, "the one that is due longer takes no turn")
	entries, err := s.Entries(t.Context(), budget.Query{State: budget.Pending, Max: 10})
	require.NoError(t, err)
	require.Equal(t, stuck.ID, entries[0].ID)

	_, err = s.pool.Exec(t.Context(), "DELETE FROM "+s.opts.quoted()+".bucket WHERE account = $1", other.Account[:])
	require.NoError(t, err)
	_, err = s.Correct(t.Context(), refunded.ID, usd(1))
	require.NoError(t, err)
	stands(t, s, other, 0, 0)
}

// Sums of a pending reservation that are gone are a ledger that lost its memory.
func TestMissingSumsAreNoticed(t *testing.T) {
	for name, resolve := range map[string]func(*Store, budget.Reservation) error{
		"Settle": func(s *Store, r budget.Reservation) error {
			_, err := s.Settle(t.Context(), settlement(r, 1))
			return err
		},
		"Void": func(s *Store, r budget.Reservation) error { return s.Void(t.Context(), r.ID, r.Owner) },
	} {
		s := fresh(t)
		r := hold(1, line(1, budget.Monthly, 10))
		admitted(t, s, r)
		_, err := s.pool.Exec(t.Context(), "DELETE FROM "+s.opts.quoted()+".bucket")
		require.NoError(t, err)
		require.ErrorContains(t, resolve(s, r), errMemory.Error(), name)
		_, err = s.Balances(t.Context(), r.Lines)
		require.ErrorIs(t, err, errMemory)
	}
}

// A limit that is met all the time stays small: its row is updated in place, and dead versions are pruned as it goes.
func TestAHotLimitDoesNotGrow(t *testing.T) {
	s := fresh(t)
	l := line(1, budget.Monthly, 1<<40)
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
