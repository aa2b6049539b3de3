package sqlitestore

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// maxPage is the size of the largest page of entries, accounts or periods.
const maxPage = 10_000

// name stores the names of the lines' accounts if they have none. states are those of the lines, or nil if they were not read. The statement keeps a
// name that is there.
func (t *tx) name(lines []driver.Line, states []state) error {
	for i := range lines {
		if states != nil && states[i].named {
			continue
		}
		if err := t.exec(sqlName, lines[i].Account[:], account.EncodeName(&lines[i])); err != nil {
			return err
		}
	}
	return nil
}

// Entries implements driver.Store. A Max out of range is replaced with the nearest valid one. It reads pages of candidates until enough of them
// are selected: the statement does not know scopes.
func (s *Store) Entries(ctx context.Context, q driver.Query) (all []driver.Entry, err error) {
	limit := max(1, min(q.Max, maxPage))
	err = s.do(ctx, false, func(t *tx) error {
		all = []driver.Entry{}
		for after := q.After; len(all) < limit; {
			found, err := t.candidates(&q, after, limit)
			if err != nil {
				return err
			}
			for _, e := range found {
				out, err := e.public()
				if err != nil {
					return err
				}
				if q.Selects(&out) && len(all) < limit {
					all = append(all, out)
				}
				after = e.id // the next page begins after the last candidate, whether it is selected or not
			}
			if len(found) < limit { // it was the last page
				return nil
			}
		}
		return nil
	})
	return all, err
}

// candidates reads up to limit entries after an id, among them all that a query selects: the statement compares the reference of the query, or
// without one its state and times. The caller compares the rest.
func (t *tx) candidates(q *driver.Query, after driver.ID, limit int) ([]*entry, error) {
	if q.Reference != "" {
		return t.entries(sqlReferred, []byte(q.Reference), after[:], limit)
	}
	since, until := int64(math.MinInt64), int64(math.MaxInt64) // these are no bounds
	if !q.Since.IsZero() {
		since = account.Nanos(q.Since)
	}
	if !q.Until.IsZero() {
		until = account.Nanos(q.Until)
	}
	return t.entries(sqlEntries, after[:], q.State, q.Estimated, limit, since, until)
}

// public returns the entry for callers of Entries.
func (e *entry) public() (driver.Entry, error) {
	// The second value, the provider's id of the request, is empty in an encoded call: it has a column of its own.
	c, _, err := account.DecodeCall(e.call)
	if err != nil {
		return driver.Entry{}, err
	}
	out := driver.Entry{
		ID: e.id, State: e.state, Estimated: e.estimated, Orphan: e.orphan, Reserved: e.reserved, Actual: e.actual, ReservedAt: time.Unix(0, e.reservedAt),
		Scope: c.Scope, Operation: c.Operation, Reference: string(e.reference),
	}
	amounts := &e.actual // what counts in the entry's accounts
	if e.state == driver.Pending {
		amounts = &e.reserved
	}
	if e.resolvedAt != 0 {
		out.ResolvedAt = time.Unix(0, e.resolvedAt)
	}
	for _, b := range e.bookings {
		out.Lines = append(out.Lines, driver.Booking{Account: b.account, Unit: b.unit, Start: time.Unix(0, b.start), Amount: amounts[b.unit]})
	}
	return out, nil
}

// Accounts implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Accounts(ctx context.Context, after driver.Key, limit int) (all []driver.Account, err error) {
	err = s.do(ctx, false, func(t *tx) error {
		all = []driver.Account{}
		rows, err := t.stmt(sqlAccounts).Query(after[:], max(1, min(limit, maxPage)))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			a, err := scanAccount(rows, t.now.UnixNano())
			if err != nil {
				return err
			}
			all = append(all, a)
		}
		return rows.Err()
	})
	return all, err
}

// scanAccount reads one row of sqlAccounts. A latch that has opened by now is left out.
func scanAccount(rows *sql.Rows, now int64) (a driver.Account, err error) {
	var key, name []byte
	var most, until *int64 // nil without an override
	var latched int64      // until when; 0 if the latch was never closed
	if err := rows.Scan(&key, &name, &most, &until, &latched); err != nil {
		return a, err
	}
	if len(key) != len(driver.Key{}) {
		return a, errEncoding
	}
	a.Key = driver.Key(key)
	// Both stay empty for an account without a name, such as one that was overridden before anything was booked in it.
	if a.Limit, a.Scope, err = account.DecodeName(name); err != nil {
		return a, err
	}
	if most != nil && until != nil {
		a.Override = &driver.Override{Max: *most, Until: time.Unix(0, *until)}
	}
	if latched > now {
		a.Latched = time.Unix(0, latched)
	}
	return a, nil
}

// Periods implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Periods(ctx context.Context, key driver.Key, after time.Time, limit int) (all []driver.Period, err error) {
	since := int64(math.MinInt64) // before all periods
	if !after.IsZero() {
		since = account.Nanos(after)
	}
	err = s.do(ctx, false, func(t *tx) error {
		all = []driver.Period{}
		rows, err := t.stmt(sqlPeriods).Query(key[:], since, max(1, min(limit, maxPage)))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var start int64
			var p driver.Period
			if err := rows.Scan(&start, &p.Settled, &p.Pending, &p.Forgotten); err != nil {
				return err
			}
			p.Start = time.Unix(0, start)
			all = append(all, p)
		}
		return rows.Err()
	})
	return all, err
}
