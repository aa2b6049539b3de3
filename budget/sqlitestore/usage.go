package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"

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

// usagePlace says which row of usage is meant. The key is made of the row's scope, or is driver.OtherUsage, which names the row of those calls of a
// day that got no row of their own.
type usagePlace struct {
	day int64 // counted from 1970
	key driver.Key
}

// divide returns how an amount that is posted for an entry divides among rows of usage, and the encoded scope of each row by its key. Without
// shares all of it belongs to the entry's call, or, in a correction of an entry with shares, to the first of these.
func (e *entry) divide(actual driver.Charge, shares []driver.Share, correction bool) (next []account.Use, values map[driver.Key][]byte, err error) {
	call, _, err := account.DecodeCall(e.call)
	if err != nil {
		return nil, nil, err
	}
	if correction && len(shares) == 0 && len(e.uses) > 0 && actual != (driver.Charge{}) {
		// The entry was added to this row before, so that no scope is needed to make it.
		return []account.Use{{Key: e.uses[0].Key, Amount: actual}}, nil, nil
	}
	// Uses returns one element for each share, or one for the call; none if the amount is zero.
	next = account.Uses(&call, actual, shares)
	values = make(map[driver.Key][]byte, len(next))
	for i := range next {
		if len(shares) > 0 {
			values[next[i].Key] = account.UsageValue(shares[i].Call)
		} else {
			values[next[i].Key] = account.UsageValue(&call)
		}
	}
	return next, values, nil
}

// charge replaces what an entry has added to rows of usage with next, or returns driver.ErrOverflow and changes nothing: it computes all sums
// before it stores any. values has the encoded scopes of rows by their keys, for those that are made.
func (t *tx) charge(e *entry, next []account.Use, values map[driver.Key][]byte) error {
	day := account.UsageDay(e.reservedTime())
	sums := make(map[usagePlace]driver.Charge, 2) // what rows will have
	scopes := make(map[usagePlace][]byte, 1)      // of rows that will be made, without OtherUsage, which has none
	add := func(u account.Use, sign int64) error {
		at, err := t.usagePlace(day, u.Key, len(scopes))
		if err != nil {
			return err
		}
		row, err := t.usageRow(at)
		if err != nil {
			return err
		}
		// Neither the file nor another step of this transaction has the row. values may lack one that was forgotten and is only subtracted from: it
		// is made with zeros, and Usage leaves out such rows.
		if !row.there && !row.changed && at.key != driver.OtherUsage {
			scopes[at] = values[u.Key]
		}
		// An earlier use may belong to the same row: OtherUsage, or the one that the entry was added to before.
		sum, known := sums[at]
		if !known {
			sum = row.amounts
		}
		for unit, n := range u.Amount {
			switch {
			case sign < 0:
				sum[unit] = max(0, sum[unit]-n) // n may have been posted by a process with an older library, which counts no usage
			case sum[unit] > math.MaxInt64-n:
				return driver.ErrOverflow
			default:
				sum[unit] += n
			}
		}
		sums[at] = sum
		return nil
	}
	// First what the entry has added until now is subtracted: nothing, if it is pending or new.
	for _, u := range e.uses {
		if err := add(u, -1); err != nil {
			return err
		}
	}
	for _, u := range next {
		if err := add(u, 1); err != nil {
			return err
		}
	}
	for at, sum := range sums {
		row := t.usage[at]
		if !row.there && !row.changed {
			// usagePlace has read the number of the day's rows when it found that this row is missing.
			t.rows[at.day]++
			row.scope = scopes[at]
		}
		row.amounts, row.changed = sum, true
	}
	e.uses = next
	return nil
}

// usagePlace returns the row to which a key's amounts of a day are added: its own if there is one, or if there is room for one; else OtherUsage. Once
// a day has a row OtherUsage, no further rows are made for it: a key that was added to OtherUsage must not get a row of its own later, or what it has
// added would not be found to be subtracted. more is how many rows the caller will make besides.
func (t *tx) usagePlace(day int64, key driver.Key, more int) (usagePlace, error) {
	own := usagePlace{day, key}
	row, err := t.usageRow(own)
	if err != nil || row.there || row.changed {
		return own, err
	}
	other := usagePlace{day, driver.OtherUsage}
	full, err := t.usageRow(other)
	if err != nil {
		return own, err
	}
	rows, known := t.rows[day]
	if !known {
		err := t.stmt(sqlUsageRows).QueryRow(day).Scan(&rows)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return own, err
		}
		if t.rows == nil {
			t.rows = make(map[int64]int)
		}
		t.rows[day] = rows
	}
	// A row that is changed and not there is one that this transaction makes.
	if full.there || full.changed || rows+more >= t.store.opts.UsageRows {
		return other, nil
	}
	return own, nil
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
	days := make(map[int64]bool) // the days with changed rows, and whether a day has got more rows
	for at, row := range t.usage {
		if !row.changed {
			continue
		}
		days[at.day] = days[at.day] || !row.there
		if err := t.exec(sqlPutUsage, at.day, at.key[:], blob(row.scope), encodeCharge(row.amounts)); err != nil {
			return err
		}
		// Usage writes the rows while the transaction goes on; later steps may change them again.
		row.changed, row.there = false, true
	}
	for day, more := range days {
		if more {
			if err := t.exec(sqlPutUsageRows, day, t.rows[day]); err != nil {
				return err
			}
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
		day, after := account.UsageDay(from.Day), from.After
		for {
			n, last, err := t.usagePage(day, after, limit-len(all), &all)
			// A page may have had fewer rows to return than were asked for; only one that has read none is the end.
			if err != nil || n == 0 || len(all) >= limit {
				return err
			}
			day, after = last.day, last.key
		}
	})
	return all, err
}

// usagePage reads up to limit rows after a key of a day, and returns how many it has read and the last one. Empty rows are left out.
func (t *tx) usagePage(day int64, after driver.Key, limit int, all *[]driver.UsageRow) (n int, last usagePlace, err error) {
	rows, err := t.stmt(sqlUsage).Query(day, after[:], limit)
	if err != nil {
		return 0, last, err
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		var key, scope, raw []byte
		if err := rows.Scan(&last.day, &key, &scope, &raw); err != nil {
			return n, last, err
		}
		if len(key) != len(last.key) {
			return n, last, errEncoding
		}
		last.key = driver.Key(slices.Clone(key))
		row := driver.UsageRow{Day: account.DayStart(last.day), Key: last.key}
		if row.Charge, err = decodeCharge(raw); err != nil {
			return n, last, err
		}
		if row.Scope, err = account.UsageScope(scope); err != nil {
			return n, last, err
		}
		if row.Charge != (driver.Charge{}) {
			*all = append(*all, row)
		}
	}
	return n, last, rows.Err()
}
