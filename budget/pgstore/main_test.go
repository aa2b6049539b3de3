package pgstore

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// The server that most tests share, each in a schema of its own; those that kill one start their own.
var (
	sharedServer *servers.Postgres
	sharedError  error
	serverDir    string
)

func TestMain(m *testing.M) {
	var err error
	if serverDir, err = os.MkdirTemp("", "pgstore"); err != nil {
		panic(err)
	}
	sharedServer, sharedError = servers.StartPostgres(serverDir, "max_connections=300")
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		if sharedError == nil {
			if err := sharedServer.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
		os.RemoveAll(serverDir)
		os.Exit(code)
	}))
}

// dsn is where the shared server is reached.
func dsn(t testing.TB) string {
	servers.Require(t, sharedError)
	return sharedServer.DSN()
}

// ownServer starts a server for one test.
func ownServer(t testing.TB, settings ...string) *servers.Postgres {
	server, err := servers.StartPostgres(serverDir, settings...)
	servers.Require(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// newPool connects to a server.
func newPool(t testing.TB, dsn string, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	if !strings.Contains(dsn, "pool_max_conns") {
		config.MaxConns = 20
	}
	for _, c := range change {
		c(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

var schemas atomic.Int64

// newSchema names a schema that no other test uses.
func newSchema() string { return fmt.Sprintf("ledger_%d", schemas.Add(1)) }

// open opens a store that is closed with the test.
// Its steps may take long, because a busy machine is no outage; tests of timeouts set their own.
func open(t testing.TB, pool *pgxpool.Pool, schema string, optFns ...func(*Options)) *Store {
	t.Helper()
	patient := func(o *Options) { o.Schema, o.Create, o.Timeout = schema, true, time.Minute }
	s, err := Open(t.Context(), pool, with(append([]func(*Options){patient}, optFns...)...))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// fresh opens a store over a new ledger on the shared server.
func fresh(t testing.TB, optFns ...func(*Options)) *Store {
	t.Helper()
	return open(t, newPool(t, dsn(t)), newSchema(), optFns...)
}

// admin runs statements as the superuser.
func admin(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	for _, sql := range statements {
		_, err := conn.Exec(context.Background(), sql)
		require.NoError(t, err, sql)
	}
}

func usd(n int64) (c driver.Charge) {
	c[driver.UnitUSD] = n
	return c
}

func line(account byte, w driver.Window, max int64) driver.Line {
	return driver.Line{Account: driver.Key{account}, Unit: driver.UnitUSD, Window: w, Max: max}
}

func hold(n int64, lines ...driver.Line) driver.Reservation {
	return driver.Reservation{ID: driver.NewID(), Charge: usd(n), Lines: lines, TTL: time.Hour}
}

func settlement(r driver.Reservation, n int64) driver.Settlement {
	return driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(n), Lines: r.Lines}
}

// stands asserts where an account stands.
func stands(t testing.TB, s *Store, l driver.Line, settled, pending int64) {
	t.Helper()
	all, err := s.Balances(context.Background(), []driver.Line{l})
	require.NoError(t, err)
	require.Equal(t, [2]int64{settled, pending}, [2]int64{all[0].Settled, all[0].Pending}, "settled and pending")
}

// admitted makes a reservation that must be admitted.
func admitted(t testing.TB, s *Store, r driver.Reservation) {
	t.Helper()
	d, err := s.Reserve(context.Background(), r)
	require.NoError(t, err)
	require.True(t, d.Admitted, "refused: %+v", d)
}

const (
	waitFor = 30 * time.Second
	tick    = 5 * time.Millisecond
)

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// replaceOnce breaks a function's source in one place.
func replaceOnce(t testing.TB, source, old, broken string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(source, old), "the place to break")
	return strings.Replace(source, old, broken, 1)
}

// with returns what changes make of the zero options.
func with(changes ...func(*Options)) (o Options) {
	for _, change := range changes {
		change(&o)
	}
	return o
}
