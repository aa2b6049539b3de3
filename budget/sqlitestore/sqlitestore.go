// Package sqlitestore keeps a ledger's accounts in a SQLite file: the durable default for the processes of one host.
//
// Any number of processes on one host may share the file; it must lie on a local disk, because SQLite's write-ahead log
// needs shared memory. Each step is one BEGIN IMMEDIATE transaction, and steps that wait in one process share a commit. With
// the default synchronous=FULL, what was acknowledged survives a power loss; with Normal it survives a killed process.
package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver is pure Go, so that building needs no C compiler

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Synchronous says how safely a commit is written to the disk.
type Synchronous string

// The levels that keep the file consistent.
const (
	Full   Synchronous = "FULL"   // acknowledged steps survive a power loss
	Normal Synchronous = "NORMAL" // acknowledged steps survive a killed process; a power loss can take the last ones
)

// DefaultRetention is how long resolved reservations are remembered: until the invoice of their month has come.
const DefaultRetention = 35 * 24 * time.Hour

// DefaultBusyTimeout is how long a step waits for the processes that share the file, unless its context ends first.
const DefaultBusyTimeout = 15 * time.Second

// Options configures a Store. The zero value is the durable default.
type Options struct {
	// Create makes the ledger if the file holds none, or is not there. Without it Open refuses with driver.ErrNoLedger, because a
	// file that was deleted looks just like one that never was. Set it for the first start: a program that always sets it spends its
	// limits a second time when the file is gone.
	Create bool
	// Clock is the store's clock. All processes that share the file need the same one. Nil is time.Now.
	Clock func() time.Time
	// Synchronous is Full unless set.
	Synchronous Synchronous
	// Retention is how long resolved reservations are remembered, for replays and corrections, and how long windows that have
	// passed are kept. Zero or less is DefaultRetention.
	Retention time.Duration
	// UsageRows is how many rows of usage are kept for one day; usage that would need more is added to driver.OtherUsage. Zero or less is
	// driver.DefaultUsageRows.
	UsageRows int
	// BusyTimeout bounds the wait for other processes. Zero or less is DefaultBusyTimeout.
	BusyTimeout time.Duration
}

// Store is a driver.Store in a SQLite file. It is safe for concurrent use. Make one with Open.
type Store struct {
	opts  Options
	path  string
	file  os.FileInfo          // of the opened file: another file at the same path is another ledger
	db    *sql.DB              // with conn as its only connection
	conn  *sql.Conn            // used by the queue's runner alone: the one goroutine that runs steps at a time
	stmts map[string]*sql.Stmt // the prepared statements, by their text
	queue queue                // steps that wait for their turn, several of which share a transaction; the one that runs them is its runner
	more  atomic.Bool          // the last Expire charged as many as it was allowed, so that there are probably more

	// Owned by the queue's runner, too.
	epoch    []byte                  // the ledger's random name
	sequence int64                   // the ledger's count of writing transactions when this process last looked: a lower one proves a loss
	accepted []byte                  // the id of the change by which an operator accepted the last loss
	lost     bool                    // the file was replaced or set back; set until that is accepted, because sequence grows again and would hide it
	lookedAt time.Time               // when this process last found the loss, or looked whether it was accepted
	pruneAt  time.Time               // when Expire next has something to do even if no reservation has expired
	joined   map[joinedKey]*sql.Stmt // statements for several lines at once, prepared on first use
}

var _ driver.Store = (*Store)(nil)

// The errors of a store that is closed, of a ledger that has lost data, as this process finds it or as the file says it, and of a file without one.
var (
	errClosed   = errors.New("sqlitestore: closed")
	errReplaced = fmt.Errorf("%w: the file was deleted, replaced or set back since it was opened", driver.ErrLost)
	errPart     = fmt.Errorf("%w: rows of the file were deleted by something else", driver.ErrLost)
	errNone     = fmt.Errorf("%w in the file: on its first start, set Options.Create; if it was there before, what was spent is forgotten", driver.ErrNoLedger)
)

// Open opens the ledger in the file at path; see Options.Create for its first start. A ledger that lost a part opens, so that an
// operator can accept the loss, and refuses all steps until then.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	if err := o.complete(path); err != nil {
		return nil, err
	}
	s := &Store{opts: o, path: path}
	s.queue.runner, s.queue.ended = make(chan struct{}, 1), make(chan struct{})
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("sqlitestore: open: %w", err)
	}
	return s, nil
}

// complete checks the path and the options, and puts the defaults in the place of zeros. A path that SQLite would take for a URI or for a database
// in memory is refused.
func (o *Options) complete(path string) error {
	if path == "" || strings.Contains(path, ":memory:") || strings.HasPrefix(path, "file:") || strings.Contains(path, "?") {
		return errors.New("sqlitestore: a plain path of a file is needed; for a ledger in memory use memstore")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Synchronous == "" {
		o.Synchronous = Full
	}
	if o.Synchronous != Full && o.Synchronous != Normal {
		return fmt.Errorf("sqlitestore: unknown Synchronous %q", o.Synchronous)
	}
	if o.Retention <= 0 {
		o.Retention = DefaultRetention
	}
	if o.UsageRows <= 0 {
		o.UsageRows = driver.DefaultUsageRows
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = DefaultBusyTimeout
	}
	return nil
}

// open connects, sets the file up, prepares the statements, and learns which ledger it is. If the store has a connection already, it closes that one,
// but only once all of this has succeeded.
func (s *Store) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.BusyTimeout)
	defer cancel()
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) && !s.opts.Create { // sqlite would make the file
		return errNone
	}
	db, err := sql.Open("sqlite", s.path)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if err := s.use(ctx, db); err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

// use makes a database the store's, in the place of the one before. After an error the store still has that one, and the caller closes db.
func (s *Store) use(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	if err := s.setUp(ctx, conn); err != nil {
		return err
	}
	// checkLedger compares this with what is at the path later.
	file, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	stmts, err := prepareAll(ctx, conn)
	if err != nil {
		return err
	}
	var m meta
	// scan fails with sql.ErrNoRows if the only row of meta is missing, which is a loss.
	if err := m.scan(stmts[sqlSequenceNow]); err != nil {
		return err
	}
	// Errors of closing the connection before say nothing about the new one.
	if s.db != nil {
		s.conn.Close()
		s.db.Close()
	}
	s.db, s.conn, s.stmts, s.joined = db, conn, stmts, make(map[joinedKey]*sql.Stmt)
	// adopt keeps what identifies the ledger, and clears s.lost.
	s.adopt(file, &m)
	return nil
}

// setUp chooses how SQLite works on the connection, and makes the tables or brings them up to date. Without Options.Create it makes none: the error
// is errNone then. It waits for other processes until ctx ends.
func (s *Store) setUp(ctx context.Context, conn *sql.Conn) error {
	// busy_timeout is 0 because whileBusy waits for other processes, with short pauses, until ctx.Err returns an error: SQLite's own busy handler
	// sleeps up to 100 ms at a time, and favours those who have waited least.
	for _, pragma := range []string{"busy_timeout = 0", "journal_mode = WAL", "synchronous = " + string(s.opts.Synchronous), "temp_store = MEMORY"} {
		err := whileBusy(ctx.Err, func() error {
			_, err := conn.ExecContext(ctx, "PRAGMA "+pragma)
			return err
		})
		if err != nil {
			return err
		}
	}
	// BEGIN IMMEDIATE locks out other writers, so that only one process makes or migrates the tables; migrate does nothing if they are up to date.
	return transaction(conn, ctx.Err, "BEGIN IMMEDIATE", func() error { return migrate(ctx, conn, s.opts.Create, s.opts.Clock().UnixNano()) })
}

// prepareAll prepares the statements, and returns them by their texts.
func prepareAll(ctx context.Context, conn *sql.Conn) (map[string]*sql.Stmt, error) {
	stmts := make(map[string]*sql.Stmt)
	for _, q := range statements {
		stmt, err := conn.PrepareContext(ctx, q)
		if err != nil {
			return nil, err
		}
		stmts[q] = stmt
	}
	return stmts, nil
}

// statements are the texts that prepareAll prepares: all constants of schema.go that are statements.
var statements = []string{
	sqlSequence, sqlSequenceNow, sqlAccept, sqlForgetting, sqlForgot, sqlJudged, sqlEntry, sqlInsert, sqlUpdate, sqlLatch, sqlMark,
	sqlOverride, sqlKills, sqlKill, sqlFiled, sqlRevive, sqlExpired, sqlDue, sqlEntries, sqlReferred, sqlName, sqlAccounts, sqlPeriods, sqlOld, sqlOldSums, sqlForget, sqlForgetSum, sqlForgetSums,
	sqlLastChange, sqlNoteChange, sqlRevision, sqlChanges, sqlPatterns, sqlEnded, sqlDropEnded, sqlUsageRow, sqlUsageRows, sqlPutUsage,
	sqlPutUsageRows, sqlUsage, sqlOldUsage, sqlForgetUsage, sqlForgetDays, sqlSetPolicy, sqlPolicy,
}

// Close closes the connection. Running steps finish first: queue.close waits for them, and returns false if the store was closed before.
func (s *Store) Close() error {
	if !s.queue.close() {
		return nil
	}
	return errors.Join(s.conn.Close(), s.db.Close())
}
