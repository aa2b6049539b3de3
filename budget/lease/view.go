package lease

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/internal/checked"
)

// A lease is a share of limits that this process has drawn from the store inside. It consists of grants, each of which is one reservation there:
// pending with its amount, until it is settled (posted) with what the lease's calls have cost.

// Balances implements Store. What this process spent in leases counts as settled, and its calls in flight as pending. The unused part of its
// own leases does not count; that of other processes' leases counts as pending.
func (s *Store) Balances(ctx context.Context, lines []driver.Line) (all []driver.Balance, err error) {
	err = s.undisturbed(ctx, func() (func(), error) {
		if all, err = s.inner.Balances(ctx, lines); err != nil || len(all) != len(lines) {
			return func() {}, err
		}
		return func() {
			for i := range all {
				s.adjust(&all[i], &lines[i])
			}
		}, nil
	})
	return all, err
}

// undisturbed calls ask, which asks the store inside, until no lease was changed there during the question. Then it calls the function that ask has
// returned, with mu held, to put this process's leases into the answer. If leases change all the time, it gives up and leaves the answer as the
// store inside gave it: its numbers are true, but count the process's own unused shares as pending.
func (s *Store) undisturbed(ctx context.Context, ask func() (adjust func(), err error)) error {
	// Six tries, with pauses of 1, 2, 4, 8 and 16 ms in between, wait for 31 ms together.
	const tries = 6
	for try, pause := 1, time.Millisecond; ; try, pause = try+1, 2*pause {
		if err := s.checkOpen(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		// changingLeases counts the steps that change leases in the store inside: those that run now, and those that have ended.
		endedBefore, noneBefore := s.stepsEnded, s.stepsUnderWay == 0
		s.mu.Unlock()
		adjust, err := ask()
		if err != nil {
			return err
		}
		s.mu.Lock()
		noneRan := noneBefore && s.stepsUnderWay == 0 && s.stepsEnded == endedBefore
		if noneRan {
			adjust()
		}
		s.mu.Unlock()
		if noneRan || try == tries {
			return nil
		}
		if err := rest(ctx, pause); err != nil { // so that the steps under way can finish
			return err
		}
	}
}

// rest waits for a duration, or until the context ends.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// adjust replaces what the store inside holds for this process's leases in a balance by what their calls have spent and reserved. Only leases whose
// bucket of time counts now are in the balance. Requires mu held.
func (s *Store) adjust(b *driver.Balance, line *driver.Line) {
	since := line.Window.At(s.now().Add(s.offset)).Since // buckets that begin at since or later count now, by the store's clock
	settled, pending := b.Settled, b.Pending
	for l := range s.live {
		counts := slices.ContainsFunc(l.lines, func(own driver.Line) bool { return own.Account == line.Account })
		// A lease without a grant that was answered has no bucket of time yet.
		if !counts || len(l.grants) == 0 || line.Window.At(l.at).Start < since {
			continue
		}
		settled, pending = l.inPlaceOfGrants(settled, pending, line.Unit)
	}
	// At the very end of a window the clocks of the process and the store may disagree about what counts, so that a difference can be
	// negative.
	b.Settled, b.Pending = max(settled, 0), max(pending, 0)
	if b.Settled == 0 && b.Pending == 0 && !b.Latched {
		// Nothing is used, so that there is nothing to wait for.
		b.ResetAfter = 0
	}
}

// inPlaceOfGrants takes two sums of the store inside, which have the lease's grants in them, and returns them with what the lease's calls have spent
// and reserved in the place of the grants. Requires mu held.
func (l *lease) inPlaceOfGrants(settled, pending int64, u driver.Unit) (int64, int64) {
	for _, g := range l.grants {
		if g.posted {
			settled -= g.settledAs[u]
		} else {
			pending -= g.amount[u]
		}
	}
	return addUp(settled, l.settled[u]), addUp(pending, l.pending[u])
}

// addUp returns a + b, or a if that wraps.
func addUp(a, b int64) int64 {
	if sum, ok := checked.Add(a, b); ok {
		return sum
	}
	return a
}

// Override implements Store. In this process it holds once it has returned; other processes may still spend what they have leased.
func (s *Store) Override(ctx context.Context, account driver.Key, o *driver.Override, c driver.Change) error {
	if err := cmp.Or(c.Validate(), s.checkOpen(ctx)); err != nil {
		return err
	}
	if err := s.inner.Override(ctx, account, o, innerChange(c)); err != nil {
		return err
	}
	s.freed()
	return s.giveBackOn(ctx, account)
}

// giveBackOn gives back this process's leases on an account.
func (s *Store) giveBackOn(ctx context.Context, account driver.Key) error {
	on := []driver.Line{{Account: account}}
	now := s.now()
	leases := s.liveLeases(func(l *lease) bool { // selects leases, and closes them; the background work gives back those that were closed before
		if l.closed || !l.touches(on) {
			return false
		}
		s.closeLease(l, now) // at once, even if a step in the store inside is under way for it
		return true
	})
	_, err := s.giveBackAll(ctx, leases)
	return err
}

// Unlatch implements Store. No lease has to be given back for it, because calls on lines with a latch are never served from leases.
func (s *Store) Unlatch(ctx context.Context, accounts []driver.Key, c driver.Change) error {
	if err := cmp.Or(c.Validate(), s.checkOpen(ctx)); err != nil {
		return err
	}
	defer s.freed()
	return s.inner.Unlatch(ctx, accounts, innerChange(c))
}

// Entries implements Store. The calls in this process's leases are entries of their own, in the place of the leases; their moments are this
// process's estimate of the store's clock. Leases of other processes, and leases whose calls are forgotten, are shown as they are stored:
// one reservation for many calls.
func (s *Store) Entries(ctx context.Context, q driver.Query) ([]driver.Entry, error) {
	q.Max = max(1, min(q.Max, 10_000))
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	all := s.localEntries(q) // and then those of the store inside, page by page, until the first q.Max of both together are certain
	page := q
	for {
		part, err := s.inner.Entries(ctx, page)
		if err != nil {
			return nil, err
		}
		isLast := len(part) < page.Max // the store inside has no more entries
		if !isLast {
			page.After = part[len(part)-1].ID
		}
		all = append(all, s.foreign(part)...)
		if isLast || upTo(all, page.After) >= q.Max {
			return firstOf(all, q.Max, isLast, page.After), nil
		}
	}
}

// localEntries returns the calls in leases that a query selects.
func (s *Store) localEntries(q driver.Query) (all []driver.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.calls {
		if c.lease == nil || bytes.Compare(id[:], q.After[:]) <= 0 {
			continue
		}
		if e := c.entry(); q.Selects(&e) {
			all = append(all, e)
		}
	}
	return all
}

// foreign drops the entries of this process's leases from a page of the store inside, because localEntries returns their calls instead. An entry of
// a lease whose calls are forgotten stays.
func (s *Store) foreign(part []driver.Entry) []driver.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(part, func(e driver.Entry) bool { return s.leases[e.ID] != nil })
}

// upTo counts the entries with ids up to this one. If the store inside has been read up to it, none is missing among them.
func upTo(all []driver.Entry, to driver.ID) (n int) {
	for i := range all {
		if bytes.Compare(all[i].ID[:], to[:]) <= 0 {
			n++
		}
	}
	return n
}

// firstOf returns the first n entries by id. complete says that all are there. If not, the store inside was read up to the id to, and entries beyond
// it are left out, because others may be missing between them.
func firstOf(all []driver.Entry, n int, complete bool, to driver.ID) []driver.Entry {
	if !complete {
		all = slices.DeleteFunc(all, func(e driver.Entry) bool { return bytes.Compare(e.ID[:], to[:]) > 0 })
	}
	slices.SortFunc(all, func(a, b driver.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return all[:min(n, len(all))]
}
