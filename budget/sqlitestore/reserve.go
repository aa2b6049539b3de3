package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Reserve implements budget.Store.
func (s *Store) Reserve(ctx context.Context, r budget.Reservation) (d budget.Decision, err error) {
	err = s.do(ctx, true, func(t *tx) error {
		d, err = t.reserve(r)
		return err
	})
	return d, err
}

func (t *tx) reserve(r budget.Reservation) (budget.Decision, error) {
	e, err := t.entry(r.ID)
	if err != nil {
		return budget.Decision{}, err
	}
	if e != nil {
		return e.replay(r)
	}
	killed, err := t.killed(r.Dims)
	if err != nil || killed != nil {
		return budget.Decision{Killed: killed}, err
	}
	d, err := t.check(r)
	if err != nil || d.Denied != nil {
		return d, err
	}
	expires := t.now.Add(r.TTL)
	e = &entry{id: r.ID, owner: r.Owner, state: budget.Pending, reserved: r.Charge, reservedAt: t.now.UnixNano(), expiresAt: expires.UnixNano()}
	e.bookings = t.bookings(r.Lines)
	for _, b := range e.bookings {
		if err := t.book(b, 0, r.Charge[b.unit]); err != nil {
			return budget.Decision{}, err
		}
	}
	if err := t.insert(e); err != nil {
		return budget.Decision{}, err
	}
	d.Admitted, d.ExpiresAt = true, expires
	return d, nil
}

// replay answers a Reserve of an id that is known.
func (e *entry) replay(r budget.Reservation) (budget.Decision, error) {
	same := slices.EqualFunc(e.bookings, r.Lines, func(b booking, l budget.Line) bool { return b.account == l.Account && b.unit == l.Unit })
	switch {
	case e.state != budget.Pending:
		return budget.Decision{}, budget.ErrResolved
	case e.owner != r.Owner || e.reserved != r.Charge || !same:
		return budget.Decision{}, budget.ErrIDConflict
	default:
		return budget.Decision{Admitted: true, Replayed: true, ExpiresAt: time.Unix(0, e.expiresAt)}, nil
	}
}

// bookings places lines at the present moment.
func (t *tx) bookings(lines []budget.Line) []booking {
	bookings := make([]booking, len(lines))
	for i := range lines {
		span := lines[i].Window.At(t.now)
		bookings[i] = booking{lines[i].Account, lines[i].Unit, span.Start, span.End}
	}
	return bookings
}

// book adds to a bucket's sums, and makes the bucket if need be.
func (t *tx) book(b booking, settled, pending int64) error {
	return t.exec(sqlBook, b.account[:], b.start, b.end, settled, pending)
}

// unbook takes from pending and adds to settled. An upsert would not do: SQLite checks the row that it would insert.
func (t *tx) unbook(b booking, settled, pending int64) error {
	result, err := t.stmt(sqlUnbook).Exec(settled, pending, b.account[:], b.start)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return t.book(b, settled, 0) // an orphan, or a correction of what is past the retention
}

// check finds the first line without room, and the observe-only ones. It writes nothing but a latch.
func (t *tx) check(r budget.Reservation) (d budget.Decision, err error) {
	for i := range r.Lines {
		line := &r.Lines[i]
		amount := r.Charge[line.Unit]
		b, overflow, err := t.balance(line, amount, false)
		if err != nil {
			return budget.Decision{}, err
		}
		if overflow {
			return budget.Decision{}, budget.ErrOverflow
		}
		if !b.Latched && b.Settled+b.Pending+amount <= b.Max {
			continue
		}
		denial := budget.Denial{Line: i, Balance: b}
		if line.Observe {
			d.Observed = append(d.Observed, denial)
		} else if d.Denied == nil {
			d.Denied = &denial
		}
	}
	if d.Denied == nil {
		return d, nil
	}
	d.Observed = nil
	if line := &r.Lines[d.Denied.Line]; line.Latch && !r.Tentative && !d.Denied.Latched {
		return d, t.exec(sqlLatch, line.Account[:], line.Window.At(t.now).End)
	}
	return d, nil
}

// account is what is kept of an account besides its sums. Most accounts have none.
type account struct {
	overrideMax, overrideUntil sql.NullInt64
	latchedUntil               int64
	marked                     int64
	markedUntil                int64
}

func (t *tx) account(key budget.Key) (a account, err error) {
	err = t.stmt(sqlAccount).QueryRow(key[:]).Scan(&a.overrideMax, &a.overrideUntil, &a.latchedUntil, &a.marked, &a.markedUntil)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return a, err
}

// balance says where an account stands, and whether adding amount would overflow. The time of reset is that of the
// amount that does not fit, or of everything.
func (t *tx) balance(line *budget.Line, amount int64, everything bool) (b budget.Balance, overflow bool, err error) {
	a, err := t.account(line.Account)
	if err != nil {
		return b, false, err
	}
	now := t.now.UnixNano()
	b.Max, b.Latched = line.Max, a.latchedUntil > now
	if a.overrideMax.Valid && now < a.overrideUntil.Int64 {
		b.Max = a.overrideMax.Int64
	}
	buckets, overflow, err := t.buckets(line, &b)
	if err != nil {
		return b, false, err
	}
	used, overflow := add(b.Settled, b.Pending, overflow)
	need, overflow := add(used, amount, overflow)
	switch excess := need - b.Max; {
	case overflow:
	case b.Latched && a.latchedUntil != math.MaxInt64:
		b.ResetAfter = time.Duration(a.latchedUntil - now)
	case b.Latched:
	case everything && used > 0:
		b.ResetAfter = line.Window.ResetAfter(t.now, buckets, used)
	case !everything && excess > 0 && amount <= b.Max:
		b.ResetAfter = line.Window.ResetAfter(t.now, buckets, excess)
	}
	return b, overflow, nil
}

// buckets sums what counts now into b, and returns it bucket by bucket.
func (t *tx) buckets(line *budget.Line, b *budget.Balance) (all []budget.Bucket, overflow bool, err error) {
	rows, err := t.stmt(sqlBuckets).Query(line.Account[:], line.Window.At(t.now).Since)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var start, settled, pending int64
		if err := rows.Scan(&start, &settled, &pending); err != nil {
			return nil, false, err
		}
		b.Settled, overflow = add(b.Settled, settled, overflow)
		b.Pending, overflow = add(b.Pending, pending, overflow)
		all = append(all, budget.Bucket{Start: start, Used: settled + pending})
	}
	return all, overflow, rows.Err()
}

// add sums, and remembers whether a sum left the range of int64.
func add(a, b int64, overflowed bool) (int64, bool) {
	c := a + b
	return c, overflowed || b != 0 && (c > a) != (b > 0)
}
