package lease

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// DefaultLength is how long calls are admitted from one lease when Options.Length is zero.
const DefaultLength = 30 * time.Second

// DefaultRetention is how long calls that were resolved inside a lease are remembered when Options.Retention is
// zero.
const DefaultRetention = 15 * time.Minute

// Options configures New. The zero value is ready to use.
type Options struct {
	// Length is how long a lease admits calls: a lease is a share of a limit that this process has drawn (reserved) from the store inside.
	// It is also for how long a kill flag or an override that another process sets may go unnoticed here, and for how long calls go on
	// here while the store does not answer. So all processes that share a store should have the same Length. Zero is DefaultLength, 30
	// seconds; otherwise it must be from 1 second to 10 minutes.
	Length time.Duration
	// Retention is how long this process remembers calls that were settled or voided inside a lease: until then they can be repeated,
	// corrected with Correct, and found with Entries. Zero is DefaultRetention, 15 minutes.
	Retention time.Duration
	// MaxRemembered bounds how many such calls are remembered. If more are made within the Retention, the oldest are forgotten early, and
	// those that expired last. A call takes about 200 bytes. Zero is DefaultRemembered, 500,000.
	MaxRemembered int
}

// Store serves calls from leases: shares of the limits that it draws (reserves) from the store inside, which all processes share, and spends in
// this process, without a round trip for each call. Make one with New and hand it to budget.Open; the package comment says what leases
// promise and what they cost. If the process dies, what it has leased is charged when it lapses.
//
// It is safe for concurrent use. It owns one goroutine, and one more if the store inside is a Signaler; Close ends
// them. The store inside stays the caller's to close, after this one.
type Store struct {
	inner         driver.Store     // the store inside
	length        time.Duration    // for how long a lease admits calls after its last grant
	retention     time.Duration    // how long resolved calls are remembered
	maxRemembered int              // how many calls are remembered at most
	owner         driver.Key       // the owner of the grants, the reservations by which leases are drawn from the store inside
	now           func() time.Time // this process's clock

	ctx    context.Context // the context of the background work
	cancel context.CancelFunc
	wake   chan struct{} // holds a token if a round of the background work is due
	work   sync.WaitGroup

	mu     sync.Mutex // guards all that follows
	closed bool
	groups map[string]*group // by the keys of the group's accounts, one after the other
	flags  knownFlags        // the kill flags, as they were last read
	rememberedCalls
	roomShortage
	innerClock
	leaseSteps
}

// rememberedCalls are the leases and calls that a process knows. A lease is live first, and then waits in toForget or toForgetLater until its calls
// are forgotten.
type rememberedCalls struct {
	calls         map[driver.ID]*call  // the calls that this process remembers, those in leases and those that were sent to the store inside
	leases        map[driver.ID]*lease // leases by the ids of their entries in the store inside, as long as their calls are remembered
	live          map[*lease]struct{}  // leases with grants whose final amount is not yet settled in the store inside
	toForget      []*lease             // all other leases, in the order in which they were given back: the first is forgotten next
	toForgetLater []*lease             // leases from toForget with expired calls, which are remembered for longer
	queuedCalls   int                  // how many calls the leases in toForget and toForgetLater have
	directCalls   []directCall         // calls that were sent to the store inside one by one, oldest first
	corrected     int64                // how many corrections were made inside leases: the upper part of Revision
}

// roomShortage is what a process knows about accounts that have too little room.
type roomShortage struct {
	// denying is, by account, how many calls are about to be denied on it, and wait while idle leases are given back. A lease that is drawn meanwhile
	// would take the room that this frees.
	denying     map[driver.Key]int
	wishedUntil map[driver.Key]time.Time // by account: until when calls, of this process or of others, are known to wait for room on it
	roomMade    uint64                   // how often this process has freed room; a remembered denial is valid only while it stays the same
}

// innerClock is what a process knows of the clock of the store inside.
type innerClock struct {
	offset time.Duration // how far that clock is ahead of this process's, measured with the last grant
	timed  bool          // the offset has been measured
}

// leaseSteps counts steps that change leases in the store inside, so that balances that are read while one runs are read again.
type leaseSteps struct {
	stepsUnderWay int    // how many run now
	stepsEnded    uint64 // how many have ended
}

var (
	_ driver.Store    = (*Store)(nil)
	_ driver.Signaler = (*Store)(nil)
)

// errLeaseClosed is returned by every step after Close.
var errLeaseClosed = errors.New("budget: the leased store is closed")

// New wraps a store that several processes share, so that most calls cost no round trip to it. It returns
// ErrInvalidPolicy for options out of range.
func New(store driver.Store, o Options) (*Store, error) {
	return newStore(store, o, time.Now)
}

// complete returns the options with the defaults that zeros stand for.
func (o Options) complete() Options {
	o.Length = cmp.Or(o.Length, DefaultLength)
	o.Retention = cmp.Or(o.Retention, DefaultRetention)
	o.MaxRemembered = cmp.Or(o.MaxRemembered, DefaultRemembered)
	return o
}

// newStore is New with a clock, which tests replace.
func newStore(store driver.Store, o Options, now func() time.Time) (*Store, error) {
	if store == nil {
		return nil, fmt.Errorf("%w: no store to lease from", driver.ErrInvalidPolicy)
	}
	o = o.complete()
	if o.Length < time.Second || o.Length > 10*time.Minute || o.Retention < 0 || o.MaxRemembered < 0 {
		return nil, fmt.Errorf("%w: leases of %s, %d calls remembered for %s, want 1s to 10m, and neither a negative number nor a negative time",
			driver.ErrInvalidPolicy, o.Length, o.MaxRemembered, o.Retention)
	}
	s := &Store{
		inner: store, length: o.Length, retention: o.Retention, maxRemembered: o.MaxRemembered, now: now, wake: make(chan struct{}, 1),
		groups:          make(map[string]*group),
		rememberedCalls: rememberedCalls{calls: make(map[driver.ID]*call), leases: make(map[driver.ID]*lease), live: make(map[*lease]struct{})},
		// roomMade begins at 1, because a lastDenial that holds nothing has 0: it must never look valid.
		roomShortage: roomShortage{denying: make(map[driver.Key]int), wishedUntil: make(map[driver.Key]time.Time), roomMade: 1},
	}
	rand.Read(s.owner[:])
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.work.Go(s.background)
	if signaler, ok := store.(driver.Signaler); ok {
		// If the store can't signal after all, flags of other processes are seen with the next draw, or when those that are known are too old.
		s.work.Go(func() { _ = signaler.Signal(s.ctx, s.flagsMayHaveChanged) })
	}
	return s, nil
}

// lock locks mu and returns the process's time; the caller unlocks mu. After an error mu is not locked: the context has ended, or the
// store is closed.
func (s *Store) lock(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return time.Time{}, errLeaseClosed
	}
	return s.now(), nil
}

// checkOpen reports a context that has ended and a store that is closed.
func (s *Store) checkOpen(ctx context.Context) error {
	_, err := s.lock(ctx)
	if err == nil {
		s.mu.Unlock()
	}
	return err
}

// changingLeases runs a step that changes leases in the store inside, and counts it. Balances read while such a step runs are read again,
// because they may show a lease before or after it.
func (s *Store) changingLeases(step func()) {
	s.mu.Lock()
	s.stepsUnderWay++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.stepsUnderWay--
		s.stepsEnded++
		s.mu.Unlock()
	}()
	step()
}

// closeTimeout bounds what Close spends on giving leases back.
const closeTimeout = 5 * time.Second

// Close gives every lease back, waits for the background work to end, and returns an error if a lease could not be given
// back within 5 seconds: it is then charged in full when it lapses. The worst cases of calls that are still in flight stay
// charged, as expiry would charge them; settle them before Close. Later calls return an error; closing again does not.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if kept, err := s.giveBackLive(ctx); err != nil {
		return fmt.Errorf("budget: %d leases could not be given back and will be charged in full: %w", kept, err)
	}
	return nil
}

// giveBackLive gives each live lease back once, after the store was closed, so that no new draw begins. A draw that is under way may still add a
// lease meanwhile: so the list is read again until it has no new one. It returns how many leases it could not give back, and the last error.
func (s *Store) giveBackLive(ctx context.Context) (kept int, last error) {
	tried := make(map[*lease]bool)
	for {
		rest := s.liveLeases(func(l *lease) bool { return !tried[l] })
		if len(rest) == 0 {
			return kept, last
		}
		for _, l := range rest {
			tried[l] = true
		}
		if n, err := s.giveBackAll(ctx, rest); err != nil {
			kept, last = kept+n, err
		}
	}
}

// liveLeases returns the leases that wanted selects among those with grants to settle.
func (s *Store) liveLeases(wanted func(*lease) bool) (all []*lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.live {
		if wanted(l) {
			all = append(all, l)
		}
	}
	return all
}
