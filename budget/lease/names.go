package lease

import (
	"context"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A lease is a share of limits that this process has drawn from the store inside. It consists of grants, each of which is one reservation there:
// pending with its amount, until it is settled (posted) with what the lease's calls have cost.

// Accounts implements Store. It returns the accounts of the store inside, as they are there.
func (s *Store) Accounts(ctx context.Context, after driver.Key, max int) ([]driver.Account, error) {
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	return s.inner.Accounts(ctx, after, max)
}

// Periods implements Store. As in Balances, what this process spent in its open leases counts as settled, and the leases of other processes
// count as pending.
func (s *Store) Periods(ctx context.Context, account driver.Key, after time.Time, max int) ([]driver.Period, error) {
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	all, err := s.inner.Periods(ctx, account, after, max)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.live {
		for i := range l.lines {
			// A lease without a grant that was answered has no bucket of time yet.
			if own := &l.lines[i]; own.Account == account && len(l.grants) > 0 {
				l.correctPeriod(all, own)
			}
		}
	}
	return all, nil
}

// correctPeriod finds the period of an account (a bucket of time) in which a lease is booked, among all. There it replaces what the store inside
// holds for the lease by what the lease's calls have spent and reserved. line is the lease's line for this account. Requires mu held.
func (l *lease) correctPeriod(all []driver.Period, line *driver.Line) {
	start := time.Unix(0, line.Window.At(l.at).Start) // all grants of a lease are booked in the bucket of the first one
	for i := range all {
		p := &all[i]
		if !p.Start.Equal(start) {
			continue
		}
		p.Settled, p.Pending = l.inPlaceOfGrants(p.Settled, p.Pending, line.Unit)
	}
}

// entry returns a call inside a lease as Entries shows it. Requires mu held.
func (c *call) entry() driver.Entry {
	// A call's times are counted from its lease's first draw; storeTime turns them into moments of the store's clock.
	e := driver.Entry{ID: c.id, State: c.state, Estimated: c.estimated, ReservedAt: c.lease.storeTime(c.at)}
	e.Reserved, e.Actual, e.Reference = unpack(c.packed)
	if c.whose != nil {
		e.Scope, e.Operation = c.whose.Scope, c.whose.Operation
	}
	amounts := &e.Actual
	if c.state == driver.Pending {
		amounts = &e.Reserved
	} else {
		e.ResolvedAt = c.lease.storeTime(c.moment)
	}
	// The call counts where its lease is booked, each line in the bucket of the first grant.
	for i := range c.lease.lines {
		l := &c.lease.lines[i]
		start := time.Unix(0, l.Window.At(c.lease.at).Start)
		e.Lines = append(e.Lines, driver.Booking{Account: l.Account, Unit: l.Unit, Start: start, Amount: amounts[l.Unit]})
	}
	return e
}
