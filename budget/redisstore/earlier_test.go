package redisstore

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/earlier"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// loadEarlier writes the ledger "earlier" of an earlier layout to the server, which replaces the one that is there. That of layout 2 is that
// of layout 1, brought up to date by the library of its time.
func loadEarlier(t *testing.T, layout int) *redis.Client {
	servers.Require(t, sharedErr)
	rdb := dial(t, shared.Addr)
	require.NoError(t, rdb.Del(t.Context(), newKeySpace("earlier").names()...).Err())
	text, err := os.ReadFile(fmt.Sprintf("testdata/layout%d.txt", layout))
	require.NoError(t, err)
	decode := func(raw string) string {
		if raw == "=" {
			return "" // the empty name
		}
		value, err := base64.StdEncoding.DecodeString(raw)
		require.NoError(t, err)
		return string(value)
	}
	for row := range strings.Lines(string(text)) {
		fields := strings.Fields(row)
		require.Len(t, fields, 4)
		switch fields[0] {
		case "HSET":
			require.NoError(t, rdb.HSet(t.Context(), fields[1], decode(fields[2]), decode(fields[3])).Err())
		case "ZADD":
			score, err := strconv.ParseFloat(fields[2], 64)
			require.NoError(t, err)
			require.NoError(t, rdb.ZAdd(t.Context(), fields[1], redis.Z{Score: score, Member: decode(fields[3])}).Err())
		}
	}
	return rdb
}

// A ledger that an earlier library wrote keeps what it holds, and refuses what it refused.
func TestALedgerOfAnEarlierLibraryGoesOn(t *testing.T) {
	for _, layout := range []int{1, 2} {
		rdb, clock := loadEarlier(t, layout), storetest.NewClock(earlier.Now)
		reopen := func() driver.Store {
			s, err := Open(t.Context(), rdb, Options{Ledger: "earlier", Clock: clock.Now})
			require.NoError(t, err)
			return s
		}
		earlier.Check(t, clock, reopen)
		// Of what was posted before nothing is taken out of usage; what is posted since is nobody's.
		s := reopen()
		rows, err := s.Usage(t.Context(), driver.UsageMark{}, 10)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.Equal(t, (*driver.Call)(nil).UsageKey(), rows[0].Key)
		require.Equal(t, driver.UsageDay(earlier.Now), rows[0].Day)
		require.Equal(t, int64(1+6+4+55+2), rows[0].Charge[driver.UnitUSD])
		require.NoError(t, s.Close())
	}
}

// A ledger that lacked a part before it was brought up to date lacks it afterwards.
func TestALossOutlivesAnEarlierLayout(t *testing.T) {
	rdb, clock := loadEarlier(t, 2), storetest.NewClock(earlier.Now)
	keys := newKeySpace("earlier")
	require.NoError(t, rdb.ZRemRangeByRank(t.Context(), keys.buckets, 0, 0).Err())
	s, err := Open(t.Context(), rdb, Options{Ledger: "earlier", Clock: clock.Now})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Reserve(t.Context(), reservation(1, daily(1, 10)))
	require.ErrorIs(t, err, driver.ErrLost)
}

// A charge in a unit that only a later library knows is not read as one without it, nor written over; units that an entry or a row lacks
// are nothing, so that one more takes no later layout.
func TestALedgerWithALaterUnitIsRefusedByName(t *testing.T) {
	s := open(t)
	r := reservation(3, daily(1, 100))
	_, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	done := driver.Settlement{ID: driver.ID{r.ID[0], 1}, Actual: usd(1), Lines: r.Lines}
	_, err = s.Settle(t.Context(), done)
	require.NoError(t, err)
	entries, rdb := s.keys.entries[r.ID[0]], s.rdb
	resize := func(n int) { // to so many units
		for _, id := range []driver.ID{r.ID, done.ID} {
			v := rdb.HGet(t.Context(), entries, string(id[:])).Val()
			was := int(v[42])
			at := func(o int) string { return (v[o:o+8*was] + strings.Repeat("\x00", 8))[:8*n] }
			next := v[:42] + string(rune(n)) + v[43:59] + at(59) + at(59+8*was) + v[59+16*was:]
			require.NoError(t, rdb.HSet(t.Context(), entries, string(id[:]), next).Err())
		}
		for field, v := range rdb.HGetAll(t.Context(), s.keys.ledger).Val() {
			if was := int(v[0]); len(field) == 20 {
				next := string(rune(n)) + (v[1:1+8*was] + strings.Repeat("\x00", 8))[:8*n] + v[1+8*was:]
				require.NoError(t, rdb.HSet(t.Context(), s.keys.ledger, field, next).Err())
			}
		}
	}
	resize(units + 1)
	const named = "counts 8 units, this library knows 7: use a newer library"
	ctx, change := t.Context(), storetest.NewChange()
	for step, run := range map[string]func() error{
		"Entries": func() error { _, err := s.Entries(ctx, driver.Query{Max: 10}); return err },
		"Usage":   func() error { _, err := s.Usage(ctx, driver.UsageMark{}, 10); return err },
		"Reserve": func() error { _, err := s.Reserve(ctx, r); return err },
		"Settle": func() error {
			_, err := s.Settle(ctx, driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(1), Lines: r.Lines})
			return err
		},
		"Orphan": func() error {
			_, err := s.Settle(ctx, driver.Settlement{ID: driver.NewID(), Actual: usd(1), Lines: r.Lines})
			return err
		},
		"Void": func() error { return s.Void(ctx, r.ID, r.Owner) },
		"Correct": func() error {
			_, err := s.Correct(ctx, driver.Correction{ID: done.ID, Actual: usd(2), Change: change})
			return err
		},
	} {
		require.ErrorContains(t, run(), named, step)
	}
	stands(t, s, r.Lines, 1, 3)
	require.NoError(t, rdb.ZAdd(ctx, s.keys.due, redis.Z{Score: 1, Member: string(r.ID[:])}).Err())
	n, err := s.Expire(ctx, 10)
	require.NoError(t, err)
	require.Zero(t, n, "it stays pending")

	resize(units - 1)
	_, err = s.Settle(ctx, driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(2), Lines: r.Lines})
	require.NoError(t, err)
	_, err = s.Correct(ctx, driver.Correction{ID: done.ID, Actual: usd(5), Change: change})
	require.NoError(t, err)
	stands(t, s, r.Lines, 7, 0)
	rows, err := s.Usage(ctx, driver.UsageMark{}, 10)
	require.NoError(t, err)
	require.Equal(t, usd(7), rows[0].Charge)
}

// A layout that only a later library knows is refused by name.
func TestALaterLayoutIsRefusedByName(t *testing.T) {
	rdb, clock := loadEarlier(t, 2), storetest.NewClock(earlier.Now)
	require.NoError(t, rdb.HSet(t.Context(), newKeySpace("earlier").ledger, "v", "99").Err())
	_, err := Open(t.Context(), rdb, Options{Ledger: "earlier", Clock: clock.Now})
	require.ErrorContains(t, err, `the ledger has layout "99", this library knows `+layout+": use a newer library")
}
