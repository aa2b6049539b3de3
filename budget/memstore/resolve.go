package memstore

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Settle implements budget.Store.
func (s *Store) Settle(ctx context.Context, st budget.Settlement) (budget.Posting, error) {
	if err := st.Validate(); err != nil {
		return budget.Posting{}, err
	}
	now, err := s.begin(ctx)
	if err != nil {
		return budget.Posting{}, err
	}
	defer s.mu.Unlock()
	e := s.entries[st.ID]
	switch {
	case e == nil:
		return s.postOrphan(st, 0, now)
	case e.owner != st.Owner:
		return budget.Posting{}, budget.ErrIDConflict
	case e.state == budget.Voided:
		return s.postOrphan(st, budget.Voided, now)
	case e.state == budget.Settled && e.actual == st.Actual:
		return budget.Posting{Replayed: true, From: budget.Settled}, nil
	case e.state == budget.Settled:
		return budget.Posting{}, budget.ErrResolved
	}
	from := e.state
	if err := s.post(st.ID, e, st.Actual, now); err != nil {
		return budget.Posting{}, err
	}
	e.estimated = st.Estimated
	return budget.Posting{From: from, Crossed: s.crossed(st.Lines, now)}, nil
}

// postOrphan posts spend that was never set aside, or whose reservation was voided, in the windows of now.
func (s *Store) postOrphan(st budget.Settlement, from budget.State, now time.Time) (budget.Posting, error) {
	spans := make([]budget.Span, len(st.Lines))
	for i := range st.Lines {
		spans[i] = st.Lines[i].Window.At(now)
	}
	e := &entry{owner: st.Owner, state: budget.Voided, estimated: st.Estimated, orphan: true, lines: s.book(st.Lines, spans), reservedAt: now.UnixNano()}
	for i := range e.lines {
		e.lines[i].bucket()
	}
	if err := s.post(st.ID, e, st.Actual, now); err != nil {
		return budget.Posting{}, err
	}
	s.entries[st.ID] = e
	return budget.Posting{From: from, Crossed: s.crossed(st.Lines, now)}, nil
}

// post settles an entry: what it holds pending is taken out, and actual stands in the place of what it had posted. All
// lines change, or none.
func (s *Store) post(id budget.ID, e *entry, actual budget.Charge, now time.Time) error {
	for i := range e.lines {
		b := &e.lines[i]
		k := b.find()
		if k == nil {
			continue
		}
		if _, overflow := plus(k.settled-e.actual[b.unit], actual[b.unit]); overflow {
			return budget.ErrOverflow
		}
	}
	s.release(e)
	for i := range e.lines {
		b := &e.lines[i]
		if k := b.find(); k != nil {
			k.settled += actual[b.unit] - e.actual[b.unit]
		}
	}
	e.actual = actual
	s.resolve(id, e, budget.Settled, now)
	return nil
}

// release takes what an entry holds pending out of its buckets.
func (s *Store) release(e *entry) {
	if e.state != budget.Pending {
		return
	}
	for i := range e.lines {
		if k := e.lines[i].find(); k != nil {
			k.pending -= e.reserved[e.lines[i].unit]
		}
	}
}

// resolve marks an entry, and forgets a few that are past the retention, so that a busy store does not grow.
func (s *Store) resolve(id budget.ID, e *entry, state budget.State, now time.Time) {
	e.state, e.resolvedAt = state, now.UnixNano()
	s.old.push(deadline{e.resolvedAt + s.retention, id})
	s.forget(now, 2)
}

// crossed reports the marks that settled spend has reached for the first time in the windows of now.
func (s *Store) crossed(lines []budget.Line, now time.Time) (all []budget.Crossing) {
	for i := range lines {
		if len(lines[i].Marks) > 0 {
			all = append(all, s.open(lines[i].Account).report(&lines[i], i, lines[i].Window.At(now), now)...)
		}
	}
	return all
}

// Void implements budget.Store.
func (s *Store) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	now, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	e := s.entries[id]
	switch {
	case e == nil:
		e = &entry{owner: owner, tombstone: true, reservedAt: now.UnixNano()}
		s.entries[id] = e
	case e.owner != owner:
		return budget.ErrIDConflict
	case e.state == budget.Voided:
		return nil
	case e.state != budget.Pending:
		return budget.ErrResolved
	}
	s.release(e)
	s.resolve(id, e, budget.Voided, now)
	return nil
}

// Correct implements budget.Store. A tombstone is not found: nobody knows which accounts it would have touched.
func (s *Store) Correct(ctx context.Context, id budget.ID, actual budget.Charge) (budget.Posting, error) {
	if err := actual.Validate(); err != nil {
		return budget.Posting{}, err
	}
	now, err := s.begin(ctx)
	if err != nil {
		return budget.Posting{}, err
	}
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil || e.state == budget.Pending || e.tombstone {
		return budget.Posting{}, budget.ErrNotFound
	}
	p := budget.Posting{From: e.state}
	if e.actual == actual && !e.estimated {
		p.Replayed = true
		return p, nil
	}
	if err := s.post(id, e, actual, now); err != nil {
		return budget.Posting{}, err
	}
	e.estimated = false
	return p, nil
}
