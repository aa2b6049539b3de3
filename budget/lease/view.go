package lease

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/checked"
)

// Balances implements Store. What this process spent in leases counts as settled, and what it has in flight as pending; the
// unused rest of its own leases counts not at all, that of other processes' as pending.
func (s *Store) Balances(ctx context.Context, lines []budget.Line) (all []budget.Balance, err error) {
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

// undisturbed asks the store inside a question until no lease was changed there meanwhile, and then calls what it returned, with mu held,
// to put this process's leases into the answer. A process that never rests gets the numbers of the store inside: they are true, but
// count its idle shares.
func (s *Store) undisturbed(ctx context.Context, ask func() (adjust func(), err error)) error {
	const tries = 6
	for try, pause := 1, time.Millisecond; ; try, pause = try+1, 2*pause {
		if err := s.checkOpen(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		ended, still := s.stepsEnded, s.stepsUnderWay == 0
		s.mu.Unlock()
		adjust, err := ask()
		if err != nil {
			return err
		}
		s.mu.Lock()
		still = still && s.stepsUnderWay == 0 && s.stepsEnded == ended
		if still {
			adjust()
		}
		s.mu.Unlock()
		if still || try == tries {
			return nil
		}
		if err := rest(ctx, pause); err != nil { // so that what is on its way to the store gets there
			return err
		}
	}
}

// rest waits a while, or until the context ends.
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

// adjust replaces what the store inside holds for this process's leases by what their calls have spent and reserved. Requires mu
// held.
func (s *Store) adjust(b *budget.Balance, line *budget.Line) {
	since := line.Window.At(s.now().Add(s.offset)).Since
	settled, pending := b.Settled, b.Pending
	for l := range s.live {
		counts := slices.ContainsFunc(l.lines, func(own budget.Line) bool { return own.Account == line.Account })
		if !counts || len(l.grants) == 0 || line.Window.At(l.at).Start < since {
			continue
		}
		for _, g := range l.grants {
			if g.posted {
				settled -= g.settledAs[line.Unit]
			} else {
				pending -= g.amount[line.Unit]
			}
		}
		settled, pending = addUp(settled, l.settled[line.Unit]), addUp(pending, l.pending[line.Unit])
	}
	// At the very edge of a window the two clocks may disagree about what counts.
	b.Settled, b.Pending = max(settled, 0), max(pending, 0)
	if b.Settled == 0 && b.Pending == 0 && !b.Latched {
		b.ResetAfter = 0
	}
}

// addUp returns a + b, or a if that wraps.
func addUp(a, b int64) int64 {
	if sum, ok := checked.Add(a, b); ok {
		return sum
	}
	return a
}

// Override implements Store. In this process it holds from its return on; other processes may spend what they have leased.
func (s *Store) Override(ctx context.Context, account budget.Key, o *budget.Override, c budget.Change) error {
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
func (s *Store) giveBackOn(ctx context.Context, account budget.Key) error {
	on := []budget.Line{{Account: account}}
	now := s.now()
	leases := s.liveLeases(func(l *lease) bool {
		if l.closed || !l.touches(on) {
			return false
		}
		s.closeLease(l, now) // at once, even if a step of the store is under way for it
		return true
	})
	_, err := s.giveBackAll(ctx, leases)
	return err
}

// Unlatch implements Store.
func (s *Store) Unlatch(ctx context.Context, accounts []budget.Key, c budget.Change) error {
	if err := cmp.Or(c.Validate(), s.checkOpen(ctx)); err != nil {
		return err
	}
	defer s.freed()
	return s.inner.Unlatch(ctx, accounts, innerChange(c))
}

// Entries implements Store. Calls in this process's leases come as entries of their own, with this process's account of the
// store's time, in the place of the leases. Leases of other processes, and those whose calls are forgotten, come as what
// they are: one reservation for many calls.
func (s *Store) Entries(ctx context.Context, q budget.Query) ([]budget.Entry, error) {
	q.Max = max(1, min(q.Max, 10_000))
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	all := s.localEntries(q)
	page := q
	for {
		part, err := s.inner.Entries(ctx, page)
		if err != nil {
			return nil, err
		}
		last := len(part) < page.Max
		if !last {
			page.After = part[len(part)-1].ID
		}
		all = append(all, s.foreign(part)...)
		if last || covered(all, page.After) >= q.Max {
			return firstOf(all, q.Max, last, page.After), nil
		}
	}
}

// localEntries returns the calls in leases that a query selects.
func (s *Store) localEntries(q budget.Query) (all []budget.Entry) {
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

// foreign leaves our own leases out, as long as their calls stand for them.
func (s *Store) foreign(part []budget.Entry) []budget.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(part, func(e budget.Entry) bool { return s.leases[e.ID] != nil })
}

// covered counts the entries up to an id: those of which nothing between them is missing.
func covered(all []budget.Entry, to budget.ID) (n int) {
	for i := range all {
		if bytes.Compare(all[i].ID[:], to[:]) <= 0 {
			n++
		}
	}
	return n
}

// firstOf returns the first entries in the order of their ids, of those that are covered.
func firstOf(all []budget.Entry, n int, complete bool, to budget.ID) []budget.Entry {
	if !complete {
		all = slices.DeleteFunc(all, func(e budget.Entry) bool { return bytes.Compare(e.ID[:], to[:]) > 0 })
	}
	slices.SortFunc(all, func(a, b budget.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return all[:min(n, len(all))]
}
