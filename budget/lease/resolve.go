package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Settle implements Store. The truth about a call in a lease is booked in the lease, without I/O; the store inside learns
// it when the lease is given back. It is told at once, and the settlement fails if it can't be, when the truth is more than
// the store inside has set aside.
func (s *Store) Settle(ctx context.Context, st budget.Settlement) (budget.Posting, error) {
	if err := st.Validate(); err != nil {
		return budget.Posting{}, err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return budget.Posting{}, err
	}
	c := s.calls[st.ID]
	if c == nil || c.lease == nil {
		done := s.noted(st.ID)
		s.mu.Unlock()
		defer done(nil)
		return s.settleDirect(ctx, st)
	}
	if len(st.Shares) > 0 {
		s.mu.Unlock()
		return budget.Posting{}, errShares
	}
	before := *c
	p, err := s.settleLocal(c, st, now)
	if err == nil && c.state == budget.Voided {
		s.mu.Unlock()
		return s.settleVoided(ctx, c, st)
	}
	booked := *c
	s.mu.Unlock()
	if err != nil {
		return budget.Posting{}, err
	}
	crossed, err := s.giveBackIfDue(ctx, c.lease, true)
	if err != nil {
		s.unbook(c, before, booked, err)
		return budget.Posting{}, err
	}
	p.Crossed = append(p.Crossed, crossed...)
	return p, nil
}

// errShares says that what a call inside of a lease took can't be divided among others: shares are how a lease itself is told.
var errShares = fmt.Errorf("%w: a call inside of a lease has no shares", budget.ErrInvalidCharge)

// settleLocal books a settlement in its lease. Requires mu held.
func (s *Store) settleLocal(c *call, st budget.Settlement, now time.Time) (budget.Posting, error) {
	switch {
	case c.owner != st.Owner:
		return budget.Posting{}, budget.ErrIDConflict
	case c.state == budget.Voided:
		return budget.Posting{}, nil
	case c.state == budget.Settled && c.actual() == st.Actual:
		return budget.Posting{Replayed: true, From: budget.Settled}, nil
	case c.state == budget.Settled:
		return budget.Posting{}, budget.ErrResolved
	}
	p := budget.Posting{From: c.state}
	err := s.book(c, budget.Settled, st.Actual, st.Estimated, now)
	if err == nil && st.Reference != "" { // a call is settled once, so that nothing stands there yet
		c.packed += st.Reference
	}
	return p, err
}

// book resolves a call: what it had pending or settled is taken out of its lease, and actual stands in its place. Requires
// mu held.
func (s *Store) book(c *call, state budget.State, actual budget.Charge, estimated bool, now time.Time) error {
	l := c.lease
	reserved, before, reference := unpack(c.packed)
	settled, pending := minus(l.settled, before), l.pending
	if c.state == budget.Pending {
		pending = minus(pending, reserved)
	}
	u := l.use(c.whose.UsageKey())
	used, waits := minus(u.settled, before), u.pending
	if c.state == budget.Pending {
		waits = minus(waits, reserved)
	}
	settled, ok := settled.Plus(actual)
	if _, fits := settled.Plus(pending); !ok || !fits {
		return budget.ErrOverflow
	}
	if c.state == budget.Pending {
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

// unbook takes a booking back that the store inside refused as too large, so that nothing has changed; after any other
// error it stands, and is told again.
func (s *Store) unbook(c *call, before, booked call, err error) {
	if !refused(err) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.state != booked.state || c.packed != booked.packed {
		return // somebody else has booked something since
	}
	l := c.lease
	l.settled, _ = minus(l.settled, c.actual()).Plus(before.actual())
	u := l.use(c.whose.UsageKey())
	u.settled, _ = minus(u.settled, c.actual()).Plus(before.actual())
	if before.state == budget.Pending && c.state != budget.Pending {
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

// giveBackIfDue gives a lease back if it is over, or if the settlement of a call in it has to be posted in the store inside now.
// An error is returned only if the store inside holds less than the lease needs; otherwise the background tries again.
func (s *Store) giveBackIfDue(ctx context.Context, l *lease, report bool) ([]budget.Crossing, error) {
	s.mu.Lock()
	uncovered := l.uncovered()
	due := report && l.thresholdDue(s.now())
	if due {
		s.closeLease(l, s.now()) // else calls that overlap would keep it open
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

// settleDirect settles what is the store's own: a call that went direct, or one that nobody knows. Requires that it is noted.
func (s *Store) settleDirect(ctx context.Context, st budget.Settlement) (budget.Posting, error) {
	p, err := s.inner.Settle(ctx, st)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roomMade++
	reserved := s.calls[st.ID].reserved()
	if _, beyond := st.Actual.Exceeds(&reserved); beyond { // or an orphan, which was never reserved
		s.shutOn(st.Lines)
	}
	return p, err
}

// shutOn ends the admissions of this process's leases on the accounts of these lines, because more was posted than had been
// set aside: the account may stand beyond its Max, and then nothing may be admitted, not even what is leased. No lines stand
// for all accounts. Requires mu held.
func (s *Store) shutOn(lines []budget.Line) {
	for l := range s.live {
		if !l.at.IsZero() && (lines == nil || l.touches(lines)) {
			s.closeLease(l, s.now())
		}
	}
}

// settleVoided posts what a call consumed that was voided in its lease, as an orphan, in the windows of now.
func (s *Store) settleVoided(ctx context.Context, c *call, st budget.Settlement) (budget.Posting, error) {
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
		p.From = budget.Voided
	}
	return p, nil
}

// freed notes that there may be room again.
func (s *Store) freed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roomMade++
}

// Void implements Store.
func (s *Store) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	c := s.calls[id]
	if c == nil || c.lease == nil {
		done := s.noted(id)
		s.mu.Unlock()
		defer done(nil)
		defer s.freed()
		return s.inner.Void(ctx, id, owner)
	}
	switch {
	case c.owner != owner:
		err = budget.ErrIDConflict
	case c.state == budget.Pending:
		err = s.book(c, budget.Voided, budget.Charge{}, false, now)
	case c.state != budget.Voided:
		err = budget.ErrResolved
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = s.giveBackIfDue(ctx, c.lease, false)
	return err
}

// Correct implements Store. A call that was resolved inside a lease is found for Options.Retention, and in the process
// that made it; after that the lease's own entry stands for all of its calls together, and ErrNotFound says so.
func (s *Store) Correct(ctx context.Context, to budget.Correction) (budget.Posting, error) {
	if err := to.Validate(); err != nil {
		return budget.Posting{}, err
	}
	id, actual, change := to.ID, to.Actual, to.Change
	now, err := s.lock(ctx)
	if err != nil {
		return budget.Posting{}, err
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
		if errors.Is(err, budget.ErrNotFound) && !known {
			err = fmt.Errorf("%w: if it was resolved inside a lease, by another process or more than %s ago, correct the lease's entry by the difference", budget.ErrNotFound, s.retention)
		}
		return p, err
	}
	if len(to.Shares) > 0 {
		s.mu.Unlock()
		return budget.Posting{}, errShares
	}
	p, before := budget.Posting{From: c.state}, *c
	fresh, superseded := s.judge(c, change)
	switch {
	case c.state == budget.Pending:
		p, err, fresh = budget.Posting{}, budget.ErrNotFound, false
	case superseded != nil:
		p, err = budget.Posting{}, superseded
	case !fresh || c.actual() == actual && !c.estimated:
		p.Replayed = true
	default:
		err = s.book(c, budget.Settled, actual, false, now)
	}
	if fresh && err == nil {
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
		return budget.Posting{}, err
	}
	return p, nil
}

// Expire implements Store. It charges calls in leases as the store inside charges its own, and gives leases back that are
// over, so that none of this process's lapses.
func (s *Store) Expire(ctx context.Context, limit int) (int, error) {
	now, err := s.lock(ctx)
	if err != nil {
		return 0, err
	}
	charged := s.expireCalls(now, limit)
	s.mu.Unlock()
	failed := s.giveBackOver(ctx, now, limit) // one that can't be keeps no other from being charged
	if charged >= limit {
		return charged, failed
	}
	n, err := s.inner.Expire(ctx, limit-charged)
	if n > 0 {
		s.freed()
	}
	return charged + n, errors.Join(failed, err)
}

// expireCalls charges up to limit calls whose time is up. Requires mu held.
func (s *Store) expireCalls(now time.Time, limit int) (charged int) {
	for l := range s.live {
		if l.inFlight == 0 {
			continue
		}
		for _, c := range l.calls {
			if charged < limit && c.state == budget.Pending && now.Sub(l.sent) >= c.moment && s.book(c, budget.Expired, c.reserved(), true, now) == nil {
				charged++
			}
		}
	}
	return charged
}

// giveBackOver gives back up to most leases that admit no more calls, by now: at once those with nothing in flight; the
// others once they are overdue.
func (s *Store) giveBackOver(ctx context.Context, now time.Time, most int) error {
	over := s.liveLeases(func(l *lease) bool {
		if !l.at.IsZero() && !now.Before(l.until) { // else it is being drawn
			s.closeLease(l, now)
		}
		return l.closed && (l.inFlight == 0 || s.overdue(l, now))
	})
	if len(over) > most {
		over = over[:max(most, 0)]
		s.wakeBackground() // for the rest
	}
	_, err := s.giveBackAll(ctx, over)
	return err
}
