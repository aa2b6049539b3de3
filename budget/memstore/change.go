package memstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// changes has the audit trail, and the last change of each object. An object is what a change changes, such as one flag or one account's latch.
type changes struct {
	records []driver.Record      // the change that made revision n is at n-1
	last    map[driver.Key]int64 // by object: the revision that its last change made
}

// judge reports whether a change is new, so that it has to be made. It is not if it is the object's last change: then its caller repeats it.
// ErrSuperseded says that somebody has changed the object since the caller of this change looked.
func (c *changes) judge(r *driver.Record) (isNew bool, err error) {
	last := c.last[r.Object()]
	if last == 0 {
		return true, nil
	}
	switch before := &c.records[last-1]; {
	case before.ID == r.ID:
		return false, nil
	case last > r.Seen:
		return false, driver.ErrSuperseded
	}
	return true, nil
}

// note appends a change to the audit trail.
func (c *changes) note(r driver.Record, now int64) {
	if c.last == nil {
		c.last = make(map[driver.Key]int64)
	}
	r.Revision, r.At = int64(len(c.records))+1, time.Unix(0, now)
	c.last[r.Object()] = r.Revision
	c.records = append(c.records, clone(r))
}

// make judges a change that nothing else can refuse, and appends it to the audit trail if it is new. Then the caller has to make it.
func (c *changes) make(r driver.Record, now int64) (isNew bool, err error) {
	if isNew, err = c.judge(&r); isNew {
		c.note(r, now)
	}
	return isNew, err
}

// clone copies a record, so that it shares no memory with the caller.
func clone(r driver.Record) driver.Record {
	r.Scope.Tags = maps.Clone(r.Scope.Tags)
	if r.Override != nil {
		own := *r.Override
		r.Override = &own
	}
	return r
}

// Revision implements driver.Store.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	if _, err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	return int64(len(s.changes.records)), nil
}

// Changes implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Changes(ctx context.Context, after int64, limit int) ([]driver.Record, error) {
	if _, err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := s.changes.records
	all = all[min(max(after, 0), int64(len(all))):]
	all = slices.Clone(all[:min(len(all), max(1, min(limit, maxEntries)))])
	for i := range all {
		all[i] = clone(all[i])
	}
	return all, nil
}

// AcceptLoss implements driver.Store. If the memory is lost, so is the Store, so there is nothing to accept.
func (s *Store) AcceptLoss(ctx context.Context, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	_, err = s.changes.make(driver.Record{Change: c, Kind: driver.ChangeAcceptLoss}, now)
	return err
}
