package redisstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// heard returns a listener on a store, and the channel on which it counts. It is listening when it returns.
func heard(t *testing.T, s *Store) (changed chan struct{}, ended chan error, cancel func()) {
	ctx, stop := context.WithCancel(t.Context())
	changed, ended = make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- s.Signal(ctx, func() { changed <- struct{}{} }) }()
	t.Cleanup(stop)
	hears(t, changed) // the connection is made
	return changed, ended, stop
}

func hears(t *testing.T, changed chan struct{}) {
	t.Helper()
	select {
	case <-changed:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was heard")
	}
}

func TestSignalKillsTellsOfEveryChange(t *testing.T) {
	s := open(t)
	other := open(t, func(o *Options) { o.Ledger, o.Create = s.opts.Ledger, false })
	stranger := open(t)
	changed, ended, cancel := heard(t, s)
	require.NoError(t, stranger.Kill(t.Context(), driver.Kill{}, storetest.NewChange()))
	require.Empty(t, changed)
	require.NoError(t, other.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange()))
	hears(t, changed)
	require.NoError(t, other.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange()))
	hears(t, changed)
	_, err := other.Reserve(t.Context(), reservation(1, daily(1, 10)))
	require.NoError(t, err)
	require.Empty(t, changed, "only flags are told of")
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

// A connection that broke is made anew, and changed is called, because flags may have changed unheard.
func TestSignalKillsComesBack(t *testing.T) {
	server := own(t, "appendonly yes")
	rdb := dial(t, server.Addr)
	s, err := Open(t.Context(), rdb, with(named()))
	require.NoError(t, err)
	defer s.Close()
	changed, _, _ := heard(t, s)
	require.NoError(t, rdb.Do(t.Context(), "client", "kill", "type", "pubsub").Err())
	hears(t, changed)
	require.NoError(t, server.Kill())
	require.NoError(t, server.Restart())
	hears(t, changed)
	require.NoError(t, s.Kill(t.Context(), driver.Kill{}, storetest.NewChange()))
	hears(t, changed)
}

// A connection that falls silent without an end is found out.
func TestSignalKillsNoticesSilence(t *testing.T) {
	server := own(t, "appendonly yes")
	proxy := newLossy(t, server.Addr)
	s, err := Open(t.Context(), dial(t, proxy.addr), with(named()))
	require.NoError(t, err)
	defer s.Close()
	changed, _, _ := heard(t, s)
	proxy.deaf.Store(true)
	require.Eventually(t, func() bool { return proxy.swallowed.Load() > 0 }, 30*time.Second, 5*time.Millisecond)
	proxy.deaf.Store(false)
	hears(t, changed)
}

func TestSignalKillsEndsWithTheStore(t *testing.T) {
	s := open(t)
	_, ended, _ := heard(t, s)
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-ended, errClosed)
	require.ErrorIs(t, s.Signal(t.Context(), func() {}), errClosed)
}

// A user who may not publish can kill all the same.
func TestKillNeedsNoRightToPublish(t *testing.T) {
	server := own(t, "appendonly yes")
	admin := dial(t, server.Addr)
	s, err := Open(t.Context(), admin, with(named()))
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, admin.ACLSetUser(t.Context(), "default", "resetchannels").Err())
	require.NoError(t, s.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange()))
	kills, err := s.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, kills, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = s.Signal(ctx, func() { t.Error("nothing can be heard") })
	require.True(t, errors.Is(err, context.DeadlineExceeded))
}
