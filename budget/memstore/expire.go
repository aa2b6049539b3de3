package memstore

import (
	"context"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

const (
	// sweepEvery is how often all accounts are looked through for windows that have passed.
	sweepEvery = time.Minute
	// forgetBatch bounds how many entries one Expire forgets.
	forgetBatch = 10_000
)

// Expire implements budget.Store. It charges those that have been due longest first. A reservation whose charge would
// overflow its account stays pending, where it counts as much.
func (s *Store) Expire(ctx context.Context, limit int) (int, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	charged := 0
	var stuck []*entry
	for charged < limit && s.expiries.due(now) {
		e := s.expiries.pop()
		if s.post(e, &e.reserved, budget.Expired, now) != nil {
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
	old := now - s.retention
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
	if now < s.sweepAt {
		return
	}
	s.sweepAt = now + int64(sweepEvery)
	old := now - s.retention
	for key, a := range s.accounts {
		a.buckets = slices.DeleteFunc(a.buckets, func(b bucket) bool { return b.pending == 0 && b.end < old })
		if a.idle(now) {
			delete(s.accounts, key)
		}
	}
	clear(s.recent[:]) // nobody may find what was deleted
}
