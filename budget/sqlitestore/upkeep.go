package sqlitestore

import (
	"context"
	"errors"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Expire implements driver.Store. It charges up to limit reservations whose time is up, with their worst case, and forgets what is older than the
// retention. It looks first whether there is anything to do, so that an idle ledger is not written to. It need not look if the last Expire charged as
// many as it was allowed, which s.more says.
func (s *Store) Expire(ctx context.Context, limit int) (n int, err error) {
	limit = max(limit, 0) // SQLite would take a negative one for no limit
	if !s.more.Load() {
		if idle, err := s.idle(ctx); err != nil || idle {
			return 0, err
		}
	}
	err = s.do(ctx, true, func(t *tx) (err error) {
		if n, err = t.expire(limit); err != nil {
			return err
		}
		// The time by which old rows are forgotten follows the clock.
		if err := t.advance(); err != nil {
			return err
		}
		return t.forget(forgetBatch)
	})
	s.more.Store(err == nil && limit > 0 && n == limit)
	return n, err
}

// expire charges up to limit reservations whose time is up, those that expired first, and returns how many it has charged. One whose charge would
// overflow its account stays pending, where it counts for the same amount, and does not block others.
func (t *tx) expire(limit int) (n int, err error) {
	due, err := t.entries(sqlExpired, t.now.UnixNano(), limit)
	if err != nil {
		return 0, err
	}
	for _, e := range due {
		err := t.post(e, posting{actual: e.reserved, pending: e.reserved}) // out of pending, into settled; it had posted nothing before
		if errors.Is(err, driver.ErrOverflow) {
			continue
		}
		if err != nil {
			return n, err
		}
		// The true marks the amount as an estimate: what the call has cost is not known.
		if err := t.resolve(e, driver.Expired, e.reserved, true); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// idle reports whether nothing has expired and it is not yet time to forget old rows, which is at pruneAt. It only reads, so that it costs no commit.
func (s *Store) idle(ctx context.Context) (idle bool, err error) {
	err = s.do(ctx, false, func(t *tx) error {
		var due bool
		err := t.stmt(sqlDue).QueryRow(t.now.UnixNano()).Scan(&due)
		idle = !due && t.now.Before(s.pruneAt)
		return err
	})
	return idle, err
}

// entries returns the reservations that a statement finds, which returns their id and then their other columns.
func (t *tx) entries(q string, args ...any) ([]*entry, error) {
	rows, err := t.stmt(q).Query(args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*entry
	for rows.Next() {
		var id []byte
		e, err := scanEntry(rows.Scan, &id)
		if err != nil {
			return nil, err
		}
		if len(id) != len(e.id) {
			return nil, errEncoding
		}
		e.id = driver.ID(id)
		all = append(all, e)
	}
	return all, rows.Err()
}

// Balances implements driver.Store. ResetAfter is how long it takes until nothing of what is used now counts any more.
func (s *Store) Balances(ctx context.Context, lines []driver.Line) (all []driver.Balance, err error) {
	err = s.do(ctx, false, func(t *tx) error {
		all = make([]driver.Balance, len(lines))
		if err := t.refuseForgotten(lines); err != nil {
			return err
		}
		states, err := t.states(lines)
		if err != nil {
			return err
		}
		for i := range states {
			state := &states[i]
			// Reserve refuses what would make this sum overflow.
			used, _ := add(state.Settled, state.Pending, false)
			all[i] = state.Balance
			// With all that is used as the excess, the wait ends when all of it has left.
			all[i].ResetAfter = state.wait(lines[i].Window, t.now, used)
		}
		return nil
	})
	return all, err
}
