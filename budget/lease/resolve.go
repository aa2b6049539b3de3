package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Calls in a lease (a share of limits that this process has drawn from the store inside) are resolved in memory. The lease's grants, which are its
// reservations in the store inside, are settled there when the lease is given back. Any other call is resolved in the store inside.

// Settle implements Store. What a call in a lease cost is booked in the lease, without I/O; the store inside learns it when the lease is given back.
// If the cost exceeds what the store inside has reserved for the lease, it is posted there at once, and the settlement returns the error if that
// fails.
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
	before := *c
	p, err := s.settleLocal(c, st, now)
	booked, voided := *c, c.state == driver.Voided
	s.mu.Unlock()
	switch {
	case err != nil:
		return driver.Posting{}, err
	case voided: // settleLocal has done nothing
		return s.settleVoided(ctx, c, st)
	}
	crossed, err := s.giveBackIfDue(ctx, c.lease, true)
	if err != nil {
		s.unbook(c, before, booked, err) // if the store inside has refused the amount
		return driver.Posting{}, err
	}
	p.Crossed = append(p.Crossed, crossed...)
	return p, nil
}

// errShares says that a settlement of a call inside a lease must not name Shares: only leases themselves are settled with them.
var errShares = fmt.Errorf("%w: a call inside of a lease has no shares", driver.ErrInvalidCharge)

// settleLocal books a settlement in its lease. For a voided call it does nothing: the caller then posts the cost in the store inside as an orphan,
// which is spend that nothing is reserved for. Requires mu held.
func (s *Store) settleLocal(c *call, st driver.Settlement, now time.Time) (driver.Posting, error) {
	switch {
	case len(st.Shares) > 0:
		return driver.Posting{}, errShares
	case c.owner != st.Owner:
		return driver.Posting{}, driver.ErrIDConflict
	case c.state == driver.Voided:
		return driver.Posting{}, nil
	case c.state == driver.Settled && c.actual() == st.Actual:
		return driver.Posting{Replayed: true, From: driver.Settled}, nil
	case c.state == driver.Settled:
		return driver.Posting{}, driver.ErrResolved
	}
	// The call is pending, or it has expired: then its worst case is posted, and book replaces it.
	p := driver.Posting{From: c.state}
	err := s.book(c, driver.Settled, st.Actual, st.Estimated, now)
	if err == nil && st.Reference != "" { // packed ends with the reference; a call is settled once, so that it has none yet
		c.packed += st.Reference
	}
	return p, err
}

// book resolves a call, or corrects one that is resolved. It takes the call's pending or settled amount out of the sums of its lease, and of the
// part of the lease with the call's scope (its leaseUse), and adds the actual amount. Requires mu held.
func (s *Store) book(c *call, state driver.State, actual driver.Charge, estimated bool, now time.Time) error {
	l := c.lease
	u := l.findUse(c.whose.UsageKey())
	reserved, posted, reference := unpack(c.packed) // posted is zero for a call in flight
	inFlight := c.state == driver.Pending
	ofLease, ofUse := l.callSums.without(inFlight, reserved, posted), u.callSums.without(inFlight, reserved, posted)
	settled, ok := ofLease.settled.Plus(actual)
	if _, fits := settled.Plus(ofLease.pending); !ok || !fits {
		return driver.ErrOverflow
	}
	ofLease.settled = settled
	ofUse.settled, _ = ofUse.settled.Plus(actual) // can't overflow: it is a part of the lease's sum
	l.callSums, u.callSums = ofLease, ofUse
	if inFlight {
		l.inFlight--
	}
	if c.estimated {
		l.estimates--
	}
	if estimated {
		l.estimates++
	}
	c.state, c.packed, c.estimated, c.moment = state, pack(reserved, actual)+reference, estimated, now.Sub(l.sent)
	s.roomMade++ // there may be room again, so that no remembered denial is repeated
	return nil
}

// unbook undoes a booking that the store inside refused as too large. before and booked are copies of the call from before and after the booking.
// After any other error the booking stays, and the store inside is told again later.
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
	u := l.findUse(c.whose.UsageKey())
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

// giveBackIfDue gives a lease back if it is closed and no call is in flight in it, or if others wish for its unused room, or if the store inside
// has less reserved than the lease needs (uncovered). It returns an error only in the last case; after other errors the background work tries
// again. With report set, it first closes a lease whose accounts have reached a threshold, and returns the thresholds that the store inside
// reports.
func (s *Store) giveBackIfDue(ctx context.Context, l *lease, report bool) ([]driver.Crossing, error) {
	due, uncovered := s.isDue(l, report)
	if !due && !uncovered {
		return nil, nil
	}
	crossed, err := s.giveBack(ctx, l, report)
	if !uncovered {
		err = nil
	}
	return crossed, err
}

// isDue reports, for giveBackIfDue, whether a lease has ended or others wish for its unused room (due), and whether the store inside has less
// reserved than the lease needs (uncovered). It closes the leases that must admit no more calls because of that.
func (s *Store) isDue(l *lease, report bool) (due, uncovered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	uncovered = l.uncovered()
	if report && l.thresholdDue(s.now()) {
		s.closeLease(l, s.now()) // else new calls could keep it in use, and the threshold would be reported late
	}
	if uncovered {
		s.closeLeasesOn(l.lines)
	}
	due = l.closed && (l.inFlight == 0 || s.idleAndWished(l, s.now()))
	if due {
		s.live[l] = struct{}{} // again, if it was given back before: the store inside has to learn the new amount
	}
	return due, uncovered
}

// settleDirect settles a call that was sent to the store inside, or one that nobody knows. Requires that beginDirect was called for its id.
func (s *Store) settleDirect(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	p, err := s.inner.Settle(ctx, st)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roomMade++ // there may be room again, so that no remembered denial is repeated
	// beginDirect has remembered the id. What was reserved is zero for a call that this process did not reserve.
	reserved := s.calls[st.ID].reserved()
	if _, beyond := st.Actual.Exceeds(&reserved); beyond { // more than was reserved, or an orphan, for which nothing was
		s.closeLeasesOn(st.Lines)
	}
	return p, err
}

// closeLeasesOn closes this process's leases on the accounts of these lines, because more was posted there than had been reserved: the account
// may be beyond its Max, and then not even a leased amount may be spent. Without lines it closes all leases. Requires mu held.
func (s *Store) closeLeasesOn(lines []driver.Line) {
	for l := range s.live {
		// A lease without a time is still being drawn.
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
	s.closeLeasesOn(st.Lines)
	if s.calls[c.id] == c { // from now on the store inside knows this id, and answers for it
		s.calls[c.id] = &call{id: c.id, kept: true}
		s.directCalls = append(s.directCalls, directCall{c.id, s.now()})
	}
	if !p.Replayed {
		// The void was never sent to the store inside, which takes the id for unknown and leaves From zero.
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
	} // a call that is voided already stays so, without an error
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
	now, err := s.lock(ctx)
	if err != nil {
		return driver.Posting{}, err
	}
	c := s.calls[to.ID]
	if c == nil || c.lease == nil {
		s.mu.Unlock()
		return s.correctDirect(ctx, to, c != nil)
	}
	if len(to.Shares) > 0 {
		s.mu.Unlock()
		return driver.Posting{}, errShares
	}
	before, previous := *c, c.lastCorrection() // to undo the correction if the store inside refuses it
	p, isNew, err := s.correctLocal(c, to, now)
	booked := *c
	storeMustKnow := s.mustTellCorrection(c.lease)
	s.mu.Unlock()
	if err != nil || !storeMustKnow {
		return p, err
	}
	if _, err = s.giveBack(ctx, c.lease, false); err != nil {
		s.unbook(c, before, booked, err)
		if isNew && refused(err) {
			s.dropChange(c, to.Change, previous)
		}
		return driver.Posting{}, err
	}
	return p, nil
}

// correctLocal books a correction of a call in its lease. isNew is false for a repeat of the last one. A correction that leaves the amount as it was
// is remembered, too, so that its own repeat is recognised. Requires mu held.
func (s *Store) correctLocal(c *call, to driver.Correction, now time.Time) (p driver.Posting, isNew bool, err error) {
	if c.state == driver.Pending { // nothing is posted yet that could be replaced
		return driver.Posting{}, false, driver.ErrNotFound
	}
	isNew, err = s.judge(c, to.Change) // the error says that another correction was newer
	if err != nil {
		return driver.Posting{}, isNew, err
	}
	p = driver.Posting{From: c.state}
	if alreadySo := c.actual() == to.Actual && !c.estimated; !isNew || alreadySo {
		p.Replayed = true
	} else if err = s.book(c, driver.Settled, to.Actual, false, now); err != nil {
		return p, isNew, err
	}
	if isNew {
		s.noteChange(c, to.Change)
	}
	return p, isNew, nil
}

// mustTellCorrection reports whether the store inside has to be told at once of a correction in a lease, because the lease is settled there already,
// or needs more than it has reserved. Else the store learns the amount when the lease is given back. Requires mu held.
func (s *Store) mustTellCorrection(l *lease) bool {
	if l.uncovered() {
		s.closeLeasesOn(l.lines)
	}
	must := l.allSettled() || l.uncovered()
	if must {
		s.live[l] = struct{}{} // again, if it was given back before
	}
	return must
}

// correctDirect corrects an entry of the store inside that is no call in a lease of this process. known says that the call was made through this
// process. In which accounts the entry is booked is not known here, so all leases are closed: any account may be beyond its Max now.
func (s *Store) correctDirect(ctx context.Context, to driver.Correction, known bool) (driver.Posting, error) {
	to.Change = innerChange(to.Change) // with the part of Seen that is a revision of the store inside
	p, err := s.inner.Correct(ctx, to)
	s.mu.Lock()
	s.roomMade++
	s.closeLeasesOn(nil)
	s.mu.Unlock()
	if errors.Is(err, driver.ErrNotFound) && !known { // it may be inside a lease of which this process knows nothing
		err = fmt.Errorf("%w: if it was resolved inside a lease, by another process or more than %s ago, correct the lease's entry by the difference", driver.ErrNotFound, s.retention)
	}
	return p, err
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
	if n > 0 { // what was pending is settled now, and the numbers of a remembered denial are no longer true
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
			hasExpired := c.state == driver.Pending && now.Sub(l.sent) >= c.moment // a call's moment counts from l.sent
			if !hasExpired || charged >= limit {
				continue
			}
			// The worst case is charged, marked as an estimate. If the sum would overflow, the call stays pending, which counts for the same amount.
			if err := s.book(c, driver.Expired, c.reserved(), true, now); err == nil {
				charged++
			}
		}
	}
	return charged
}

// giveBackEnded gives back up to limit leases that have ended: those without calls in flight at once, the others when they are overdue.
func (s *Store) giveBackEnded(ctx context.Context, now time.Time, limit int) error {
	over := s.liveLeases(func(l *lease) bool { // selects leases, and closes those whose time is over
		if !l.at.IsZero() && !now.Before(l.until) { // a lease without a time is still being drawn
			s.closeLease(l, now)
		}
		// overdue: calls are still in flight, but the lease ended half a length ago, or another process waits for its unused amounts.
		return l.closed && (l.inFlight == 0 || s.overdue(l, now))
	})
	if len(over) > limit {
		over = over[:max(limit, 0)]
		s.wakeBackground() // for the rest
	}
	_, err := s.giveBackAll(ctx, over)
	return err
}
