package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// judge reports whether a change is new, so that it has to be made: it is not if the last change of its object, such as a flag or an account's
// override, has the same id. ErrSuperseded says that somebody has changed the object since the caller looked; r.Seen is the number of the last change
// that the caller knew.
func (t *tx) judge(r *driver.Record) (isNew bool, err error) {
	object := r.Object()
	var revision int64
	var id []byte
	err = t.stmt(sqlLastChange).QueryRow(object[:]).Scan(&revision, &id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return true, nil
	case err != nil:
		return false, err
	case string(id) == string(r.ID[:]):
		return false, nil
	case revision > r.Seen:
		return false, driver.ErrSuperseded
	}
	return true, nil
}

// note writes a change into the audit trail.
func (t *tx) note(r *driver.Record) error {
	raw, err := account.EncodeRecord(r)
	if err != nil {
		return err
	}
	object := r.Object()
	return t.exec(sqlNoteChange, object[:], r.ID[:], t.now.UnixNano(), raw)
}

// change makes a change in a step of its own, unless it was made before, which is no error. make is what it does, and must not be refused: the change
// is in the audit trail by then.
func (s *Store) change(ctx context.Context, r driver.Record, make func(*tx) error) error {
	if err := r.Change.Validate(); err != nil {
		return err
	}
	return s.do(ctx, true, func(t *tx) error { return t.change(&r, make) })
}

// change is Store.change in a transaction that is running.
func (t *tx) change(r *driver.Record, make func(*tx) error) error {
	isNew, err := t.judge(r)
	if err != nil || !isNew {
		return err
	}
	if err := t.note(r); err != nil {
		return err
	}
	return make(t)
}

// Revision implements driver.Store: it is the number of the last row of the audit trail.
func (s *Store) Revision(ctx context.Context) (n int64, err error) {
	err = s.do(ctx, false, func(t *tx) error { return t.stmt(sqlRevision).QueryRow().Scan(&n) })
	return n, err
}

// maxRecords is the size of the largest page of Changes, and of Usage.
const maxRecords = 10_000

// Changes implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Changes(ctx context.Context, after int64, limit int) (all []driver.Record, err error) {
	err = s.do(ctx, false, func(t *tx) error {
		all = []driver.Record{}
		rows, err := t.stmt(sqlChanges).Query(after, max(1, min(limit, maxRecords)))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var revision, at int64
			var raw []byte
			if err := rows.Scan(&revision, &at, &raw); err != nil {
				return err
			}
			r, err := account.DecodeRecord(raw, revision, at)
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		return rows.Err()
	})
	return all, err
}

// Override implements driver.Store. A nil override sets both of its columns to null.
func (s *Store) Override(ctx context.Context, key driver.Key, o *driver.Override, c driver.Change) error {
	if o != nil && o.Max < 0 {
		return fmt.Errorf("%w: an override to %d", driver.ErrInvalidCharge, o.Max)
	}
	return s.change(ctx, driver.Record{Change: c, Kind: driver.ChangeOverride, Account: key, Override: o}, func(t *tx) error {
		if o == nil {
			return t.exec(sqlOverride, key[:], nil, nil)
		}
		// Nanos limits an Until that is too far away to the largest int64.
		return t.exec(sqlOverride, key[:], o.Max, account.Nanos(o.Until))
	})
}

// Unlatch implements driver.Store. All accounts are one transaction. If somebody else has changed one since the caller looked, the others are
// opened all the same, and the error is ErrSuperseded.
func (s *Store) Unlatch(ctx context.Context, accounts []driver.Key, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	var superseded error
	err := s.do(ctx, true, func(t *tx) error {
		superseded = nil // a step whose transaction failed runs once more
		for _, key := range accounts {
			err := t.change(&driver.Record{Change: c, Kind: driver.ChangeUnlatch, Account: key}, func(t *tx) error {
				// 0 is the time until which the latch is closed: it is open.
				return t.exec(sqlLatch, key[:], 0)
			})
			switch {
			case errors.Is(err, driver.ErrSuperseded): // t.change has written nothing for this account; the other latches are opened
				superseded = err
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err == nil {
		// Not returned by the step, because one that returns it must have written nothing.
		err = superseded
	}
	return err
}

// Kill implements driver.Store.
func (s *Store) Kill(ctx context.Context, k driver.Kill, c driver.Change) error {
	if err := errors.Join(c.Validate(), k.Validate()); err != nil {
		return err
	}
	scope, err := account.EncodeScope(k.Scope)
	if err != nil {
		return err
	}
	r := driver.Record{Change: c, Kind: driver.ChangeKill, Scope: k.Scope, Patterns: k.Patterns, Until: k.Until}
	return s.do(ctx, true, func(t *tx) error { return t.kill(&k, scope, &r) })
}

// kill sets a flag, whose scope is also given as it is stored. A change that was made before does nothing. A new one is put into the audit trail only
// once it is known that there is room for the flag, because a step that fails must have written nothing.
func (t *tx) kill(k *driver.Kill, scope []byte, r *driver.Record) error {
	isNew, err := t.judge(r)
	if err != nil || !isNew {
		return err
	}
	dims, key := k.Scope.Dims(), flagKey(k.Flag())
	// file is the key by which calls find the flag: one of its dimensions, which are the keys of the scope values that it sets.
	file := underPatterns
	if k.Patterns {
		err = t.makeRoom(key)
	} else {
		// rarest returns the dimension with the fewest flags; nothing, for a flag that covers every call, if there are no dimensions.
		file, err = t.rarest(dims)
	}
	if err != nil {
		return err
	}
	if err := t.note(r); err != nil {
		return err
	}
	// End returns 0 for a flag that has no end.
	return t.exec(sqlKill, key, encodeKeys(dims), scope, []byte(k.Reason), t.now.UnixNano(), file, account.End(k.Until), k.Patterns)
}

// Revive implements driver.Store. If a row is deleted, a trigger notes a loss unless the store says that it deletes the row itself, which removing
// does. Its 0 means that no sums are gone.
func (s *Store) Revive(ctx context.Context, f driver.Flag, c driver.Change) error {
	key := flagKey(f)
	return s.change(ctx, driver.Record{Change: c, Kind: driver.ChangeRevive, Scope: f.Scope, Patterns: f.Patterns}, func(t *tx) error {
		return t.removing(0, func() error { return t.exec(sqlRevive, key) })
	})
}

// Correct implements driver.Store. A tombstone, which Void writes for an id that it does not know so that a late Reserve of it fails, is not
// found: it has no accounts to which an amount could be posted.
func (s *Store) Correct(ctx context.Context, c driver.Correction) (p driver.Posting, err error) {
	if err := c.Validate(); err != nil {
		return p, err
	}
	err = s.do(ctx, true, func(t *tx) error {
		p, err = t.correct(&c)
		return err
	})
	return p, err
}

// correct changes what a resolved reservation has posted. A change that was made before, and an amount that is posted already, post nothing; the
// latter is still a change with a row in the audit trail.
func (t *tx) correct(c *driver.Correction) (p driver.Posting, err error) {
	e, err := t.entry(c.ID)
	if err != nil {
		return p, err
	}
	if e == nil || e.state == driver.Pending || e.tombstone() {
		return p, driver.ErrNotFound
	}
	r := driver.Record{Change: c.Change, Kind: driver.ChangeCorrect, Reservation: c.ID, From: e.actual, To: c.Actual}
	isNew, err := t.judge(&r)
	if err != nil {
		return p, err
	}
	p = driver.Posting{From: e.state, Replayed: !isNew || e.hasPosted(c)}
	if !p.Replayed {
		// The new amount in the place of e.actual; a resolved reservation has nothing pending.
		if err := t.post(e, posting{actual: c.Actual, before: e.actual, shares: c.Shares, correction: true}); err != nil {
			return driver.Posting{}, err
		}
		// A corrected amount is not an estimate any more.
		if err := t.resolve(e, driver.Settled, c.Actual, false); err != nil {
			return driver.Posting{}, err
		}
	}
	if isNew {
		err = t.note(&r)
	}
	return p, err
}

// hasPosted reports whether a correction would leave an entry as it is. An estimated amount is not the same: a correction to the same number confirms
// it, and is made. Without shares the correction says nothing of how to divide the amount, and only the amount is compared.
func (e *entry) hasPosted(c *driver.Correction) bool {
	if e.actual != c.Actual || e.estimated {
		return false
	}
	// e.uses is how the posted amount divides among rows of usage, the sums of a day, and Uses returns how the new one would. With shares it needs no
	// call, hence the nil.
	return len(c.Shares) == 0 || slices.Equal(e.uses, account.Uses(nil, c.Actual, c.Shares))
}
