package pgstore

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A page of entries reads the rows that it tells, however many there are, and not the whole table.
func TestAPageOfEntriesReadsNoOther(t *testing.T) {
	pool := newPool(t, dsn(t), func(c *pgxpool.Config) { c.MaxConns = 1 }) // one session, whose statistics are asked for below
	s := open(t, pool, newSchema())
	r := hold(5, line(1, driver.Monthly, 1<<40))
	admitted(t, s, r)
	admitted(t, s, hold(5, line(1, driver.Monthly, 1<<40)))
	settled := settlement(r, 3)
	settled.Reference = "req-1"
	_, err := s.Settle(t.Context(), settled)
	require.NoError(t, err)
	const others = "owner, state, estimated, orphan, tombstone, reserved, actual, accounts, units, starts, reserved_at, resolved_at, expires_at, whose, usage, shares"
	exec := func(format string, args ...any) {
		_, err := pool.Exec(t.Context(), fmt.Sprintf(format, args...))
		require.NoError(t, err)
	}
	exec("INSERT INTO %s.reservation (id, reference, %s) SELECT gen_random_uuid(), uuid_send(gen_random_uuid()), %[2]s FROM %[1]s.reservation, generate_series(1, 20000) WHERE state <> 1", s.opts.quoted(), others)
	exec("VACUUM ANALYZE %s.reservation", s.opts.quoted())
	read := func() (rows int64) {
		exec("SELECT pg_stat_force_next_flush()")
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = 'reservation'", s.opts.Schema).Scan(&rows))
		return rows
	}
	for name, q := range map[string]driver.Query{
		"first":        {Max: 1000},
		"after":        {Max: 1000, After: driver.ID{0x80}},
		"by reference": {Max: 1000, Reference: "req-1"},
		"pending":      {Max: 1000, State: driver.Pending},
	} {
		before := read()
		const pages = 7
		for range pages { // after the fifth the server may plan for all arguments at once
			page, err := s.Entries(t.Context(), q)
			require.NoError(t, err, name)
			require.NotEmpty(t, page, name)
		}
		require.LessOrEqual(t, read()-before, int64(pages*q.Max), "%s: rows read for %d pages", name, pages)
	}
}
