package redisstore

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// aged returns a store with a retention of an hour, and the function that moves its clock.
func aged(t *testing.T) (*Store, func(time.Duration)) {
	var now atomic.Int64
	now.Store(time.Date(2026, 3, 10, 12, 30, 0, 0, time.UTC).UnixNano())
	s := open(t, func(o *Options) {
		o.Clock, o.Retention = func() time.Time { return time.Unix(0, now.Load()) }, time.Hour
	})
	return s, func(d time.Duration) { now.Add(int64(d)) }
}

func line(account byte, w driver.Window) []driver.Line {
	return []driver.Line{{Account: driver.Key{account}, Unit: driver.UnitUSD, Window: w, Max: 1 << 40}}
}

// spent reserves and settles.
func spent(t *testing.T, s *Store, lines []driver.Line) driver.Reservation {
	r := reservation(1, lines)
	r.TTL = time.Minute
	_, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	_, err = s.Settle(t.Context(), driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(1), Lines: lines})
	require.NoError(t, err)
	return r
}

// sweep forgets all that may be forgotten, which takes an Expire for each hour that has passed.
func sweep(t *testing.T, s *Store) {
	for range 600 {
		_, err := s.Expire(t.Context(), 1000)
		require.NoError(t, err)
	}
}

// size is how much a ledger holds: entries, fields of accounts and buckets, and what waits to be looked at.
func size(t *testing.T, s *Store) (entries, fields, waiting int) {
	for _, key := range s.keys.entries {
		entries += max(int(s.rdb.HLen(t.Context(), key).Val())-1, 0)
	}
	own := 4 + rows(t, s) // h, v, n and j
	return entries, int(s.rdb.HLen(t.Context(), s.keys.ledger).Val()) - own, int(s.rdb.ZCard(t.Context(), s.keys.due).Val())
}

// rows is how many rows of usage a ledger has.
func rows(t *testing.T, s *Store) (n int) {
	fields, err := s.rdb.HKeys(t.Context(), s.keys.ledger).Result()
	require.NoError(t, err)
	for _, field := range fields {
		if len(field) == 20 {
			n++
		}
	}
	return n
}

// judge moves the time on that forgetting goes by, as months of upkeep would.
func judge(t *testing.T, s *Store) {
	require.NoError(t, s.rdb.HSet(t.Context(), s.keys.ledger, "j", []byte(newHead().numbers(s.opts.Clock().UnixMicro()))).Err())
}

// What is resolved is forgotten a retention later and not earlier, and what its window held with it, so that a server that
// runs for months does not fill up.
func TestForgetsWhatIsPastTheRetention(t *testing.T) {
	s, advance := aged(t)
	for i := range 50 {
		spent(t, s, append(line(1, driver.Hourly), append(line(2, driver.Rolling(30*time.Minute)), line(byte(10+i), driver.Daily)...)...))
	}
	advance(time.Hour - time.Microsecond)
	sweep(t, s)
	entries, _, _ := size(t, s)
	require.Equal(t, 50, entries)
	advance(time.Microsecond)
	sweep(t, s)
	entries, fields, _ := size(t, s)
	require.Zero(t, entries)
	require.Equal(t, 1+2+50+52, fields, "sums of windows that ended less than a retention ago, what a rolling one adds up to, and names")
	advance(13 * time.Hour)
	sweep(t, s)
	entries, fields, waiting := size(t, s)
	require.Equal(t, [3]int{0, 50 + 50, 50}, [3]int{entries, fields, waiting}, "sums of days, and names")
	advance(driver.UsageRetention + 24*time.Hour)
	judge(t, s)
	sweep(t, s)
	entries, fields, waiting = size(t, s)
	require.Equal(t, [3]int{}, [3]int{entries, fields, waiting})
	require.Zero(t, rows(t, s))
	require.Zero(t, s.rdb.ZCard(t.Context(), s.keys.buckets).Val())
}

// Pending reservations, and spend that a lifetime limit counts, are never forgotten.
func TestRemembersWhatStillCounts(t *testing.T) {
	s, advance := aged(t)
	lifetime := line(1, driver.Lifetime)
	spent(t, s, lifetime)
	pending := reservation(1, lifetime)
	pending.TTL = 1000 * time.Hour
	_, err := s.Reserve(t.Context(), pending)
	require.NoError(t, err)
	advance(500 * time.Hour)
	sweep(t, s)
	stands(t, s, lifetime, 1, 1)
	entries, _, _ := size(t, s)
	require.Equal(t, 1, entries)
}

// A bucket with something pending outlives its window by any length of time, and takes the settlement; a correction after it
// was forgotten does not bring it back with a part of its sum.
func TestRemembersTheWindowOfALatePending(t *testing.T) {
	s, advance := aged(t)
	hourly := append(line(1, driver.Hourly), line(2, driver.Rolling(time.Minute))...)
	r := reservation(1, hourly)
	r.TTL = 1000 * time.Hour
	_, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	advance(10 * time.Hour)
	sweep(t, s) // looks again an hour later
	advance(30 * time.Minute)
	_, err = s.Settle(t.Context(), driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(1), Lines: hourly})
	require.NoError(t, err)
	advance(-10*time.Hour - 30*time.Minute)
	stands(t, s, hourly, 1, 0)
	stands(t, s, hourly[1:], 1, 0)
	advance(11 * time.Hour)
	sweep(t, s)
	_, err = s.Correct(t.Context(), driver.Correction{ID: r.ID, Actual: usd(0), Change: storetest.NewChange()})
	require.NoError(t, err)
	_, fields, _ := size(t, s)
	require.Zero(t, fields)
}

// Latches, overrides and reported marks outlive the spend of their account, and no longer than they have something to say.
func TestForgetsTermsThatArePast(t *testing.T) {
	s, advance := aged(t)
	hourly := line(1, driver.Hourly)
	hourly[0].Latch, hourly[0].Notify, hourly[0].Max = true, []float64{1}, 1
	spent(t, s, hourly)
	_, err := s.Reserve(t.Context(), reservation(1, hourly)) // latches
	require.NoError(t, err)
	require.NoError(t, s.Override(t.Context(), hourly[0].Account, &driver.Override{Max: 5, Until: s.opts.Clock().Add(100 * time.Hour)}, storetest.NewChange()))
	advance(3 * time.Hour)
	sweep(t, s)
	_, fields, _ := size(t, s)
	require.Equal(t, 2, fields, "the override and the name of its account")
	all, err := s.Balances(t.Context(), hourly)
	require.NoError(t, err)
	require.Equal(t, int64(5), all[0].Max)
	spent(t, s, hourly)
	advance(100 * time.Hour)
	sweep(t, s)
	_, fields, _ = size(t, s)
	require.Zero(t, fields)
}

// One reservation that can't be charged holds up no other, and is charged when it can be.
func TestAStuckExpiryHoldsUpNoOther(t *testing.T) {
	s, advance := aged(t)
	lines, other := line(1, driver.Daily), line(2, driver.Daily)
	lines[0].Max = 1 << 62
	stuck := reservation(10, lines)
	stuck.TTL = time.Minute
	_, err := s.Reserve(t.Context(), stuck)
	require.NoError(t, err)
	full := driver.NewID()
	_, err = s.Settle(t.Context(), driver.Settlement{ID: full, Actual: usd(maxSum - 5), Lines: lines})
	require.NoError(t, err)
	for range 3 {
		r := reservation(1, other)
		r.TTL = 2 * time.Minute
		_, err := s.Reserve(t.Context(), r)
		require.NoError(t, err)
	}
	advance(3 * time.Minute)
	for _, want := range []int{1, 1, 1, 0} {
		n, err := s.Expire(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	stands(t, s, lines, maxSum-5, 10)
	stands(t, s, other, 3, 0)
	_, err = s.Correct(t.Context(), driver.Correction{ID: full, Actual: usd(0), Change: storetest.NewChange()})
	require.NoError(t, err)
	advance(2 * time.Minute)
	n, err := s.Expire(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	stands(t, s, lines, 10, 0)
}

// Batches of any number are charged, and pages of any number read, however a step is cut.
func TestManyEntries(t *testing.T) {
	s, advance := aged(t)
	lines := line(1, driver.Daily)
	const n = 2*chargeBatch + 100
	for range n {
		r := reservation(1, lines)
		r.TTL = time.Minute
		_, err := s.Reserve(t.Context(), r)
		require.NoError(t, err)
	}
	charged, err := s.Expire(t.Context(), chargeBatch+10)
	require.NoError(t, err)
	require.Zero(t, charged)
	advance(time.Minute)
	for _, want := range []int{chargeBatch + 10, n - chargeBatch - 10, 0} {
		charged, err := s.Expire(t.Context(), max(want, 10))
		require.NoError(t, err)
		require.Equal(t, want, charged)
	}
	stands(t, s, lines, n, 0)
	known := make(map[driver.ID]bool)
	for q := (driver.Query{Max: 300, State: driver.Expired, Estimated: true}); ; {
		page, err := s.Entries(t.Context(), q)
		require.NoError(t, err)
		for _, e := range page {
			require.Greater(t, string(e.ID[:]), string(q.After[:]))
			known[e.ID], q.After = true, e.ID
		}
		if len(page) < q.Max {
			break
		}
	}
	require.Len(t, known, n)
}

// However long the retention, a rolling window keeps a bounded number of sums; and however many there are, a clock that went
// back finds them.
func TestARollingWindowKeepsSomeThousandSums(t *testing.T) {
	s, advance := aged(t)
	s.retention = micros(DefaultRetention)
	lines := line(1, driver.Rolling(time.Minute))
	for i := range 7000 {
		if _, err := s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: usd(1), Lines: lines}); err != nil {
			require.NoError(t, err)
		}
		advance(time.Second)
		if i == 2000 {
			advance(-2000 * time.Second)
			stands(t, s, lines, 2001, 0)
			advance(2000 * time.Second)
		}
	}
	sweep(t, s)
	kept := s.rdb.ZCard(t.Context(), s.keys.buckets).Val()
	require.LessOrEqual(t, kept, int64(6100))
	require.Greater(t, kept, int64(5900))
}
