package lease

import (
	"context"
	"math"
	"time"
)

// A lease is a share of limits that this process has drawn from the store inside, in grants: each of them is one reservation there. To give the lease
// back is to settle its grants.

// stepTimeout bounds how long a round of the background work may take.
const stepTimeout = 5 * time.Second

// background runs until Close. It does a round of work each eighth of a length, and at once when it is woken: it gives back leases that have ended,
// so that an idle process keeps no room, tries failed steps again, and forgets old calls.
func (s *Store) background() {
	every := s.length / 8
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
			s.catchUp()
		case <-timer.C:
			s.catchUp()
			timer.Reset(every)
		}
	}
}

// wakeBackground starts a round of background work soon, without waiting for the next tick.
func (s *Store) wakeBackground() {
	select {
	case s.wake <- struct{}{}:
	default: // a round is due already
	}
}

// catchUp does one round of background work. What fails is left for the next round.
func (s *Store) catchUp() {
	ctx, cancel := context.WithTimeout(s.ctx, stepTimeout)
	defer cancel()
	now, err := s.lock(ctx)
	if err != nil {
		return
	}
	s.forget(now)
	s.forgetGroups(now)
	s.forgetWishes(now)
	stale := s.flags.stale
	s.mu.Unlock()
	if stale {
		_, _ = s.Kills(ctx) // for its side effect: Kills remembers the flags that it reads
	}
	_ = s.giveBackEnded(ctx, now, math.MaxInt)
	for _, l := range s.liveLeases(func(l *lease) bool { return len(l.unanswered) > 0 }) {
		if l.storeMu.tryLock() { // if storeMu is locked, a grant is being drawn for the lease, which voids them, too
			_ = s.settleSpentGrants(ctx, l) // before it settles anything, it voids the grants that got no answer, which is what these leases need
			l.storeMu.unlock()
		}
	}
	if ctx.Err() != nil {
		s.wakeBackground() // the round ran out of time
	}
}
