package memstore

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// entry is one reservation. All of it is in one allocation, because every call leaves one behind, which is kept for the store's retention. Times
// are in nanoseconds since 1970 UTC.
type entry struct {
	id         driver.ID
	owner      driver.Key // the ledger that reserved it
	state      driver.State
	estimated  bool          // actual is the worst case, because nobody knows what the call cost
	orphan     bool          // posted by a Settle that found nothing pending
	call       *driver.Call  // the scope and the operation; nil if they are not known
	reference  string        // the provider's id of the request; empty if it is not known
	tombstone  bool          // left by a Void that came before the Reserve, so that the accounts are not known
	reserved   driver.Charge // the worst case
	actual     driver.Charge // what is posted
	lines      []booking     // where it counts
	few        [3]booking    // memory for lines, if these are few
	uses       []use         // what it has added to rows of usage
	shared     bool          // uses come from the shares of a settlement or correction, not from the call
	oneUse     [1]use        // memory for uses, if there is one
	reservedAt int64
	resolvedAt int64 // zero while pending
	expiresAt  int64

	heapIndex   int    // index in Store.expiries, while pending
	older, next *entry // neighbours in Store.resolved, once it is resolved
}

// entriesAtOnce is how many entries are allocated together. They are used and forgotten in about the same order.
const entriesAtOnce = 32

// entry returns an unused entry.
func (s *Store) entry() *entry {
	if len(s.spare) == 0 {
		s.spare = make([]entry, entriesAtOnce)
	}
	e := &s.spare[0]
	s.spare = s.spare[1:]
	return e
}

// Reserve implements driver.Store. An id that is known is judged first, then kill flags, then room.
func (s *Store) Reserve(ctx context.Context, r driver.Reservation) (d driver.Decision, err error) {
	if err := r.Validate(); err != nil {
		return d, err
	}
	now, err := s.lockSums(ctx)
	if err != nil {
		return d, err
	}
	defer s.mu.Unlock()
	e := s.entries.find(&r.ID)
	if e != nil {
		if err := s.conflict(e, &r); err != nil {
			return d, err
		}
	}
	if d.Killed = s.kills.killed(&r, now); d.Killed != nil {
		return d, nil
	}
	if e != nil { // a repeat of a reservation that is pending
		return driver.Decision{Admitted: true, Replayed: true, ExpiresAt: time.Unix(0, e.expiresAt)}, nil
	}
	var memory [4]accountSpan // enough for most calls, so that nothing is allocated
	spans, err := s.check(&d, &r, memory[:0], now)
	if err == nil && len(d.Denied) == 0 {
		d.Admitted, d.ExpiresAt = true, s.admit(&r, spans, now)
	}
	return d, err
}

// conflict reports why the id of an entry can't be reserved again; nil if the entry is the same reservation, and pending.
func (s *Store) conflict(e *entry, r *driver.Reservation) error {
	if e.state != driver.Pending {
		return driver.ErrResolved
	}
	same := func(b booking, l driver.Line) bool { return b.account == s.find(&l.Account) && b.unit == l.Unit }
	if e.owner != r.Owner || e.reserved != r.Charge || !slices.EqualFunc(e.lines, r.Lines, same) {
		return driver.ErrIDConflict
	}
	return nil
}

// check finds the lines without room and adds them to d: those that refuse to d.Denied, and the observe-only ones to d.Observed. It closes the
// latches of lines without room, and changes nothing else. It returns spans with, for each line, where it would be booked.
func (s *Store) check(d *driver.Decision, r *driver.Reservation, spans []accountSpan, now int64) ([]accountSpan, error) {
	for i := range r.Lines {
		line, amount := &r.Lines[i], r.Charge[r.Lines[i].Unit]
		spans = append(spans, s.spanOf(line, now))
		a, span := spans[i].account, &spans[i].span
		// An account of nil, in which nothing was booked yet, has an empty balance.
		b, overflow := a.balance(line, span, now, amount)
		if overflow {
			d.Observed = nil // they are only reported for an admitted call
			return nil, driver.ErrOverflow
		}
		if b.Settled+b.Pending+amount > b.Max || b.Latched {
			s.addFull(d, r, i, b, span, now)
		}
	}
	if len(d.Denied)+len(d.Observed) > 0 {
		s.latch(d, r, spans, now)
	}
	return spans, nil
}

// addFull adds the line i of a reservation, which has no room, to d.Denied or d.Observed. b is the balance of its account.
func (s *Store) addFull(d *driver.Decision, r *driver.Reservation, i int, b driver.Balance, span *driver.Span, now int64) {
	line, amount := &r.Lines[i], r.Charge[r.Lines[i].Unit]
	// An amount beyond the Max never has room: then ResetAfter stays zero.
	if amount <= b.Max { // then Max is not negative, and the difference can't overflow
		b.ResetAfter = s.find(&line.Account).wait(line.Window, span, now, b.Settled+b.Pending+amount-b.Max)
	}
	if line.Observe && !r.RefuseObserved {
		d.Observed = append(d.Observed, driver.Denial{Line: i, Balance: b})
		return
	}
	d.Denied = append(d.Denied, driver.Denial{Line: i, Balance: b})
}

// latch closes the latches of the lines that refuse, unless the reservation is tentative. Of a refusal it removes the observe-only lines. If no line
// refuses, it closes the latches of the observe-only lines instead. A latch that is closed already keeps its end.
func (s *Store) latch(d *driver.Decision, r *driver.Reservation, spans []accountSpan, now int64) {
	full := d.Denied
	if len(full) == 0 {
		full = d.Observed
	} else {
		d.Observed = nil
	}
	for _, of := range full {
		if line := &r.Lines[of.Line]; line.Latch && !r.Tentative && !of.Latched {
			s.open(line.Account).latchedUntil = windowPassed(spans[of.Line].span, now)
		}
	}
}

// admit books a reservation that was checked, and returns when it expires.
func (s *Store) admit(r *driver.Reservation, spans []accountSpan, now int64) time.Time {
	e := s.entry()
	e.id, e.owner, e.state, e.reserved, e.reservedAt, e.call = r.ID, r.Owner, driver.Pending, r.Charge, now, r.Call
	if e.expiresAt = now + int64(max(r.TTL, 0)); e.expiresAt < now { // the sum has wrapped
		e.expiresAt = math.MaxInt64
	}
	s.book(e, r.Lines, spans)
	s.entries.put(e)
	s.expiries.push(e)
	return time.Unix(0, e.expiresAt)
}

// book stores where an entry is booked, makes missing accounts and buckets, and adds the reserved amounts to pending.
func (s *Store) book(e *entry, lines []driver.Line, spans []accountSpan) {
	e.lines = e.few[:0] // so that a few lines need no further memory
	for i := range lines {
		a, unit := spans[i].account, lines[i].Unit
		if a == nil {
			a = s.open(lines[i].Account)
		}
		if a.limit == "" { // the first line with a name gives the account its name
			a.limit, a.scope = lines[i].Limit, lines[i].Scope
		}
		a.bucket(&spans[i].span, s.retention).pending += e.reserved[unit]
		e.lines = append(e.lines, booking{a, spans[i].span.Start, unit})
	}
}
