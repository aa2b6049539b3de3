package pgstore

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// What holds a ledger up is named, with figures and what to do; a server in order has nothing to say.
func TestWarnings(t *testing.T) {
	server := ownServer(t)
	pool := newPool(t, server.DSN())
	store := open(t, pool, "kept")
	all, err := store.Warnings(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)

	holder, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer holder.Release()
	tx, err := holder.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	var one int
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT 1").Scan(&one))
	_, err = pool.Exec(t.Context(), "SELECT pg_create_physical_replication_slot('old_standby', true)")
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "ANALYZE kept.reservation")
	require.NoError(t, err)

	all, err = store.warnings(t.Context(), &thresholds{log: -1, dead: 1, entries: -2})
	require.NoError(t, err)
	told := strings.Join(all, "\n")
	require.Contains(t, told, "has held a snapshot for 00:00:0")
	require.Contains(t, told, "nobody reads replication slot old_standby, for which the server keeps ")
	require.Contains(t, told, "reservations are remembered, in ")
}
