package memstore

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// maxEntries is the size of the largest page of Entries.
const maxEntries = 10_000

// Entries implements budget.Store. It reads all entries: it is for reconciliation, not for the hot path. A Max out of range is set to the
// nearest one.
func (s *Store) Entries(ctx context.Context, q budget.Query) ([]budget.Entry, error) {
	if _, err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var found []*entry
	for e := range s.entries.all() {
		if bytes.Compare(e.id[:], q.After[:]) <= 0 || q.State != 0 && e.state != q.State {
			continue
		}
		if out := e.public(); q.Selects(&out) {
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
	amounts := &e.actual
	if e.state == budget.Pending {
		amounts = &e.reserved
	} else {
		out.ResolvedAt = time.Unix(0, e.resolvedAt)
	}
	if e.call != nil {
		out.Scope, out.Operation = e.call.Scope, e.call.Operation
		out.Scope.Tags = maps.Clone(out.Scope.Tags)
	}
	out.Reference = e.reference
	for _, b := range e.lines {
		out.Lines = append(out.Lines, budget.Booking{Account: b.account.key, Unit: b.unit, Start: time.Unix(0, b.start), Amount: amounts[b.unit]})
	}
	return out
}

// Accounts implements budget.Store.
func (s *Store) Accounts(ctx context.Context, after budget.Key, limit int) ([]budget.Account, error) {
	now, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := []budget.Account{}
	for key, a := range s.accounts {
		if bytes.Compare(key[:], after[:]) <= 0 {
			continue
		}
		out := budget.Account{Key: key, Limit: a.limit, Scope: a.scope}
		out.Scope.Tags = maps.Clone(out.Scope.Tags)
		if a.override != nil {
			own := *a.override
			out.Override = &own
		}
		if a.latchedUntil > now {
			out.Latched = time.Unix(0, a.latchedUntil)
		}
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b budget.Account) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	return all[:min(len(all), max(1, min(limit, maxEntries)))], nil
}

// Periods implements budget.Store.
func (s *Store) Periods(ctx context.Context, key budget.Key, after time.Time, limit int) ([]budget.Period, error) {
	if _, err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := []budget.Period{}
	if a := s.find(&key); a != nil {
		for _, b := range a.buckets {
			if start := time.Unix(0, b.start); after.IsZero() || start.After(after) {
				all = append(all, budget.Period{Start: start, Settled: b.settled, Pending: b.pending, Forgotten: b.forgotten})
			}
		}
	}
	return all[:min(len(all), max(1, min(limit, maxEntries)))], nil
}
