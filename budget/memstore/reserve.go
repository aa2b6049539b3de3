package memstore

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// entry is one reservation. It needs no memory beside its own, because every call leaves one behind for the retention.
type entry struct {
	id         budget.ID
	owner      budget.Key
	state      budget.State
	estimated  bool
	orphan     bool
	tombstone  bool // voided before it was made, so that nobody knows where it would have been booked
	reserved   budget.Charge
	actual     budget.Charge
	lines      []booking
	few        [3]booking // holds lines, as far as it is long enough
	reservedAt int64
	resolvedAt int64
	expiresAt  int64

	heapIndex   int    // in Store.expiries, while pending
	older, next *entry // in Store.resolved, once it is not
}

// entriesAtOnce is how many entries are allocated together. They are made and forgotten in about the same order.
const entriesAtOnce = 32

// entry returns an empty entry.
func (s *Store) entry() *entry {
	if len(s.spare) == 0 {
		s.spare = make([]entry, entriesAtOnce)
	}
	e := &s.spare[0]
	s.spare = s.spare[1:]
	return e
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
		if err := s.conflict(e, &r); err != nil {
			return budget.Decision{}, err
		}
	}
	if k := s.killed(r.Dims); k != nil {
		return budget.Decision{Killed: k}, nil
	}
	if e != nil {
		return budget.Decision{Admitted: true, Replayed: true, ExpiresAt: time.Unix(0, e.expiresAt)}, nil
	}
	var room [8]place
	places, d, err := s.check(&r, room[:0], now)
	if err == nil && d.Denied == nil {
		d.Admitted, d.ExpiresAt = true, s.admit(&r, places, now)
	}
	return d, err
}

// conflict reports why an id that is known can't be reserved again.
func (s *Store) conflict(e *entry, r *budget.Reservation) error {
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
// nothing but a latch. It appends to room where the lines would be booked.
func (s *Store) check(r *budget.Reservation, room []place, now time.Time) (places []place, d budget.Decision, err error) {
	places = room
	for i := range r.Lines {
		line, amount := &r.Lines[i], r.Charge[r.Lines[i].Unit]
		places = append(places, s.place(line, now))
		a, span := places[i].account, &places[i].span
		b, overflow := a.balance(line, span, now, amount)
		if overflow {
			return nil, budget.Decision{}, budget.ErrOverflow
		}
		need := b.Settled + b.Pending + amount
		if need <= b.Max && !b.Latched {
			continue
		}
		if amount <= b.Max { // so Max is not negative, and the difference does not wrap
			b.ResetAfter = a.wait(line.Window, span, now, need-b.Max)
		}
		if line.Observe {
			d.Observed = append(d.Observed, budget.Denial{Line: i, Balance: b})
			continue
		}
		if line.Latch && !r.Tentative && !b.Latched {
			s.open(line.Account).latchedUntil = passed(*span, now.UnixNano())
		}
		return nil, budget.Decision{Denied: &budget.Denial{Line: i, Balance: b}}, nil
	}
	return places, d, nil
}

// admit books a reservation that was checked, and returns when it expires.
func (s *Store) admit(r *budget.Reservation, places []place, now time.Time) time.Time {
	at := now.UnixNano()
	e := s.entry()
	e.id, e.owner, e.state, e.reserved, e.reservedAt = r.ID, r.Owner, budget.Pending, r.Charge, at
	if e.expiresAt = at + int64(max(r.TTL, 0)); e.expiresAt < at {
		e.expiresAt = math.MaxInt64
	}
	s.book(e, r.Lines, places)
	s.entries[r.ID] = e
	s.expiries.push(e)
	return time.Unix(0, e.expiresAt)
}

// book notes where an entry is booked, makes what is missing of that, and adds what the entry holds pending.
func (s *Store) book(e *entry, lines []budget.Line, places []place) {
	e.lines = e.few[:0]
	for i := range lines {
		a, unit := places[i].account, lines[i].Unit
		if a == nil {
			a = s.open(lines[i].Account)
		}
		a.bucket(&places[i].span).pending += e.reserved[unit]
		e.lines = append(e.lines, booking{a, places[i].span.Start, unit})
	}
}
