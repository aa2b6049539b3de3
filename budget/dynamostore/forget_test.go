package dynamostore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/budget/verify"
)

const day = 24 * time.Hour

// ticking opens a store by a clock that is never set back, so that it keeps the past as one without a Clock does.
func ticking(t *testing.T, clock *storetest.Clock, optFns ...func(*Options)) *Store {
	s := newStore(t, append([]func(*Options){func(o *Options) { o.Clock = clock.Now }}, optFns...)...)
	s.keepPast, s.pastKept = false, 0
	s.forgetting.stop() // the tests forget by themselves
	return s
}

// forgetNow forgets all days that are past the retention, which the background would by and by.
func forgetNow(t *testing.T, s *Store) {
	for {
		now, err := s.clock.now()
		require.NoError(t, err)
		if s.forgetting.done.Load() >= s.forgetBefore(now) {
			return
		}
		require.NoError(t, s.forget(t.Context()))
	}
}

func periods(t *testing.T, s *Store, l driver.Line) []driver.Period {
	all, err := s.Periods(t.Context(), l.Account, time.Time{}, maxEntries)
	require.NoError(t, err)
	return all
}

// A walk over a month settles, corrects and expires in time and late, moves sums to the archive and forgets entries. All along, what is
// settled in each period is what entries have posted there, and what is forgotten.
func TestSettledIsForgottenAndEntries(t *testing.T) {
	for _, shards := range []int{1, 4} {
		t.Run(fmt.Sprintf("shards=%d", shards), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(shards), 7))
			clock := storetest.NewClock(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))
			s := ticking(t, clock, func(o *Options) { o.Retention, o.Shards = 6*day, shards })
			s.archiveBatch = 2
			lines := []driver.Line{
				line(1, driver.Daily, 1000), line(2, driver.Lifetime, 100_000), line(3, driver.Rolling(48*time.Hour), 1000), line(4, driver.Weekly, 10_000),
			}
			var open, done []driver.Reservation
			for n := range 60 {
				for range 6 {
					clock.Advance(time.Duration(random.Int64N(int64(4 * time.Hour))))
					r := hold(1+random.Int64N(20), lines[random.IntN(len(lines)):]...)
					r.TTL = time.Duration(1+random.IntN(5)) * day
					d, err := s.Reserve(t.Context(), r)
					require.NoError(t, err)
					if d.Admitted {
						open = append(open, r)
					}
					if i := random.IntN(len(open) + 1); i < len(open) && random.IntN(3) > 0 {
						lateStep(t, s, open[i], random)
						done = append(done, open[i])
						open = append(open[:i], open[i+1:]...)
					}
					if len(done) > 0 && random.IntN(3) == 0 {
						_, err := s.Correct(t.Context(), driver.Correction{ID: done[random.IntN(len(done))].ID, Actual: usd(random.Int64N(30)), Change: storetest.NewChange()})
						if err != nil {
							require.ErrorIs(t, err, driver.ErrNotFound)
						}
					}
				}
				_, err := s.Expire(t.Context(), 100)
				require.NoError(t, err)
				forgetNow(t, s)
				if n%12 == 11 {
					storetest.AddUp(t.Context(), t, s)
					report, err := verify.Ledger(t.Context(), s, verify.Options{Tries: 1, Clock: clock.Now})
					require.NoError(t, err)
					require.Empty(t, report.Differences)
				}
			}
			var forgotten int64
			for _, l := range lines {
				for _, p := range periods(t, s, l) {
					forgotten += p.Forgotten
				}
			}
			require.Positive(t, forgotten)
			require.Greater(t, len(periods(t, s, lines[0])), 25, "past days are told")
			require.NotEmpty(t, itemsOf(t, s, archivePartition(lines[0].Account)))
		})
	}
}

// lateStep resolves a reservation, which may have expired.
func lateStep(t *testing.T, s *Store, r driver.Reservation, random *rand.Rand) {
	if random.IntN(4) == 0 {
		if err := s.Void(t.Context(), r.ID, r.Owner); err != nil {
			require.ErrorIs(t, err, driver.ErrResolved)
		}
		return
	}
	_, err := s.Settle(t.Context(), settlement(r, random.Int64N(25)))
	require.NoError(t, err)
}

func itemsOf(t *testing.T, s *Store, partition string) (all []item) {
	in := dynamodb.QueryInput{KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: item{":p": text(partition)}}
	require.NoError(t, s.query(t.Context(), in, func(raw item) (bool, error) {
		all = append(all, raw)
		return true, nil
	}))
	return all
}

// What was spent in a month is known for thirteen of them, however short the retention, and in pages.
func TestPastWindowsAreKept(t *testing.T) {
	clock := storetest.NewClock(time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC))
	s := ticking(t, clock, func(o *Options) { o.Retention = time.Hour })
	months, days := line(1, driver.Monthly, 100), line(2, driver.Daily, 100)
	for range 400 {
		r := hold(3, days, months)
		admitted(t, s, r)
		settled(t, s, r, 3)
		clock.Advance(day)
	}
	all := periods(t, s, days)
	require.Len(t, all, 400)
	for i, p := range all {
		require.Equal(t, time.Date(2026, 3, 10+i, 0, 0, 0, 0, time.UTC), p.Start.UTC())
		require.Equal(t, int64(3), p.Settled)
	}
	require.Len(t, periods(t, s, months), 14)
	var paged []driver.Period
	for after := (time.Time{}); ; after = paged[len(paged)-1].Start {
		page, err := s.Periods(t.Context(), days.Account, after, 7)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
	}
	require.Equal(t, all, paged)
	raw, err := s.get(t.Context(), accountKey(days.Account, 0))
	require.NoError(t, err)
	a, err := decodeAccount(days.Account, 0, raw)
	require.NoError(t, err)
	require.LessOrEqual(t, len(a.buckets), minArchiveBatch+1, "the item that each call writes stays small")
	for _, of := range itemsOf(t, s, archivePartition(days.Account)) {
		r := reader{item: of}
		last := r.buckets()[len(r.buckets())-1]
		require.GreaterOrEqual(t, r.required(ttlAttribute), last.start/int64(time.Second)+int64(driver.UsageRetention/time.Second), "it is kept for thirteen months")
	}
}

// An item that is deleted by the table's time to live would be missing from the forgotten sums.
func TestReservationsHaveNoTimeToLive(t *testing.T) {
	clock := storetest.NewClock(time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC))
	s := ticking(t, clock)
	l := line(1, driver.Lifetime, 100)
	now, earlier := hold(5, l), hold(6, l)
	for _, r := range []driver.Reservation{now, earlier} {
		admitted(t, s, r)
		settled(t, s, r, 4)
	}
	_, err := s.client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{ // as earlier libraries did
		TableName: &s.table, Key: entryKey(earlier.ID).attributes(), UpdateExpression: aws.String("SET #t = :t"),
		ExpressionAttributeNames: map[string]string{"#t": ttlAttribute}, ExpressionAttributeValues: item{":t": number(1)},
	})
	require.NoError(t, err)
	forgetNow(t, s)
	for _, r := range []driver.Reservation{now, earlier} {
		raw, err := s.get(t.Context(), entryKey(r.ID))
		require.NoError(t, err)
		require.NotEmpty(t, raw)
		require.NotContains(t, raw, ttlAttribute)
	}
}

// A clock that is ahead during one Expire has one day forgotten too early, and no sum.
func TestAClockThatJumpsForgetsOneDayAtMost(t *testing.T) {
	clock := storetest.NewClock(time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC))
	s := ticking(t, clock, func(o *Options) { o.Retention = 10 * day })
	l := line(1, driver.Lifetime, 1000)
	for range 11 {
		r := hold(5, l)
		admitted(t, s, r)
		settled(t, s, r, 5)
		forgetNow(t, s)
		clock.Advance(day)
	}
	before := len(entries(t, s))
	clock.Advance(90 * day)
	require.NoError(t, s.forget(t.Context()))
	clock.Advance(-90 * day)
	require.GreaterOrEqual(t, len(entries(t, s)), before-1)
	require.Equal(t, [2]int64{55, 0}, stands(t, s, l))
	storetest.AddUp(t.Context(), t, s)
}

func entries(t *testing.T, s *Store) []driver.Entry {
	all, err := s.Entries(t.Context(), driver.Query{Max: maxEntries})
	require.NoError(t, err)
	return all
}

// Processes that forget at once don't count anything twice, and Expire forgets in the background until Close.
func TestManyForgetAtOnce(t *testing.T) {
	clock := storetest.NewClock(time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC))
	retention := func(o *Options) { o.Retention = day }
	s := ticking(t, clock, retention)
	l := line(1, driver.Yearly, 10_000)
	for range 120 {
		r := hold(5, l)
		admitted(t, s, r)
		settled(t, s, r, 5)
	}
	forgetNow(t, s)
	clock.Advance(3 * day)
	for range 2 {
		var others []*Store
		for range 4 {
			others = append(others, open(t, s.client, s.table, retention, func(o *Options) { o.Clock = clock.Now }))
		}
		for _, other := range others {
			_, err := other.Expire(context.Background(), 10)
			require.NoError(t, err)
		}
		for _, other := range others {
			other.forgetting.mu.Lock()
			ended := other.forgetting.ended
			other.forgetting.mu.Unlock()
			if ended != nil {
				<-ended
			}
			require.NoError(t, other.Close())
		}
	}
	forgetNow(t, s)
	require.Empty(t, entries(t, s))
	all := periods(t, s, l)
	require.Len(t, all, 1)
	require.Equal(t, int64(600), all[0].Settled)
	require.Equal(t, int64(600), all[0].Forgotten)
}
