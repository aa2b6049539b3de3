package memstore

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// What is older than the retention is forgotten. Its age is measured by Store.forgetClock and not by the store's clock, which may jump ahead and
// back. forgetClock follows the store's clock, but once a minute, and then by at most an eighth of the retention, or an hour if that is more. So a
// short jump of the clock makes nothing be forgotten that still counts.
const (
	// sweepEvery is how often all accounts are searched for windows that have passed, in nanoseconds.
	sweepEvery = int64(time.Minute)
	// forgetClockEvery is how often forgetClock is advanced, in nanoseconds.
	forgetClockEvery = int64(time.Minute)
	// forgetBatch bounds how many entries one Expire forgets.
	forgetBatch = 10_000
)

// since returns how long ago a moment was. A moment in the future, because the clock went back, counts as long ago.
func since(moment, now int64) int64 {
	if now < moment {
		return math.MaxInt64
	}
	return now - moment
}

// forgetBefore advances forgetClock if that is due, and returns the moment up to which everything may be forgotten.
func (s *Store) forgetBefore(now int64) (old int64) {
	if since(s.forgetClockSetAt, now) >= forgetClockEvery {
		s.forgetClockSetAt = now
		mostAdvance := max(s.retention/8, int64(time.Hour))
		s.forgetClock = max(s.forgetClock, min(now, s.forgetClock+mostAdvance)) // it never goes back
	}
	return min(now, s.forgetClock) - s.retention // if the clock has gone back, what would count again must not be forgotten
}

// Expire implements driver.Store. It charges those reservations first that expired first. If a charge would overflow its account, the
// reservation stays pending, where it counts for the same amount.
func (s *Store) Expire(ctx context.Context, limit int) (int, error) {
	now, err := s.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	charged := 0
	var stuck []*entry // those that could not be charged
	for charged < limit && s.expiries.due(now) {
		e := s.expiries.pop()
		// post takes a pending entry out of expiries. This one is out already, and so nothing happens there.
		if s.post(e, &e.reserved, nil, driver.Expired, now) != nil {
			stuck = append(stuck, e)
			continue
		}
		e.estimated = true
		charged++
	}
	for _, e := range stuck {
		s.expiries.push(e)
	}
	s.forget(now, forgetBatch)
	s.sweep(now)
	return charged, nil
}

// forget drops up to limit entries that are older than the retention.
func (s *Store) forget(now int64, limit int) {
	old := s.forgetBefore(now)
	if s.resolved.since > old { // when the oldest was resolved: reading that from the entry itself is slow, because it is not in the processor's cache
		return
	}
	for e := s.resolved.oldest; e != nil && e.resolvedAt <= old && limit > 0; limit-- {
		next := e.next
		for i := range e.lines {
			if b := e.lines[i].find(); b != nil {
				b.forgotten += e.actual[e.lines[i].unit]
			}
		}
		s.resolved.remove(e)
		s.entries.remove(&e.id)
		e = next
	}
}

// sweep drops the buckets of windows that passed more than a retention ago, unless something is pending in them, and accounts that have
// nothing left.
func (s *Store) sweep(now int64) {
	if since(s.sweptAt, now) < sweepEvery {
		return
	}
	s.sweptAt = now
	old, forgotten := s.forgetBefore(now), false
	past := func(b bucket) bool { // reports whether to drop b, and remembers in forgotten that anything is dropped
		drop := b.pending == 0 && b.end < old
		forgotten = forgotten || drop
		return drop
	}
	for key, a := range s.accounts {
		a.buckets = slices.DeleteFunc(a.buckets, past)
		if a.idle(old) {
			forgotten = true
			delete(s.accounts, key)
		}
	}
	if forgotten {
		s.sumsKeptFrom = max(s.sumsKeptFrom, old)
	}
	s.usage.forget(s.forgetClock) // not by now, which may be of a clock that has jumped ahead
	clear(s.recent[:])            // it must not return accounts that were deleted
}
