package pgstore

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// listening returns a store that listens, and where each of its signals arrives. Signal has returned when the test ends.
func listening(t *testing.T, schema string) (s *Store, signals chan struct{}, ended chan error) {
	pool := newPool(t, dsn(t))
	s = open(t, pool, schema, func(o *Options) { o.Listen = pool.Config().ConnConfig })
	signals, ended = make(chan struct{}, 1000), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { ended <- s.Signal(ctx, func() { signals <- struct{}{} }) })
	t.Cleanup(all.Wait)
	t.Cleanup(cancel)
	<-signals // the connection is made
	return s, signals, ended
}

// A flag that any process sets or removes is heard of by all that listen, and no other ledger's.
func TestKillsAreSignalled(t *testing.T) {
	schema := newSchema()
	_, signals, _ := listening(t, schema)
	_, foreign, _ := listening(t, newSchema())
	other := open(t, newPool(t, dsn(t)), schema)
	require.NoError(t, other.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Workflow: "x"}, Reason: "stop"}, storetest.NewChange()))
	<-signals
	require.NoError(t, other.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Workflow: "x"}}, storetest.NewChange()))
	<-signals
	require.Empty(t, foreign)
}

// A connection that breaks is made again, and tells that flags may have changed meanwhile.
func TestSignalsReconnect(t *testing.T) {
	s, signals, _ := listening(t, newSchema())
	for range 2 {
		var killed int
		require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = $1", `LISTEN "`+s.channel+`"`).Scan(&killed))
		require.Equal(t, 1, killed)
		<-signals
	}
	require.NoError(t, s.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange()))
	<-signals
}

// Signal ends with its context or with the store.
func TestSignalsEnd(t *testing.T) {
	s, _, ended := listening(t, newSchema())
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-ended, errClosed)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	again := fresh(t, func(o *Options) { o.Listen = s.opts.Listen })
	require.ErrorIs(t, again.Signal(ctx, func() {}), context.Canceled)
}

// Without a connection of its own, a store says so at once: its callers poll.
func TestSignalsNeedAConnection(t *testing.T) {
	require.ErrorIs(t, fresh(t).Signal(t.Context(), func() { t.Error("a signal") }), errNoListen)
}
