package driver

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"time"
)

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
	// RefuseObserved says that lines with Observe refuse like all others. The caller then asks again with a tighter bound, as for a line without
	// Observe: so an observed account has the same sums as if its limit were enforced.
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

// NewCall returns a call that has its UsageKey at hand, because calls are kept and asked for it again and again. It has its own copy of the
// tags, and no Branch.
func NewCall(s Scope, operation string) *Call {
	c := &Call{Scope: s, Operation: operation}
	c.Scope.Tags = maps.Clone(s.Tags)
	c.Scope.branch = nil // a remembered call must not keep a tree of children in memory
	c.usage = usageKey(c.UsageScope())
	return c
}

// validate reports an operation's name that is too long. A nil call is valid.
func (c *Call) validate() error {
	if c != nil && len(c.Operation) > MaxScopeValue {
		return fmt.Errorf("%w: an operation's name of %d bytes, at most %d", ErrInvalidScope, len(c.Operation), MaxScopeValue)
	}
	return nil
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
	Observe bool      // the line refuses nothing; its sums are kept, and what it would have refused is reported
}

// Threshold returns the settled amount, rounded up, at which the fraction Notify[i] of the Max in force is reached.
func (l *Line) Threshold(i int, max int64) int64 {
	if f := l.Notify[i]; f < 1 {
		return int64(math.Ceil(f * float64(max)))
	}
	return max // exactly, where float64 would round a large Max
}

// validateLines reports a charge with negative amounts, and lines that count in no unit, as ErrInvalidCharge.
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

// Decision is a store's answer to Reserve. The zero value is never an answer.
type Decision struct {
	Admitted  bool
	Replayed  bool      // the same reservation was admitted before, and this call changed nothing
	ExpiresAt time.Time // by the store's clock, when admitted
	Killed    *Kill     // the flag that refused it; nil if none did
	Denied    []Denial  // the lines that refused it, in order: those without room; lines with Observe are among them only if RefuseObserved is set
	Observed  []Denial  // if it was admitted: the observe-only lines without room, in order; they refuse nothing
}

// Denial says which line had no room, or was latched.
type Denial struct {
	Line int // index into Reservation.Lines
	Balance
}

// Balance is where an account stands in its current window.
type Balance struct {
	Max        int64         // in force, overrides included
	Settled    int64         // what resolved reservations have posted
	Pending    int64         // the worst cases of reservations that are not resolved
	ResetAfter time.Duration // until time alone makes room for the refused amount, or for Balances until all that is used has left; 0 if never
	Latched    bool          // a refusal has closed the account's latch
}

// Left is how much of Max is neither settled nor pending. The sum can't overflow: a store refuses reservations that would make it overflow.
func (b *Balance) Left() int64 {
	if b.Max < 0 { // the subtraction below might overflow
		return 0
	}
	return max(b.Max-b.Settled-b.Pending, 0)
}
