package budget

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrSuperseded says that a change was not made, because somebody else has changed the same thing since the caller looked at it.
var ErrSuperseded = errors.New("budget: superseded by a newer change")

// ErrInvalidChange says that a change has no id, or that its operator or reason is too long.
var ErrInvalidChange = errors.New("budget: invalid change")

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

// The kinds of changes that the audit trail holds.
const (
	ChangeKill ChangeKind = iota + 1
	ChangeRevive
	ChangeOverride
	ChangeUnlatch
	ChangeCorrect
	ChangeAcceptLoss
	ChangePolicy
)

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
	// Reservation is the id of the reservation whose posted amount a correction replaced, From by To.
	Reservation ID
	From, To    Charge
	// Policy is the SHA-256 of the document that was set; zero if it was removed.
	Policy [32]byte
}

// Object names what a record changes. Changes of the same object are ordered: the later one counts.
func (r *Record) Object() Key {
	switch r.Kind {
	case ChangeKill, ChangeRevive:
		return Flag{r.Scope, r.Patterns}.Object()
	case ChangeCorrect:
		return EntryObject(r.Reservation)
	case ChangeAcceptLoss, ChangePolicy:
		return keyOf("object", r.Kind.String())
	default:
		return keyOf("object", r.Kind.String(), string(r.Account[:]))
	}
}

// Object names the flag as the object of changes.
func (f Flag) Object() Key {
	dims := f.Scope.Dims()
	text := binary.AppendUvarint(nil, uint64(len(dims)))
	for _, d := range dims {
		text = append(text, d[:]...)
	}
	if f.Patterns {
		return keyOf("object", "patterns", string(text))
	}
	return keyOf("object", "flag", string(text))
}

// EntryObject names the posted amount of a reservation as the object of corrections.
func EntryObject(id ID) Key { return keyOf("object", "entry", string(id[:])) }

type operatorKey struct{}

// WithOperator returns a context for changes that are made in the name of an operator: a person or a program that manages budgets. The audit
// trail shows it.
func WithOperator(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, operatorKey{}, name)
}

func operatorOf(ctx context.Context) string {
	operator, _ := ctx.Value(operatorKey{}).(string)
	return operator
}

type reasonKey struct{}

// WithReason returns a context for changes that have no reason parameter, such as Revive, Override and Correct. The audit trail shows the
// reason.
func WithReason(ctx context.Context, reason string) context.Context {
	return context.WithValue(ctx, reasonKey{}, reason)
}

func reasonOf(ctx context.Context) string {
	reason, _ := ctx.Value(reasonKey{}).(string)
	return reason
}

// newChange begins a change. It reads the revision first, so that the change undoes nothing that was changed later, even if it arrives late.
func newChange(ctx context.Context, store Store, reason string) (Change, error) {
	c := Change{ID: NewID(), Operator: operatorOf(ctx), Reason: cmp.Or(reason, reasonOf(ctx))}
	if err := c.Validate(); err != nil {
		return Change{}, err
	}
	err := persist(ctx, func() (err error) {
		c.Seen, err = store.Revision(ctx)
		return storeError("revision", err)
	})
	return c, err
}

// change makes a change by a step, which is repeated under the same id while the store does not answer.
func change(ctx context.Context, store Store, op, reason string, step func(Change) error) error {
	c, err := newChange(ctx, store, reason)
	if err != nil {
		return err
	}
	return persist(ctx, func() error { return storeError(op, step(c)) })
}
