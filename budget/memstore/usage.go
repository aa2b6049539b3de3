package memstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// usage has the rows of usage, by day and Call.UsageKey, and remembers the row that was asked for last. Apart from most, the zero value is ready
// to use.
type usage struct {
	most  int // how many rows a day may have; further scopes share the row OtherUsage
	days  map[int64]map[driver.Key]*driver.UsageRow
	day   int64            // the day of found
	last  *driver.Call     // the call of found, compared by address: calls of one scope share their Call
	found *driver.UsageRow // what row returned last
}

// use is an amount that an entry has added to a row of usage.
type use struct {
	row    *driver.UsageRow
	amount driver.Charge
}

// dayLength is the length of a UTC day in nanoseconds.
const dayLength = int64(24 * time.Hour)

// dayOf returns the UTC day of a moment, counted from 1970.
func dayOf(at int64) int64 {
	day := at / dayLength
	if at%dayLength < 0 { // a moment before 1970: division rounds towards zero
		day--
	}
	return day
}

// row returns the row of usage for a call on a day, and makes it if there is none.
func (u *usage) row(day int64, c *driver.Call) *driver.UsageRow {
	if c != nil && c == u.last && day == u.day {
		return u.found
	}
	key := c.UsageKey()
	rows := u.days[day]
	if rows == nil {
		if u.days == nil {
			u.days = make(map[int64]map[driver.Key]*driver.UsageRow)
		}
		rows = make(map[driver.Key]*driver.UsageRow)
		u.days[day] = rows
	}
	row := rows[key]
	if row == nil {
		scope := c.UsageScope()
		if len(rows) >= u.most { // the day has no room for another row
			key, scope = driver.OtherUsage, driver.Scope{}
			row = rows[key]
		}
		if row == nil {
			// clone copies the tags, so that the row shares no memory with the caller.
			row = &driver.UsageRow{Day: time.Unix(0, day*dayLength).UTC(), Key: key, Scope: clone(driver.Record{Scope: scope}).Scope}
			rows[key] = row
		}
	}
	u.day, u.last, u.found = day, c, row
	return row
}

// fits reports whether an entry's uses can be replaced with next without an overflow in any row. For the row of each use it works out the sum that
// the row would have: less all old uses in that row, plus all new ones up to this use.
func (e *entry) fits(next []use) bool {
	for i := range next {
		sum := next[i].row.Charge
		for _, old := range e.uses {
			if old.row == next[i].row {
				for unit := range sum {
					sum[unit] -= old.amount[unit]
				}
			}
		}
		for j := range next[:i+1] { // several shares may be in the row OtherUsage
			if next[j].row != next[i].row {
				continue
			}
			for unit := range sum {
				var over bool
				if sum[unit], over = plus(sum[unit], next[j].amount[unit]); over {
					return false
				}
			}
		}
	}
	return true
}

// charge replaces an entry's uses with next, in the rows as in the entry. shared says that next comes from shares.
func (e *entry) charge(next []use, shared bool) {
	for i := range e.uses {
		for unit, n := range e.uses[i].amount {
			e.uses[i].row.Charge[unit] -= n
		}
	}
	for i := range next {
		for unit, n := range next[i].amount {
			next[i].row.Charge[unit] += n
		}
	}
	e.uses = append(e.oneUse[:0], next...) // a single use needs no other memory
	e.shared = shared
}

// uses returns to which rows of usage an amount that is posted for an entry is added, and how much to each. Without shares all of it belongs to the
// row of the entry's call, or, if there were shares before, to the first of their rows. room is empty memory for the result.
func (s *Store) uses(e *entry, actual *driver.Charge, shares []driver.Share, room []use) []use {
	if *actual == (driver.Charge{}) {
		return nil
	}
	day := dayOf(e.reservedAt)
	for i := range shares {
		room = append(room, use{s.usage.row(day, shares[i].Call), shares[i].Amount})
	}
	switch {
	case len(shares) > 0:
		return room
	case e.shared && len(e.uses) > 0:
		return append(room, use{e.uses[0].row, *actual})
	default:
		return append(room, use{s.usage.row(day, e.call), *actual})
	}
}

// sameShares reports whether a correction to next would leave an entry's uses as they are. given says that the correction has shares: without any,
// the present ones stay.
func (e *entry) sameShares(next []use, given bool) bool {
	return !given || slices.Equal(e.uses, next)
}

// forget drops the rows of days that are older than the retention of usage.
func (u *usage) forget(now int64) {
	old := dayOf(now - int64(driver.UsageRetention))
	for day := range u.days {
		if day < old {
			delete(u.days, day)
		}
	}
	u.last = nil // its row may have been dropped
}

// Usage implements driver.Store.
func (s *Store) Usage(ctx context.Context, from driver.UsageMark, limit int) ([]driver.UsageRow, error) {
	if _, err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	found := page[*driver.UsageRow]{size: pageSize(limit), compare: func(a, b *driver.UsageRow) int {
		return cmp.Or(a.Day.Compare(b.Day), bytes.Compare(a.Key[:], b.Key[:]))
	}}
	for _, rows := range s.usage.days {
		for _, row := range rows {
			// The page keeps the first rows in its order; excludes reports that as many rows before this one are in it already.
			order := cmp.Or(row.Day.Compare(from.Day), bytes.Compare(row.Key[:], from.After[:]))
			if order > 0 && row.Charge != (driver.Charge{}) && !found.excludes(row) {
				found.add(row)
			}
		}
	}
	var all []driver.UsageRow
	for _, row := range found.sorted() {
		out := *row
		out.Scope = clone(driver.Record{Scope: row.Scope}).Scope
		all = append(all, out)
	}
	return all, nil
}
