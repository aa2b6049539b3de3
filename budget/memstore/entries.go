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
	for e := range s.entries.all() { // cheap tests come first, and only then the whole query
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

// page finds the first size elements in the order of compare. The elements are added one by one, in any order. Whenever it has twice as many as it
// needs, it drops the later half. Of a million entries with random ids it keeps some ten thousand on the way to a page of a thousand, and so the
// store's mutex is held for 0.2 s instead of 4 s.
type page[T any] struct {
	size    int
	compare func(a, b T) int
	kept    []T
	full    bool // size elements were found, up to last: none behind last belongs to the result
	last    T
}

// excludes reports whether an element certainly does not belong to the result, so that it need not be added.
func (p *page[T]) excludes(element T) bool { return p.full && p.compare(element, p.last) > 0 }

// add adds an element.
func (p *page[T]) add(element T) {
	p.kept = append(p.kept, element)
	if len(p.kept) >= 2*p.size {
		p.kept = p.sorted()
		p.full, p.last = true, p.kept[p.size-1]
	}
}

// sorted returns the first size elements of those that were added, in order.
func (p *page[T]) sorted() []T {
	slices.SortFunc(p.kept, p.compare)
	return p.kept[:min(len(p.kept), p.size)]
}

// public returns an entry as Entries returns it. It shares no memory with the store.
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

// summary is public without Lines, and with the tags that the store keeps, which callers must not get. It is enough to ask whether a query selects
// the entry.
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
	// Callers must not get the tags that the store keeps. Only those of the page are copied.
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
