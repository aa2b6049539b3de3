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

// ID names a reservation: 128 random bits, made by the library before the first byte is sent.
type ID [16]byte

// NewID returns a fresh id.
func NewID() ID {
	var id ID
	rand.Read(id[:])
	return id
}

// String prints the id as 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String prints.
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

// The states: none -> Pending -> Settled | Voided | Expired, and Expired -> Settled when the truth arrives late.
const (
	Pending State = iota + 1 // its worst case is set aside
	Settled                  // what it really cost is posted
	Voided                   // nothing was consumed
	Expired                  // nobody settled it in time: its worst case is posted
)

var stateNames = [...]string{"none", "pending", "settled", "voided", "expired"}

// String returns the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Reservation is one attempt's worst case, to be set aside in every account that it touches.
type Reservation struct {
	ID     ID
	Owner  Key           // the ledger that made it; nobody else may settle or void it
	Charge Charge        // the worst case, in every unit
	Lines  []Line        // one per matching limit, sorted by Account, no two the same; may be empty
	Dims   []Key         // Scope.Dims of the call, for kill flags
	Call   *Call         // whose it is; nil when nobody says. It is not changed afterwards
	TTL    time.Duration // how long after Reserve it expires; positive
	// Tentative says that a refusal will be followed by a tighter reservation, so it must not latch anything.
	Tentative bool
	// RefuseObserved says that lines with Observe refuse like all others, because a tighter reservation follows that must be
	// admitted by the same sums as under an enforced limit.
	RefuseObserved bool
}

// Validate reports negative amounts and lines that count in no unit, as ErrInvalidCharge. A store calls it first.
func (r *Reservation) Validate() error {
	return errors.Join(validateLines(&r.Charge, r.Lines), r.Call.validate())
}

// Call says whose a reservation is. A store keeps it with the entry, as values.
type Call struct {
	Scope     Scope
	Operation string // the provider's name of it, such as Converse; at most MaxScopeValue bytes
	usage     Key    // see UsageKey; worked out when it is asked for unless it is set
}

// Line is one limit as it applies to one call.
type Line struct {
	// Limit and Scope name the account for people: the limit, and the values that split it. A store keeps them with the account, as
	// values, once.
	Limit   string
	Scope   Scope
	Account Key       // the account: an opaque key that already holds the limit's name, unit, window and scope values
	Unit    Unit      // which entry of the Charge counts here
	Window  Window    // where it is booked and how far back it is checked
	Max     int64     // the most that settled + pending may be, unless an Override is in force
	Notify  []float64 // fractions, in (0, 1], of the Max in force, to be reported once a window when settled spend reaches them
	Latch   bool      // a refusal keeps the account closed; with Observe it is foretold that it would
	Observe bool
}

// Threshold returns the settled amount at which the fraction Notify[i] is reached of a Max in force, rounded up.
func (l *Line) Threshold(i int, max int64) int64 {
	if f := l.Notify[i]; f < 1 {
		return int64(math.Ceil(f * float64(max)))
	}
	return max
}

// Decision is a store's answer to Reserve. The zero value is not an answer: Admitted tells.
type Decision struct {
	Admitted  bool
	Replayed  bool      // the same reservation was admitted before, and this call changed nothing
	ExpiresAt time.Time // by the store's clock, when admitted
	Killed    *Kill     // the flag that refused it
	Denied    []Denial  // the lines that refused it, in order: all that have no room, and are not observe-only or RefuseObserved is set
	Observed  []Denial  // when admitted, the observe-only lines that had no room, in order; they refuse nothing
}

// Denial says which line had no room, or was latched.
type Denial struct {
	Line int // index into Reservation.Lines
	Balance
}

// Balance is where an account stands in its current window.
type Balance struct {
	Max        int64 // in force, an Override included
	Settled    int64
	Pending    int64
	ResetAfter time.Duration // until the refused amount, or for Balances all of it, has left the window; 0 when never
	Latched    bool
}

// Left is how much of Max is neither settled nor pending. The sum can't overflow: a store refuses reservations for which it would.
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
	Estimated bool   // the amount is the worst case, because the truth is unknown
	Lines     []Line // those of the Reservation, in the same order
	Call      *Call  // that of the Reservation
	// Shares say how Actual divides among calls, where the reservation stands for several: sorted by their UsageKeys, no two the same, at
	// most MaxShares. Without them all of it is Call's.
	Shares    []Share
	Reference string // the provider's id of the request, by which an invoice or a log names it; at most MaxScopeValue bytes
}

// Validate reports negative amounts and lines that count in no unit, as ErrInvalidCharge, and a reference or a name of an operation
// that is too long, as ErrInvalidScope. A store calls it first.
func (s *Settlement) Validate() error {
	if len(s.Reference) > MaxScopeValue {
		return fmt.Errorf("%w: a reference of %d bytes, at most %d", ErrInvalidScope, len(s.Reference), MaxScopeValue)
	}
	return errors.Join(validateLines(&s.Actual, s.Lines), s.Call.validate(), validateShares(&s.Actual, s.Shares))
}

// Correction replaces what a reservation posted.
type Correction struct {
	ID     ID
	Actual Charge
	// Shares are as in Settlement. Without them, what had shares before is all of the first one's. An amount of nothing has none.
	Shares []Share
	Change Change
}

// Validate reports what Change.Validate and Settlement.Validate do. A store calls it first.
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
	Replayed bool  // it had been settled with the same amounts before, and this call changed nothing
	From     State // what it was before; zero if the store knew nothing of it and posted it as an orphan
	// Crossed lists the thresholds that this posting reached first in their window.
	Crossed []Crossing
}

// Crossing says that settled spend reached a threshold.
type Crossing struct {
	Line    int // index into Settlement.Lines
	Mark    int // index into Line.Notify
	Settled int64
	Max     int64 // in force, an Override included
}

// Entry is what a store remembers of a reservation.
type Entry struct {
	ID         ID
	State      State
	Estimated  bool // Settled or Expired with the worst case; Correct clears it
	Orphan     bool // posted by a Settle that found nothing pending: spend that was never set aside
	Reserved   Charge
	Actual     Charge // what is posted; zero while Pending or Voided
	ReservedAt time.Time
	ResolvedAt time.Time // zero while Pending
	Scope      Scope     // whose it is; empty when nobody said
	Operation  string
	Reference  string // the provider's id of the request; empty until it is told
	Lines      []Booking
}

// Booking is where one line of an entry counts.
type Booking struct {
	Account Key
	Unit    Unit
	Start   time.Time // of the bucket of the account's time; see Period
	Amount  int64     // what is pending there while the entry is Pending, else what it posted
}

// Account is one limit for one value of its scope, as a store knows it.
type Account struct {
	Key      Key
	Limit    string // empty when no line that was booked there said it
	Scope    Scope
	Override *Override // the last one that was set and not taken back; it may have ended
	Latched  time.Time // until when it is latched; zero when it is not
}

// Period is one bucket of an account's time: a calendar window, a part of a rolling one, or a lifetime, which starts in 1970. Settled
// is what Entries that are remembered have posted there, and Forgotten of those that are not.
type Period struct {
	Start                       time.Time
	Settled, Pending, Forgotten int64
}

// Query selects entries: all that come after After in the order of their ids, up to Max of them.
type Query struct {
	State     State // zero selects every state
	Estimated bool  // only estimated ones
	After     ID
	Max       int // 1 to 10,000
	// Since and Until select by the time of the reservation; zero is open. Until is not part of it.
	Since, Until time.Time
	Scope        Scope  // what it sets, the entry's scope must have
	Reference    string // empty selects any
}

// Selects reports whether an entry is selected, but for After and Max.
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

// Plain reports whether the query asks for nothing but State, Estimated, After and Max.
func (q *Query) Plain() bool {
	return q.Since.IsZero() && q.Until.IsZero() && q.Reference == "" && len(q.Scope.Dims()) == 0
}

// Store keeps the accounts. Package storetest defines in executable form what follows; a store is correct when
// storetest.Run passes. Users call a Ledger, not a Store.
//
// Each method is one atomic, linearisable step: no method's effect is visible in part, and no decision rests on a value
// read in an earlier step. Time is the store's own clock, so that all processes that share a store share its windows.
// All methods are safe for concurrent use, by as many processes as the store's documentation names. After an error the
// caller must assume that the step may or may not have happened, which is why every step can be repeated.
//
//   - Reserve of a new id: if a kill flag holds, or any line that is not Observe has settled + pending + amount > Max,
//     it is refused and nothing changes (but the latches of all such lines with Latch, unless Tentative). With RefuseObserved
//     that goes for Observe lines, too. Otherwise the amount is added to pending in every line, Observe ones included; an
//     Observe line without room that has Latch is latched, which refuses nothing but is told from then on. Of a resolved id: ErrResolved. Of an id that is pending with
//     another Owner, Charge or accounts: ErrIDConflict; with the same: refused if a kill flag holds by now, else admitted
//     again as Replayed, changing nothing. The order is: the id, kill flags, room.
//   - Settle takes a pending reservation out of pending and posts Actual to the buckets in which it was reserved, however
//     far that goes beyond Max: the truth is never clamped. Of an id settled before: Replayed when Actual is the same, else
//     ErrResolved, and the first one stands. Of an expired id: posts the difference and becomes Settled. Of a voided or
//     unknown id: posts Actual to the buckets of now, as an Orphan. A wrong Owner is ErrIDConflict.
//   - Void takes a pending reservation out of pending. Of an unknown id it writes a tombstone, so that a Reserve that
//     arrives later is refused with ErrResolved. Again: no effect. Of a settled or expired id: ErrResolved.
//   - Settle, Correct and Expire add what they post to the row of usage of its call, or of its shares' calls, on the UTC day of the
//     reservation, and take out of it what stood there before. A row that would be one too many for its day is that of OtherUsage. Rows
//     are kept for UsageRetention, whatever is forgotten.
//   - Correct replaces what a Settled, Expired or Voided reservation posted, in the buckets in which it was reserved, and
//     clears Estimated. Again with the same amounts and no other shares: Replayed. Pending, unknown or a tombstone: ErrNotFound.
//   - A kill flag holds from its Kill to its Revive or its Until. One with patterns is judged by the scope of the reservation's Call;
//     when MaxPatterns of them are set, another one is ErrTooManyFlags.
//   - Kill, Revive, Override, Unlatch, Correct and SetPolicy are changes. One whose object (a flag, the override or the latch of an account, what
//     was posted for a reservation, the policy) was changed last under the same id is a repeat: it succeeds and
//     changes nothing. One whose object was changed since the revision that it has Seen is ErrSuperseded, and changes nothing;
//     so a repeat that arrives late undoes nothing. Any other is made, moves the Revision on by one and is a row of Changes,
//     even if all is as it was before. A change that is refused for another reason is no row. Of several accounts of one
//     Unlatch each is a change.
//   - Expire charges up to max pending reservations whose time is up: pending becomes settled, nothing is released. It also
//     forgets what is past the store's retention. It returns how many it charged.
//   - What a reservation was booked for, its Call and its lines, is told by its entry; the Reference of a Settlement that was done, too.
//     The first line that is booked in an account names it.
//   - For each bucket of each account, settled is what its entries have posted there and what those had that were forgotten since.
//     Sums of calendar windows of a day or longer are kept for UsageRetention, if that is longer than the store's retention.
//   - A negative amount or an unknown unit is ErrInvalidCharge, and nothing changes.
//   - An amount that would take a sum out of the store's range is ErrOverflow, and nothing changes.
//   - A store that can't answer returns an error that is none of this package's others: never a zero balance.
//   - A store whose ledger was deleted, replaced or set back since it was opened, or lacks a part that it once wrote, returns
//     ErrLost: in each step, for good, and where a part is gone in new processes, too. AcceptLoss makes it go on with what is
//     there, in every process. It is a change like the others, of one object.
//   - A store refuses to open a ledger that is not there with ErrNoLedger, unless it is told to make one.
type Store interface {
	Reserve(ctx context.Context, r Reservation) (Decision, error)
	Settle(ctx context.Context, s Settlement) (Posting, error)
	Void(ctx context.Context, id ID, owner Key) error
	Correct(ctx context.Context, c Correction) (Posting, error)
	Expire(ctx context.Context, max int) (int, error)

	// Balances returns where each line's account stands, in order, without changing anything.
	Balances(ctx context.Context, lines []Line) ([]Balance, error)
	// Override replaces an account's Max until a moment of the store's clock; a nil o takes the override back.
	Override(ctx context.Context, account Key, o *Override, c Change) error
	// Unlatch opens the latches of these accounts.
	Unlatch(ctx context.Context, accounts []Key, c Change) error
	// Kill sets a flag. After it returns, no later Reserve that the flag holds for is admitted in any process. Setting
	// it again replaces the reason and the end.
	Kill(ctx context.Context, k Kill, c Change) error
	// Revive removes exactly this flag; there may be none.
	Revive(ctx context.Context, f Flag, c Change) error
	// Kills returns all flags that have not ended, in no particular order.
	Kills(ctx context.Context) ([]Kill, error)
	// SetPolicy keeps a policy document, for those who follow it. What is empty takes it back.
	SetPolicy(ctx context.Context, document []byte, c Change) error
	// Policy returns the document that was set last; the zero value if there is none.
	Policy(ctx context.Context) (PolicyDocument, error)
	// AcceptLoss takes what is there for the truth.
	AcceptLoss(ctx context.Context, c Change) error
	// Revision returns how many changes the ledger has had.
	Revision(ctx context.Context) (int64, error)
	// Changes returns up to max rows of the audit trail, from the first one after a revision on, in the order of their
	// revisions. Max is 1 to 10,000.
	Changes(ctx context.Context, after int64, max int) ([]Record, error)
	// Entries returns what is known of the reservations that q selects, in the order of their ids.
	Entries(ctx context.Context, q Query) ([]Entry, error)
	// Accounts returns up to max accounts after one, in the order of their keys: those in which anything was booked, and those that were
	// given an override or a latch. Max is 1 to 10,000.
	Accounts(ctx context.Context, after Key, max int) ([]Account, error)
	// Periods returns up to max periods of an account that begin after a moment, oldest first; the zero time begins with the first one.
	// Max is 1 to 10,000.
	Periods(ctx context.Context, account Key, after time.Time, max int) ([]Period, error)
	// Usage returns up to max rows of usage from a mark on, in the order of their days and keys. Max is 1 to 10,000.
	Usage(ctx context.Context, from UsageMark, max int) ([]UsageRow, error)
	// Close releases what the store holds open. Later calls return an error.
	Close() error
}
