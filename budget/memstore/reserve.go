package memstore

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// entry is one reservation.
type entry struct {
	owner      budget.Key
	state      budget.State
	estimated  bool
	orphan     bool
	tombstone  bool // voided before it was made, so that nobody knows where it would have been booked
	reserved   budget.Charge
	actual     budget.Charge
	lines      []booking
	reservedAt int64
	resolvedAt int64
	expiresAt  int64
}

// Reserve implements budget.Store. An id that is known is judged first, then kill flags, then room.
func (s *Store) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	if err := r.Validate(); err != nil {
		return budget.Decision{}, err
	}
	now, err := s.begin(ctx)
	if err != nil {
		return budget.Decision{}, err
	}
	defer s.mu.Unlock()
	e := s.entries[r.ID]
	if e != nil {
		if err := s.conflict(e, r); err != nil {
			return budget.Decision{}, err
		}
	}
	if k := s.killed(r.Dims); k != nil {
		return budget.Decision{Killed: k}, nil
	}
	if e != nil {
		return budget.Decision{Admitted: true, Replayed: true, ExpiresAt: time.Unix(0, e.expiresAt)}, nil
	}
	var stack [8]budget.Span
	spans := stack[:0]
	for i := range r.Lines {
		spans = append(spans, r.Lines[i].Window.At(now))
	}
	d, err := s.check(r, spans, now)
	if err != nil || d.Denied != nil {
		return d, err
	}
	d.Admitted, d.ExpiresAt = true, s.admit(r, spans, now)
	return d, nil
}

// conflict reports why an id that is known can't be reserved again.
func (s *Store) conflict(e *entry, r budget.Reservation) error {
	if e.state != budget.Pending {
		return budget.ErrResolved
	}
	same := func(b booking, l budget.Line) bool { return b.account == s.accounts[l.Account] && b.unit == l.Unit }
	if e.owner != r.Owner || e.reserved != r.Charge || !slices.EqualFunc(e.lines, r.Lines, same) {
		return budget.ErrIDConflict
	}
	return nil
}

// check finds the first line, in order, that refuses or overflows, and the observe-only ones without room. It changes
// nothing but a latch.
func (s *Store) check(r budget.Reservation, spans []budget.Span, now time.Time) (d budget.Decision, err error) {
	for i := range r.Lines {
		line := &r.Lines[i]
		a, amount := s.accounts[line.Account], r.Charge[line.Unit]
		b, overflow := a.balance(line, spans[i], now, amount)
		if overflow {
			return budget.Decision{}, budget.ErrOverflow
		}
		need := b.Settled + b.Pending + amount
		if need <= b.Max && !b.Latched {
			continue
		}
		if amount <= b.Max { // so Max is not negative, and the difference does not wrap
			b.ResetAfter = a.wait(line.Window, spans[i], now, need-b.Max)
		}
		if line.Observe {
			d.Observed = append(d.Observed, budget.Denial{Line: i, Balance: b})
			continue
		}
		if line.Latch && !r.Tentative && !b.Latched {
			s.open(line.Account).latchedUntil = passed(spans[i], now.UnixNano())
		}
		return budget.Decision{Denied: &budget.Denial{Line: i, Balance: b}}, nil
	}
	return d, nil
}

// admit books a reservation that was checked, and returns when it expires.
func (s *Store) admit(r budget.Reservation, spans []budget.Span, now time.Time) time.Time {
	at := now.UnixNano()
	e := &entry{owner: r.Owner, state: budget.Pending, reserved: r.Charge, reservedAt: at, expiresAt: at + int64(max(r.TTL, 0))}
	if e.expiresAt < at {
		e.expiresAt = math.MaxInt64
	}
	e.lines = s.book(r.Lines, spans)
	for i := range e.lines {
		e.lines[i].bucket().pending += r.Charge[e.lines[i].unit]
	}
	s.entries[r.ID] = e
	s.expiries.push(deadline{e.expiresAt, r.ID})
	return time.Unix(0, e.expiresAt)
}

// book says where lines are booked, and makes their accounts.
func (s *Store) book(lines []budget.Line, spans []budget.Span) []booking {
	bookings := make([]booking, len(lines))
	for i := range lines {
		bookings[i] = booking{account: s.open(lines[i].Account), unit: lines[i].Unit, start: spans[i].Start, end: spans[i].End}
	}
	return bookings
}
