package redisstore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

func TestConformance(t *testing.T) {
	servers.Require(t, sharedErr)
	storetest.Run(t, storetest.Harness{
		Seeds: 4, Steps: 500, MaxSum: 1<<53 - 1,
		Open: func(t *testing.T, clock *storetest.Clock) driver.Store {
			return open(t, func(o *Options) {
				o.Clock, o.Retention, o.UsageRows = clock.Now, storetest.Retention, storetest.UsageRows
			})
		},
		Reopen: func(t *testing.T, store driver.Store, clock *storetest.Clock) driver.Store {
			opts := store.(*Store).opts
			opts.Create = false
			s, err := Open(t.Context(), dial(t, shared.Addr), opts)
			require.NoError(t, err)
			return s
		},
		Wipe: func(t *testing.T, store driver.Store) {
			s := store.(*Store)
			require.NoError(t, s.rdb.Del(t.Context(), s.keys.names()...).Err())
			again, err := Open(t.Context(), s.rdb, s.opts)
			require.NoError(t, err)
			require.NoError(t, again.Close())
		},
		Lose: func(t *testing.T, store driver.Store, n int) string {
			return losePart(t, store.(*Store), n)
		},
	})
}

// names are the keys that a ledger may have.
func (k *keySpace) names() []string {
	return append(k.entries[:], k.ledger, k.due, k.buckets, k.kills, k.changes)
}

// losePart deletes the n-th key, field or member of a ledger, and says which it was.
func losePart(t *testing.T, s *Store, n int) string {
	ctx := t.Context()
	for _, key := range s.keys.names() {
		kind, err := s.rdb.Type(ctx, key).Result()
		require.NoError(t, err)
		parts := []string{""} // the whole key
		switch kind {
		case "none":
			continue
		case "hash":
			fields, err := s.rdb.HKeys(ctx, key).Result()
			require.NoError(t, err)
			slices.Sort(fields)
			parts = append(parts, fields...)
		default:
			members, err := s.rdb.ZRange(ctx, key, 0, -1).Result()
			require.NoError(t, err)
			parts = append(parts, members...)
		}
		if n >= len(parts) {
			n -= len(parts)
			continue
		}
		switch {
		case n == 0:
			require.NoError(t, s.rdb.Del(ctx, key).Err())
		case kind == "hash":
			require.NoError(t, s.rdb.HDel(ctx, key, parts[n]).Err())
		default:
			require.NoError(t, s.rdb.ZRem(ctx, key, parts[n]).Err())
		}
		return fmt.Sprintf("%s %q", strings.SplitAfter(key, "}")[1], parts[n])
	}
	return ""
}

// Flags that do not hold for a call must not be read by it: thousands of them, of other runs of its principal, would take
// milliseconds of the server's one core for each of its calls.
func TestFlagsOfOthersAreNotRead(t *testing.T) {
	s := open(t)
	for i := range 200 {
		scope := driver.Scope{Principal: "ci", Workflow: "run-" + strconv.Itoa(i)}
		require.NoError(t, s.Kill(t.Context(), driver.Kill{Scope: scope, Reason: "stop"}, storetest.NewChange()))
	}
	bytesOf := func(d driver.Key) int { return len(s.rdb.HGet(t.Context(), s.keys.kills, string(d[:])).Val()) }
	one := bytesOf(driver.Scope{Workflow: "run-7"}.Dims()[0])
	require.Positive(t, one)
	require.LessOrEqual(t, bytesOf(driver.Scope{Principal: "ci"}.Dims()[0]), one)
	r := reservation(1, daily(1, 10))
	r.Dims = driver.Scope{Principal: "ci", Workflow: "run-7"}.Dims()
	d, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.NotNil(t, d.Killed)
	require.NoError(t, s.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Principal: "ci", Workflow: "run-7"}}, storetest.NewChange()))
	d, err = s.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.True(t, d.Admitted)
	all, err := s.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 199)
}
