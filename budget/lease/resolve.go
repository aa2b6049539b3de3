package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Settle implements Store. What a call in a lease cost is booked in the lease, without I/O; the store inside learns it when the lease is
// given back. If the cost exceeds what the store inside has reserved for the lease, the store inside is told at once, and if that fails, so
// does the settlement.
func (s *Store) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	if err := st.Validate(); err != nil {
		return driver.Posting{}, err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return driver.Posting{}, err
	}
	c := s.calls[st.ID]
	servedFromLease := c != nil && c.lease != nil
	if !servedFromLease {
		end := s.beginDirect(st.ID)
		s.mu.Unlock()
		defer end(nil)
		return s.settleDirect(ctx, st)
	}
	if len(st.Shares) > 0 {
		s.mu.Unlock()
		return driver.Posting{}, errShares
	}
	before := *c
	p, err := s.settleLocal(c, st, now)
	if err == nil && c.state == driver.Voided {
		s.mu.Unlock()
		return s.settleVoided(ctx, c, st)
	}
	booked := *c
	s.mu.Unlock()
	if err != nil {
		return driver.Posting{}, err
	}
	crossed, err := s.giveBackIfDue(ctx, c.lease, true)
	if err != nil {
		s.unbook(c, before, booked, err)
		return driver.Posting{}, err
	}
	p.Crossed = append(p.Crossed, crossed...)
	return p, nil
}

// errShares says that a settlement of a call inside a lease must not name Shares: only leases themselves are settled with them.
var errShares = fmt.Errorf("%w: a call inside of a lease has no shares", driver.ErrInvalidCharge)

// settleLocal books a settlement in its lease. Requires mu held.
func (s *Store) settleLocal(c *call, st driver.Settlement, now time.Time) (driver.Posting, error) {
	switch {
	case c.owner != st.Owner:
		return driver.Posting{}, driver.ErrIDConflict
	case c.state == driver.Voided:
		return driver.Posting{}, nil
	case c.state == driver.Settled && c.actual() == st.Actual:
		return driver.Posting{Replayed: true, From: driver.Settled}, nil
	case c.state == driver.Settled:
		return driver.Posting{}, driver.ErrResolved
	}
	p := driver.Posting{From: c.state}
	err := s.book(c, driver.Settled, st.Actual, st.Estimated, now)
	if err == nil && st.Reference != "" { // a call is settled once, so that there is no reference yet
		c.packed += st.Reference
	}
	return p, err
}

// book resolves a call: it takes the call's pending or settled amount out of its lease and adds the actual one. Requires mu held.
func (s *Store) book(c *call, state driver.State, actual driver.Charge, estimated bool, now time.Time) error {
	l := c.lease
	reserved, before, reference := unpack(c.packed)
	settled, pending := minus(l.settled, before), l.pending
	if c.state == driver.Pending {
		pending = minus(pending, reserved)
	}
	u := l.use(c.whose.UsageKey())
	used, waits := minus(u.settled, before), u.pending
	if c.state == driver.Pending {
		waits = minus(waits, reserved)
	}
	settled, ok := settled.Plus(actual)
	if _, fits := settled.Plus(pending); !ok || !fits {
		return driver.ErrOverflow
	}
	if c.state == driver.Pending {
		l.inFlight--
	}
	if c.estimated {
		l.estimates--
	}
	if estimated {
		l.estimates++
	}
	l.settled, l.pending = settled, pending
	u.settled, _ = used.Plus(actual)
	u.pending = waits
	c.state, c.packed, c.estimated, c.moment = state, pack(reserved, actual)+reference, estimated, now.Sub(l.sent)
	s.roomMade++
	return nil
}

// unbook undoes a booking that the store inside refused as too large. After any other error the booking stays, and the store inside is told
// again later.
func (s *Store) unbook(c *call, before, booked call, err error) {
	if !refused(err) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.state != booked.state || c.packed != booked.packed {
		return // the call has been booked again since
	}
	l := c.lease
	l.settled, _ = minus(l.settled, c.actual()).Plus(before.actual())
	u := l.use(c.whose.UsageKey())
	u.settled, _ = minus(u.settled, c.actual()).Plus(before.actual())
	if before.state == driver.Pending && c.state != driver.Pending {
		l.pending, _ = l.pending.Plus(c.reserved())
		u.pending, _ = u.pending.Plus(c.reserved())
		l.inFlight++
	}
	if c.estimated {
		l.estimates--
	}
	if before.estimated {
		l.estimates++
	}
	c.state, c.packed, c.estimated, c.moment = before.state, before.packed, before.estimated, before.moment
}

// giveBackIfDue gives a lease back if it has ended, or if the store inside has to know of a settlement at once. It returns an error only if
// the store inside has less reserved than the lease needs; after other errors the background work tries again.
func (s *Store) giveBackIfDue(ctx context.Context, l *lease, report bool) ([]driver.Crossing, error) {
	s.mu.Lock()
	uncovered := l.uncovered()
	due := report && l.thresholdDue(s.now())
	if due {
		s.closeLease(l, s.now()) // calls that overlap would keep it open for ever
	}
	if uncovered {
		s.shutOn(l.lines)
	}
	over := l.closed && (l.inFlight == 0 || s.idleAndWanted(l, s.now()))
	if over {
		s.live[l] = struct{}{}
	}
	s.mu.Unlock()
	if !over && !uncovered {
		return nil, nil
	}
	crossed, err := s.giveBack(ctx, l, report)
	if !uncovered {
		err = nil
	}
	return crossed, err
}

// settleDirect settles a call that was sent to the store inside, or one that nobody knows. Requires that beginDirect was called for its id.
func (s *Store) settleDirect(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	p, err := s.inner.Settle(ctx, st)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roomMade++
	reserved := s.calls[st.ID].reserved()
	if _, beyond := st.Actual.Exceeds(&reserved); beyond { // more than was reserved, or an orphan, for which nothing was
		s.shutOn(st.Lines)
	}
	return p, err
}

// shutOn closes this process's leases on the accounts of these lines, because more was posted there than had been reserved: the account may
// be beyond its Max, and then not even a leased amount may be spent. Without lines it closes all leases. Requires mu held.
func (s *Store) shutOn(lines []driver.Line) {
	for l := range s.live {
		if !l.at.IsZero() && (lines == nil || l.touches(lines)) {
			s.closeLease(l, s.now())
		}
	}
}

// settleVoided posts the cost of a call that was voided in its lease as an orphan, in the windows of the present time.
func (s *Store) settleVoided(ctx context.Context, c *call, st driver.Settlement) (driver.Posting, error) {
	p, err := s.inner.Settle(ctx, st)
	if err != nil {
		return p, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roomMade++
	s.shutOn(st.Lines)
	if s.calls[c.id] == c {
		s.calls[c.id] = &call{id: c.id, kept: true}
		s.notes = append(s.notes, note{c.id, s.now()})
	}
	if !p.Replayed {
		p.From = driver.Voided
	}
	return p, nil
}

// freed records that there may be room again, so that remembered denials are no longer repeated.
func (s *Store) freed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roomMade++
}

// Void implements Store. A call that was served from a lease is voided in memory, and its lease is given back if that is due now. Any other
// call is voided in the store inside.
func (s *Store) Void(ctx context.Context, id driver.ID, owner driver.Key) error {
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	c := s.calls[id]
	servedFromLease := c != nil && c.lease != nil
	if !servedFromLease {
		end := s.beginDirect(id)
		s.mu.Unlock()
		defer end(nil)
		defer s.freed()
		return s.inner.Void(ctx, id, owner)
	}
	switch {
	case c.owner != owner:
		err = driver.ErrIDConflict
	case c.state == driver.Pending:
		err = s.book(c, driver.Voided, driver.Charge{}, false, now)
	case c.state != driver.Voided:
		err = driver.ErrResolved
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = s.giveBackIfDue(ctx, c.lease, false)
	return err
}

// Correct implements Store. A call that was resolved inside a lease can be corrected for Options.Retention, in the process that made it.
// After that only the lease's own entry is left, which stands for all of its calls, and Correct returns ErrNotFound.
func (s *Store) Correct(ctx context.Context, to driver.Correction) (driver.Posting, error) {
	if err := to.Validate(); err != nil {
		return driver.Posting{}, err
	}
	id, actual, change := to.ID, to.Actual, to.Change
	now, err := s.lock(ctx)
	if err != nil {
		return driver.Posting{}, err
	}
	c := s.calls[id]
	if c == nil || c.lease == nil {
		known := c != nil
		s.mu.Unlock()
		to.Change = innerChange(change)
		p, err := s.inner.Correct(ctx, to)
		s.mu.Lock()
		s.roomMade++
		s.shutOn(nil)
		s.mu.Unlock()
		if errors.Is(err, driver.ErrNotFound) && !known { // it may be inside a lease of which this process knows nothing
			err = fmt.Errorf("%w: if it was resolved inside a lease, by another process or more than %s ago, correct the lease's entry by the difference", driver.ErrNotFound, s.retention)
		}
		return p, err
	}
	if len(to.Shares) > 0 {
		s.mu.Unlock()
		return driver.Posting{}, errShares
	}
	p, before := driver.Posting{From: c.state}, *c // before: to undo the correction if the store inside refuses it
	isNew, superseded := s.judge(c, change)
	alreadySo := c.actual() == actual && !c.estimated
	switch {
	case c.state == driver.Pending:
		p, err, isNew = driver.Posting{}, driver.ErrNotFound, false
	case superseded != nil:
		p, err = driver.Posting{}, superseded
	case !isNew || alreadySo:
		p.Replayed = true
	default:
		err = s.book(c, driver.Settled, actual, false, now)
	}
	if isNew && err == nil {
		s.noteChange(c, change)
	}
	l, booked := c.lease, *c
	if l.uncovered() {
		s.shutOn(l.lines)
	}
	told := l.allSettled() || l.uncovered()
	if told {
		s.live[l] = struct{}{}
	}
	s.mu.Unlock()
	if err != nil || !told {
		return p, err
	}
	if _, err = s.giveBack(ctx, l, false); err != nil {
		s.unbook(c, before, booked, err)
		return driver.Posting{}, err
	}
	return p, nil
}

// Expire implements Store. It charges expired calls in leases as the store inside does with its own, and gives back leases that have ended,
// so that none of them expires.
func (s *Store) Expire(ctx context.Context, limit int) (int, error) {
	now, err := s.lock(ctx)
	if err != nil {
		return 0, err
	}
	charged := s.expireCalls(now, limit)
	s.mu.Unlock()
	failed := s.giveBackEnded(ctx, now, limit) // a lease that can't be given back must not keep others from being charged
	if charged >= limit {
		return charged, failed
	}
	n, err := s.inner.Expire(ctx, limit-charged)
	if n > 0 {
		s.freed()
	}
	return charged + n, errors.Join(failed, err)
}

// expireCalls charges up to limit calls that have expired. Requires mu held.
func (s *Store) expireCalls(now time.Time, limit int) (charged int) {
	for l := range s.live {
		if l.inFlight == 0 {
			continue
		}
		for _, c := range l.calls {
			if charged < limit && c.state == driver.Pending && now.Sub(l.sent) >= c.moment && s.book(c, driver.Expired, c.reserved(), true, now) == nil {
				charged++
			}
		}
	}
	return charged
}

// giveBackEnded gives back up to limit leases that have ended: those without calls in flight at once, the others when they are overdue.
func (s *Store) giveBackEnded(ctx context.Context, now time.Time, limit int) error {
	over := s.liveLeases(func(l *lease) bool {
		if !l.at.IsZero() && !now.Before(l.until) { // a lease without a time is still being drawn
			s.closeLease(l, now)
		}
		return l.closed && (l.inFlight == 0 || s.overdue(l, now))
	})
	if len(over) > limit {
		over = over[:max(limit, 0)]
		s.wakeBackground() // for the rest
	}
	_, err := s.giveBackAll(ctx, over)
	return err
}
