package pgstore

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Replicas that start together make one ledger.
func TestConcurrentMigrations(t *testing.T) {
	for _, through := range map[string]string{"direct": dsn(t), "pooled": bounced(t)} {
		schema := newSchema()
		stores := make([]*Store, 8)
		var all sync.WaitGroup
		for i := range stores {
			all.Go(func() {
				s, err := Open(t.Context(), newPool(t, through), func(o *Options) { o.Schema = schema })
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
			admitted(t, s, hold(1, line(1, budget.Monthly, 100)))
			stands(t, stores[0], line(1, budget.Monthly, 100), 0, int64(i+1))
		}
	}
}

// A later version is reached from an earlier one, by one of those that ask for it; a newer one is refused.
func TestVersions(t *testing.T) {
	s := fresh(t)
	schema := s.opts.quoted()
	admitted(t, s, hold(1, line(1, budget.Monthly, 100)))
	known := migrations
	defer func() { migrations = known }()
	migrations = append(slices.Clone(known), migration{}, migration{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			again, err := Open(t.Context(), s.pool, func(o *Options) { o.Schema = s.opts.Schema })
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
	stands(t, s, line(1, budget.Monthly, 100), 0, 1) // an open store goes on
	migrations = known
	_, err := Open(t.Context(), s.pool, func(o *Options) { o.Schema = s.opts.Schema })
	require.ErrorContains(t, err, "version 4, this library knows 2")
}

// A ledger of the first version keeps what it holds: only its functions are made anew.
func TestALedgerOfTheFirstVersionGoesOn(t *testing.T) {
	s := fresh(t)
	r, full := hold(6, line(1, budget.Monthly, 10)), hold(5, line(1, budget.Monthly, 10))
	admitted(t, s, r)
	for _, changed := range []string{"reserve", "settle", "report"} {
		admin(t, dsn(t), "DROP FUNCTION "+s.opts.quoted()+"."+changed)
	}
	admin(t, dsn(t), "UPDATE "+s.opts.quoted()+".meta SET version = 1")
	again := open(t, newPool(t, dsn(t)), s.opts.Schema)
	d, err := again.Reserve(t.Context(), full)
	require.NoError(t, err)
	require.Len(t, d.Denied, 1)
	_, err = again.Settle(t.Context(), settlement(r, 5))
	require.NoError(t, err)
	admitted(t, again, full)
}

// A migration that fails leaves nothing behind.
func TestAMigrationIsAllOrNothing(t *testing.T) {
	known := migrations
	defer func() { migrations = known }()
	migrations = append(slices.Clone(known), migration{"missing.sql"})
	pool, schema := newPool(t, dsn(t)), newSchema()
	_, err := Open(t.Context(), pool, func(o *Options) { o.Schema = schema })
	require.Error(t, err)
	var left bool
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT to_regnamespace($1) IS NOT NULL", schema).Scan(&left))
	require.False(t, left)
}

// A schema that is something else's is never read as an empty ledger, nor written to.
func TestForeignSchemasAreRefused(t *testing.T) {
	schema := newSchema()
	admin(t, dsn(t), "CREATE SCHEMA "+schema, "CREATE TABLE "+schema+".customers (id int)")
	_, err := Open(t.Context(), newPool(t, dsn(t)), func(o *Options) { o.Schema = schema })
	require.ErrorIs(t, err, errForeign)
}

// The schema's name is the only text of a user's that is part of a statement.
func TestSchemaNames(t *testing.T) {
	pool := newPool(t, dsn(t))
	for _, name := range []string{
		`a"; DROP SCHEMA public; --`, "a b", "A", "ä", "1a", "a-b", "a.b", "pg_toast", "a\x00", "{memory}", "$1", strings.Repeat("a", 49), "'", `\`,
	} {
		_, err := Open(t.Context(), pool, func(o *Options) { o.Schema = name })
		require.ErrorContains(t, err, "Options.Schema", "%q", name)
		require.NotContains(t, err.Error(), name)
	}
	for _, name := range []string{"user", "select", "_" + strings.Repeat("z", 47)} {
		s := open(t, pool, name)
		admitted(t, s, hold(1, line(1, budget.Monthly, 10)))
	}
	_, err := Open(t.Context(), nil)
	require.ErrorContains(t, err, "no pool")
}

// A role with USAGE on the schema runs the store and can't touch what it keeps.
func TestTheRoleNeedsOneRight(t *testing.T) {
	s := fresh(t)
	schema := s.opts.quoted()
	admin(t, dsn(t), "CREATE ROLE app_"+s.opts.Schema+" LOGIN")
	pool := newPool(t, strings.Replace(dsn(t), "user=postgres", "user=app_"+s.opts.Schema, 1))
	_, err := Open(t.Context(), pool, func(o *Options) { o.Schema = s.opts.Schema })
	require.ErrorContains(t, err, "USAGE")
	require.True(t, isCode(err, "42501"))
	admin(t, dsn(t), "GRANT USAGE ON SCHEMA "+schema+" TO app_"+s.opts.Schema)
	app := open(t, pool, s.opts.Schema)
	r := hold(1, line(1, budget.Monthly, 10))
	admitted(t, app, r)
	_, err = app.Settle(t.Context(), settlement(r, 1))
	require.NoError(t, err)
	require.NoError(t, app.Void(t.Context(), budget.NewID(), budget.Key{}))
	_, err = app.Correct(t.Context(), r.ID, usd(2))
	require.NoError(t, err)
	_, err = app.Expire(t.Context(), 10)
	require.NoError(t, err)
	require.NoError(t, app.Kill(t.Context(), budget.Kill{Reason: "x"}))
	require.NoError(t, app.Revive(t.Context(), budget.Scope{}))
	require.NoError(t, app.Unlatch(t.Context(), []budget.Key{{1}}))
	require.NoError(t, app.Override(t.Context(), budget.Key{1}, nil))
	stands(t, app, r.Lines[0], 2, 0)
	for _, table := range []string{"meta", "step", "account", "bucket", "reservation", "kill"} {
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
	_, err := Open(t.Context(), pool, func(o *Options) { o.Timeout = millis(500) })
	require.ErrorContains(t, err, "no connection: connection refused")
	for _, part := range []string{"secret", "127.0.0.1"} {
		require.NotContains(t, err.Error(), part)
	}
}
