package driver

import (
	"errors"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// The errors that stores return, and that the methods of this package's types return. Package budget has those of them that its users branch on,
// under the same names.
var (
	// ErrKilled says that the call's scope was killed. The error is a *KilledError.
	ErrKilled = errors.New("budget: killed")
	// ErrLost says that the ledger, or a part of it, was deleted, replaced or restored to an older state while the store was open, so that
	// its sums can't be trusted. Every step is refused until Store.AcceptLoss.
	ErrLost = errors.New("budget: the ledger lost a part of what it knew")
	// ErrNoLedger says that a store was opened where there is no ledger, and its Options do not set Create: either none was ever made, or it
	// was deleted with all that is known of the spend.
	ErrNoLedger = errors.New("budget: there is no ledger")
	// ErrOverflow says that an amount does not fit in an int64.
	ErrOverflow = price.ErrOverflow
	// ErrInvalidCharge says that a charge holds a negative amount.
	ErrInvalidCharge = errors.New("budget: invalid charge")
	// ErrInvalidPolicy says that a window, a quantity or a policy can't be used as written.
	ErrInvalidPolicy = errors.New("budget: invalid policy")
	// ErrInvalidScope says that a scope's text is too long, or that an inner scope contradicts an outer one.
	ErrInvalidScope = errors.New("budget: invalid scope")
	// ErrIDConflict says that a reservation's id is in use by another owner or for other amounts.
	ErrIDConflict = errors.New("budget: reservation id conflict")
	// ErrResolved says that a reservation is settled, voided or expired already.
	ErrResolved = errors.New("budget: reservation already resolved")
	// ErrInvalidQuery says that a query's arguments are out of range or contradict each other.
	ErrInvalidQuery = errors.New("budget: invalid query")
	// ErrTooManyFlags says that MaxPatterns flags with patterns are set, and that one has to be revived first.
	ErrTooManyFlags = errors.New("budget: too many kill flags with patterns")
	// ErrNotFound says that the store has no record of a reservation.
	ErrNotFound = errors.New("budget: no such reservation")
	// ErrSuperseded says that a change was not made, because somebody else has changed the same thing since the caller looked at it.
	ErrSuperseded = errors.New("budget: superseded by a newer change")
	// ErrInvalidChange says that a change has no id, or that its operator or reason is too long.
	ErrInvalidChange = errors.New("budget: invalid change")
)

// KilledError says which scope was killed and why. It unwraps to ErrKilled.
type KilledError struct {
	Scope    Scope     // the scope that was killed
	Patterns bool      // its values are globs
	Reason   string    // the operator's text
	At       time.Time // when it was killed, by the store's clock
	Until    time.Time // when the flag ends by itself; zero for never
}

// Error prints the scope, the reason and how to revive it.
func (e *KilledError) Error() string {
	who := e.Scope.String()
	if who == "" {
		who = "everything"
	}
	if e.Patterns {
		who = "all of " + who
	}
	until := "it is revived"
	if !e.Until.IsZero() {
		until = e.Until.UTC().Format(time.RFC3339) + ", or until " + until
	}
	return fmt.Sprintf("budget: killed %s at %s: %s: refused until %s", who, e.At.UTC().Format(time.RFC3339), e.Reason, until)
}

// Unwrap returns ErrKilled.
func (e *KilledError) Unwrap() error { return ErrKilled }

// RetryableError reports false: the call stays refused until Revive, or until the flag ends.
func (e *KilledError) RetryableError() bool { return false }
