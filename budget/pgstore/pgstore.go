// Package pgstore keeps a ledger's accounts in a PostgreSQL database, for any number of processes on any number of hosts.
//
// # How a step runs
//
// Each step is one call of one database function, in one message and one transaction under READ COMMITTED. It shares the transaction
// only with steps of its own process that wait for the same accounts. The function locks the rows of the step's accounts in sorted order,
// reads the server's clock after that, decides, and writes; it writes usage last, in sorted order too. An answer only counts once the
// commit was acknowledged.
//
// If a host is cut off in the middle of a message, no lock is left; if it is cut off while it holds locks, these end with the step's
// timeout. Steps that met a deadlock, a lock timeout or a broken connection are repeated within their time. That is safe, because every step
// is idempotent by the id of its reservation; only the thresholds that a settlement has reached are not reported if its first answer was
// lost. If a step can't be done in its time, the result is an error, and never an admission. Kill sets its flag, and then waits
// for the transactions that had read the flags before.
//
// The store needs PostgreSQL 14 or newer, and its primary: a standby is refused. A pooler such as PgBouncer may be used in
// transaction mode: a step needs no state of the session, prepares nothing by name, and sets its lock and statement
// timeouts for its own transaction alone. Only Options.Listen needs a direct connection.
//
// On Linux a connection counts as broken if the server's host does not acknowledge its messages for two seconds, so that a step is
// repeated on another connection after the network was cut. Give the pool a ConnectTimeout of two seconds too.
//
// Processes with the previous version of the library can still use a ledger that this version has opened, and what they charge is
// included in usage. While kill flags with patterns are set, which they can't match, their reservations are refused. Those of older
// versions are always refused.
//
// # What is lost when something dies
//
// A process that dies loses nothing that was acknowledged; what it held pending is charged when it expires. A server that
// dies loses nothing that was acknowledged as long as fsync and synchronous_commit are on; Open and every step refuse a
// server or session where either is off, unless Options.AllowVolatile. With synchronous_commit off, a crash takes the steps of the
// last three wal_writer_delays: 0.6 s by default.
//
// A failover to a standby loses nothing if the standby is synchronous (synchronous_standby_names set, synchronous_commit
// on or remote_apply). If it is asynchronous, a failover loses what was acknowledged within the replication lag, and a limit can
// be exceeded by at most the reservations that were acknowledged in that time. Spend that was reserved there and settles afterwards
// is posted as an orphan, so it counts again. The same holds for a synchronous_commit of local, and of remote_write if the
// standby's host dies too.
//
// If a ledger has lost data, every open store returns driver.ErrLost: if tables were dropped, emptied or made again, if it is another
// database, and if a restore or a failover has put it back to a state from before what this process was told. Rows that
// another program has deleted are a loss for processes that start later, too. An operator can accept what is left. (If a failover
// loses no more than the last 32 steps, and other transactions have since reached higher numbers, the loss may not be noticed; the bound
// above holds for it.)
//
// # Rights
//
// The first Open, with Options.Create, makes the tables and functions in a schema of their own, and later ones migrate them; several
// processes may do that at the same time. It needs CREATE on the database, or ownership of an empty schema. The functions run with the rights of
// their owner, so a role that only uses the store needs one right, USAGE on the schema, and can't touch the tables:
//
//	GRANT USAGE ON SCHEMA bedrockguard TO app;
package pgstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The defaults of Options.
const (
	DefaultSchema      = "bedrockguard"
	DefaultRetention   = 35 * 24 * time.Hour // until the invoice of the month has come
	DefaultTimeout     = 10 * time.Second
	DefaultLockTimeout = 2 * time.Second
)

// Options configures a Store. The zero value is the durable default.
type Options struct {
	// Create makes the ledger if the schema holds none. Without it Open refuses with driver.ErrNoLedger, because a database that was
	// emptied looks just like one that is new. Set it for the first start, or in a step of the deployment that runs once: a fleet that
	// always sets it spends its limits a second time when the database is gone.
	Create bool
	// Schema holds the ledger: 1 to 48 lower-case letters, digits and underscores, no digit first and no "pg_". Empty is
	// DefaultSchema. Two schemas are two ledgers.
	Schema string
	// Retention is how long resolved reservations are remembered, for replays and corrections. Zero or less is
	// DefaultRetention.
	Retention time.Duration
	// UsageRows is how many rows of usage are kept for one day; usage that would need more is added to driver.OtherUsage. Zero or less is
	// driver.DefaultUsageRows.
	UsageRows int
	// Timeout bounds a step with all its repetitions, unless its context ends first. Zero or less is DefaultTimeout.
	Timeout time.Duration
	// LockTimeout bounds how long one try of a step waits for another transaction; then the step is tried again. Zero or less is
	// DefaultLockTimeout.
	LockTimeout time.Duration
	// AllowVolatile accepts a server that may lose acknowledged writes, because fsync or synchronous_commit is off. After a crash, calls can
	// then be admitted for money that is already spent.
	AllowVolatile bool
	// Listen says where Signal connects for changes of kill flags and the policy. It must reach the server itself, not a pooler; the
	// configuration of a pool with direct connections will do: pool.Config().ConnConfig. With nil, changes are only found by polling.
	Listen *pgx.ConnConfig
	// Clock replaces the server's clock. It is for tests: processes with clocks of their own don't share windows.
	Clock func() time.Time
}

// Store is a driver.Store in a PostgreSQL database. It is safe for concurrent use. It starts goroutines for steps that share a transaction
// and for deletions; none outlives Close. Make one with Open.
type Store struct {
	opts    Options
	pool    *pgxpool.Pool
	channel string                   // the channel of NOTIFY for kill flags and policies
	slots   *accountSlots            // bounds how many transactions of this process work on an account at the same time
	queue   queue                    // steps that share a transaction because they are on the same accounts
	skew    atomic.Int64             // the server's clock minus this process's, in nanoseconds
	pruneAt atomic.Int64             // when old entries are deleted next, in nanoseconds since 1970
	flags   atomic.Pointer[patterns] // the kill flags with patterns, which this process matches for the server
	pruning sync.WaitGroup           // the deletion that Expire starts in the background, at most one at a time

	life context.Context // ends with Close
	end  context.CancelFunc

	mu     sync.Mutex // guards memory, and that no deletion starts after Close
	memory memory     // what this process knows of the ledger, to find out if it has lost a part
}

var (
	_ driver.Store    = (*Store)(nil)
	_ driver.Signaler = (*Store)(nil)
)

// schemaName matches names that can be put between quotes without escaping anything.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,47}$`)

// complete puts the defaults in the place of zeros, also of an empty Schema, and then checks the name of the schema, the only option that can be
// wrong. Listen is copied, so that the caller may change the original.
func (o *Options) complete() error {
	if o.Schema == "" {
		o.Schema = DefaultSchema
	}
	if !schemaName.MatchString(o.Schema) || strings.HasPrefix(o.Schema, "pg_") {
		return fmt.Errorf("pgstore: Options.Schema: want 1 to 48 lower-case letters, digits and underscores, no digit first and no pg_, got %d bytes of something else", len(o.Schema))
	}
	if o.Retention <= 0 {
		o.Retention = DefaultRetention
	}
	if o.UsageRows <= 0 {
		o.UsageRows = driver.DefaultUsageRows
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	if o.Listen != nil {
		o.Listen = o.Listen.Copy()
	}
	return nil
}

// openTimeout bounds Open unless its context ends first: a migration may have to wait for another one.
const openTimeout = time.Minute

// Open opens the ledger in a database, and creates it (with Options.Create) or migrates it if necessary. It takes at most a minute. The
// caller has to close the pool, which needs about as many connections as callers reserve at the same time.
func Open(ctx context.Context, pool *pgxpool.Pool, o Options) (*Store, error) {
	if pool == nil {
		return nil, errors.New("pgstore: no pool")
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Store{opts: o, pool: pool, channel: channelOf(o.Schema), slots: newAccountSlots()}
	s.life, s.end = context.WithCancel(context.Background())
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := s.open(ctx); err != nil {
		s.end()
		return nil, failed("open", err)
	}
	return s, nil
}

// Close ends what Signal runs, and the deletion of old entries, and waits for running steps. Later steps return an error. Closing again does
// nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	s.end() // under the lock, so that no deletion starts after it
	s.mu.Unlock()
	s.queue.close()
	s.pruning.Wait()
	return nil
}
