package memstore

import (
	"bytes"
	"cmp"
	"context"
	"maps"
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
	rows := u.days[day]
	if rows == nil {
		if u.days == nil {
			u.days = make(map[int64]map[driver.Key]*driver.UsageRow)
		}
		rows = make(map[driver.Key]*driver.UsageRow)
		u.days[day] = rows
	}
	key := c.UsageKey()
	row := rows[key]
	switch {
	case row != nil: // there is one
	case len(rows) < u.most: // there is room for another row
		row = addRow(rows, day, key, c.UsageScope())
	case rows[driver.OtherUsage] != nil:
		row = rows[driver.OtherUsage]
	default:
		row = addRow(rows, day, driver.OtherUsage, driver.Scope{})
	}
	u.day, u.last, u.found = day, c, row
	return row
}

// addRow adds an empty row to those of a day. It shares no memory with the scope.
func addRow(rows map[driver.Key]*driver.UsageRow, day int64, key driver.Key, scope driver.Scope) *driver.UsageRow {
	scope.Tags = maps.Clone(scope.Tags)
	row := &driver.UsageRow{Day: time.Unix(0, day*dayLength).UTC(), Key: key, Scope: scope}
	rows[key] = row
	return row
}

// fits reports whether an entry's uses can be replaced with next without an overflow in any row. For the row of each use it works out the sum that
// the row would have: less all old uses in that row, plus all new ones up to this use. The last use of a row then counts them all.
func (e *entry) fits(next []use) bool {
	for i := range next {
		row := next[i].row
		sum := row.Charge
		for _, old := range e.uses {
			if old.row == row {
				for unit := range sum {
					sum[unit] -= old.amount[unit]
				}
			}
		}
		for j := range next[:i+1] { // several shares may be in the row OtherUsage
			if next[j].row != row {
				continue
			}
			var fits bool
			if sum, fits = sum.Plus(next[j].amount); !fits {
				return false
			}
		}
	}
	return true
}

// charge replaces an entry's uses with next: it subtracts the old ones from their rows, adds the new ones to theirs, and stores these in the entry.
// fromShares says that next comes from shares.
func (e *entry) charge(next []use, fromShares bool) {
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
	e.shared = fromShares
}

// uses returns to which rows of usage an amount that is posted for an entry is added, and how much to each. Without shares all of it belongs to the
// row of the entry's call, or, if there were shares before, to the first of their rows. room is empty memory for the result.
func (s *Store) uses(e *entry, actual *driver.Charge, shares []driver.Share, room []use) []use {
	if *actual == (driver.Charge{}) {
		return nil
	}
	day := dayOf(e.reservedAt) // a row belongs to the day of the reservation
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
			// The page keeps the first rows in its order. excludes reports that it is full of rows that come before this one.
			order := cmp.Or(row.Day.Compare(from.Day), bytes.Compare(row.Key[:], from.After[:]))
			if order > 0 && row.Charge != (driver.Charge{}) && !found.excludes(row) {
				found.add(row)
			}
		}
	}
	var all []driver.UsageRow
	for _, row := range found.sorted() {
		out := *row
		out.Scope.Tags = maps.Clone(row.Scope.Tags) // so that the caller shares no memory with the store
		all = append(all, out)
	}
	return all, nil
}
