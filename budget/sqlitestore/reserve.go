package sqlitestore

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// Reserve implements driver.Store. It refuses, first of all, windows whose sums may be gone because the clock went back.
func (s *Store) Reserve(ctx context.Context, r driver.Reservation) (d driver.Decision, err error) {
	if err := r.Validate(); err != nil {
		return d, err
	}
	err = s.do(ctx, true, func(t *tx) error {
		if err := t.refuseForgotten(r.Lines); err != nil {
			return err
		}
		d, err = t.reserve(r)
		return err
	})
	return d, err
}

// reserve decides about a reservation: first by the reservation that has the same id, if there is one, then by the kill flags, then by the room in
// each line. If it is admitted, it is booked.
func (t *tx) reserve(r driver.Reservation) (driver.Decision, error) {
	seen := sight{true, true} // whether the id and any kill flag exist; without lines nothing is read together with them, so both may
	var states []state        // of the lines' accounts
	var err error
	if len(r.Lines) > 0 {
		if states, seen, err = t.look(r.Lines, &r.ID); err != nil {
			return driver.Decision{}, err
		}
	}
	var e *entry // the reservation that has the same id; nil if there is none
	if seen.entry {
		if e, err = t.pendingSame(&r); err != nil {
			return driver.Decision{}, err
		}
	}
	if seen.kill {
		killed, err := t.killed(&r)
		if err != nil || killed != nil {
			return driver.Decision{Killed: killed}, err
		}
	}
	if e != nil { // admitted again, unless a kill flag has been set since
		return driver.Decision{Admitted: true, Replayed: true, ExpiresAt: time.Unix(0, e.expiresAt)}, nil
	}
	// A refusal leaves d with the lines without room, and writes nothing but latches.
	d, err := t.check(r, states)
	if err != nil || len(d.Denied) > 0 {
		return d, err
	}
	if e, err = t.admit(&r, states); err != nil {
		return driver.Decision{}, err
	}
	d.Admitted, d.ExpiresAt = true, time.Unix(0, e.expiresAt)
	return d, nil
}

// pendingSame returns the reservation with the id of r if there is one, which is then pending and the same as r; nil if there is none. If the one
// with that id can't be repeated by r, it returns an error.
func (t *tx) pendingSame(r *driver.Reservation) (*entry, error) {
	e, err := t.entry(r.ID)
	if err == nil && e != nil {
		err = e.conflict(r)
	}
	return e, err
}

// admit books a reservation for which there is room: it adds the worst case to the pending sums, and writes the reservation and the names of its
// accounts. states are those of the lines' accounts.
func (t *tx) admit(r *driver.Reservation, states []state) (*entry, error) {
	now := t.now.UnixNano()
	e := &entry{id: r.ID, owner: r.Owner, state: driver.Pending, reserved: r.Charge, reservedAt: now}
	if e.expiresAt = now + int64(max(r.TTL, 0)); e.expiresAt < now { // the sum has overflowed
		e.expiresAt = math.MaxInt64
	}
	e.bookings = t.bookings(r.Lines)
	// Nothing is settled yet; all of it is pending.
	if err := t.book(e.bookings, new(driver.Charge), &r.Charge); err != nil {
		return nil, err
	}
	if r.Call != nil {
		e.call = account.EncodeCall(r.Call, "") // without the provider's id of the request: only a settlement brings that
	}
	if err := t.insert(e); err != nil {
		return nil, err
	}
	return e, t.name(r.Lines, states)
}

// conflict reports why a reservation with the id of an entry can't be a repeat of it: the entry is resolved, or was made by another owner, for
// other amounts or in other accounts. nil means that it is a repeat, and pending.
func (e *entry) conflict(r *driver.Reservation) error {
	if e.state != driver.Pending {
		return driver.ErrResolved
	}
	same := func(b booking, l driver.Line) bool { return b.account == l.Account && b.unit == l.Unit }
	if e.owner != r.Owner || e.reserved != r.Charge || !slices.EqualFunc(e.bookings, r.Lines, same) {
		return driver.ErrIDConflict
	}
	return nil
}

// check finds the lines without room: those that refuse, and separately the observe-only ones, which refuse only with RefuseObserved. It writes
// nothing but latches.
func (t *tx) check(r driver.Reservation, states []state) (d driver.Decision, err error) {
	for i := range r.Lines {
		line, state := &r.Lines[i], &states[i]
		amount, b := r.Charge[line.Unit], state.Balance
		// state.overflow says that Settled or Pending, which are sums of buckets, have overflowed.
		used, overflow := add(b.Settled, b.Pending, state.overflow)
		need, overflow := add(used, amount, overflow)
		if overflow {
			return driver.Decision{}, driver.ErrOverflow
		}
		if !b.Latched && need <= b.Max {
			continue
		}
		// If the amount alone is larger than Max, it never fits, and ResetAfter stays 0. Otherwise ResetAfter is the time until need-b.Max has left the
		// window and the latch is open, or 0 if waiting never helps.
		if amount <= b.Max {
			b.ResetAfter = state.wait(line.Window, t.now, need-b.Max)
		}
		if line.Observe && !r.RefuseObserved {
			d.Observed = append(d.Observed, driver.Denial{Line: i, Balance: b})
		} else {
			d.Denied = append(d.Denied, driver.Denial{Line: i, Balance: b})
		}
	}
	return d, t.latch(&d, &r)
}

// latch closes the latches of the lines without room, which keep the accounts closed until the window ends. If some lines refuse, the observe-only
// ones are removed from the decision, and their latches stay as they are.
func (t *tx) latch(d *driver.Decision, r *driver.Reservation) error {
	full := d.Denied
	if len(full) == 0 {
		full = d.Observed
	} else {
		d.Observed = nil
	}
	for _, of := range full {
		line := &r.Lines[of.Line]
		// A Tentative caller asks again for less after a refusal. With of.Latched the latch is closed already, and stays so for as long as before.
		if !line.Latch || r.Tentative || of.Latched {
			continue
		}
		if err := t.exec(sqlLatch, line.Account[:], windowEnd(line.Window.At(t.now), t.now.UnixNano())); err != nil {
			return err
		}
	}
	return nil
}

// windowEnd returns until when a latch that closes now stays closed, or a threshold that is reported now is not reported again: the end of a calendar
// window, or one length from now for a rolling one. span is where now lies in the window.
func windowEnd(span driver.Span, now int64) int64 {
	if span.Start == span.Since { // only the present bucket counts: it is a calendar window
		return span.End
	}
	length := span.Start - span.Since // of a rolling window, whose oldest bucket that counts begins at Since
	return now + length
}
