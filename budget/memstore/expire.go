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
	var stuck []deadline
	for charged < limit && s.expiries.due(now) {
		d := s.expiries.pop()
		e := s.entries[d.id]
		if e == nil || e.state != budget.Pending || e.expiresAt != d.at {
			continue
		}
		if s.post(d.id, e, e.reserved, now) != nil {
			stuck = append(stuck, d)
			continue
		}
		e.state, e.estimated = budget.Expired, true
		charged++
	}
	for _, d := range stuck {
		s.expiries.push(d)
	}
	s.forget(now, forgetBatch)
	s.sweep(now)
	return charged, nil
}

// forget drops up to limit entries that are past the retention.
func (s *Store) forget(now time.Time, limit int) {
	for ; limit > 0 && s.old.due(now); limit-- {
		d := s.old.pop()
		if e := s.entries[d.id]; e != nil && e.state != budget.Pending && e.resolvedAt+s.retention <= d.at {
			delete(s.entries, d.id)
		}
	}
}

// sweep drops the buckets of windows that passed a retention ago, those with something pending apart, and the accounts
// that are left with nothing to say.
func (s *Store) sweep(now time.Time) {
	if now.UnixNano() < s.sweepAt {
		return
	}
	s.sweepAt = now.Add(sweepEvery).UnixNano()
	old := now.UnixNano() - s.retention
	for key, a := range s.accounts {
		a.buckets = slices.DeleteFunc(a.buckets, func(b bucket) bool { return b.pending == 0 && b.end < old })
		if a.idle(now) {
			delete(s.accounts, key)
		}
	}
}

// deadline is a moment at which an entry is looked at again.
type deadline struct {
	at int64
	id budget.ID
}

// deadlines is a heap with the earliest on top.
type deadlines []deadline

func (h deadlines) due(now time.Time) bool { return len(h) > 0 && h[0].at <= now.UnixNano() }

func (h *deadlines) push(d deadline) {
	q := append(*h, d)
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if q[parent].at <= q[i].at {
			break
		}
		q[parent], q[i] = q[i], q[parent]
		i = parent
	}
	*h = q
}

// pop takes the earliest out of a heap that is not empty.
func (h *deadlines) pop() deadline {
	q := *h
	top, last := q[0], len(q)-1
	q[0] = q[last]
	q = q[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && q[child+1].at < q[child].at {
			child++
		}
		if q[i].at <= q[child].at {
			break
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
	*h = q
	return top
}
