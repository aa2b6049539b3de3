package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/pgstore"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

var postgres = Backend{Name: "postgres", Shared: true, Remote: true, Start: startPostgres, StartAt: startPostgresAt, open: openPostgres}

// postgresServer is a server with a schema for each ledger.
type postgresServer struct {
	*servers.Postgres
	made   atomic.Int64 // how many ledgers were made on it, for their names
	locker *pgx.Conn    // the session that holds the lock of the fault in lock
}

func startPostgres(tb testing.TB) Server { return startPostgresWith(tb) }

// startPostgresAt starts a server that also listens at host, an IPv4 address, and trusts its network of 256 addresses.
func startPostgresAt(tb testing.TB, host string) Server {
	s := startPostgresWith(tb, "listen_addresses=127.0.0.1,"+host) // the last setting of a name holds
	// The server reads from this file who may connect from where.
	access, err := os.OpenFile(filepath.Join(s.Data(), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = access.WriteString("\nhost all all " + host + "/24 trust\n")
		err = errors.Join(err, access.Close(), s.exec("SELECT pg_reload_conf()"))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// startPostgresWith starts a server with further settings, such as "name=value". It has connections enough for the processes of all tests.
func startPostgresWith(tb testing.TB, settings ...string) *postgresServer {
	dir, err := os.MkdirTemp("", "postgres") // the server's user can enter its parents, unlike those of tb.TempDir
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	server, err := servers.StartPostgres(dir, append([]string{"max_connections=400"}, settings...)...)
	servers.Require(tb, err) // ends the test if the server did not start: it skips if the program is not installed
	tb.Cleanup(func() { _ = server.Kill() })
	return &postgresServer{Postgres: server}
}

func (s *postgresServer) HostPort() string { return s.Addr() }

// NewLedger implements Server.
func (s *postgresServer) NewLedger(tb testing.TB, optFns ...func(*Options)) string {
	address := fmt.Sprintf("%s:%s/ledger_%d", postgres.Name, s.Addr(), s.made.Add(1))
	if err := makePostgres(address, optFns...); err != nil {
		tb.Fatal(err)
	}
	return address
}

// makePostgres makes an empty ledger at an address.
func makePostgres(address string, optFns ...func(*Options)) error {
	o := options(optFns)
	o.create = true
	store, err := openPostgres(context.Background(), strings.TrimPrefix(address, postgres.Name+":"), o)
	if err != nil {
		return err
	}
	return store.Close()
}

// Faults are of the server and its sessions, except that one locks the ledger's accounts, and the last two delete the ledger.
func (s *postgresServer) Faults() []Fault {
	drop := func(address string) error { return s.exec("DROP SCHEMA " + schemaOf(address) + " CASCADE") }
	return []Fault{
		{Name: "server killed", Begin: func(string) error { return s.Kill() }, End: func(string) error { return s.Restart() }},
		{Name: "server stopped", Begin: func(string) error { return s.Stop() }, End: func(string) error { return s.Restart() }},
		{Name: "server paused", Begin: func(string) error { return s.Pause() }, End: func(string) error { return s.Resume() }},
		{Name: "sessions ended", Begin: func(string) error { return s.exec(endSessions) }}, // clients connect again, so that nothing is to be ended
		{Name: "accounts locked by somebody", Begin: s.lock, End: s.unlock},
		{Name: "server read-only", Begin: s.readOnly("on"), End: s.readOnly("off")},
		{Name: "schema dropped", Begin: drop, Forgets: true},
		{Name: "schema dropped and made anew", Begin: func(address string) error {
			if err := drop(address); err != nil {
				return err
			}
			return makePostgres(address)
		}, Forgets: true},
	}
}

// endSessions ends all sessions of clients but the one that asks for it.
const endSessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"

// exec runs statements, each in a transaction of its own.
func (s *postgresServer) exec(statements ...string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		_, e := conn.Exec(ctx, sql)
		err = errors.Join(err, e)
	}
	return err
}

// lock makes another session lock every account.
func (s *postgresServer) lock(address string) (err error) {
	ctx := context.Background()
	if s.locker, err = pgx.Connect(ctx, s.DSN()); err != nil {
		return err
	}
	_, err = s.locker.Exec(ctx, "BEGIN; LOCK TABLE "+schemaOf(address)+".account IN ACCESS EXCLUSIVE MODE")
	return err
}

// unlock ends the session of lock, and its lock with it.
func (s *postgresServer) unlock(string) error { return s.locker.Close(context.Background()) }

// readOnly returns a fault that switches the server's read-only mode on or off, without a restart.
func (s *postgresServer) readOnly(how string) func(string) error {
	return func(string) error {
		return s.exec("ALTER SYSTEM SET default_transaction_read_only = "+how, "SELECT pg_reload_conf()")
	}
}

// Deadlocks returns how many deadlocks the server had to break.
func (s *postgresServer) Deadlocks() (n int64, err error) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT sum(deadlocks)::int8 FROM pg_stat_database").Scan(&n)
	return n, err
}

// schemaOf returns the schema of an address in the form for SQL.
func schemaOf(address string) string {
	_, schema, _ := strings.Cut(address, "/")
	return pgx.Identifier{schema}.Sanitize()
}

// postgresStore is a store whose Close also closes its pool of connections.
type postgresStore struct {
	*pgstore.Store
	pool  *pgxpool.Pool
	marks string // a query whose result differs after each time that the store has deleted old entries; empty if Expire does not wait for that
}

// Expire also waits until old entries were deleted if the ledger has a retention of its own. The store deletes them in the background after each
// Expire, and a test that closes the store at once would end that early.
func (s postgresStore) Expire(ctx context.Context, limit int) (int, error) {
	if s.marks == "" {
		return s.Store.Expire(ctx, limit)
	}
	var before, after string
	if err := s.pool.QueryRow(ctx, s.marks).Scan(&before); err != nil {
		return 0, err
	}
	n, err := s.Store.Expire(ctx, limit)
	for after = before; err == nil && after == before; { // asks again and again until the result differs
		err = s.pool.QueryRow(ctx, s.marks).Scan(&after)
	}
	return n, err
}

func (s postgresStore) Close() error {
	err := s.Store.Close()
	s.pool.Close()
	return err
}

// poolSize is how many connections a process holds at most.
const poolSize = 12

// connectTimeout is what the documentation of pgstore advises.
const connectTimeout = 2 * time.Second

// openPostgres opens a handle on the ledger at a place, host:port/schema, or makes the ledger.
func openPostgres(ctx context.Context, place string, o Options) (budget.Store, error) {
	addr, schema, _ := strings.Cut(place, "/")
	if o.Via != "" {
		addr = o.Via
	}
	pool, err := postgresPool(ctx, addr, o.Relaxed)
	if err != nil {
		return nil, err
	}
	store, err := pgstore.Open(ctx, pool, pgstore.Options{
		Schema:        schema,
		Create:        o.create,
		Clock:         o.Clock,
		Retention:     o.retention(),
		Timeout:       o.Timeout,
		AllowVolatile: o.Relaxed, // else pgstore refuses the sessions of a relaxed pool
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	p := postgresStore{Store: store, pool: pool}
	if o.Retention != 0 { // deleting old entries updates the row of meta, which gives that row another ctid (its place in the table)
		p.marks = "SELECT ctid::text FROM " + schemaOf("/"+schema) + ".meta"
	}
	return p, nil
}

// postgresPool returns a pool of connections to a server. If it is relaxed, a commit does not wait for the disk.
func postgresPool(ctx context.Context, addr string, relaxed bool) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig("postgres://postgres@" + addr + "/postgres?sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.ConnConfig.ConnectTimeout = poolSize, connectTimeout
	if relaxed {
		config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	}
	return pgxpool.NewWithConfig(ctx, config)
}
