package pgstore

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// Replicas that start together make one ledger.
func TestConcurrentMigrations(t *testing.T) {
	for _, through := range map[string]string{"direct": dsn(t), "pooled": bounced(t)} {
		schema := newSchema()
		stores := make([]*Store, 8)
		var all sync.WaitGroup
		for i := range stores {
			all.Go(func() {
				s, err := Open(t.Context(), newPool(t, through), Options{Schema: schema, Create: true})
				if err != nil {
					t.Error(err)
					return
				}
				stores[i] = s
			})
		}
		all.Wait()
		for i, s := range stores {
			require.NotNil(t, s)
			require.Equal(t, stores[0].memory.epoch, s.memory.epoch)
			admitted(t, s, hold(1, line(1, driver.Monthly, 100)))
			stands(t, stores[0], line(1, driver.Monthly, 100), 0, int64(i+1))
		}
	}
}

// A later version is reached from an earlier one, by one of those that ask for it; a newer one is refused.
func TestVersions(t *testing.T) {
	s := fresh(t)
	schema := s.opts.quoted()
	admitted(t, s, hold(1, line(1, driver.Monthly, 100)))
	known := migrations
	defer func() { migrations = known }()
	migrations = append(slices.Clone(known), migration{}, migration{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			again, err := Open(t.Context(), s.pool, Options{Schema: s.opts.Schema, Create: true})
			if err != nil {
				t.Error(err)
				return
			}
			_ = again.Close()
		})
	}
	all.Wait()
	var version int
	require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT version FROM "+schema+".meta").Scan(&version))
	require.Equal(t, len(known)+2, version)
	stands(t, s, line(1, driver.Monthly, 100), 0, 1) // an open store goes on
	migrations = known
	_, err := Open(t.Context(), s.pool, Options{Schema: s.opts.Schema, Create: true})
	require.ErrorContains(t, err, fmt.Sprintf("version %d, this library knows %d", len(known)+2, len(known)))
}

// older returns a schema of an earlier version that holds what a ledger holds.
func older(t *testing.T, version int, of *Store) string {
	t.Helper()
	known, from := migrations, of.opts.quoted()
	migrations = known[:version]
	defer func() { migrations = known }()
	o := Options{Schema: newSchema()}
	require.NoError(t, o.complete())
	scripts, err := o.scripts(0)
	require.NoError(t, err)
	admin(t, dsn(t), append([]string{"CREATE SCHEMA " + o.quoted()}, scripts...)...)
	rows, err := of.pool.Query(t.Context(), `SELECT table_name, string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
		WHERE table_schema = $1 AND table_name IN ('account', 'bucket', 'reservation', 'kill') GROUP BY 1`, o.Schema)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var table, columns string
		require.NoError(t, rows.Scan(&table, &columns))
		admin(t, dsn(t), "INSERT INTO "+o.quoted()+"."+table+" ("+columns+") SELECT "+columns+" FROM "+from+"."+table)
	}
	require.NoError(t, rows.Err())
	admin(t, dsn(t), fmt.Sprintf("UPDATE %s.meta SET version = %d", o.quoted(), version))
	return o.Schema
}

// A ledger of an earlier version keeps what it holds, and refuses what it refused.
func TestALedgerOfAnEarlierVersionGoesOn(t *testing.T) {
	for version := 1; version < len(migrations); version++ {
		s := fresh(t)
		l := line(1, driver.Monthly, 10)
		r, full := hold(6, l), hold(5, l)
		killed := hold(1, line(2, driver.Monthly, 10))
		killed.Dims = driver.Scope{Workflow: "w"}.Dims()
		latched := hold(2, line(3, driver.Lifetime, 1))
		latched.Lines[0].Latch = true
		admitted(t, s, r)
		require.NoError(t, s.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Workflow: "w"}, Reason: "before"}, storetest.NewChange()))
		require.NoError(t, s.Override(t.Context(), line(4, driver.Monthly, 1).Account, &driver.Override{Max: 7, Until: time.Now().Add(time.Hour)}, storetest.NewChange()))
		_, err := s.Reserve(t.Context(), latched)
		require.NoError(t, err)

		again := open(t, newPool(t, dsn(t)), older(t, version, s))
		d, err := again.Reserve(t.Context(), full)
		require.NoError(t, err)
		require.Len(t, d.Denied, 1)
		d, err = again.Reserve(t.Context(), killed)
		require.NoError(t, err)
		require.Equal(t, "before", d.Killed.Reason)
		latched.ID, latched.Charge = driver.NewID(), driver.Charge{}
		d, err = again.Reserve(t.Context(), latched)
		require.NoError(t, err)
		require.True(t, d.Denied[0].Latched)
		admitted(t, again, hold(7, line(4, driver.Monthly, 1)))
		_, err = again.Settle(t.Context(), settlement(r, 5))
		require.NoError(t, err)
		admitted(t, again, full)
		require.NoError(t, again.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange()))
		admitted(t, again, killed)
	}
}

// A migration that fails leaves nothing behind.
func TestAMigrationIsAllOrNothing(t *testing.T) {
	known := migrations
	defer func() { migrations = known }()
	migrations = append(slices.Clone(known), migration{"missing.sql"})
	pool, schema := newPool(t, dsn(t)), newSchema()
	_, err := Open(t.Context(), pool, Options{Schema: schema, Create: true})
	require.Error(t, err)
	var left bool
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT to_regnamespace($1) IS NOT NULL", schema).Scan(&left))
	require.False(t, left)
}

// A schema that is something else's is never read as an empty ledger, nor written to.
func TestForeignSchemasAreRefused(t *testing.T) {
	schema := newSchema()
	admin(t, dsn(t), "CREATE SCHEMA "+schema, "CREATE TABLE "+schema+".customers (id int)")
	_, err := Open(t.Context(), newPool(t, dsn(t)), Options{Schema: schema, Create: true})
	require.ErrorIs(t, err, errForeign)
}

// The schema's name is the only text of a user's that is part of a statement.
func TestSchemaNames(t *testing.T) {
	pool := newPool(t, dsn(t))
	for _, name := range []string{
		`a"; DROP SCHEMA public; --`, "a b", "A", "ä", "1a", "a-b", "a.b", "pg_toast", "a\x00", "{memory}", "$1", strings.Repeat("a", 49), "'", `\`,
	} {
		_, err := Open(t.Context(), pool, Options{Schema: name, Create: true})
		require.ErrorContains(t, err, "Options.Schema", "%q", name)
		require.NotContains(t, err.Error(), name)
	}
	for _, name := range []string{"user", "select", "_" + strings.Repeat("z", 47)} {
		s := open(t, pool, name)
		admitted(t, s, hold(1, line(1, driver.Monthly, 10)))
	}
	_, err := Open(t.Context(), nil, Options{})
	require.ErrorContains(t, err, "no pool")
}

// A role with USAGE on the schema runs the store and can't touch what it keeps.
func TestTheRoleNeedsOneRight(t *testing.T) {
	s := fresh(t)
	schema := s.opts.quoted()
	admin(t, dsn(t), "CREATE ROLE app_"+s.opts.Schema+" LOGIN")
	pool := newPool(t, strings.Replace(dsn(t), "user=postgres", "user=app_"+s.opts.Schema, 1))
	_, err := Open(t.Context(), pool, Options{Schema: s.opts.Schema, Create: true})
	require.ErrorContains(t, err, "USAGE")
	require.True(t, isCode(err, "42501"))
	admin(t, dsn(t), "GRANT USAGE ON SCHEMA "+schema+" TO app_"+s.opts.Schema)
	app := open(t, pool, s.opts.Schema)
	r := hold(1, line(1, driver.Monthly, 10))
	admitted(t, app, r)
	_, err = app.Settle(t.Context(), settlement(r, 1))
	require.NoError(t, err)
	require.NoError(t, app.Void(t.Context(), driver.NewID(), driver.Key{}))
	_, err = app.Correct(t.Context(), driver.Correction{ID: r.ID, Actual: usd(2), Change: storetest.NewChange()})
	require.NoError(t, err)
	_, err = app.Expire(t.Context(), 10)
	require.NoError(t, err)
	require.NoError(t, app.Kill(t.Context(), driver.Kill{Reason: "x"}, storetest.NewChange()))
	require.NoError(t, app.Revive(t.Context(), driver.Flag{Scope: driver.Scope{}}, storetest.NewChange()))
	require.NoError(t, app.Unlatch(t.Context(), []driver.Key{{1}}, storetest.NewChange()))
	require.NoError(t, app.Override(t.Context(), driver.Key{1}, nil, storetest.NewChange()))
	stands(t, app, r.Lines[0], 2, 0)
	for _, table := range []string{"meta", "step", "account", "bucket", "reservation", "kill", "usage", "usage_day", "pattern", "policy"} {
		for _, sql := range []string{"SELECT FROM ", "DELETE FROM ", "TRUNCATE "} {
			_, err := pool.Exec(t.Context(), sql+schema+"."+table)
			require.True(t, isCode(err, "42501") || table == "step" && err != nil, "%s %s: %v", sql, table, err)
		}
	}
	_, err = pool.Exec(t.Context(), "SELECT "+schema+".post('{}', '{}', '{}', '{}', '{}', '{}')")
	require.True(t, isCode(err, "42501"), "%v", err)
}

// What a failed step says names no host, user, database or password.
func TestErrorsHoldNoConnectionParameters(t *testing.T) {
	pool := newPool(t, "host=127.0.0.1 port=1 user=secretuser password=secretpass dbname=secretdb sslmode=disable connect_timeout=1")
	_, err := Open(t.Context(), pool, Options{Create: true, Timeout: millis(500)})
	require.ErrorContains(t, err, "no connection: connection refused")
	for _, part := range []string{"secret", "127.0.0.1"} {
		require.NotContains(t, err.Error(), part)
	}
}
