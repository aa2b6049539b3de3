package budget

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"
)

// ID names a reservation: 128 random bits, made by the library before anything is sent.
type ID [16]byte

// NewID returns a fresh id.
func NewID() ID {
	var id ID
	rand.Read(id[:])
	return id
}

// String prints the id as 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID parses what String prints.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return id, fmt.Errorf("budget: reservation id of %d characters, want %d", len(s), 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("budget: reservation id is not hexadecimal")
	}
	return id, nil
}

// State is where a reservation stands.
type State uint8

// The states and their transitions: none -> Pending -> Settled | Voided | Expired, and Expired -> Settled by a late Settle.
const (
	Pending State = iota + 1 // its worst case is reserved
	Settled                  // its actual cost is posted
	Voided                   // nothing was consumed
	Expired                  // nobody settled it before it expired: its worst case is posted
)

var stateNames = [...]string{"none", "pending", "settled", "voided", "expired"}

// String returns the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Reservation is the worst case of one attempt, to be reserved in every account that it touches.
type Reservation struct {
	ID     ID
	Owner  Key           // the ledger that made it; nobody else may settle or void it
	Charge Charge        // the worst case, in every unit
	Lines  []Line        // one per matching limit, sorted by Account, no two the same; may be empty
	Dims   []Key         // Scope.Dims of the call, for kill flags
	Call   *Call         // the scope and operation; nil if they are not known. It must not be changed afterwards
	TTL    time.Duration // how long after Reserve it expires; positive
	// Tentative says that the caller asks again with a tighter bound after a refusal, so that a refusal must not close any latch.
	Tentative bool
	// RefuseObserved says that lines with Observe refuse like all others. The caller then asks again with a tighter bound, which has to be
	// judged by the sums that an enforced limit would have.
	RefuseObserved bool
}

// Validate reports negative amounts and lines that count in no unit, as ErrInvalidCharge. A store calls it first.
func (r *Reservation) Validate() error {
	return errors.Join(validateLines(&r.Charge, r.Lines), r.Call.validate())
}

// Call is the scope and the operation of a reservation. A store keeps it with the entry, as values.
type Call struct {
	Scope     Scope
	Operation string // the provider's name for it, such as Converse; at most MaxScopeValue bytes
	usage     Key    // see UsageKey; computed on demand if it is zero
}

// Line is one limit as it applies to one call.
type Line struct {
	// Limit and Scope name the account for people: the limit's name, and the values that split the limit. A store keeps them once with the
	// account, as values.
	Limit   string
	Scope   Scope
	Account Key       // the account: an opaque key that already holds the limit's name, unit, window and scope values
	Unit    Unit      // which entry of the Charge counts here
	Window  Window    // where the amount is booked, and how far back sums are checked
	Max     int64     // the most that settled + pending may be, unless an Override is in force
	Notify  []float64 // fractions of the Max in force, in (0, 1]; each is reported once a window, when settled spend reaches it
	Latch   bool      // a refusal keeps the account closed; with Observe it is only reported that it would
	Observe bool
}

// Threshold returns the settled amount, rounded up, at which the fraction Notify[i] of the Max in force is reached.
func (l *Line) Threshold(i int, max int64) int64 {
	if f := l.Notify[i]; f < 1 {
		return int64(math.Ceil(f * float64(max)))
	}
	return max
}

// Decision is a store's answer to Reserve. The zero value is never an answer.
type Decision struct {
	Admitted  bool
	Replayed  bool      // the same reservation was admitted before, and this call changed nothing
	ExpiresAt time.Time // by the store's clock, when admitted
	Killed    *Kill     // the flag that refused it; nil if none did
	Denied    []Denial  // the lines that refused it, in order: all without room, except those with Observe unless RefuseObserved is set
	Observed  []Denial  // if it was admitted: the observe-only lines without room, in order; they refuse nothing
}

// Denial says which line had no room, or was latched.
type Denial struct {
	Line int // index into Reservation.Lines
	Balance
}

// Balance is where an account stands in its current window.
type Balance struct {
	Max        int64 // in force, overrides included
	Settled    int64
	Pending    int64
	ResetAfter time.Duration // until the refused amount, or for Balances the whole used amount, has left the window; 0 if never
	Latched    bool
}

// Left is how much of Max is neither settled nor pending. The sum can't overflow: a store refuses reservations that would make it overflow.
func (b *Balance) Left() int64 {
	if b.Max < 0 {
		return 0
	}
	return max(b.Max-b.Settled-b.Pending, 0)
}

// Settlement posts what a reservation really cost.
type Settlement struct {
	ID        ID
	Owner     Key
	Actual    Charge
	Estimated bool   // the amount is the worst case, because the actual cost is not known
	Lines     []Line // those of the Reservation, in the same order
	Call      *Call  // that of the Reservation
	// Shares say how Actual divides among calls, if the reservation was made for several: sorted by UsageKey, each key once, at most
	// MaxShares. Without them everything belongs to Call.
	Shares    []Share
	Reference string // the provider's id of the request, which invoices and logs use; at most MaxScopeValue bytes
}

// Validate reports negative amounts and lines without a unit, as ErrInvalidCharge, and a reference or an operation that is too long, as
// ErrInvalidScope. A store calls it first.
func (s *Settlement) Validate() error {
	if len(s.Reference) > MaxScopeValue {
		return fmt.Errorf("%w: a reference of %d bytes, at most %d", ErrInvalidScope, len(s.Reference), MaxScopeValue)
	}
	return errors.Join(validateLines(&s.Actual, s.Lines), s.Call.validate(), validateShares(&s.Actual, s.Shares))
}

// Correction replaces the amount that a reservation posted.
type Correction struct {
	ID     ID
	Actual Charge
	// Shares are as in Settlement. Without them, an amount that was posted with shares belongs to the first of these. An amount of zero has
	// none.
	Shares []Share
	Change Change
}

// Validate checks what Change.Validate and Settlement.Validate check. A store calls it first.
func (c *Correction) Validate() error {
	return errors.Join(c.Change.Validate(), c.Actual.Validate(), validateShares(&c.Actual, c.Shares))
}

func (c *Call) validate() error {
	if c != nil && len(c.Operation) > MaxScopeValue {
		return fmt.Errorf("%w: an operation's name of %d bytes, at most %d", ErrInvalidScope, len(c.Operation), MaxScopeValue)
	}
	return nil
}

func validateLines(c *Charge, lines []Line) error {
	if err := c.Validate(); err != nil {
		return err
	}
	for i := range lines {
		if !lines[i].Unit.Valid() {
			return fmt.Errorf("%w: line %d counts in %s", ErrInvalidCharge, i, lines[i].Unit)
		}
	}
	return nil
}

// Posting is a store's answer to Settle and Correct.
type Posting struct {
	Replayed bool  // it was settled with the same amounts before, and this call changed nothing
	From     State // the reservation's state before; zero if the store did not know it and posted it as an orphan
	// Crossed lists the thresholds that this posting was the first to reach in their window.
	Crossed []Crossing
}

// Crossing says that settled spend reached a threshold.
type Crossing struct {
	Line    int // index into Settlement.Lines
	Mark    int // index into Line.Notify
	Settled int64
	Max     int64 // in force, overrides included
}

// Entry is what a store keeps of a reservation.
type Entry struct {
	ID         ID
	State      State
	Estimated  bool // Settled or Expired with the worst case; Correct clears it
	Orphan     bool // posted by a Settle that found nothing pending: this spend was never reserved
	Reserved   Charge
	Actual     Charge // what is posted; zero while Pending or Voided
	ReservedAt time.Time
	ResolvedAt time.Time // zero while Pending
	Scope      Scope     // empty if it was not known
	Operation  string
	Reference  string // the provider's id of the request; empty until a Settlement has it
	Lines      []Booking
}

// Booking is where an entry counts in one line.
type Booking struct {
	Account Key
	Unit    Unit
	Start   time.Time // the beginning of the account's bucket; see Period
	Amount  int64     // the pending amount while the entry is Pending, else the posted one
}

// Account is one limit for one set of scope values, as a store knows it.
type Account struct {
	Key      Key
	Limit    string // empty if no line that was booked there had a name
	Scope    Scope
	Override *Override // the override that was set last, unless it was removed; it may have ended
	Latched  time.Time // until when it is latched; zero if it is not
}

// Period is one bucket of an account: a calendar window, a part of a rolling window, or a lifetime, which starts in 1970. Settled is what
// the remembered Entries have posted there, and Forgotten what others had posted that the store has forgotten.
type Period struct {
	Start                       time.Time
	Settled, Pending, Forgotten int64
}

// Query selects entries: up to Max of them with ids larger than After, in the order of their ids.
type Query struct {
	State     State // zero selects every state
	Estimated bool  // only estimated ones
	After     ID
	Max       int // 1 to 10,000
	// Since and Until select by the time of the reservation; zero sets no bound. A reservation at Until is not selected.
	Since, Until time.Time
	Scope        Scope  // the entry's scope has to have all the values that this sets
	Reference    string // empty selects any
}

// Selects reports whether the query selects an entry, apart from After and Max.
func (q *Query) Selects(e *Entry) bool {
	switch {
	case q.State != 0 && e.State != q.State, q.Estimated && !e.Estimated, q.Reference != "" && e.Reference != q.Reference:
		return false
	case !q.Since.IsZero() && e.ReservedAt.Before(q.Since), !q.Until.IsZero() && !e.ReservedAt.Before(q.Until):
		return false
	}
	return within(q.Scope, e.Scope)
}

// within reports whether a scope has all the values that part sets.
func within(part, s Scope) bool {
	for name, value := range part.values() {
		found := false
		for n, v := range s.values() {
			found = found || n == name && v == value
		}
		if !found {
			return false
		}
	}
	return true
}

// Plain reports whether the query uses only State, Estimated, After and Max.
func (q *Query) Plain() bool {
	return q.Since.IsZero() && q.Until.IsZero() && q.Reference == "" && len(q.Scope.Dims()) == 0
}

// Store keeps the accounts. Users call a Ledger, not a Store. Package storetest has a test for each of the following sentences; a store
// is correct if storetest.Run passes.
//
// Each method is one atomic, linearisable step: no method's effect is visible in part, and no decision rests on a value
// read in an earlier step. Time is the store's own clock, so that all processes that share a store share its windows.
// All methods are safe for concurrent use, by as many processes as the store's documentation says. After an error the
// caller must assume that the step may or may not have happened; that is why every step can be repeated.
//
//   - Reserve of a new id is refused if a kill flag holds, or if settled + pending + amount > Max in any line that is not Observe, or,
//     with RefuseObserved, in any line. A refusal changes nothing, except that it closes the latches of the lines without room that have
//     Latch, unless Tentative is set. Otherwise the amount is added to pending in every line, Observe ones included. If an
//     Observe line without room has Latch, its latch is closed too; that refuses nothing, but is reported from then on.
//   - Reserve of a known id: if it is resolved, ErrResolved. If it is pending with another Owner, Charge or other accounts, ErrIDConflict.
//     If it is pending with the same ones, it is refused if a kill flag holds now, else admitted again as Replayed, which changes
//     nothing. The id is checked first, then kill flags, then room.
//   - Settle takes a pending reservation out of pending and posts Actual to the buckets in which it was reserved, however
//     far that goes beyond Max: the actual amount is never reduced. If the id was settled before, Replayed is set if Actual is the same;
//     else the error is ErrResolved, and the first amount stays. For an expired id, it posts the difference, and the state becomes
//     Settled. For a voided or unknown id, it posts Actual to the present buckets, as an Orphan. A wrong Owner is ErrIDConflict.
//   - Void takes a pending reservation out of pending. For an unknown id it writes a tombstone, so that a Reserve that
//     arrives later is refused with ErrResolved. A repeat has no effect. For a settled or expired id, the error is ErrResolved.
//   - Settle, Correct and Expire add what they post to the row of usage of the call, or of its shares' calls, on the UTC day of the
//     reservation, and subtract what they replace. If the day has no room for another row, the row is OtherUsage. Rows
//     are kept for UsageRetention, even if the entries are forgotten.
//   - Correct replaces what a Settled, Expired or Voided reservation posted, in the buckets in which it was reserved, and
//     clears Estimated. A repeat with the same amounts and shares is Replayed. If the id is pending, unknown or a tombstone: ErrNotFound.
//   - A kill flag holds from its Kill to its Revive or its Until. One with patterns is matched against the scope of the reservation's Call;
//     if MaxPatterns of them are set, setting another one is ErrTooManyFlags.
//   - Kill, Revive, Override, Unlatch, Correct and SetPolicy are changes of an object: a flag, the override or the latch of an account, the
//     posted amount of a reservation, or the policy. If the object's last change had the same id, the change is a repeat: it succeeds and
//     changes nothing. If the object was changed after the revision in Seen, the error is ErrSuperseded, and nothing changes;
//     so a late repeat undoes nothing. Any other change is made, adds one to the Revision, and is a row of Changes,
//     even if it sets what was set before. A change that is refused for another reason has no row. An Unlatch of several accounts is
//     one change for each.
//   - Expire charges up to max pending reservations that have expired: pending becomes settled, nothing is released. It also
//     forgets what is older than the store's retention. It returns how many it charged.
//   - An entry has the Call and the lines of its reservation, and the Reference of its Settlement.
//     An account has the name of the first line that was booked in it.
//   - For each bucket of each account, settled is the sum of what its entries have posted there, including entries that were forgotten.
//     Sums of calendar windows of a day or longer are kept for UsageRetention, if that is longer than the store's retention.
//   - A negative amount or an unknown unit is ErrInvalidCharge, and nothing changes.
//   - An amount that would take a sum out of the store's range is ErrOverflow, and nothing changes.
//   - A store that can't answer returns an error that is none of this package's others: never a zero balance.
//   - If a store's ledger was deleted, replaced or restored to an older state since it was opened, or lacks a part that the store once
//     wrote, every step returns ErrLost from then on; if a part is missing, in new processes too. After AcceptLoss, which is a change
//     like the others, the store continues with what is left, in every process.
//   - If there is no ledger, opening a store fails with ErrNoLedger, unless the store is told to make one.
type Store interface {
	Reserve(ctx context.Context, r Reservation) (Decision, error)
	Settle(ctx context.Context, s Settlement) (Posting, error)
	Void(ctx context.Context, id ID, owner Key) error
	Correct(ctx context.Context, c Correction) (Posting, error)
	Expire(ctx context.Context, max int) (int, error)

	// Balances returns the balance of each line's account, in order, and changes nothing.
	Balances(ctx context.Context, lines []Line) ([]Balance, error)
	// Override replaces an account's Max until a moment of the store's clock; a nil o removes the override.
	Override(ctx context.Context, account Key, o *Override, c Change) error
	// Unlatch opens the latches of these accounts.
	Unlatch(ctx context.Context, accounts []Key, c Change) error
	// Kill sets a flag. Once it has returned, no process admits a Reserve that the flag refuses. Setting the same flag
	// again replaces its reason and its end.
	Kill(ctx context.Context, k Kill, c Change) error
	// Revive removes exactly this flag. It is no error if it is not set.
	Revive(ctx context.Context, f Flag, c Change) error
	// Kills returns all flags that have not ended, in no particular order.
	Kills(ctx context.Context) ([]Kill, error)
	// SetPolicy stores a policy document for the ledgers that follow it. An empty one removes it.
	SetPolicy(ctx context.Context, document []byte, c Change) error
	// Policy returns the document that was set last; the zero value if there is none.
	Policy(ctx context.Context) (PolicyDocument, error)
	// AcceptLoss declares the ledger to be complete after ErrLost.
	AcceptLoss(ctx context.Context, c Change) error
	// Revision returns how many changes the ledger has had.
	Revision(ctx context.Context) (int64, error)
	// Changes returns up to max rows of the audit trail that come after a revision, in the order of their
	// revisions. Max is 1 to 10,000.
	Changes(ctx context.Context, after int64, max int) ([]Record, error)
	// Entries returns the entries that q selects, in the order of their ids.
	Entries(ctx context.Context, q Query) ([]Entry, error)
	// Accounts returns up to max accounts with keys larger than after, in the order of their keys: those in which anything was booked, and
	// those that have had an override or a latch. Max is 1 to 10,000.
	Accounts(ctx context.Context, after Key, max int) ([]Account, error)
	// Periods returns up to max periods of an account that begin after the given moment, oldest first; the zero time selects all.
	// Max is 1 to 10,000.
	Periods(ctx context.Context, account Key, after time.Time, max int) ([]Period, error)
	// Usage returns up to max rows of usage that come after from, in the order of their days and keys. Max is 1 to 10,000.
	Usage(ctx context.Context, from UsageMark, max int) ([]UsageRow, error)
	// Close releases the store's connections and files. Later calls return an error.
	Close() error
}
