package memstore

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// aged returns a store with a retention of an hour, and the function that moves its clock.
func aged(t *testing.T) (*Store, func(time.Duration)) {
	now := time.Date(2026, 3, 10, 12, 30, 0, 0, time.UTC)
	s := New(Options{
		Clock:     func() time.Time { return now },
		Retention: time.Hour,
	})
	t.Cleanup(func() { _ = s.Close() })
	return s, func(d time.Duration) { now = now.Add(d) }
}

func calls(n int64) (c driver.Charge) {
	c[driver.UnitCalls] = n
	return c
}

func reserve(t *testing.T, s *Store, w driver.Window, ttl time.Duration) driver.Reservation {
	line := driver.Line{Account: driver.Key{1}, Unit: driver.UnitCalls, Window: w, Max: 1 << 40}
	r := driver.Reservation{ID: driver.NewID(), Charge: calls(1), Lines: []driver.Line{line}, TTL: ttl}
	d, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.True(t, d.Admitted)
	return r
}

func settle(t *testing.T, s *Store, r driver.Reservation) {
	_, err := s.Settle(t.Context(), driver.Settlement{ID: r.ID, Actual: calls(1), Lines: r.Lines})
	require.NoError(t, err)
}

// sweep forgets all that may be forgotten, which takes an Expire, a minute after the one before, for each hour that has passed.
func sweep(t *testing.T, s *Store) {
	for range 600 {
		s.forgetClockSetAt, s.sweptAt = 0, 0
		_, err := s.Expire(t.Context(), 1000)
		require.NoError(t, err)
	}
}

// What is resolved is forgotten a retention later and not earlier, and what its window held with it, so that a process
// that runs for months does not grow.
func TestForgetsWhatIsPastTheRetention(t *testing.T) {
	s, advance := aged(t)
	for range 50 {
		settle(t, s, reserve(t, s, driver.Hourly, time.Minute))
	}
	advance(time.Hour - time.Nanosecond)
	sweep(t, s)
	require.Equal(t, 50, s.entries.length)
	advance(time.Nanosecond)
	sweep(t, s)
	require.Zero(t, s.entries.length)
	require.Len(t, s.accounts, 1, "the bucket's window ended half an hour ago")
	advance(time.Hour)
	sweep(t, s)
	require.Empty(t, s.accounts)
	require.Empty(t, s.expiries)
	require.Empty(t, s.resolved)
}

// A store that is never swept forgets as it goes.
func TestForgetsWithoutExpire(t *testing.T) {
	s, advance := aged(t)
	for range 1000 {
		settle(t, s, reserve(t, s, driver.Hourly, time.Minute))
		advance(time.Minute)
	}
	require.LessOrEqual(t, s.entries.length, 62)
	require.LessOrEqual(t, s.resolved.length, 62)
}

// Pending reservations, and spend that a lifetime limit counts, are never forgotten.
func TestRemembersWhatStillCounts(t *testing.T) {
	s, advance := aged(t)
	settle(t, s, reserve(t, s, driver.Lifetime, time.Minute))
	pending := reserve(t, s, driver.Lifetime, 1000*time.Hour)
	advance(500 * time.Hour)
	sweep(t, s)
	b, err := s.Balances(t.Context(), pending.Lines)
	require.NoError(t, err)
	require.Equal(t, [2]int64{1, 1}, [2]int64{b[0].Settled, b[0].Pending})
	require.Equal(t, 1, s.entries.length)
	settle(t, s, pending)
}

// A bucket with something pending outlives its window by any length of time, and takes the settlement.
func TestRemembersTheWindowOfALatePending(t *testing.T) {
	s, advance := aged(t)
	r := reserve(t, s, driver.Hourly, 1000*time.Hour)
	advance(10 * time.Hour)
	sweep(t, s)
	settle(t, s, r)
	k := s.entries.find(&r.ID).lines[0].find()
	require.NotNil(t, k)
	require.Equal(t, [2]int64{1, 0}, [2]int64{k.settled, k.pending})
}

// An entry whose bucket is forgotten can be corrected without bringing the bucket back with a part of its sum.
func TestCorrectAfterTheWindowIsForgotten(t *testing.T) {
	s, advance := aged(t)
	r := reserve(t, s, driver.Hourly, 1000*time.Hour)
	advance(10 * time.Hour)
	settle(t, s, r)
	sweep(t, s)
	_, err := s.Correct(t.Context(), driver.Correction{ID: r.ID, Actual: calls(0), Change: storetest.NewChange()})
	require.NoError(t, err)
	require.Nil(t, s.entries.find(&r.ID).lines[0].find())
}

// Latches, overrides and reported marks keep an account that has no spend left.
func TestSweepKeepsAccountsWithSomethingToSay(t *testing.T) {
	s, advance := aged(t)
	require.NoError(t, s.Override(t.Context(), driver.Key{2}, &driver.Override{Max: 5, Until: s.clock().Add(3 * time.Hour)}, storetest.NewChange()))
	advance(2 * time.Hour)
	sweep(t, s)
	require.Len(t, s.accounts, 1)
	advance(time.Hour)
	sweep(t, s)
	require.Len(t, s.accounts, 1, "the clock may have jumped ahead")
	advance(time.Hour)
	sweep(t, s)
	require.Empty(t, s.accounts)
}

func TestDeadlinesComeInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var h deadlines
	var want, got []int64
	for range 2000 {
		at := random.Int64N(500)
		h.push(&entry{expiresAt: at})
		want = append(want, at)
	}
	for h.due(500) {
		got = append(got, h.pop().expiresAt)
	}
	slices.Sort(want)
	require.Equal(t, want, got)
	require.False(t, h.due(500))
}

// What was spent in a month is known for thirteen of them, however short the retention; parts of rolling windows are not kept for that.
func TestPastWindowsAreKept(t *testing.T) {
	clock := storetest.NewClock(time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC))
	s := New(Options{Clock: clock.Now, Retention: time.Hour})
	defer s.Close()
	lines := []driver.Line{
		{Account: driver.Key{1}, Unit: driver.UnitUSD, Window: driver.Monthly, Max: 100},
		{Account: driver.Key{2}, Unit: driver.UnitUSD, Window: driver.Rolling(24 * time.Hour), Max: 100},
	}
	var charge driver.Charge
	charge[driver.UnitUSD] = 5
	_, err := s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: charge, Lines: lines})
	require.NoError(t, err)
	periods := func() (n [2]int) {
		for i := range lines {
			all, err := s.Periods(t.Context(), lines[i].Account, time.Time{}, 100)
			require.NoError(t, err)
			n[i] = len(all)
		}
		return n
	}
	for range 390 * 24 {
		clock.Advance(time.Hour)
		_, err := s.Expire(t.Context(), 0)
		require.NoError(t, err)
	}
	require.Equal(t, [2]int{1, 0}, periods())
	for range 40 * 24 {
		clock.Advance(time.Hour)
		_, err := s.Expire(t.Context(), 0)
		require.NoError(t, err)
	}
	require.Equal(t, [2]int{0, 0}, periods())
}
