package lease

import (
	"context"
	"errors"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A lease is drawn from the store inside in grants, each of which is one reservation there. To give the lease back is to settle its grants.

// giveBack closes a lease and settles its grants in the store inside, with what its calls have spent and the worst cases of those in flight;
// these are corrected when the calls end. So unused amounts are free again, and everything that may still be billed is reserved or posted at
// any moment. Each step is repeated unchanged until its result is known; the background work repeats those that fail.
//
// With report set, the store inside reports the thresholds that are reached. It reports each only once, so the caller must be able to pass
// them on.
func (s *Store) giveBack(ctx context.Context, l *lease, report bool) (crossed []driver.Crossing, err error) {
	if err := l.storeMu.lock(ctx); err != nil {
		return nil, err
	}
	defer l.storeMu.unlock()
	for {
		s.mu.Lock()
		s.closeLease(l, s.now())
		step := s.nextStep(ctx, l, report, &crossed)
		s.mu.Unlock()
		if step == nil {
			return crossed, nil
		}
		s.changingLeases(func() { err = step() }) // counts the step, so that balances that are read while it runs are read again
		if err != nil {
			return crossed, err
		}
	}
}

// maxReturning is how many leases are given back at the same time. One by one, with a round trip each, a process whose calls use many sets
// of accounts would never catch up.
const maxReturning = 32

// giveBackAll gives leases back. It returns how many it could not give back, and the last error.
func (s *Store) giveBackAll(ctx context.Context, leases []*lease) (kept int, last error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	next := make(chan *lease)
	// Each of these goroutines takes one lease after the other from next, until that is closed.
	for range min(maxReturning, len(leases)) {
		all.Go(func() {
			for l := range next {
				if _, err := s.giveBack(ctx, l, false); err != nil {
					mu.Lock()
					kept, last = kept+1, err
					mu.Unlock()
				}
			}
		})
	}
	for _, l := range leases {
		next <- l
	}
	close(next)
	all.Wait()
	return kept, last
}

// nextStep returns the next step that a lease needs in the store inside until what is posted there is what its calls have cost; nil if none is
// left. The order is: void grants that got no answer, settle each grant with its part of the lease's amount, correct those that were settled
// with another amount, and ask for thresholds. A step adds the thresholds that the store inside reports to crossed; with report set, it asks for
// them. Requires mu held; the step itself must run without it.
func (s *Store) nextStep(ctx context.Context, l *lease, report bool, crossed *[]driver.Crossing) func() error {
	if len(l.unanswered) > 0 {
		return func() error { return s.voidUnansweredGrant(ctx, l) }
	}
	// What each grant has to be settled with, including the worst cases of calls in flight, and without these. Where the two differ, the amount is
	// an estimate, until these calls end.
	targets, settled := l.targets(l.needed()), l.targets(l.settled)
	shares := l.shares(targets)
	for i, g := range l.grants {
		estimated := l.estimates > 0 || targets[i] != settled[i]
		switch {
		case !g.posted:
			if g.tried == nil { // else the settlement that was tried before is repeated
				g.tried = &driver.Settlement{ID: g.id, Owner: s.owner, Actual: targets[i], Estimated: estimated, Lines: g.lines, Shares: shares[i]}
				if !report || l.inFlight > 0 { // nobody could pass the reports on, or worst cases would reach a threshold too early
					g.tried.Lines = withoutThresholds(g.lines)
				}
			}
			return func() error { return s.settleGrant(ctx, l, g, crossed) }
		case !g.isSettledAs(targets[i], shares[i]), g.estimated && !estimated: // other amounts, or the mark as an estimate has to go
			return func() error { return s.correctGrant(ctx, g, targets[i], shares[i]) }
		}
	}
	switch {
	case !l.exact(): // calls are in flight: the lease stays live, and is corrected when they end
		return nil
	case report && l.thresholdDue(s.now()):
		return func() error { return s.askThresholds(ctx, l, crossed) }
	}
	s.dropSettled(l)
	return nil
}

// settleSpentGrants voids grants that got no answer, and settles those that are used up, so that their entries are not pending for longer than
// need be. It returns an error only if a grant could not be voided: one that can't be settled stays pending, which counts for the same amount.
// Requires the lease's storeMu held.
func (s *Store) settleSpentGrants(ctx context.Context, l *lease) (err error) {
	for len(l.unanswered) > 0 {
		if s.changingLeases(func() { err = s.voidUnansweredGrant(ctx, l) }); err != nil {
			return err
		}
	}
	for {
		s.mu.Lock()
		g := s.usedUp(l)
		s.mu.Unlock()
		if g == nil {
			return nil
		}
		var none []driver.Crossing // usedUp settles without thresholds, so that none is reported
		var failed error
		if s.changingLeases(func() { failed = s.settleGrant(ctx, l, g, &none) }); failed != nil {
			return nil // it stays pending
		}
	}
}

// usedUp returns a grant that has nothing left and can be settled, or nil. It is never the last grant, which takes whatever more the calls
// cost. Requires mu held.
func (s *Store) usedUp(l *lease) *grant {
	if len(l.grants) < 2 {
		return nil
	}
	settled := l.targets(l.settled)
	for i, g := range l.grants[:len(l.grants)-1] {
		if g.posted || settled[i] != g.amount { // it is settled already, or part of it is unspent or held by calls in flight
			continue
		}
		if g.tried == nil {
			// Calls in flight have no part of it: all of this grant was spent by settled calls.
			shares := l.divide(settled, func(u *leaseUse) driver.Charge { return u.settled })
			g.tried = &driver.Settlement{ID: g.id, Owner: s.owner, Actual: g.amount, Estimated: l.estimates > 0, Lines: withoutThresholds(g.lines), Shares: shares[i]}
		}
		return g
	}
	return nil
}

// voidUnansweredGrant voids a grant whose Reserve got no answer, so that nobody knows whether it was reserved.
func (s *Store) voidUnansweredGrant(ctx context.Context, l *lease) error {
	g := l.unanswered[0]
	err := s.inner.Void(ctx, g.id, s.owner)
	if err != nil && !errors.Is(err, driver.ErrResolved) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.unanswered = l.unanswered[1:]
	if err != nil { // it had been reserved and has expired: it must be settled with its true amount
		l.grants = append(l.grants, g)
	} else {
		delete(s.leases, g.id)
	}
	return nil
}

// settleGrant settles a grant in the store inside with g.tried, the settlement that nextStep or usedUp has prepared, and records in the grant
// how it is settled now. It adds the thresholds that the store inside reports to crossed.
//
//   - If the store did not answer, g.tried stays, so that the next attempt sends exactly the same: it may have been posted.
//   - If the store refused the amount, g.tried is dropped, and the next step prepares a new settlement.
//   - ErrResolved says that the grant is settled with another amount: an operator corrected it after it expired. That amount stands, and
//     the grant counts as settled.
//
// Requires the lease's storeMu held.
func (s *Store) settleGrant(ctx context.Context, l *lease, g *grant, crossed *[]driver.Crossing) error {
	st := *g.tried
	p, err := s.inner.Settle(ctx, st)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !errors.Is(err, driver.ErrResolved) {
		if refused(err) {
			g.tried = nil // it was certainly not posted
		}
		return err
	}
	// After ErrResolved it is recorded as if this amount were posted, so that no step corrects the operator's amount.
	g.tried, g.posted, g.settledAs, g.shares, g.estimated = nil, true, st.Actual, st.Shares, st.Estimated
	if err != nil { // ErrResolved: the operator's correction has cleared the mark
		g.estimated = false
		return nil
	}
	// noteReported records which thresholds are known to have been reported. A replay reports none, so that it shows nothing about them.
	if *crossed = append(*crossed, p.Crossed...); !p.Replayed {
		s.noteReported(l, st, p.Crossed, s.now())
	}
	return nil
}

// correctGrant changes the amount of a grant that is settled in the store inside to target, and how it divides among calls to shares. While
// the answer is missing, either the old or the new amount may be posted: correcting and correctingTo record that, and cover counts the
// smaller of the two. Requires the lease's storeMu held.
func (s *Store) correctGrant(ctx context.Context, g *grant, target driver.Charge, shares []driver.Share) error {
	change := driver.Change{ID: driver.NewID(), Reason: "what the calls of a lease really cost"}
	var err error
	if change.Seen, err = s.inner.Revision(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	earlierUnanswered := g.correcting // an earlier correction got no answer: either of its amounts may be posted
	if earlierUnanswered {
		g.settledAs = smaller(g.settledAs, g.correctingTo)
	}
	g.correcting, g.correctingTo = true, target
	s.mu.Unlock()
	_, err = s.inner.Correct(ctx, driver.Correction{ID: g.id, Actual: target, Shares: shares, Change: change})
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !errors.Is(err, driver.ErrNotFound) { // an entry that the store has forgotten can't be corrected any more
		if refused(err) {
			g.correcting = earlierUnanswered // this correction was certainly not posted
		}
		return err
	}
	g.settledAs, g.shares, g.estimated, g.correcting = target, shares, false, false
	return nil
}

// dropSettled stops tracking a lease whose final amount is settled in the store inside. Its calls are remembered until forget drops them.
// Requires mu held.
func (s *Store) dropSettled(l *lease) {
	delete(s.live, l)
	l.givenBackAt = s.now()
	if !l.queued {
		s.enqueue(&s.toForget, l)
	}
}
