package lease

import (
	"cmp"
	"context"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// innerBits divides a revision in two: the lower 40 bits are the revision of the store inside; the bits above count the calls that this
// process has corrected inside its leases, which the store inside does not count.
const innerBits = 40

// innerChange returns the change as it is passed to the store inside, whose revisions are the lower bits of those that callers see.
func innerChange(c driver.Change) driver.Change {
	c.Seen &= 1<<innerBits - 1
	return c
}

// Revision implements Store. The number means nothing to other processes.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	if _, err := s.lock(ctx); err != nil {
		return 0, err
	}
	corrected := s.corrected
	s.mu.Unlock()
	revision, err := s.inner.Revision(ctx)
	return revision | corrected<<innerBits, err
}

// Changes implements Store. A correction of a call inside a lease has no row of its own: it shows as a correction of the lease's entry, once
// that has been made.
func (s *Store) Changes(ctx context.Context, after int64, max int) ([]driver.Record, error) {
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	return s.inner.Changes(ctx, after&(1<<innerBits-1), max)
}

// AcceptLoss implements Store. The store inside alone knows of losses; nothing changes in this process's leases.
func (s *Store) AcceptLoss(ctx context.Context, c driver.Change) error {
	if err := cmp.Or(c.Validate(), s.checkOpen(ctx)); err != nil {
		return err
	}
	return s.inner.AcceptLoss(ctx, innerChange(c))
}

// judge reports whether a correction of a call inside a lease is new, so that it has to be made. It is not if it was the last one made: then the
// caller repeats it. ErrSuperseded says that the call was corrected after the caller of this change had looked at it. Requires mu held.
func (s *Store) judge(c *call, change driver.Change) (isNew bool, err error) {
	if c.changes == nil {
		return true, nil
	}
	ids := c.changes.ids
	if ids[len(ids)-1] == change.ID {
		return false, nil
	}
	correctionsSeen := change.Seen >> innerBits // how many corrections this process had made when the caller looked
	lateRepeat := slices.Contains(ids, change.ID)
	if correctionsSeen < c.changes.last || lateRepeat {
		return false, driver.ErrSuperseded
	}
	return true, nil
}

// lastCorrection returns the number of the call's last correction (Store.corrected after it); 0 if there was none. Requires mu held.
func (c *call) lastCorrection() int64 {
	if c.changes == nil {
		return 0
	}
	return c.changes.last
}

// noteChange remembers a correction of a call inside a lease. Requires mu held.
func (s *Store) noteChange(c *call, change driver.Change) {
	if c.changes == nil {
		c.changes = &corrections{}
	}
	s.corrected++
	c.changes.ids, c.changes.last = append(c.changes.ids, change.ID), s.corrected
}

// dropChange forgets a correction that the store inside has refused, so that a repeat of it is refused, too, and not taken for made. previous is the
// number of the call's correction before it; 0 if there was none.
func (s *Store) dropChange(c *call, change driver.Change, previous int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.changes == nil {
		return
	}
	last := len(c.changes.ids) - 1
	switch {
	case c.changes.ids[last] != change.ID: // the call was corrected again meanwhile
	case last == 0:
		c.changes = nil
	default:
		c.changes.ids, c.changes.last = c.changes.ids[:last], previous
	}
}
