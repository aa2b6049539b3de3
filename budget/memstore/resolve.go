package memstore

import (
	"context"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Settle implements driver.Store. If the reservation is unknown or was voided, its cost is posted as an orphan: spend that nothing was reserved for.
func (s *Store) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	if err := st.Validate(); err != nil {
		return driver.Posting{}, err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return driver.Posting{}, err
	}
	defer s.mu.Unlock()
	e := s.entries.find(&st.ID)
	switch {
	case e == nil:
		return s.postOrphan(st, 0, now)
	case e.owner != st.Owner:
		return driver.Posting{}, driver.ErrIDConflict
	case e.state == driver.Voided:
		return s.postOrphan(st, driver.Voided, now)
	case e.state == driver.Settled && e.actual == st.Actual:
		return driver.Posting{Replayed: true, From: driver.Settled}, nil
	case e.state == driver.Settled:
		return driver.Posting{}, driver.ErrResolved
	}
	// The entry is Pending, or Expired: then post replaces the worst case that was charged.
	from := e.state
	call, reference := e.call, e.reference // put back if the amount can't be posted
	e.refer(&st)                           // before post, which adds the amount to the row of usage of the call
	if err := s.post(e, &st.Actual, st.Shares, driver.Settled, now); err != nil {
		e.call, e.reference = call, reference
		return driver.Posting{}, err
	}
	e.estimated = st.Estimated
	return driver.Posting{From: from, Crossed: s.crossed(st.Lines, now)}, nil
}

// postOrphan posts spend that was never reserved, or whose reservation was voided, in the present windows. from is the state of the entry that the
// new one replaces: Voided, or zero if there is none.
func (s *Store) postOrphan(st driver.Settlement, from driver.State, now int64) (driver.Posting, error) {
	e := s.entry()
	// Voided, because such an entry has nothing pending and nothing posted; post makes it Settled.
	e.id, e.owner, e.state, e.reservedAt = st.ID, st.Owner, driver.Voided, now
	e.estimated, e.orphan = st.Estimated, true
	e.refer(&st)
	spans := make([]accountSpan, len(st.Lines))
	for i := range st.Lines {
		spans[i] = s.spanOf(&st.Lines[i], now)
	}
	s.book(e, st.Lines, spans) // it reserves nothing, because e.reserved is zero
	if err := s.post(e, &st.Actual, st.Shares, driver.Settled, now); err != nil {
		return driver.Posting{}, err
	}
	if voided := s.entries.find(&st.ID); voided != nil {
		s.resolved.remove(voided)
	}
	s.entries.put(e) // in the place of the voided one
	return driver.Posting{From: from, Crossed: s.crossed(st.Lines, now)}, nil
}

// refer stores the call and the reference of a settlement in an entry, which keeps its own where the settlement has none.
func (e *entry) refer(st *driver.Settlement) {
	if st.Call != nil {
		e.call = st.Call
	}
	if st.Reference != "" {
		e.reference = st.Reference
	}
}

// post resolves an entry, or changes what it has posted: it takes what the entry has pending out of pending, and replaces what it had posted with
// actual. Either all lines and rows of usage change, or none: it checks all sums before it changes the first one. A line whose bucket was forgotten
// has no sum left to change.
func (s *Store) post(e *entry, actual *driver.Charge, shares []driver.Share, state driver.State, now int64) error {
	var one [1]use
	uses := s.uses(e, actual, shares, one[:0])
	if !e.fits(uses) {
		return driver.ErrOverflow
	}
	var memory [8]*bucket // enough for most entries, so that nothing is allocated
	buckets, overflow := e.bucketsFor(actual, memory[:0])
	if overflow {
		return driver.ErrOverflow
	}
	for i, k := range buckets {
		if k == nil {
			continue
		}
		unit := e.lines[i].unit
		k.settled += actual[unit] - e.actual[unit]
		if e.state == driver.Pending {
			k.pending -= e.reserved[unit]
		}
	}
	e.actual = *actual
	// Without shares uses belong to the first of the earlier ones, if there were any: then they still come from shares.
	fromShares := len(shares) > 0 || e.shared && len(uses) > 0
	e.charge(uses, fromShares)
	s.resolve(e, state, now)
	return nil
}

// bucketsFor adds to room the bucket of each line of an entry, nil if it was forgotten. overflow reports whether actual, in the place of what the
// entry has posted so far, would take a bucket's settled sum out of the range of int64.
func (e *entry) bucketsFor(actual *driver.Charge, room []*bucket) (buckets []*bucket, overflow bool) {
	for i := range e.lines {
		k, unit := e.lines[i].find(), e.lines[i].unit
		if room = append(room, k); k == nil {
			continue
		}
		if _, tooLarge := plus(k.settled-e.actual[unit], actual[unit]); tooLarge {
			return nil, true
		}
	}
	return room, false
}

// resolve sets the state of an entry and moves it to the end of the list of resolved ones, which begins with the oldest. It forgets up to two old
// entries, so that a busy store does not grow.
func (s *Store) resolve(e *entry, state driver.State, now int64) {
	if e.state == driver.Pending {
		s.expiries.remove(e)
	} else {
		s.resolved.remove(e) // without an effect for an orphan or a tombstone, which are in no list yet
	}
	e.state, e.resolvedAt = state, now
	s.resolved.append(e)
	s.forget(now, 2)
}

// crossed returns the thresholds that settled spend has reached for the first time in the present windows.
func (s *Store) crossed(lines []driver.Line, now int64) (all []driver.Crossing) {
	for i := range lines {
		if len(lines[i].Notify) > 0 {
			all = append(all, s.open(lines[i].Account).report(&lines[i], i, now)...)
		}
	}
	return all
}

// Void implements driver.Store.
func (s *Store) Void(ctx context.Context, id driver.ID, owner driver.Key) error {
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	e := s.entries.find(&id)
	switch {
	case e == nil: // a tombstone: post makes it Voided, so that a Reserve that arrives later is refused
		e = s.entry()
		e.id, e.owner, e.tombstone, e.reservedAt = id, owner, true, now
		s.entries.put(e)
	case e.owner != owner:
		return driver.ErrIDConflict
	case e.state == driver.Voided:
		return nil
	case e.state != driver.Pending:
		return driver.ErrResolved
	}
	return s.post(e, new(driver.Charge), nil, driver.Voided, now)
}

// Correct implements driver.Store. A tombstone is not found, because its accounts are not known.
func (s *Store) Correct(ctx context.Context, c driver.Correction) (driver.Posting, error) {
	if err := c.Validate(); err != nil {
		return driver.Posting{}, err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return driver.Posting{}, err
	}
	defer s.mu.Unlock()
	e := s.entries.find(&c.ID)
	if e == nil || e.state == driver.Pending || e.tombstone {
		return driver.Posting{}, driver.ErrNotFound
	}
	record := driver.Record{Change: c.Change, Kind: driver.ChangeCorrect, Reservation: c.ID, From: e.actual, To: c.Actual}
	isNew, err := s.changes.judge(&record)
	if err != nil {
		return driver.Posting{}, err
	}
	p := driver.Posting{From: e.state, Replayed: !isNew || s.hasPosted(e, &c)}
	if !p.Replayed {
		if err := s.post(e, &c.Actual, c.Shares, driver.Settled, now); err != nil {
			return driver.Posting{}, err
		}
		e.estimated = false
	}
	if isNew { // also if the amounts were the same: the audit trail has every change
		s.changes.note(record, now)
	}
	return p, nil
}

// hasPosted reports whether a correction would leave an entry as it is. A correction of an estimated amount to the same number confirms it, and is
// made.
func (s *Store) hasPosted(e *entry, c *driver.Correction) bool {
	if e.actual != c.Actual || e.estimated {
		return false
	}
	// uses returns to which rows of usage the new amounts would be added; nil stands for no memory for that. Without shares the present rows stay.
	return len(c.Shares) == 0 || slices.Equal(e.uses, s.uses(e, &c.Actual, c.Shares, nil))
}
