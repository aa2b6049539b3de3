package lease

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A store adds up what was spent in rows of usage, one for each day and each set of values of a scope. A lease serves calls of several scopes with
// the same few entries in the store inside (its grants). So it keeps apart what each scope has spent, in a leaseUse, and settles its grants with
// shares, which say how their amounts divide among the scopes.

// leaseUse is the part of a lease that belongs to one row of usage: the amounts of all of its calls with the same principal, workflow, model,
// region and tags.
type leaseUse struct {
	key      driver.Key   // of the row: Call.UsageKey
	call     *driver.Call // one of these calls
	callSums              // of these calls
}

// findUse returns the lease's use with a key, or nil.
func (l *lease) findUse(key driver.Key) *leaseUse {
	for _, u := range l.uses {
		if u.key == key {
			return u
		}
	}
	return nil
}

// carries reports whether a lease can keep a call's amounts apart from those of others. It can't once it has MaxShares different rows.
func (l *lease) carries(c *driver.Call) bool {
	return len(l.uses) < driver.MaxShares || l.findUse(c.UsageKey()) != nil
}

// useOf returns the leaseUse to which a call's amounts are added, and makes it if there is none.
func (l *lease) useOf(c *driver.Call) *leaseUse {
	key := c.UsageKey()
	u := l.findUse(key)
	if u == nil {
		u = &leaseUse{key: key, call: c}
		l.uses = append(l.uses, u)
	}
	return u
}

// shares returns, for each grant's target, how it divides among the lease's calls, worst cases in flight included.
func (l *lease) shares(targets []driver.Charge) [][]driver.Share {
	return l.divide(targets, func(u *leaseUse) driver.Charge {
		sum, _ := u.settled.Plus(u.pending) // can't overflow: it is a part of the lease's sum
		return sum
	})
}

// divide returns, for each grant, how its target divides among the uses. A target is what the grant has to be settled with; together the targets
// are as much as the uses together, where of returns the amount of a use. A grant that is settled with its target already keeps its shares, so that
// no correction is needed for the shares alone. If the other grants could then not be divided, because a use would have to give more than it has,
// all grants are divided anew.
func (l *lease) divide(targets []driver.Charge, of func(*leaseUse) driver.Charge) [][]driver.Share {
	kept := make([]bool, len(targets)) // by grant: it keeps its shares
	for i, g := range l.grants {
		kept[i] = g.posted && !g.correcting && g.settledAs == targets[i] // correcting: a correction got no answer, and the amount is not certain
	}
	rest := l.restOfUses(kept, of)
	isNegative := func(c driver.Charge) bool { return c.Validate() != nil } // less than nothing is left
	if slices.ContainsFunc(rest, isNegative) {
		clear(kept)
		rest = l.restOfUses(kept, of)
	}
	all := make([][]driver.Share, len(targets))
	for i := range targets {
		if kept[i] {
			all[i] = l.grants[i].shares
			continue
		}
		all[i] = l.fill(targets[i], rest) // takes the amounts out of rest
	}
	return all
}

// restOfUses returns, by use, its amount, which of returns, less its shares in the grants that are marked in kept. So much is left for the other
// grants; it is negative where these shares are more than the amount.
func (l *lease) restOfUses(kept []bool, of func(*leaseUse) driver.Charge) []driver.Charge {
	rest := make([]driver.Charge, len(l.uses))
	for k, u := range l.uses {
		rest[k] = of(u)
	}
	for i, g := range l.grants {
		if !kept[i] {
			continue
		}
		for _, share := range g.shares {
			// Never -1: shares are made from the uses, and no use is ever removed.
			k := slices.IndexFunc(l.uses, func(u *leaseUse) bool { return u.key == share.Call.UsageKey() })
			rest[k] = minus(rest[k], share.Amount)
		}
	}
	return rest
}

// fill takes a target out of rest, what is left of the uses, one after the other, and returns how much each of them gave. The shares are sorted by
// usage key, as a settlement requires.
func (l *lease) fill(target driver.Charge, rest []driver.Charge) (shares []driver.Share) {
	// rest has the amounts of the uses, in the same order.
	for k, u := range l.uses {
		part := smaller(target, rest[k])
		if part == (driver.Charge{}) {
			continue
		}
		target, rest[k] = minus(target, part), minus(rest[k], part)
		shares = append(shares, driver.Share{Call: u.call, Amount: part})
	}
	slices.SortFunc(shares, func(a, b driver.Share) int {
		x, y := a.Call.UsageKey(), b.Call.UsageKey()
		return bytes.Compare(x[:], y[:])
	})
	return shares
}

// isSettledAs reports whether the store inside has certainly settled a grant with this target and these shares.
func (g *grant) isSettledAs(target driver.Charge, shares []driver.Share) bool {
	return !g.correcting && g.settledAs == target && slices.EqualFunc(g.shares, shares, func(a, b driver.Share) bool {
		return a.Amount == b.Amount && a.Call.UsageKey() == b.Call.UsageKey()
	})
}

// usagePage is how many rows are asked of the store inside at a time.
const usagePage = 10_000

// ownSum names a row of usage.
type ownSum struct {
	day int64      // its beginning, in seconds since 1970
	key driver.Key // Call.UsageKey
}

// Usage implements Store. It includes what this process spent in its leases. What other processes spent is included once they have given
// back their leases, with worst cases for the calls that were in flight then.
func (s *Store) Usage(ctx context.Context, from driver.UsageMark, limit int) (page []driver.UsageRow, err error) {
	limit = max(1, min(limit, usagePage))
	for more := true; more && len(page) < limit; { // a page of the store inside may become shorter, when rows of it are corrected to zero
		var part []driver.UsageRow
		if part, from, more, err = s.readUsage(ctx, from, limit); err != nil {
			return nil, err
		}
		page = append(page, part...)
	}
	return page[:min(len(page), limit)], nil
}

// readUsage reads a page of usage of the store inside, and adds what this process spent in its leases. more says that the page was full, so that
// there may be another one, which begins at next.
func (s *Store) readUsage(ctx context.Context, from driver.UsageMark, limit int) (page []driver.UsageRow, next driver.UsageMark, more bool, err error) {
	// undisturbed asks again if a lease was changed during the question, and then runs the returned function with mu held.
	err = s.undisturbed(ctx, func() (addOwn func(), err error) {
		inner, err := s.inner.Usage(ctx, from, limit)
		page, next, more = inner, from, len(inner) == limit
		if more {
			next = driver.UsageMark{Day: inner[limit-1].Day, After: inner[limit-1].Key}
		}
		return func() { page = s.ownUsage(from, limit, inner) }, err
	})
	return page, next, more, err
}

// unpostedUsage returns, by row of usage, what the calls of this process's leases have spent, less what the store inside has posted for these
// leases. That can be below zero, for example while worst cases of calls in flight are posted. Requires mu held.
func (s *Store) unpostedUsage() map[ownSum]*driver.UsageRow {
	own := make(map[ownSum]*driver.UsageRow)
	for l := range s.live {
		if len(l.grants) == 0 {
			continue
		}
		lastDrawn := l.grants[len(l.grants)-1].at
		for _, u := range l.uses { // all of it on the day of the last grant, which mostly is that of all grants
			row := rowOf(own, lastDrawn, u)
			for unit := range u.settled {
				row.Charge[unit] += u.settled[unit]
			}
		}
		for _, g := range l.grants { // those that are not settled yet have no shares
			for _, share := range g.shares {
				row := rowOf(own, g.at, l.findUse(share.Call.UsageKey()))
				row.Charge = minus(row.Charge, share.Amount)
			}
		}
	}
	return own
}

// rowOf returns the row of a use on the day of a moment, and makes it if there is none.
func rowOf(own map[ownSum]*driver.UsageRow, at time.Time, u *leaseUse) *driver.UsageRow {
	day := driver.UsageDay(at)
	key := ownSum{day.Unix(), u.key}
	row := own[key]
	if row == nil {
		row = &driver.UsageRow{Day: day, Key: u.key, Scope: u.call.UsageScope()}
		own[key] = row
	}
	return row
}

// ownUsage returns a page of usage of the store inside, with what unpostedUsage returns added. The page begins after from, and was read with this
// limit: if it is full, rows behind its last one belong to the next page. Requires mu held.
func (s *Store) ownUsage(from driver.UsageMark, limit int, page []driver.UsageRow) []driver.UsageRow {
	own := s.unpostedUsage()
	before, full := driver.UsageRow{Day: from.Day, Key: from.After}, len(page) == limit // before: the page begins behind this row
	var last driver.UsageRow                                                            // of the page as the store inside has it
	if full {
		last = page[limit-1]
	}
	addToRows(page, own)
	for _, row := range own { // those that the store inside does not have
		outside := compareRows(row, &before) <= 0 || full && compareRows(row, &last) > 0
		belowZero := row.Charge.Validate() != nil // then there is nothing to subtract from
		if outside || belowZero || row.Charge == (driver.Charge{}) {
			continue
		}
		page = append(page, *row)
	}
	page = slices.DeleteFunc(page, func(r driver.UsageRow) bool { return r.Charge == driver.Charge{} })
	slices.SortFunc(page, func(a, b driver.UsageRow) int { return compareRows(&a, &b) })
	return page
}

// addToRows adds this process's own sums to those rows of a page that they belong to, and takes them out of own. No row becomes less than zero.
func addToRows(page []driver.UsageRow, own map[ownSum]*driver.UsageRow) {
	for i := range page {
		at := ownSum{page[i].Day.Unix(), page[i].Key}
		row := own[at]
		if row == nil {
			continue
		}
		for unit := range row.Charge {
			page[i].Charge[unit] = max(0, addUp(page[i].Charge[unit], row.Charge[unit]))
		}
		delete(own, at)
	}
}

// compareRows orders rows as stores return them.
func compareRows(a, b *driver.UsageRow) int {
	return cmp.Or(a.Day.Compare(b.Day), bytes.Compare(a.Key[:], b.Key[:]))
}
