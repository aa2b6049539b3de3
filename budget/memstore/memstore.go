// Package memstore keeps a ledger's accounts in the memory of one process. The ledger ends with the process, so it limits one run of one
// program. It is also the reference with which other stores are compared.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// DefaultRetention is how long resolved reservations are remembered when Options.Retention is zero.
const DefaultRetention = 24 * time.Hour

// Options configures a Store. The zero value is ready to use.
type Options struct {
	// Clock is the store's clock. Nil is time.Now. It is called with the store locked and must not call the store.
	Clock func() time.Time
	// Retention is how long resolved reservations are remembered, for replays and corrections, and how long windows that have passed are
	// kept. While the clock is behind by more than that, steps return driver.ErrLost. Zero or less is DefaultRetention.
	Retention time.Duration
	// UsageRows is how many rows of usage are kept for one day; usage that would need more is added to driver.OtherUsage. Zero or less is
	// driver.DefaultUsageRows.
	UsageRows int
}

// Store is a driver.Store in memory. It is safe for concurrent use and starts no goroutines. Make one with New.
type Store struct {
	clock     func() time.Time
	retention int64 // nanoseconds

	mu       sync.Mutex
	closed   bool
	accounts map[driver.Key]*account
	recent   [16]recentAccount // the last used accounts, by the last bits of their keys' first byte: calls of one scope need the same few
	entries  index             // all entries that are not forgotten, by their ids
	spare    []entry           // allocated entries that are not in use yet
	kills    flags             // the kill flags
	changes  changes           // the audit trail
	expiries deadlines         // the pending entries, by when they expire
	resolved history           // the resolved entries, by when they were resolved
	usage    usage             // the rows of usage
	policy   driver.PolicyDocument

	// In nanoseconds since 1970 UTC:
	sweptAt          int64 // when sweep last ran
	forgetClock      int64 // the time by which entries and windows are old enough to be forgotten: see forgetBefore
	forgetClockSetAt int64 // when forgetClock was last advanced, by the store's clock
	sumsKeptFrom     int64 // sums of windows that ended before this may have been forgotten
}

var _ driver.Store = (*Store)(nil)

// errClosed is returned by every step after Close.
var errClosed = errors.New("memstore: closed: open a new store")

// New returns an empty store.
func New(o Options) *Store {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Retention <= 0 {
		o.Retention = DefaultRetention
	}
	if o.UsageRows <= 0 {
		o.UsageRows = driver.DefaultUsageRows
	}
	return &Store{
		usage: usage{most: o.UsageRows},
		clock: o.Clock, retention: int64(o.Retention), forgetClock: o.Clock().UnixNano(), sumsKeptFrom: math.MinInt64,
		accounts: make(map[driver.Key]*account), entries: newIndex(),
	}
}

// Close forgets everything. Later calls return an error; closing again does not.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.accounts, s.recent, s.entries, s.spare, s.kills, s.changes, s.expiries, s.resolved, s.usage, s.policy =
		nil, [16]recentAccount{}, index{}, nil, flags{}, changes{}, nil, history{}, usage{}, driver.PolicyDocument{}
	return nil
}

// lock locks mu and returns the store's time in nanoseconds since 1970 UTC; the caller unlocks mu. After an error mu is not locked.
func (s *Store) lock(ctx context.Context) (now int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, errClosed
	}
	return s.clock().UnixNano(), nil
}

// lockSums is lock for a step that needs the sums of accounts. It refuses if the clock has gone back to windows whose sums may have been
// forgotten.
func (s *Store) lockSums(ctx context.Context) (now int64, err error) {
	if now, err = s.lock(ctx); err == nil && now < s.sumsKeptFrom {
		err = fmt.Errorf("memstore: %w: it is %s by the clock, and sums until %s were forgotten", driver.ErrLost,
			time.Unix(0, now).UTC().Format(time.RFC3339), time.Unix(0, s.sumsKeptFrom).UTC().Format(time.RFC3339))
		s.mu.Unlock()
	}
	return now, err
}

// plus returns a+b, at most math.MaxInt64, and whether the sum was limited to that. Neither may be negative.
func plus(a, b int64) (sum int64, limited bool) {
	if a > math.MaxInt64-b {
		return math.MaxInt64, true
	}
	return a + b, false
}
