package dynamostore

import (
	"context"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func sharded(n int) func(*Options) { return func(o *Options) { o.Shards = n } }

// used returns what each shard of an account holds.
func used(t *testing.T, s *Store, l driver.Line) (all []int64) {
	t.Helper()
	groups, err := s.readGroups(t.Context(), []driver.Key{l.Account})
	require.NoError(t, err)
	for _, a := range groups[l.Account].shards {
		all = append(all, a.used(noWindow))
	}
	return all
}

// at returns a reservation whose home is a given shard.
func at(s *Store, shard int, n int64, lines ...driver.Line) driver.Reservation {
	for {
		if r := hold(n, lines...); pick(r.ID, s.shards) == shard {
			return r
		}
	}
}

func TestSharesAddUpToTheLimit(t *testing.T) {
	for shards := 1; shards <= MaxShards; shards++ {
		for _, limit := range []int64{0, 1, 7, 31, 32, 33, 1000, 1<<63 - 1} {
			var sum int64
			for i := range shards {
				n := share(limit, i, shards)
				require.InDelta(t, float64(limit)/float64(shards), float64(n), 1024)
				sum += n
			}
			require.Equal(t, limit, sum)
		}
	}
	require.Negative(t, share(-5, 0, 4))
}

// A call meets its home shard first, spills when that is full, is split when none has room alone, and is denied when, and
// only when, all of them together have none.
func TestShardsSpillBeforeTheyDeny(t *testing.T) {
	s := newStore(t, sharded(4))
	l := line(1, driver.Daily, 40)
	for range 3 {
		admitted(t, s, at(s, 2, 3, l))
	}
	require.Equal(t, []int64{0, 0, 9, 0}, used(t, s, l))
	admitted(t, s, at(s, 2, 3, l)) // 1 fits at home
	require.Equal(t, []int64{0, 0, 10, 2}, used(t, s, l))
	r := at(s, 1, 25, l) // more than any share
	admitted(t, s, r)
	require.Equal(t, int64(37), stands(t, s, l)[1])
	d, err := s.Reserve(t.Context(), at(s, 0, 4, l))
	require.NoError(t, err)
	require.NotNil(t, d.Denied)
	require.Equal(t, [2]int64{40, 37}, [2]int64{d.Denied[0].Max, d.Denied[0].Pending})
	admitted(t, s, at(s, 0, 3, l))
	require.Equal(t, []int64{10, 10, 10, 10}, used(t, s, l), "nothing is stranded")
	settled(t, s, r, 25)
	require.Equal(t, [2]int64{25, 15}, stands(t, s, l))
}

// A reservation whose reply was lost is found again where it was made: the shard is chosen by the id alone.
func TestShardsAreChosenByTheID(t *testing.T) {
	table := newTable(t, newClient(t, endpoint(t)))
	w, client := newWire(t)
	s, other := open(t, client, table, sharded(8)), open(t, newClient(t, endpoint(t)), table)
	require.Equal(t, 8, other.shards, "the ledger's number of shards is that of all stores")
	l := line(1, driver.Daily, 800)
	admitted(t, s, hold(1, l))
	for range 5 {
		w.follow(nil)
		r := hold(3, l)
		before := used(t, s, l)
		w.follow(lostOnce)
		require.False(t, admitted(t, s, r).Replayed)
		require.True(t, admitted(t, other, r).Replayed)
		after := used(t, s, l)
		before[pick(r.ID, 8)] += 3
		require.Equal(t, before, after)
	}
	_, err := Open(t.Context(), client, table, with(sharded(4)))
	require.ErrorContains(t, err, "8 shards")
}

// Truth that goes beyond what was set aside fills the room that other shards have; beyond the limit, no shard admits
// anything, though it has room of its own, until enough has gone.
func TestAnOverdraftOfOneShardClosesAll(t *testing.T) {
	s := newStore(t, sharded(4))
	l := line(1, driver.Daily, 40)
	held := at(s, 3, 5, l)
	admitted(t, s, held)
	r := at(s, 0, 5, l)
	admitted(t, s, r)
	settled(t, s, r, 33)
	require.Equal(t, [2]int64{33, 5}, stands(t, s, l))
	for shard := range 4 {
		s.blindFailures = blindFailures{} // as another process would
		d, err := s.Reserve(t.Context(), at(s, shard, 3, l))
		require.NoError(t, err)
		require.NotNil(t, d.Denied, "38 of 40 are used")
	}
	_, err := s.Correct(t.Context(), driver.Correction{ID: r.ID, Actual: usd(50), Change: storetest.NewChange()})
	require.NoError(t, err)
	require.NoError(t, s.Void(t.Context(), held.ID, held.Owner))
	for shard := range 4 { // 50 of 40 are used, and shard 3 is empty
		s.blindFailures = blindFailures{} // as another process would
		d, err := s.Reserve(t.Context(), at(s, shard, 1, l))
		require.NoError(t, err)
		require.NotNil(t, d.Denied)
	}
	_, err = s.Correct(t.Context(), driver.Correction{ID: r.ID, Actual: usd(38), Change: storetest.NewChange()})
	require.NoError(t, err)
	s.blindFailures = blindFailures{}
	d, err := s.Reserve(t.Context(), at(s, 3, 3, l))
	require.NoError(t, err)
	require.NotNil(t, d.Denied)
	admitted(t, s, at(s, 3, 2, l))
	require.Equal(t, int64(40), stands(t, s, l)[0]+stands(t, s, l)[1])
}

// A process whose policy has a lower limit never admits beyond it, whatever the shares of others.
func TestShardsUnderTwoPolicies(t *testing.T) {
	s := newStore(t, sharded(4))
	wide, narrow := line(1, driver.Daily, 80), line(1, driver.Daily, 40)
	admitted(t, s, at(s, 0, 20, wide))
	admitted(t, s, at(s, 1, 18, wide))
	d, err := s.Reserve(t.Context(), at(s, 2, 3, narrow))
	require.NoError(t, err)
	require.NotNil(t, d.Denied, "38 of 40 are used, though shard 2 is empty")
	admitted(t, s, at(s, 2, 2, narrow))
	admitted(t, s, at(s, 2, 40, wide))
	d, err = s.Reserve(t.Context(), at(s, 3, 1, wide))
	require.NoError(t, err)
	require.NotNil(t, d.Denied)
}

// Settlements in many shards at once report each mark once.
func TestMarksOverShardsAreReportedOnce(t *testing.T) {
	s := newStore(t, sharded(4))
	l := line(1, driver.Lifetime, 1<<40)
	l.Notify = []float64{30.0 / (1 << 40), 60.0 / (1 << 40), 90.0 / (1 << 40)}
	var mu sync.Mutex
	reported := make(map[int]int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 12 {
				r := hold(1, l)
				if _, err := s.Reserve(context.Background(), r); err != nil {
					t.Error(err)
					return
				}
				p, err := s.Settle(context.Background(), settlement(r, 1))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, c := range p.Crossed {
					reported[c.Mark]++
					if due := l.Threshold(c.Mark, l.Max); c.Settled < due || c.Settled > due+8 {
						t.Errorf("mark %d reported at %d", due, c.Settled)
					}
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	require.Equal(t, map[int]int{0: 1, 1: 1, 2: 1}, reported)
}

// sums checks that the sums which conditions rest on are those of the buckets, in every account of a table.
func sums(t *testing.T, s *Store) {
	t.Helper()
	accounts := 0
	for name, raw := range dump(t, s) {
		if !strings.HasPrefix(name, "account#") {
			continue
		}
		accounts++
		a, err := decodeAccount(driver.Key{}, 0, raw)
		require.NoError(t, err)
		var settled, used int64
		for _, b := range a.buckets {
			if b.start >= a.since {
				settled, used = settled+b.settled, used+b.settled+b.pending
			}
		}
		for attribute, want := range map[string]int64{attrSettled: settled, attrUsed: used} {
			n, ok := new(big.Int).SetString(raw[attribute].(*types.AttributeValueMemberN).Value, 10)
			require.True(t, ok)
			require.Equal(t, want, n.Int64(), "%s of %s", attribute, name)
		}
	}
	require.Positive(t, accounts)
}

func TestSumsAreThoseOfTheBuckets(t *testing.T) {
	for _, shards := range []int{1, 3} {
		s := newStore(t, sharded(shards))
		lines := []driver.Line{line(1, driver.Daily, 200), line(2, driver.Rolling(3*time.Second), 100), line(3, driver.Lifetime, 150)}
		lines[0].Notify = []float64{0.2, 0.4}
		var workers sync.WaitGroup
		for n := range 6 {
			workers.Go(func() {
				for i := range 25 {
					r := hold(int64(1+i%7), lines...)
					d, err := s.Reserve(context.Background(), r)
					if err != nil {
						t.Error(err)
						return
					}
					if !d.Admitted {
						continue
					}
					switch (n + i) % 4 {
					case 0:
						_, err = s.Settle(context.Background(), settlement(r, int64(i%9)))
					case 1:
						err = s.Void(context.Background(), r.ID, r.Owner)
					case 2:
						if _, err = s.Settle(context.Background(), settlement(r, 1)); err == nil {
							_, err = s.Correct(context.Background(), driver.Correction{ID: r.ID, Actual: usd(int64(i % 3)), Change: storetest.NewChange()})
						}
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		workers.Wait()
		sums(t, s)
	}
}
