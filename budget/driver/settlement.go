package driver

import (
	"bytes"
	"errors"
	"fmt"
)

// Settlement posts what a reservation really cost.
type Settlement struct {
	ID        ID     // of the reservation
	Owner     Key    // that of the Reservation
	Actual    Charge // what the call cost, in every unit
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
	ID     ID     // of the reservation
	Actual Charge // the new amount, in every unit
	// Shares are as in Settlement. If there are none here, but what was posted until now had shares, all of Actual belongs to the call of the first of
	// those. An Actual of zero must have none.
	Shares []Share
	Change Change
}

// Validate checks what Change.Validate and Settlement.Validate check. A store calls it first.
func (c *Correction) Validate() error {
	return errors.Join(c.Change.Validate(), c.Actual.Validate(), validateShares(&c.Actual, c.Shares))
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
	Mark    int // the threshold, as an index into Line.Notify
	Settled int64
	Max     int64 // in force, overrides included
}

// Share is the part of one call in an amount that was settled for several calls.
type Share struct {
	Call   *Call // nil if its scope is not known
	Amount Charge
}

// MaxShares is how many shares a settlement may have.
const MaxShares = 24

// validateShares reports shares that are too many, that hold nothing, that are not in the order of the UsageKey of their calls (the key of a call's
// row of usage), each key once, or that do not add up to the amount. No shares at all are valid.
func validateShares(actual *Charge, shares []Share) error {
	if len(shares) == 0 {
		return nil
	}
	if len(shares) > MaxShares {
		return fmt.Errorf("%w: %d shares, at most %d", ErrInvalidCharge, len(shares), MaxShares)
	}
	var sum Charge
	var before Key // of the share before
	for i := range shares {
		if err := errors.Join(shares[i].Amount.Validate(), shares[i].Call.validate()); err != nil {
			return err
		}
		if shares[i].Amount == (Charge{}) {
			return fmt.Errorf("%w: share %d is of nothing", ErrInvalidCharge, i)
		}
		key := shares[i].Call.UsageKey()
		// The same key twice is not in order either.
		if inOrder := i == 0 || bytes.Compare(before[:], key[:]) < 0; !inOrder {
			return fmt.Errorf("%w: share %d is not in the order of usage keys", ErrInvalidCharge, i)
		}
		var fits bool
		if sum, fits = sum.Plus(shares[i].Amount); !fits {
			return ErrOverflow
		}
		before = key
	}
	if sum != *actual {
		return fmt.Errorf("%w: the shares add up to %v of %v", ErrInvalidCharge, sum, *actual)
	}
	return nil
}
