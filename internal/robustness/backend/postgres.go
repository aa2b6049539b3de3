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

type postgresServer struct {
	*servers.Postgres
	made   atomic.Int64
	locker *pgx.Conn
}

func startPostgres(tb testing.TB) Server { return startPostgresWith(tb) }

func startPostgresAt(tb testing.TB, host string) Server {
	s := startPostgresWith(tb, "listen_addresses=127.0.0.1,"+host)
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

func startPostgresWith(tb testing.TB, settings ...string) *postgresServer {
	dir, err := os.MkdirTemp("", "postgres") // the server's user can enter its parents, unlike those of tb.TempDir
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	server, err := servers.StartPostgres(dir, append([]string{"max_connections=400"}, settings...)...)
	servers.Require(tb, err)
	tb.Cleanup(func() { _ = server.Kill() })
	return &postgresServer{Postgres: server}
}

func (s *postgresServer) HostPort() string { return s.Addr() }

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

func (s *postgresServer) Faults() []Fault {
	drop := func(address string) error { return s.exec("DROP SCHEMA " + schemaOf(address) + " CASCADE") }
	return []Fault{
		{Name: "server killed", Begin: func(string) error { return s.Kill() }, End: func(string) error { return s.Restart() }},
		{Name: "server stopped", Begin: func(string) error { return s.Stop() }, End: func(string) error { return s.Restart() }},
		{Name: "server paused", Begin: func(string) error { return s.Pause() }, End: func(string) error { return s.Resume() }},
		{Name: "sessions ended", Begin: func(string) error { return s.exec(endSessions) }},
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

func (s *postgresServer) unlock(string) error { return s.locker.Close(context.Background()) }

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

// postgresStore closes its pool with it.
type postgresStore struct {
	*pgstore.Store
	pool  *pgxpool.Pool
	wrote string // a query that returns whether the ledger's upkeep has written; empty unless Expire is to wait for it
}

// Expire also waits until old entries were deleted, which the store does in the background: closing the store would end that early.
func (s postgresStore) Expire(ctx context.Context, limit int) (int, error) {
	if s.wrote == "" {
		return s.Store.Expire(ctx, limit)
	}
	var before, after string
	if err := s.pool.QueryRow(ctx, s.wrote).Scan(&before); err != nil {
		return 0, err
	}
	n, err := s.Store.Expire(ctx, limit)
	for after = before; err == nil && after == before; {
		err = s.pool.QueryRow(ctx, s.wrote).Scan(&after)
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

// connectTimeout is what the package's documentation advises.
const connectTimeout = 2 * time.Second

func openPostgres(ctx context.Context, place string, o Options) (budget.Store, error) {
	addr, schema, _ := strings.Cut(place, "/")
	if o.Via != "" {
		addr = o.Via
	}
	config, err := pgxpool.ParseConfig("postgres://postgres@" + addr + "/postgres?sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.ConnConfig.ConnectTimeout = poolSize, connectTimeout
	if o.Relaxed {
		config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	store, err := pgstore.Open(ctx, pool, pgstore.Options{
		Schema:        schema,
		Create:        o.create,
		Clock:         o.Clock,
		Retention:     o.retention(),
		Timeout:       o.Timeout,
		AllowVolatile: o.Relaxed,
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	p := postgresStore{Store: store, pool: pool}
	if o.Retention != 0 {
		p.wrote = "SELECT ctid::text FROM " + schemaOf("/"+schema) + ".meta"
	}
	return p, nil
}
