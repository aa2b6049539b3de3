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

// Reserve implements budget.Store. An id that is known is judged first, then kill flags, then room.
func (s *Store) Reserve(ctx context.Context, r budget.Reservation) (d budget.Decision, err error) {
	if err := r.Validate(); err != nil {
		return d, err
	}
	err = s.do(ctx, true, func(t *tx) error {
		d, err = t.reserve(r)
		return err
	})
	return d, err
}

func (t *tx) reserve(r budget.Reservation) (budget.Decision, error) {
	e, err := t.entry(r.ID)
	if err == nil && e != nil {
		err = e.conflict(r)
	}
	if err != nil {
		return budget.Decision{}, err
	}
	killed, err := t.killed(r.Dims)
	if err != nil || killed != nil {
		return budget.Decision{Killed: killed}, err
	}
	if e != nil {
		return budget.Decision{Admitted: true, Replayed: true, ExpiresAt: time.Unix(0, e.expiresAt)}, nil
	}
	d, err := t.check(r)
	if err != nil || d.Denied != nil {
		return d, err
	}
	now := t.now.UnixNano()
	e = &entry{id: r.ID, owner: r.Owner, state: budget.Pending, reserved: r.Charge, reservedAt: now}
	if e.expiresAt = now + int64(max(r.TTL, 0)); e.expiresAt < now {
		e.expiresAt = math.MaxInt64
	}
	e.bookings = t.bookings(r.Lines)
	for _, b := range e.bookings {
		if err := t.book(b, 0, r.Charge[b.unit]); err != nil {
			return budget.Decision{}, err
		}
	}
	if err := t.insert(e); err != nil {
		return budget.Decision{}, err
	}
	d.Admitted, d.ExpiresAt = true, time.Unix(0, e.expiresAt)
	return d, nil
}

// conflict reports why an id that is known can't be reserved again.
func (e *entry) conflict(r budget.Reservation) error {
	if e.state != budget.Pending {
		return budget.ErrResolved
	}
	same := func(b booking, l budget.Line) bool { return b.account == l.Account && b.unit == l.Unit }
	if e.owner != r.Owner || e.reserved != r.Charge || !slices.EqualFunc(e.bookings, r.Lines, same) {
		return budget.ErrIDConflict
	}
	return nil
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
	if settled <= 0 {
		return nil // a refund to a bucket that is past the retention: nobody counts it any more
	}
	return t.book(b, settled, 0) // an orphan
}

// check finds the first line, in order, that refuses or overflows, and the observe-only ones without room. It writes
// nothing but a latch.
func (t *tx) check(r budget.Reservation) (d budget.Decision, err error) {
	for i := range r.Lines {
		line := &r.Lines[i]
		amount := r.Charge[line.Unit]
		state, err := t.state(line)
		if err != nil {
			return budget.Decision{}, err
		}
		b := state.Balance
		need, overflow := add(b.Settled, b.Pending, state.overflow)
		if need, overflow = add(need, amount, overflow); overflow {
			return budget.Decision{}, budget.ErrOverflow
		}
		if !b.Latched && need <= b.Max {
			continue
		}
		if amount <= b.Max {
			b.ResetAfter = state.wait(line.Window, t.now, need-b.Max)
		}
		if line.Observe {
			d.Observed = append(d.Observed, budget.Denial{Line: i, Balance: b})
			continue
		}
		denied := budget.Decision{Denied: &budget.Denial{Line: i, Balance: b}}
		if line.Latch && !r.Tentative && !b.Latched {
			err = t.exec(sqlLatch, line.Account[:], passed(line.Window.At(t.now), t.now.UnixNano()))
		}
		return denied, err
	}
	return d, nil
}

// passed is when a window that refused, or reported, at the given moment is over: the end of a calendar window, one
// length later for a rolling one.
func passed(span budget.Span, now int64) int64 {
	if span.Start == span.Since {
		return span.End
	}
	return now + span.Start - span.Since
}

// state is where an account stands, and what is needed to say when that changes.
type state struct {
	budget.Balance
	buckets      []budget.Bucket
	overflow     bool // the sums themselves leave the range of int64
	latchedUntil int64
	fired        []int64 // until when each mark stays quiet
}

func (t *tx) state(line *budget.Line) (*state, error) {
	s := &state{}
	s.Max = line.Max
	var overrideMax, overrideUntil sql.NullInt64
	var fired []byte
	err := t.stmt(sqlAccount).QueryRow(line.Account[:]).Scan(&overrideMax, &overrideUntil, &s.latchedUntil, &fired)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	if s.fired, err = decodeTimes(fired); err != nil {
		return nil, err
	}
	now := t.now.UnixNano()
	s.Latched = s.latchedUntil > now
	if overrideMax.Valid && now < overrideUntil.Int64 {
		s.Max = overrideMax.Int64
	}
	return s, t.sum(line, s)
}

// wait returns how long it takes until excess has left the window and the latch is open; 0 when time alone never helps.
func (s *state) wait(w budget.Window, now time.Time, excess int64) time.Duration {
	var d time.Duration
	if excess > 0 {
		if d = w.ResetAfter(now, s.buckets, excess); d == 0 {
			return 0
		}
	}
	switch {
	case !s.Latched:
		return d
	case s.latchedUntil == math.MaxInt64:
		return 0
	default:
		return max(d, time.Duration(s.latchedUntil-now.UnixNano()))
	}
}

// sum adds up what counts now, bucket by bucket.
func (t *tx) sum(line *budget.Line, s *state) error {
	rows, err := t.stmt(sqlBuckets).Query(line.Account[:], line.Window.At(t.now).Since)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var start, settled, pending int64
		if err := rows.Scan(&start, &settled, &pending); err != nil {
			return err
		}
		s.Settled, s.overflow = add(s.Settled, settled, s.overflow)
		s.Pending, s.overflow = add(s.Pending, pending, s.overflow)
		s.buckets = append(s.buckets, budget.Bucket{Start: start, Used: settled + pending})
	}
	return rows.Err()
}

// add sums, and remembers whether a sum left the range of int64.
func add(a, b int64, overflowed bool) (int64, bool) {
	c := a + b
	return c, overflowed || b != 0 && (c > a) != (b > 0)
}
