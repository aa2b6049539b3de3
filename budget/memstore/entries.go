package memstore

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// maxEntries is the size of the largest page of Entries.
const maxEntries = 10_000

// Entries implements driver.Store. It looks at all entries: it is for reconciliation, not for the hot path. A Max out of range is set to the
// nearest one.
func (s *Store) Entries(ctx context.Context, q driver.Query) ([]driver.Entry, error) {
	if _, err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	found := page[*entry]{size: pageSize(q.Max), compare: func(a, b *entry) int { return bytes.Compare(a.id[:], b.id[:]) }}
	for e := range s.entries.all() {
		if bytes.Compare(e.id[:], q.After[:]) <= 0 || q.State != 0 && e.state != q.State || found.excludes(e) {
			continue
		}
		if out := e.summary(); q.Selects(&out) {
			found.add(e)
		}
	}
	all := []driver.Entry{}
	for _, e := range found.sorted() {
		all = append(all, e.public())
	}
	return all, nil
}

// pageSize returns the size of a page of which limit elements are asked for.
func pageSize(limit int) int { return max(1, min(limit, maxEntries)) }

// page collects the first elements in an order, from any number in any order. Of a million entries with random ids it keeps some ten thousand
// on the way to a page of a thousand, and so the store's mutex is held for 0.2 s instead of 4 s.
type page[T any] struct {
	size    int
	compare func(a, b T) int
	kept    []T
	full    bool // last is the last element of a full page: none behind it belongs to the result
	last    T
}

// excludes reports whether an element is behind the end of the page.
func (p *page[T]) excludes(element T) bool { return p.full && p.compare(element, p.last) > 0 }

func (p *page[T]) add(element T) {
	p.kept = append(p.kept, element)
	if len(p.kept) >= 2*p.size {
		p.kept = p.sorted()
		p.full, p.last = true, p.kept[p.size-1]
	}
}

func (p *page[T]) sorted() []T {
	slices.SortFunc(p.kept, p.compare)
	return p.kept[:min(len(p.kept), p.size)]
}

// public returns an entry as it is told to callers.
func (e *entry) public() driver.Entry {
	out := e.summary()
	out.Scope.Tags = maps.Clone(out.Scope.Tags)
	amounts := &e.actual
	if e.state == driver.Pending {
		amounts = &e.reserved
	}
	for _, b := range e.lines {
		out.Lines = append(out.Lines, driver.Booking{Account: b.account.key, Unit: b.unit, Start: time.Unix(0, b.start), Amount: amounts[b.unit]})
	}
	return out
}

// summary is public without lines, and with the entry's own tags.
func (e *entry) summary() driver.Entry {
	out := driver.Entry{
		ID: e.id, State: e.state, Estimated: e.estimated, Orphan: e.orphan, Reserved: e.reserved, Actual: e.actual,
		ReservedAt: time.Unix(0, e.reservedAt),
	}
	if e.state != driver.Pending {
		out.ResolvedAt = time.Unix(0, e.resolvedAt)
	}
	if e.call != nil {
		out.Scope, out.Operation = e.call.Scope, e.call.Operation
	}
	out.Reference = e.reference
	return out
}

// Accounts implements driver.Store.
func (s *Store) Accounts(ctx context.Context, after driver.Key, limit int) ([]driver.Account, error) {
	now, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	found := page[driver.Account]{size: pageSize(limit), compare: func(a, b driver.Account) int { return bytes.Compare(a.Key[:], b.Key[:]) }}
	for key, a := range s.accounts {
		out := driver.Account{Key: key, Limit: a.limit, Scope: a.scope}
		if bytes.Compare(key[:], after[:]) <= 0 || found.excludes(out) {
			continue
		}
		if a.override != nil {
			own := *a.override
			out.Override = &own
		}
		if a.latchedUntil > now {
			out.Latched = time.Unix(0, a.latchedUntil)
		}
		found.add(out)
	}
	all := append([]driver.Account{}, found.sorted()...)
	for i := range all {
		all[i].Scope.Tags = maps.Clone(all[i].Scope.Tags)
	}
	return all, nil
}

// Periods implements driver.Store.
func (s *Store) Periods(ctx context.Context, key driver.Key, after time.Time, limit int) ([]driver.Period, error) {
	if _, err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := []driver.Period{}
	if a := s.find(&key); a != nil {
		for _, b := range a.buckets {
			if start := time.Unix(0, b.start); after.IsZero() || start.After(after) {
				all = append(all, driver.Period{Start: start, Settled: b.settled, Pending: b.pending, Forgotten: b.forgotten})
			}
		}
	}
	return all[:min(len(all), pageSize(limit))], nil
}
