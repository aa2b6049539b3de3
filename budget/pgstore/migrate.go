package pgstore

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// migrations lead from one version of the schema to the next: the one at index i turns version i into version i+1, and version 0 is none. A file
// may be run again by a later migration, if its functions use new columns. If a function gets new arguments, processes of the version before can
// still call it: either the old function is kept, or the new arguments have defaults.
var migrations = []migration{
	{"1_tables.sql", "2_look.sql", "3_resolve.sql", "4_upkeep.sql"},
	{"5_reserve.sql", "6_settle.sql"},
	{"7_changes.sql"},
	{"8_loss.sql", "9_names.sql", "10_forget.sql", "2_look.sql", "5_reserve.sql", "6_settle.sql"},
	{"11_usage.sql", "12_steps.sql", "10_forget.sql", "5_reserve.sql", "6_settle.sql"},
}

// migration is a list of files that are run in order.
type migration []string

// serverClock is the server's time in nanoseconds since 1970 UTC: of this moment, not of the transaction's beginning.
const serverClock = "(extract(epoch FROM clock_timestamp()) * 1000000)::int8 * 1000"

// shared has SQL that several functions have in common, by its placeholder in the files. A part may contain other placeholders.
var shared = []string{
	// What the calling process knows of the ledger, as the parameters of each function, and as arguments for others: see the type memory.
	"{memory}", "p_epoch uuid, p_oid int8, p_step int8, p_xid int8, p_volatile bool",
	"{remember}", "p_epoch, p_oid, p_step, p_xid, p_volatile",
	"{clock}", serverClock,
	// The id of the running transaction, 0 if it has written nothing.
	"{writer}", "coalesce(pg_current_xact_id_if_assigned()::text::int8, 0)",
	// The next three are what the function witness checks. First, without reading a table, that the server is fit: it is no standby, has not been set
	// back, and does not lose what it commits.
	"{sound}", "NOT pg_is_in_recovery() AND {newer}" +
		" AND (p_volatile OR current_setting('fsync') <> 'off' AND current_setting('synchronous_commit') <> 'off')",
	// The server has gone beyond the highest transaction id that the caller knows.
	"{newer}", "pg_snapshot_xmax(pg_current_snapshot())::text::int8 > p_xid",
	// The row m of the table meta is that of the ledger that the caller knows.
	"{ours}", "m.one AND m.epoch = p_epoch AND m.tableoid::int8 = p_oid",
	// The columns of an answer: see decodeAnswer.
	"{answer}", "OUT o_status text, OUT o_step int8, OUT o_xid int8, OUT o_clock int8, OUT o_value int8, OUT o_detail json",
	// The zero uuid, which is the id of an empty list of kill flags with patterns.
	"{zero}", driver.ID{}.String(),
	// The keys of two rows of usage: of calls without a scope, and of what found no room for a row of its own. Then how long rows are kept, in
	// nanoseconds, and how many there are for a day by default.
	"{nobody}", driver.ID((*driver.Call)(nil).UsageKey()).String(),
	"{other}", driver.ID(driver.OtherUsage).String(),
	"{kept}", strconv.FormatInt(int64(driver.UsageRetention), 10),
	"{rows}", strconv.Itoa(driver.DefaultUsageRows),
	// Query plans are made once for each session, when the tables may be small: without these settings they would still scan whole tables
	// when the tables have grown, and JIT compilation would take longer than the queries.
	"{rights}", "SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan",
}

// quoted returns the schema's name for SQL. It was validated.
func (o *Options) quoted() string { return `"` + o.Schema + `"` }

// scripts returns the statements that migrate a version to the newest, one text for each file. Placeholders are filled in twice, because what
// replaces one may contain others.
func (o *Options) scripts(from int) (all []string, err error) {
	fill := strings.NewReplacer(append(shared, "{schema}", o.quoted())...)
	for _, m := range migrations[from:] {
		for _, name := range m {
			raw, err := sqlFiles.ReadFile(path.Join("sql", name))
			if err != nil {
				return nil, err
			}
			all = append(all, fill.Replace(fill.Replace(string(raw))))
		}
	}
	return all, nil
}

// open checks the server, migrates the schema if necessary, and reads the state of the ledger.
func (s *Store) open(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if err := s.suits(ctx, conn); err != nil {
		return err
	}
	version, err := s.version(ctx, conn)
	if err == nil && version == 0 && !s.opts.Create {
		return errNone
	}
	if err == nil && version < len(migrations) {
		version, err = s.migrate(ctx, conn)
	}
	if err != nil {
		return err
	}
	// A newer library has migrated the schema.
	if version > len(migrations) {
		return problem(fmt.Sprintf("the schema has version %d, this library knows %d: use a newer library", version, len(migrations)))
	}
	return s.learn(ctx, conn)
}

// suits refuses servers on which a ledger would not be safe: those that are too old, a standby, and, unless Options.AllowVolatile, one that can
// lose what it has acknowledged.
func (s *Store) suits(ctx context.Context, conn *pgxpool.Conn) error {
	row, err := queryRow(ctx, conn, "SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery() OR current_setting('transaction_read_only')::bool, current_setting('fsync')::bool AND current_setting('synchronous_commit') <> 'off'")
	if err != nil {
		return err
	}
	// The first column is the major version, the others are t or f.
	if version, err := strconv.Atoi(row[0]); err != nil || version < oldestServer {
		return problem(fmt.Sprintf("the server is PostgreSQL %s, want %d or newer", row[0], oldestServer))
	}
	if row[1] != "f" {
		return errStandby
	}
	if row[2] != "t" && !s.opts.AllowVolatile {
		return errVolatile
	}
	return nil
}

// oldestServer is the oldest supported version of PostgreSQL, for the functions, SQL and timeouts in the files.
const oldestServer = 14

// version returns the schema's version, 0 if there is none. If the ledger was lost with the row that has the version, it returns the newest, so
// that nothing is migrated.
func (s *Store) version(ctx context.Context, conn *pgxpool.Conn) (int, error) {
	row, err := queryRow(ctx, conn, "SELECT coalesce((SELECT version FROM "+s.opts.quoted()+".about()), "+strconv.Itoa(len(migrations))+")")
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == "3F000" || refused.Code == "42883") { // there is no schema or no function
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(row[0])
}

// migrate migrates the schema to the newest version in one transaction, one process at a time: a process that waited for the transaction's
// lock finds the work done. A session lock would be lost behind a pooler.
func (s *Store) migrate(ctx context.Context, conn *pgxpool.Conn) (version int, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}) // so that it sees what the process before it did
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = tx.Rollback(undo) // if even the rollback fails, the pool closes the connection
		}
	}()
	// The lock's number is the beginning of a hash, so that ledgers in different schemas do not wait for each other.
	lock := sha256.Sum256([]byte("bedrockguard pgstore " + s.opts.Schema))
	if _, err = tx.Exec(ctx, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", int64(binary.BigEndian.Uint64(lock[:])))); err != nil {
		return 0, err
	}
	// The version is asked again, because another process may have migrated the schema while this one waited. Then the commit only releases the lock.
	// standing uses conn, on which tx runs.
	if version, err = s.standing(ctx, conn); err != nil || version >= len(migrations) {
		return version, errors.Join(err, tx.Commit(ctx))
	}
	if err = s.migrateFrom(ctx, tx, version); err != nil {
		return 0, err
	}
	return len(migrations), tx.Commit(ctx)
}

// migrateFrom migrates the schema from a version to the newest, inside of a transaction. Statements without arguments use the simple protocol, which
// allows several in one message: a script is one.
func (s *Store) migrateFrom(ctx context.Context, tx pgx.Tx, version int) error {
	scripts, err := s.opts.scripts(version)
	if err != nil {
		return err
	}
	for _, script := range scripts {
		if _, err := tx.Exec(ctx, script); err != nil {
			return err
		}
	}
	now := serverClock
	if s.opts.Clock != nil {
		now = strconv.FormatInt(nanos(s.opts.Clock()), 10)
	}
	// judged is the time by which it is decided what is old enough to be forgotten. A ledger that has it keeps it.
	_, err = tx.Exec(ctx, fmt.Sprintf("UPDATE %s.meta SET version = %d, judged = coalesce(judged, %s)", s.opts.quoted(), len(migrations), now))
	return err
}

// standing returns the schema's version inside the migration's transaction, and makes an empty schema if there is none. The columns of its query
// are whether the schema exists, whether it has the function about, by which a ledger is known, and whether it has any table.
func (s *Store) standing(ctx context.Context, conn *pgxpool.Conn) (int, error) {
	row, err := queryRow(ctx, conn, fmt.Sprintf("SELECT to_regnamespace('%[1]s') IS NOT NULL, to_regprocedure('%[1]s.about()') IS NOT NULL, "+
		"EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = to_regnamespace('%[1]s'))", s.opts.quoted()))
	switch {
	case err != nil:
		return 0, err
	case row[1] == "t":
		return s.version(ctx, conn)
	case row[2] == "t":
		return 0, errForeign
	case row[0] == "f":
		_, err = conn.Exec(ctx, "CREATE SCHEMA "+s.opts.quoted())
	}
	return 0, err
}

// queryRow asks for one row of text, without arguments and without leaving anything in the session.
func queryRow(ctx context.Context, conn *pgxpool.Conn, sql string) ([]string, error) {
	results, err := conn.Conn().PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return nil, errAnswer
	}
	row := make([]string, len(results[0].Rows[0]))
	for i, column := range results[0].Rows[0] {
		row[i] = string(column)
	}
	return row, nil
}
