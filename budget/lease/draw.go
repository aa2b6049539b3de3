package lease

import (
	"context"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// To draw is to reserve a grant in the store inside, from which calls are then served in this process. A lease may have several grants. All of them
// count in the same accounts, the lease's group, and in the same buckets of time. The route that these functions return says what becomes of the
// call: answered, by the decision or the error beside it; askStore, the store inside is asked for this call alone; denied, the store inside has no
// room for it; drawLease, it starts again. A process takes grants from its quota, its part of the room that the limits had when it last read that.
// A wish is what a process leaves in the store inside while a call of its own waits there for room that other processes have leased.

// lifetimes limits how old a lease may become: once this many lengths (Options.Length) have passed since its first grant, a new lease is drawn.
const lifetimes = 4

// draw reserves a grant in the store inside and admits the call that needs it. If too little is left for a grant, the returned route sends
// the call to the store inside by itself. A group draws one grant at a time. If calls have waited for a draw and it failed, they fail with its
// error, instead of one after the other asking a store that does not answer.
func (s *Store) draw(ctx context.Context, g *group, r *driver.Reservation) (driver.Decision, route, error) {
	s.mu.Lock()
	// The number of draws before and after the wait shows whether another one was tried meanwhile.
	draws := g.draws
	s.mu.Unlock()
	if err := g.drawMu.lock(ctx); err != nil {
		return driver.Decision{}, answered, err
	}
	defer g.drawMu.unlock()
	// While this call waited for drawMu, another may have drawn a lease that has room for it, or found that the store does not answer.
	d, _, way, err := s.answerLocally(ctx, r)
	if way != drawLease {
		return d, way, err
	}
	s.mu.Lock()
	failure := g.drawFailure
	waited := g.draws != draws
	s.mu.Unlock()
	if waited && failure != nil {
		return driver.Decision{}, answered, failure
	}
	d, way, err = s.drawNow(ctx, g, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	g.draws++
	g.drawFailure = nil
	if ctx.Err() == nil { // else the draw may have failed only because this caller's context has ended
		g.drawFailure = err
	}
	return d, way, err
}

// drawNow draws a grant, another one for an open lease or the first one of a new lease, and admits the call. Requires the group's drawMu held.
func (s *Store) drawNow(ctx context.Context, g *group, r *driver.Reservation) (driver.Decision, route, error) {
	if err := s.voidUnanswered(ctx, g); err != nil {
		return driver.Decision{}, answered, err
	}
	l, err := s.lockLease(ctx, g, r)
	if err != nil {
		return driver.Decision{}, answered, err
	}
	of, d, way, err := s.extendAndUnlock(ctx, l, r)
	if err == nil && d.Admitted {
		return s.openAndAdmit(ctx, of, r, d)
	}
	return d, way, err
}

// extendAndUnlock is extend, and then unlocks the lease's storeMu: openAndAdmit, which comes next, may give the lease back, and locks it again.
func (s *Store) extendAndUnlock(ctx context.Context, l *lease, r *driver.Reservation) (of *lease, d driver.Decision, way route, err error) {
	defer l.storeMu.unlock()
	return s.extend(ctx, l, r)
}

// lockLease returns the lease to draw for, with its storeMu held, so that it can't be given back before the draw is answered.
func (s *Store) lockLease(ctx context.Context, g *group, r *driver.Reservation) (*lease, error) {
	for {
		l := s.leaseFor(g, r)
		if err := l.storeMu.lock(ctx); err != nil {
			return nil, err
		}
		if !s.isClosed(l) {
			return l, nil
		}
		l.storeMu.unlock() // it was given back while this call waited for it
	}
}

// voidUnanswered voids the first grant of a lease whose Reserve got no answer. Without that, an outage would leave one such grant behind for
// each call. Requires the group's drawMu held.
func (s *Store) voidUnanswered(ctx context.Context, g *group) error {
	s.mu.Lock()
	l := g.unansweredLease
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	if err := l.storeMu.lock(ctx); err != nil {
		return err
	}
	defer l.storeMu.unlock()
	if err := s.settleSpentGrants(ctx, l); err != nil { // it voids the grants that got no answer first
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g.unansweredLease = nil
	s.wakeBackground() // to have it given back
	return nil
}

// isClosed reports whether a lease admits no more calls.
func (s *Store) isClosed(l *lease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.closed
}

// leaseFor returns the newest open lease if another grant of it could serve the call, and else a new lease without grants.
func (s *Store) leaseFor(g *group, r *driver.Reservation) *lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.forget(now)                                          // else a busy process would remember ever more calls between two rounds of the background work
	asLargeAsWanted := !g.lastDrawn.IsZero() && !g.cutDown // the last grant was
	if asLargeAsWanted && now.Sub(g.lastDrawn) < s.length/2 {
		g.wantedCalls = min(2*g.wantedCalls, largestShare) // it did not last for half a length: the next one is larger
	}
	if n := len(g.open); n > 0 {
		if newest := g.open[n-1]; s.mayExtend(newest, r, now) {
			return newest
		}
	}
	return newLease(g)
}

// mayExtend reports whether another grant for an open lease could serve a call: the lease is young enough for one, still admits calls, does not
// lapse before the call can expire, and can keep the amounts of this call's scope apart (carries).
func (s *Store) mayExtend(l *lease, r *driver.Reservation, now time.Time) bool {
	young := now.Before(l.sent.Add(lifetimes * s.length))
	return young && now.Before(l.until) && !l.tooShortFor(r, now) && l.carries(r.Call)
}

// newLease returns a lease without grants.
func newLease(g *group) *lease {
	return &lease{group: g, lines: g.lines, storeMu: newContextMutex()}
}

// extend reserves one more grant for a lease, and tries again with a smaller one if the store inside denies it for lack of room. It returns the
// lease that the grant went to, which may be a new one, and the store's decision about the grant. A grant that was denied although it was just as
// large as the call means that the call is denied. Requires the lease's storeMu held.
func (s *Store) extend(ctx context.Context, l *lease, r *driver.Reservation) (of *lease, d driver.Decision, way route, err error) {
	if err := s.settleSpentGrants(ctx, l); err != nil {
		return l, d, answered, err
	}
	// Usually the first grant is taken from the quota as it is known. A denial of it makes tighten drop the quota, so that the room is read again for
	// the second. If that is denied, too, tighten makes the third only as large as the call.
	for range 3 {
		amount, balances, way, err := s.grantAmount(ctx, l.group, r)
		if err != nil || way != drawLease { // the draw goes on only with the route drawLease
			return l, d, way, err
		}
		of, d, err = s.reserveGrant(ctx, l, r, amount, balances)
		switch {
		case refused(err): // for a reason other than room, such as an overflow, which the call alone may not have
			return l, driver.Decision{}, askStore, nil
		case err != nil || len(d.Denied) == 0:
			if d.Killed != nil { // learn remembers the flag: from now on no lease serves the calls that it covers
				s.learn(l.group, r, &d, nil)
			}
			return of, d, answered, err
		case amount == l.group.counted(r.Charge): // the grant was just as large as the call, in the units that count: there is no room for the call either
			return l, d, denied, nil
		}
		s.tighten(l.group, balances != nil)
	}
	return l, driver.Decision{}, askStore, nil
}

// newGrant returns a grant to reserve for a lease, and its TTL. The TTL is longer than any call of the lease can last, so that the grant expires only
// if this process has died. askForWishes says that the answer to the grant must show the wishes of other processes, because no balances have. The
// grant is in l.unanswered until there is an answer.
func (s *Store) newGrant(l *lease, r *driver.Reservation, amount driver.Charge, askForWishes bool) (*grant, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // Close has already listed the leases to give back
		return nil, 0, errLeaseClosed
	}
	ttl := (lifetimes+2)*s.length + max(l.group.ttl, r.TTL)
	if ttl < 0 { // the sum has wrapped
		return nil, 0, driver.ErrOverflow
	}
	g := &grant{id: driver.NewID(), amount: amount, lines: l.lines}
	if askForWishes && l.group.grantLines != nil { // nil if the room is read before each grant of this group, which shows the wishes, too
		g.lines = l.group.grantLines
	}
	l.unanswered = append(l.unanswered, g)
	// live has the leases whose final amount is not settled yet, and leases has each lease under the ids of its grants.
	s.live[l], s.leases[g.id] = struct{}{}, l
	return g, ttl, nil
}

// reserveGrant reserves a grant in the store inside, and adds it to its lease if it is admitted. The grant is Tentative, because a refusal must close
// no latch. balances are what the room was when it was last read for this grant; nil if it was not read. of is the lease that the grant went to, and
// means nothing unless the grant is admitted.
func (s *Store) reserveGrant(ctx context.Context, l *lease, r *driver.Reservation, amount driver.Charge, balances []driver.Balance) (of *lease, d driver.Decision, err error) {
	g, ttl, err := s.newGrant(l, r, amount, balances == nil)
	if err != nil {
		return l, d, err
	}
	dims := slices.Clone(r.Dims)
	// changingLeases counts the step, so that balances that are read while it runs are read again.
	s.changingLeases(func() {
		sent := s.now() // taken before sending: the store's clock can't have started the TTL earlier
		d, err = s.inner.Reserve(ctx, driver.Reservation{ID: g.id, Owner: s.owner, Charge: amount, Lines: g.lines, Dims: dims, Call: r.Call, TTL: ttl, Tentative: true})
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil && !refused(err) { // no answer: nobody knows whether the grant was reserved
			s.putAsideUnanswered(l, sent)
			return
		}
		l.unanswered = l.unanswered[:len(l.unanswered)-1] // g is the last one: storeMu keeps other draws of this lease away
		wishes := l.group.takeWishes(g, &d, sent)         // those of other processes that the answer shows
		if err != nil || !d.Admitted {
			s.dropRefused(l, g)
			return
		}
		of = s.granted(l, g, sent, d.ExpiresAt.Add(-ttl), ttl) // it was reserved one ttl before it expires
		of.dims = dims
		of.observe(balances) // what others have settled, for thresholds
		// yieldToWishes closes the leases on the accounts of these wishes, this one included: then openAndAdmit gives it back.
		s.yieldToWishes(wishes, sent)
	})
	return of, d, err
}

// putAsideUnanswered has a grant voided that got no answer. A new lease is put aside until then. One with other grants goes on, and voids the grant
// before its next draw. Requires mu held.
func (s *Store) putAsideUnanswered(l *lease, now time.Time) {
	if len(l.grants) == 0 {
		s.closeLease(l, now)
		l.group.unansweredLease = l
	}
	s.wakeBackground() // which voids the grant
}

// dropRefused forgets a grant that was refused, and so has no entry in the store inside; and its lease, if that has no other grant. Requires mu held.
func (s *Store) dropRefused(l *lease, g *grant) {
	delete(s.leases, g.id)
	if len(l.grants)+len(l.unanswered) == 0 {
		delete(s.live, l)
	}
}

// granted adds a grant to its lease. sent is just before its Reserve was sent, by this process's clock, and at when it was reserved, by the store's
// clock. If the earlier grants of the lease are booked in another bucket of time, the grant begins a new lease. Requires mu held.
func (s *Store) granted(l *lease, g *grant, sent, at time.Time, ttl time.Duration) *lease {
	if len(l.grants) > 0 && !sameBuckets(l.lines, l.at, at) {
		s.closeLease(l, sent)
		l = newLease(l.group)
		s.live[l], s.leases[g.id] = struct{}{}, l
	}
	if len(l.grants) == 0 { // the first one expires first, and with it the lease lapses
		l.sent, l.at, l.lapses = sent, at, sent.Add(ttl)
	}
	g.at = at
	l.grants = append(l.grants, g)
	l.granted, _ = l.granted.Plus(g.amount) // can't overflow: the store inside has added it up before
	// usable is how long the grant may admit calls: one length, or less if a bucket of time ends before.
	l.drawn, l.until = sent, sent.Add(s.usable(l.lines, at))
	s.offset, s.timed = at.Sub(sent), true // how far the store's clock is ahead of this process's
	l.group.lastDrawn = sent
	// observePending counts what is pending with the new grant, which is in l.grants by now.
	s.observePending(l.group)
	return l
}

// openAndAdmit opens a lease that has got a grant and admits the call that the grant was drawn for. While the grant was drawn, without mu held,
// something may have come between: then the call starts again (drawLease), or the lease is given back and the store inside asked (askStore).
func (s *Store) openAndAdmit(ctx context.Context, l *lease, r *driver.Reservation, d driver.Decision) (driver.Decision, route, error) {
	s.mu.Lock()
	now := s.now()
	usedUp := now.Before(l.until) && !l.fits(r.Charge) && slices.Contains(l.group.open, l)
	if usedUp { // by other calls of this process
		s.mu.Unlock()
		return driver.Decision{}, drawLease, nil
	}
	observedFull := len(d.Observed) > 0 // observe-only lines are full: the store inside has to say for the call alone which
	if observedFull || s.barred(l, r, now) || l.over(now) || !l.hasRoomFor(r, now) {
		s.closeLease(l, now)
		s.mu.Unlock()
		_, err := s.giveBack(ctx, l, false)
		return driver.Decision{}, askStore, err
	}
	if !slices.Contains(l.group.open, l) {
		l.group.open = append(l.group.open, l)
	}
	if s.calls[r.ID] != nil { // the same id was reserved meanwhile
		s.mu.Unlock()
		return driver.Decision{}, drawLease, nil
	}
	d = s.admit(l, r, now)
	s.mu.Unlock()
	return d, answered, nil
}

// barred reports whether a lease that was just drawn for a call must not admit it: because this store or the lease was closed meanwhile, somebody
// needs the lease's room, or a kill flag covers the call. Requires mu held.
func (s *Store) barred(l *lease, r *driver.Reservation, now time.Time) bool {
	roomNeeded := s.beingDenied(l.lines) || s.wishOn(l.lines, now)
	return s.closed || l.closed || roomNeeded || s.flags.holding(r, now.Add(s.offset)) != nil
}

// over reports whether the time in which a lease admits calls is over, or this process's clock was set back to before the last draw.
func (l *lease) over(now time.Time) bool { return now.Before(l.drawn) || !now.Before(l.until) }

// tooShortFor reports whether a lease may lapse, so that the store inside charges it, before a call can expire.
func (l *lease) tooShortFor(r *driver.Reservation, now time.Time) bool {
	return now.Add(r.TTL).After(l.lapses)
}
