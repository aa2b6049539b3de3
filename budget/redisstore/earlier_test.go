package redisstore

import (
	"encoding/base64"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/earlier"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// loadEarlier writes the ledger "earlier" of layout 1 to the server, which replaces the one that is there.
func loadEarlier(t *testing.T) *redis.Client {
	servers.Require(t, sharedErr)
	rdb := dial(t, shared.Addr)
	require.NoError(t, rdb.Del(t.Context(), newKeySpace("earlier").names()...).Err())
	text, err := os.ReadFile("testdata/layout1.txt")
	require.NoError(t, err)
	decode := func(raw string) string {
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
	rdb, clock := loadEarlier(t), storetest.NewClock(earlier.Now)
	earlier.Check(t, clock, func() budget.Store {
		s, err := New(rdb, func(o *Options) { o.Ledger, o.Clock = "earlier", clock.Now })
		require.NoError(t, err)
		return s
	})
}

// Charges are kept by position, so that one unit more takes a later layout, which is refused by name.
func TestALaterLayoutIsRefusedByName(t *testing.T) {
	rdb, clock := loadEarlier(t), storetest.NewClock(earlier.Now)
	require.NoError(t, rdb.HSet(t.Context(), newKeySpace("earlier").ledger, "v", "99").Err())
	_, err := New(rdb, func(o *Options) { o.Ledger, o.Clock = "earlier", clock.Now })
	require.ErrorContains(t, err, `the ledger has layout "99", this library knows `+layout+": use a newer library")
}
