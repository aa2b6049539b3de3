package redisstore

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// With MinReplicas, what Reserve and Kill acknowledge is on a replica; what is not there is not acknowledged, and a
// reservation is voided.
func TestMinReplicas(t *testing.T) {
	primary := own(t, "appendonly yes", "repl-diskless-sync-delay 0")
	replica := own(t, "appendonly yes", servers.ReplicaOf(primary))
	rdb := dial(t, primary.Addr)
	require.Eventually(t, func() bool {
		return strings.Contains(rdb.Info(t.Context(), "replication").Val(), "state=online")
	}, 60*time.Second, 5*time.Millisecond)
	s, err := Open(t.Context(), rdb, with(named(), func(o *Options) { o.MinReplicas = 1 }))
	require.NoError(t, err)
	defer s.Close()
	lines := daily(1, 10)
	r := reservation(3, lines)
	_, err = s.Reserve(t.Context(), r)
	require.NoError(t, err)
	copied := dial(t, replica.Addr)
	require.True(t, copied.HExists(t.Context(), s.keys.entries[r.ID[0]], string(r.ID[:])).Val())
	require.NoError(t, s.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange()))
	require.Equal(t, int64(1), copied.Exists(t.Context(), s.keys.kills).Val())
	require.NoError(t, s.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange()))

	require.NoError(t, replica.Pause())
	s.opts.Timeout = 2 * time.Second // WAIT has half of it
	lost := reservation(3, lines)
	_, err = s.Reserve(t.Context(), lost)
	require.ErrorIs(t, err, errReplicas)
	other, err := Open(t.Context(), dial(t, primary.Addr), Options{Ledger: s.opts.Ledger, MinReplicas: 1, Timeout: 2 * time.Second})
	require.NoError(t, err)
	defer other.Close()
	_, err = other.Reserve(t.Context(), r)
	require.ErrorIs(t, err, errReplicas, "a replay is acknowledged no sooner")
	require.ErrorIs(t, s.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange()), errReplicas)
	s.opts.Timeout = 20 * time.Second
	kills, err := s.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, kills, 1, "the flag is set all the same")
	stands(t, s, lines, 0, 0)
	d, err := s.Reserve(t.Context(), reservation(11, lines))
	require.NoError(t, err, "a refusal needs no replica")
	require.NotNil(t, d.Killed)
	require.NoError(t, replica.Resume())
	require.NoError(t, s.Revive(t.Context(), driver.Flag{Scope: driver.Scope{}}, storetest.NewChange()))
	_, err = s.Reserve(t.Context(), reservation(3, lines))
	require.NoError(t, err)
}
