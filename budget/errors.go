package budget

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The outcomes that a caller branches on. None of them looks retryable to the AWS SDK's retryer.
var (
	// ErrExceeded says that a limit has no room for the worst case of a call. The error is an *ExceededError.
	ErrExceeded = errors.New("budget: limit exceeded")
	// ErrKilled says that the call's scope was killed. The error is a *KilledError.
	ErrKilled = driver.ErrKilled
	// ErrStore says that the store could not be asked, or has lost data. Nothing is known about the budget, so the call is refused. The
	// error is a *StoreError.
	ErrStore = errors.New("budget: store unavailable")
	// ErrLost says that the ledger, or a part of it, was deleted, replaced or restored to an older state while the store was open, so that
	// its sums can't be trusted. It is wrapped in an ErrStore, and every step is refused until Operator.AcceptLoss.
	ErrLost = driver.ErrLost
	// ErrNoLedger says that a store was opened where there is no ledger, and its Options do not set Create: either none was ever made, or it
	// was deleted with all that is known of the spend.
	ErrNoLedger = driver.ErrNoLedger
	// ErrOverflow says that an amount does not fit in an int64.
	ErrOverflow = driver.ErrOverflow
	// ErrInvalidPolicy says that a policy can't be enforced as written. Open returns all reasons, joined.
	ErrInvalidPolicy = driver.ErrInvalidPolicy
	// ErrInvalidScope says that a scope's text is too long, or that an inner scope contradicts an outer one.
	ErrInvalidScope = driver.ErrInvalidScope
	// ErrNotFound says that the store has no record of a reservation.
	ErrNotFound = driver.ErrNotFound
	// ErrSuperseded says that a change was not made, because somebody else has changed the same thing since the caller looked at it.
	ErrSuperseded = driver.ErrSuperseded
)

// ExceededError says which limit refused a call and by how much. It unwraps to ErrExceeded.
type ExceededError struct {
	Limit      string        // the limit's name
	Scope      Scope         // the values whose account is full; empty for a limit that is not split
	Max        Quantity      // the limit in force, an override included
	Settled    Quantity      // spent in the current window
	Pending    Quantity      // reserved for calls in flight
	Requested  Quantity      // the worst case of the refused call
	ResetAfter time.Duration // how long until the call could fit in all limits without room; 0 if waiting never helps
	Latched    bool          // refused because an earlier refusal closed the limit's latch, even if this call would fit
	Waiting    bool          // waiting may help: each limit without room would have it if pending calls cost nothing, or, if Paced, after some time
	Paced      bool          // Limit.Paced is set: the limit is a rate, which gets room again as time passes
	// Reason says which figure of the call made Requested so large, and how to lower it; may be empty.
	Reason string
}

// Error prints the numbers with their units and what to do.
func (e *ExceededError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "budget: limit %q exceeded", e.Limit)
	if s := e.Scope.String(); s != "" {
		b.WriteString(" for " + s)
	}
	left := Quantity{N: max(e.Max.N-e.Settled.N-e.Pending.N, 0), Unit: e.Max.Unit}
	fmt.Fprintf(&b, ": need %s, %s of %s left (%s settled, %s pending)", e.Requested, left, e.Max, e.Settled, e.Pending)
	b.WriteString(e.nextStep())
	if e.Reason != "" {
		b.WriteString("; " + e.Reason)
	}
	return b.String()
}

// nextStep says what the caller can do. The first case that applies is the one that helps: a latch refuses even calls that fit, for example, so
// it comes before all that is about amounts.
func (e *ExceededError) nextStep() string {
	switch {
	case e.Latched && e.ResetAfter > 0:
		return ", latched by an earlier refusal: revive the scope to go on, or wait " + roundUp(e.ResetAfter)
	case e.Latched:
		return ", latched by an earlier refusal: revive the scope to go on"
	case e.Paced && e.ResetAfter > 0:
		return ", which is a rate: try again in " + roundUp(e.ResetAfter)
	case e.Waiting && e.ResetAfter > 0:
		return ", has room again once pending calls are settled: try again when one ends, or in " + roundUp(e.ResetAfter)
	case e.Waiting:
		return ", has room again once pending calls are settled: try again when one ends"
	case e.Max.N == 0:
		return ", which admits nothing: " + e.more()
	case e.Requested.N > e.Max.N:
		return ", larger than the whole limit: " + e.smaller() + " or " + e.more()
	case e.ResetAfter > 0:
		return ", resets in " + roundUp(e.ResetAfter)
	default:
		return ", does not reset: " + e.more()
	}
}

// more says how the limit gets more room. A child's limit has its own advice, because it is not in the policy.
func (e *ExceededError) more() string {
	if strings.HasPrefix(e.Limit, childPrefix) {
		return "give the child a larger Max"
	}
	return "raise the limit"
}

// smaller says how a call can need less of the limit's unit.
func (e *ExceededError) smaller() string {
	switch e.Max.Unit {
	case UnitOutputTokens:
		return "lower maxTokens"
	case UnitInputTokens, UnitUncachedInputTokens, UnitCacheReadInputTokens, UnitCacheWriteInputTokens:
		return "shorten the prompt"
	default:
		return "lower maxTokens, shorten the prompt"
	}
}

// Unwrap returns ErrExceeded.
func (e *ExceededError) Unwrap() error { return ErrExceeded }

// RetryableError reports false: asking again at once gives the same answer.
func (e *ExceededError) RetryableError() bool { return false }

// StoreError says which operation of the store failed. It unwraps to ErrStore and to the cause. Its text names no
// connection string: stores keep those out of the causes that they return.
type StoreError struct {
	Op    string // the step that failed, such as "reserve" or "settle"
	Cause error  // the store's own error
}

// Error prints the operation and the cause.
func (e *StoreError) Error() string {
	if errors.Is(e.Cause, ErrLost) {
		return fmt.Sprintf("budget: store unavailable: %s: %v: every call is refused: find out what was lost and spent, then accept it (Operator.AcceptLoss)", e.Op, e.Cause)
	}
	return fmt.Sprintf("budget: store unavailable: %s: %v: the call is refused because its budget could not be checked: try again once the store answers", e.Op, e.Cause)
}

// Unwrap returns ErrStore and the cause.
func (e *StoreError) Unwrap() []error { return []error{ErrStore, e.Cause} }

// RetryableError reports false, so that a cause such as "connection reset" is not taken for a failed call to AWS.
func (e *StoreError) RetryableError() bool { return false }

// roundUp prints a duration in whole seconds, never shorter than it is.
func roundUp(d time.Duration) string {
	return (d + time.Second - 1).Truncate(time.Second).String()
}
