package memstore

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// What is past the retention is forgotten by one time, judged: it follows the clock, but a minute moves it on by no more than a part of
// the retention, so that a clock that jumps ahead and back forgets nothing that still counts.
const (
	// sweepEvery is how often all accounts are looked through for windows that have passed.
	sweepEvery = int64(time.Minute)
	// judgeEvery is how often the time is moved on by which is forgotten.
	judgeEvery = int64(time.Minute)
	// forgetBatch bounds how many entries one Expire forgets.
	forgetBatch = 10_000
)

// since returns how long ago a moment was. One that is yet to come, because the clock went back, was long ago.
func since(moment, now int64) int64 {
	if now < moment {
		return math.MaxInt64
	}
	return now - moment
}

// judge returns the moment up to which may be forgotten.
func (s *Store) judge(now int64) (old int64) {
	if since(s.judgedAt, now) >= judgeEvery {
		s.judgedAt = now
		s.judged = max(s.judged, min(now, s.judged+max(s.retention/8, int64(time.Hour))))
	}
	return min(now, s.judged) - s.retention
}

// Expire implements budget.Store. It charges those that have been due longest first. A reservation whose charge would
// overflow its account stays pending, where it counts as much.
func (s *Store) Expire(ctx context.Context, limit int) (int, error) {
	now, err := s.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	charged := 0
	var stuck []*entry
	for charged < limit && s.expiries.due(now) {
		e := s.expiries.pop()
		if s.post(e, &e.reserved, nil, budget.Expired, now) != nil {
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

// forget drops up to limit entries that are past the retention.
func (s *Store) forget(now int64, limit int) {
	old := s.judge(now)
	if s.resolved.since > old { // asked first, because the oldest entry is far away in memory
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

// sweep drops the buckets of windows that passed a retention ago, those with something pending apart, and the accounts
// that are left with nothing to say.
func (s *Store) sweep(now int64) {
	if since(s.sweptAt, now) < sweepEvery {
		return
	}
	s.sweptAt = now
	old, forgotten := s.judge(now), false
	past := func(b bucket) bool {
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
		s.reached = max(s.reached, old)
	}
	s.usage.forget(s.judged)
	clear(s.recent[:]) // nobody may find what was deleted
}
