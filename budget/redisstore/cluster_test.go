package redisstore

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// hostile are names that would break out of a hash tag, if they got near one.
var hostile = []string{"", "}", "{", "{}", "}{", "a}b{c", "{other}", "\x00", "\r\n", "*", "a b", "\xff", strings.Repeat("{x}", 1000)}

// All keys of a ledger, whatever its name, hold one hash tag and nothing that a user wrote, so that they share a slot.
func TestKeysShareASlot(t *testing.T) {
	tags := make(map[string]string)
	for _, name := range hostile {
		k := newKeySpace(name)
		_, rest, _ := strings.Cut(k.ledger, "{")
		tag, _, _ := strings.Cut(rest, "}")
		require.Regexp(t, "^[0-9a-f]{16}$", tag)
		require.NotContains(t, tags, tag, "names %q and %q share keys", tags[tag], name)
		tags[tag] = name
		for _, key := range append(k.entries[:], k.ledger, k.due, k.buckets, k.kills, k.changes, k.channel) {
			require.Regexp(t, `^bedrockguard:\{`+tag+`\}:[a-z0-9]+$`, key)
		}
	}
}

// What scripts touch are the keys of the key space and no others.
func TestNoOtherKeysAreMade(t *testing.T) {
	server := own(t, "appendonly yes")
	rdb := dial(t, server.Addr)
	s, err := Open(t.Context(), rdb, Options{Ledger: "}{user text", Create: true})
	require.NoError(t, err)
	defer s.Close()
	scope := driver.Scope{Principal: "user text", Workflow: "{user text}"}
	r := reservation(1, append(daily(1, 10), driver.Line{Account: driver.Key{2}, Unit: driver.UnitUSD, Window: driver.Rolling(time.Hour), Max: 5}))
	r.Dims = scope.Dims()
	everyStep(t, s, r)
	require.NoError(t, s.Kill(t.Context(), driver.Kill{Scope: scope, Reason: "user text"}, storetest.NewChange()))
	known := append(s.keys.entries[:], s.keys.ledger, s.keys.due, s.keys.buckets, s.keys.kills, s.keys.changes)
	keys, err := rdb.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.NotEmpty(t, keys)
	require.Subset(t, known, keys)
}

// A server of a cluster refuses scripts that touch keys of several slots; the whole contract holds on one.
func TestConformanceOnACluster(t *testing.T) {
	server := own(t, "appendonly yes", "cluster-enabled yes")
	node := dial(t, server.Addr)
	require.NoError(t, node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	require.Eventually(t, func() bool { return strings.Contains(node.ClusterInfo(t.Context()).Val(), "cluster_state:ok") }, 30*time.Second, 5*time.Millisecond)
	connect := func(t *testing.T, contexts bool) *redis.ClusterClient {
		rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr}, ContextTimeoutEnabled: contexts})
		t.Cleanup(func() { rdb.Close() })
		return rdb
	}
	handles := 0
	options := func(name func(*Options), clock *storetest.Clock) func(*Options) {
		return func(o *Options) {
			name(o)
			o.Clock, o.Retention, o.UsageRows = clock.Now, storetest.Retention, storetest.UsageRows
		}
	}
	storetest.Run(t, storetest.Harness{
		Seeds: 1, Steps: 300, MaxSum: maxSum, Workers: 8,
		Open: func(t *testing.T, clock *storetest.Clock) driver.Store {
			handles++
			s, err := Open(t.Context(), connect(t, handles%2 == 0), with(options(named(), clock)))
			require.NoError(t, err)
			return s
		},
		Reopen: func(t *testing.T, store driver.Store, clock *storetest.Clock) driver.Store {
			s, err := Open(t.Context(), connect(t, true), with(options(func(o *Options) { *o = store.(*Store).opts }, clock)))
			require.NoError(t, err)
			return s
		},
	})
}
