package memstore

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// maxEntries is the most that one page of Entries holds.
const maxEntries = 10_000

// Entries implements budget.Store. It looks through all entries: it is for reconciliation, not for the hot path. A Max
// out of range is moved into it.
func (s *Store) Entries(ctx context.Context, q budget.Query) ([]budget.Entry, error) {
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var found []*entry
	for e := range s.entries.all() {
		if bytes.Compare(e.id[:], q.After[:]) > 0 && (q.State == 0 || e.state == q.State) && (!q.Estimated || e.estimated) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *entry) int { return bytes.Compare(a.id[:], b.id[:]) })
	found = found[:min(len(found), max(1, min(q.Max, maxEntries)))]
	all := make([]budget.Entry, len(found))
	for i, e := range found {
		all[i] = e.public()
	}
	return all, nil
}

func (e *entry) public() budget.Entry {
	out := budget.Entry{
		ID: e.id, State: e.state, Estimated: e.estimated, Orphan: e.orphan, Reserved: e.reserved, Actual: e.actual,
		ReservedAt: time.Unix(0, e.reservedAt),
	}
	if e.state != budget.Pending {
		out.ResolvedAt = time.Unix(0, e.resolvedAt)
	}
	return out
}
