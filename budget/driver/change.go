package driver

import (
	"fmt"
	"time"
)

// Change identifies one change of a flag, an override, a latch or a posted amount, and says who makes it and why. It is the same in every
// repeat, so that a store can tell a late repeat from a new change.
type Change struct {
	// ID names the change; each one has its own. Required.
	ID ID
	// Seen is the revision of the ledger that the caller knew when it decided: see Store.Revision. If somebody has changed the same thing
	// since, that change stays and the caller gets ErrSuperseded. A number beyond the ledger's revision never conflicts.
	Seen int64
	// Operator is who makes the change, and Reason why: at most MaxScopeValue bytes each. They are stored as values, never as keys. May be
	// empty.
	Operator, Reason string
}

// Validate reports a change without an id, a negative revision, and texts that are too long, as ErrInvalidChange. A store calls it first.
func (c *Change) Validate() error {
	switch {
	case c.ID == ID{}:
		return fmt.Errorf("%w: it needs an id", ErrInvalidChange)
	case c.Seen < 0:
		return fmt.Errorf("%w: revision %d was seen, want 0 or more", ErrInvalidChange, c.Seen)
	case len(c.Operator) > MaxScopeValue || len(c.Reason) > MaxScopeValue:
		return fmt.Errorf("%w: an operator of %d bytes and a reason of %d, at most %d each", ErrInvalidChange, len(c.Operator), len(c.Reason), MaxScopeValue)
	}
	return nil
}

// ChangeKind says what was changed, and how.
type ChangeKind uint8

// The kinds of changes that the audit trail holds: one for each method of Store that makes a change.
const (
	ChangeKill       ChangeKind = iota + 1 // a kill flag was set
	ChangeRevive                           // a kill flag was removed
	ChangeOverride                         // an account's Max was replaced, or the replacement removed
	ChangeUnlatch                          // an account's latch was opened
	ChangeCorrect                          // a reservation's posted amount was replaced
	ChangeAcceptLoss                       // what remains of a damaged ledger was declared to be complete
	ChangePolicy                           // the policy document was set or removed
)

// changeNames are the names of the kinds; the first is that of the zero ChangeKind.
var changeNames = [...]string{"none", "kill", "revive", "override", "unlatch", "correct", "accept loss", "policy"}

// String returns the name of the change.
func (k ChangeKind) String() string {
	if int(k) < len(changeNames) {
		return changeNames[k]
	}
	return fmt.Sprintf("change(%d)", uint8(k))
}

// Record is one row of the audit trail: a change that was made. Rows are never changed.
type Record struct {
	Change
	Revision int64     // of the ledger after the change; the first change made it 1
	At       time.Time // by the store's clock
	Kind     ChangeKind

	Scope    Scope     // of a kill or a revive
	Patterns bool      // likewise: see Flag
	Until    time.Time // of a kill; zero for one without an end
	Account  Key       // of an override or an unlatch
	Override *Override // of an override; nil if it was removed
	// Reservation is the id of the reservation that a correction changed: it had posted From, and has posted To since.
	Reservation ID
	From, To    Charge
	// Policy is the SHA-256 of the document that was set; zero if it was removed.
	Policy [32]byte
}

// Object names what a record changes: one flag, one entry, the override or the latch of one account, the policy, or the acceptance of losses. A
// change is compared with the last one of its own object alone.
func (r *Record) Object() Key {
	switch r.Kind {
	case ChangeKill, ChangeRevive:
		return Flag{r.Scope, r.Patterns}.Object()
	case ChangeCorrect:
		return EntryObject(r.Reservation)
	case ChangeAcceptLoss, ChangePolicy:
		return keyOf("object", r.Kind.String())
	default: // an override or an unlatch, which have separate objects: the kind is a part of the key
		return keyOf("object", r.Kind.String(), string(r.Account[:]))
	}
}

// EntryObject names the posted amount of a reservation as the object of corrections.
func EntryObject(id ID) Key { return keyOf("object", "entry", string(id[:])) }
