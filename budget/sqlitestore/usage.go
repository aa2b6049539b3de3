package sqlitestore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// usageRow is a row of usage, the sum of a UTC day over calls with the same scope, with all changes of the running transaction. The steps in a
// transaction add to the same usageRow, which is written once, at the end.
type usageRow struct {
	scope   []byte // encoded; only set for a row that is new
	amounts driver.Charge
	there   bool // the row is in the file
	changed bool // it has to be written
}

// exists reports whether there is such a row: in the file, or made by a step of the running transaction.
func (r *usageRow) exists() bool { return r.there || r.changed }

// usagePlace says which row of usage is meant. The key is made of the row's scope, or is driver.OtherUsage, which names the row of those calls of a
// day that got no row of their own.
type usagePlace struct {
	day int64 // counted from 1970
	key driver.Key
}

// divide returns how an amount that is posted for an entry divides among rows of usage, and the encoded scope of each row by its key. Without
// shares all of it belongs to the entry's call, or, in a correction of an entry with shares, to the first of these.
func (e *entry) divide(p *posting) (next []account.Use, scopes map[driver.Key][]byte, err error) {
	call, _, err := account.DecodeCall(e.call)
	if err != nil {
		return nil, nil, err
	}
	isZero := p.actual == driver.Charge{} // then it is added to no row
	if p.correction && len(p.shares) == 0 && len(e.uses) > 0 && !isZero {
		// The entry was added to this row before, so that no scope is needed to make it.
		return []account.Use{{Key: e.uses[0].Key, Amount: p.actual}}, nil, nil
	}
	// Uses returns one element for each share, or one for the call; none if the amount is zero.
	next = account.Uses(&call, p.actual, p.shares)
	scopes = make(map[driver.Key][]byte, len(next))
	for i := range next {
		whose := &call
		if len(p.shares) > 0 {
			whose = p.shares[i].Call
		}
		scopes[next[i].Key] = account.UsageValue(whose)
	}
	return next, scopes, nil
}

// charge replaces what an entry has added to rows of usage with next, or returns driver.ErrOverflow and changes nothing: it computes all sums
// before it stores any. scopes has the encoded scopes of rows by their keys, for those that are made.
func (t *tx) charge(e *entry, next []account.Use, scopes map[driver.Key][]byte) error {
	c := recount{day: account.UsageDay(e.reservedTime()), sums: make(map[usagePlace]driver.Charge, 2), made: make(map[usagePlace][]byte, 1)}
	// First what the entry has added until now is subtracted: nothing, if it is pending or new.
	for _, u := range e.uses {
		// scopes may lack a row that was forgotten and is only subtracted from: it is made with zeros, and Usage leaves out such rows.
		at, sum, err := t.sumSoFar(&c, u.Key, scopes[u.Key])
		if err != nil {
			return err
		}
		c.sums[at] = lessUse(sum, u.Amount)
	}
	for _, u := range next {
		at, sum, err := t.sumSoFar(&c, u.Key, scopes[u.Key])
		if err != nil {
			return err
		}
		sum, fits := sum.Plus(u.Amount)
		if !fits {
			return driver.ErrOverflow
		}
		c.sums[at] = sum
	}
	t.keepSums(&c)
	e.uses = next
	return nil
}

// recount has the sums that rows of usage will have once an entry's uses are replaced.
type recount struct {
	day  int64 // of all rows, counted from 1970
	sums map[usagePlace]driver.Charge
	made map[usagePlace][]byte // the encoded scopes of rows that will be made, without OtherUsage, which has none
}

// sumSoFar returns the row to which a key's amounts are added, and the sum that the row has by now. scope is that of the key, for a row that has to
// be made.
func (t *tx) sumSoFar(c *recount, key driver.Key, scope []byte) (usagePlace, driver.Charge, error) {
	at, err := t.usagePlace(c.day, key, len(c.made))
	if err != nil {
		return at, driver.Charge{}, err
	}
	row, err := t.usageRow(at)
	if err != nil {
		return at, driver.Charge{}, err
	}
	if !row.exists() && at.key != driver.OtherUsage {
		c.made[at] = scope
	}
	// An earlier use may belong to the same row: OtherUsage, or the one that the entry was added to before.
	sum, known := c.sums[at]
	if !known {
		sum = row.amounts
	}
	return at, sum, nil
}

// lessUse subtracts an amount from the sum of a row, down to zero: the amount may have been posted by a process with an older library, which counts
// no usage.
func lessUse(sum, amount driver.Charge) driver.Charge {
	for unit, n := range amount {
		sum[unit] = max(0, sum[unit]-n)
	}
	return sum
}

// keepSums takes over the sums of a recount into the rows of this transaction, which are written at its end.
func (t *tx) keepSums(c *recount) {
	for at, sum := range c.sums {
		row := t.usage[at]
		if !row.exists() {
			// usagePlace has read the number of the day's rows when it found that this row is missing.
			t.rows[at.day]++
			row.scope = c.made[at]
		}
		row.amounts, row.changed = sum, true
	}
}

// usagePlace returns the row to which a key's amounts of a day are added: its own if there is one, or if there is room for one; else OtherUsage. Once
// a day has a row OtherUsage, no further rows are made for it: a key that was added to OtherUsage must not get a row of its own later, or what it has
// added would not be found to be subtracted. more is how many rows the caller will make besides.
func (t *tx) usagePlace(day int64, key driver.Key, more int) (usagePlace, error) {
	own := usagePlace{day, key}
	row, err := t.usageRow(own)
	if err != nil || row.exists() {
		return own, err
	}
	other := usagePlace{day, driver.OtherUsage}
	otherRow, err := t.usageRow(other)
	if err != nil {
		return own, err
	}
	rows, err := t.rowsOf(day)
	if err != nil {
		return own, err
	}
	if otherRow.exists() || rows+more >= t.store.opts.UsageRows {
		return other, nil
	}
	return own, nil
}

// rowsOf returns how many rows of usage a day has, those included that this transaction makes.
func (t *tx) rowsOf(day int64) (int, error) {
	if rows, known := t.rows[day]; known {
		return rows, nil
	}
	var rows int // stays 0 if the file has no number
	if err := t.stmt(sqlUsageRows).QueryRow(day).Scan(&rows); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	if t.rows == nil {
		t.rows = make(map[int64]int)
	}
	t.rows[day] = rows
	return rows, nil
}

// usageRow returns a row with the changes of this transaction; an empty one, which is only written once it is changed, if there is none.
func (t *tx) usageRow(at usagePlace) (*usageRow, error) {
	if row := t.usage[at]; row != nil {
		return row, nil
	}
	row := &usageRow{}
	var raw []byte
	err := t.stmt(sqlUsageRow).QueryRow(at.day, at.key[:]).Scan(&raw)
	switch {
	case errors.Is(err, sql.ErrNoRows): // the row stays empty
	case err != nil:
		return nil, err
	default:
		row.there = true
		if row.amounts, err = decodeCharge(raw); err != nil {
			return nil, err
		}
	}
	if t.usage == nil {
		t.usage = make(map[usagePlace]*usageRow)
	}
	t.usage[at] = row
	return row, nil
}

// writeUsage writes the rows of usage that the steps of this transaction have changed, and the new number of rows of each day that has got more.
func (t *tx) writeUsage() error {
	gotMore := make(map[int64]bool) // the days with new rows
	for at, row := range t.usage {
		if !row.changed {
			continue
		}
		if !row.there {
			gotMore[at.day] = true
		}
		if err := t.exec(sqlPutUsage, at.day, at.key[:], blob(row.scope), encodeCharge(row.amounts)); err != nil {
			return err
		}
		// Usage writes the rows while the transaction goes on; later steps may change them again.
		row.changed, row.there = false, true
	}
	for day := range gotMore {
		if err := t.exec(sqlPutUsageRows, day, t.rows[day]); err != nil {
			return err
		}
	}
	return nil
}

// Usage implements driver.Store. A limit out of range is replaced with the nearest valid one. It reads page by page, because rows that have become
// empty are left out. What other steps of the same transaction have added is written first: nothing, if all of them only read, as Usage does.
func (s *Store) Usage(ctx context.Context, from driver.UsageMark, limit int) (all []driver.UsageRow, err error) {
	limit = max(1, min(limit, maxRecords))
	err = s.do(ctx, false, func(t *tx) error {
		if err := t.writeUsage(); err != nil {
			return err
		}
		all = make([]driver.UsageRow, 0, min(limit, 1024))
		after := usagePlace{account.UsageDay(from.Day), from.After}
		for {
			page, err := t.usagePage(after, limit-len(all))
			all = append(all, page.rows...)
			// A page may have fewer rows than were asked for; only one that has read none is the end.
			if err != nil || page.read == 0 || len(all) >= limit {
				return err
			}
			after = page.last
		}
	})
	return all, err
}

// usagePage is a page of rows of usage.
type usagePage struct {
	rows []driver.UsageRow // without the empty ones
	read int               // how many rows were read, empty ones included
	last usagePlace        // the last row that was read
}

// usagePage reads up to limit rows that come after a place, in the order of their days and keys.
func (t *tx) usagePage(after usagePlace, limit int) (page usagePage, err error) {
	rows, err := t.stmt(sqlUsage).Query(after.day, after.key[:], limit)
	if err != nil {
		return page, err
	}
	defer rows.Close()
	for ; rows.Next(); page.read++ {
		var key, scope, raw []byte
		if err := rows.Scan(&page.last.day, &key, &scope, &raw); err != nil {
			return page, err
		}
		if len(key) != len(page.last.key) {
			return page, errEncoding
		}
		page.last.key = driver.Key(key)
		row := driver.UsageRow{Day: account.DayStart(page.last.day), Key: page.last.key}
		if row.Charge, err = decodeCharge(raw); err != nil {
			return page, err
		}
		if row.Scope, err = account.UsageScope(scope); err != nil {
			return page, err
		}
		if row.Charge != (driver.Charge{}) {
			page.rows = append(page.rows, row)
		}
	}
	return page, rows.Err()
}
