package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// DefaultRetention is how long resolved reservations are remembered: past the invoice of their month.
const DefaultRetention = 35 * 24 * time.Hour

// DefaultTimeout is how long a step is tried, unless its context ends first.
const DefaultTimeout = 15 * time.Second

// MaxShards is the most items that an account may be spread over.
const MaxShards = 32

// Options configures a Store. The zero value is right for most.
type Options struct {
	// Create makes the ledger if the table is empty. Without it Open refuses with driver.ErrNoLedger, because a table that was made
	// anew looks just like one that never held a ledger. Set it for the first start, or in a step of the deployment that runs once: a
	// fleet that always sets it spends its limits a second time when the table is gone.
	Create bool
	// Clock is the store's time, for tests only. Nil is the service's own time, told by its responses. With a Clock,
	// accounts also keep the sums of windows that have passed, because such a clock may be set back.
	Clock func() time.Time
	// Retention is how long resolved reservations are remembered, for replays and corrections. Zero is DefaultRetention. What was resolved
	// on a day that is past it is deleted by the processes that use the ledger, on the next day. Open all stores of a ledger with the same.
	Retention time.Duration
	// UsageRows is how many rows of usage are kept of one day; what would need more is added to one row. Zero or less is
	// driver.DefaultUsageRows.
	UsageRows int
	// Timeout bounds a step with all of its repetitions; then it is an error, and the call is refused. Zero is DefaultTimeout.
	Timeout time.Duration
	// Shards spreads each account over so many items, 1 to MaxShards, each of which holds its share of the limit: for accounts
	// that more than about 100 calls a second share. It is fixed when the ledger is made. Zero is what the table has, and 1 for
	// a new one. A call may meet up to 94/Shards limits. See the package's comment.
	Shards int
	// Adopt accepts a table that is a copy or was restored from a backup, and shuts out the stores that are open on it. What
	// was spent after the backup is not in it: raise no limit before you have looked.
	Adopt bool
}

// Store is a driver.Store in a DynamoDB table. It is safe for concurrent use. From time to time a goroutine of its own deletes what is past the
// retention, until Close at the latest. Make one with Open.
type Store struct {
	opts         Options
	client       *dynamodb.Client
	table        string
	keepPast     bool          // there is a Clock, which may be set back, so that accounts keep the sums of windows that have passed
	pastKept     time.Duration // how long a bucket stays in its account's item after its window has passed, before the archive gets it
	archiveBatch int           // how many such buckets come together before they are moved to the archive

	// What is known of the service, of the ledger and of its table.
	clock    *serverClock          // the service's time
	ledger   atomic.Pointer[known] // the epoch of the ledger, its random name, and the loss that was accepted last; nil until it is known
	shards   int                   // how many items each account is spread over
	identity identity              // the id of the table, and when it was last looked up

	// What this process remembers, to save reads.
	flags         flagMemory    // the kill flags as they were last read
	entries       entryMemory   // pending reservations of this process, whose settlement needs no read
	blindFailures blindFailures // accounts that the next reservation reads first, because one without a read would probably fail
	knownRows     rowMemory     // which rows of usage are known to be there

	// Where the steps of this process wait for one another, to save repetitions.
	locks      accountLocks // of steps that require an account to be as they have read it
	changeLock stepLock     // of steps that add to the audit trail: of two at once, one would have to be repeated
	hot        hotItems     // items at which transactions have met, so that steps queue there

	forgetting forgetting // the goroutine that deletes what is past the retention
	closed     atomic.Bool
}

var _ driver.Store = (*Store)(nil)

// Open opens the ledger in a table; see Options.Create for its first start. CreateTable makes the table. It takes a context
// because it asks the service: which table this is, of which epoch, and what time it is there. Without
// those answers no step could tell a new ledger from a lost one.
//
// The client's retries may stay on. Close the store when it is no longer needed; the client stays the caller's.
func Open(ctx context.Context, client *dynamodb.Client, table string, o Options) (*Store, error) {
	if err := o.complete(client, table); err != nil {
		return nil, err
	}
	s := &Store{opts: o, client: client, table: table, keepPast: o.Clock != nil, clock: &serverClock{fake: o.Clock}, locks: newAccountLocks(), changeLock: make(stepLock, 1)}
	s.archiveBatch = minArchiveBatch
	if s.keepPast {
		s.pastKept = pastKeptWithClock
	}
	s.identity.every = verifyEvery
	s.identity.confirmed() // so that the step below does not look for the table's id before it knows one
	err := s.do(ctx, "open", func(ctx context.Context, _ *step) error {
		described, err := s.describe(ctx)
		if err == nil {
			err = usable(described)
		}
		if err != nil {
			return err
		}
		if err := s.adopt(ctx, *described.TableId); err != nil {
			return err
		}
		s.identity.confirmed() // the id was looked up just now
		return s.learnTime(ctx)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// learnTime reads a gate, an item that every ledger has, again and again until the answers agree on what time it is.
func (s *Store) learnTime(ctx context.Context) error {
	_, err := s.clock.now()
	for range 2 * witnesses { // witnesses is how many answers have to agree; the first ones may contradict each other
		if err == nil {
			return nil
		}
		if _, err := s.get(ctx, gateKey(0)); err != nil { // the clock learns from the answer, whatever is in it
			return err
		}
		_, err = s.clock.now()
	}
	return err
}

// complete checks the options, and puts the defaults in the place of zeros.
func (o *Options) complete(client *dynamodb.Client, table string) error {
	if client == nil || table == "" {
		return errors.New("dynamostore: a client and the name of a table are needed")
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
	if o.Shards < 0 || o.Shards > MaxShards {
		return fmt.Errorf("dynamostore: %d shards, want 1 to %d", o.Shards, MaxShards)
	}
	return nil
}

// Close ends the store's use of the client. Steps under way finish; later ones are an error.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.forgetting.stop()
	return nil
}
