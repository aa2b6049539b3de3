package lease

import (
	"context"
	"math"
	"time"
)

// stepTimeout bounds each round of the background work's I/O.
const stepTimeout = 5 * time.Second

// background gives leases back that are over, so that an idle process keeps nothing, tries again what
// failed, and forgets. It ends with Close.
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

// wakeBackground asks for a round of background work soon.
func (s *Store) wakeBackground() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// catchUp is one round. What fails is left for the next one.
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
		_, _ = s.Kills(ctx)
	}
	_ = s.giveBackOver(ctx, now, math.MaxInt)
	for _, l := range s.liveLeases(func(l *lease) bool { return len(l.unanswered) > 0 }) {
		if l.storeMu.tryLock() { // else it is being drawn for
			_ = s.settleSpentGrants(ctx, l)
			l.storeMu.unlock()
		}
	}
	if ctx.Err() != nil {
		s.wakeBackground() // the round ran out of time
	}
}
