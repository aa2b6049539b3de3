package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// change calls a function that makes a change, r, which is what an operator does: to set a kill flag, for example. The function's arguments are
// first those in own; then the change's object, id and Seen (the revision that the caller knew), by which the function finds repeats and conflicts,
// and the row of the audit trail; then those in behind, which the function did not have at first, so that earlier libraries leave them out.
func (s *Store) change(ctx context.Context, function string, r driver.Record, behind []any, own ...any) (answer, error) {
	if err := r.Change.Validate(); err != nil {
		return answer{}, err
	}
	raw, err := account.EncodeRecord(&r)
	if err != nil {
		return answer{}, failed(function, err)
	}
	own = append(append(own, [16]byte(r.Object()), [16]byte(r.ID), r.Seen, raw), behind...)
	return s.step(ctx, call{function: function, moments: true, args: func(*placement) []any { return own }})
}

// Override implements driver.Store. The function is sent nulls to take an override back.
func (s *Store) Override(ctx context.Context, key driver.Key, o *driver.Override, c driver.Change) error {
	own := []any{[16]byte(key), nil, nil}
	if o != nil {
		if o.Max < 0 {
			return fmt.Errorf("%w: an override to %d", driver.ErrInvalidCharge, o.Max)
		}
		own = []any{[16]byte(key), o.Max, account.Nanos(o.Until)}
	}
	_, err := s.change(ctx, "override", driver.Record{Change: c, Kind: driver.ChangeOverride, Account: key, Override: o}, nil, own...)
	return err
}

// Unlatch implements driver.Store. All accounts are one step: the function is sent the object and the audit row of each. If somebody else has changed
// one since the caller looked, the function opens the others all the same, and step returns driver.ErrSuperseded.
func (s *Store) Unlatch(ctx context.Context, accounts []driver.Key, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	objects, records := make([]driver.Key, len(accounts)), make([][]byte, len(accounts))
	for i, key := range accounts {
		r := driver.Record{Change: c, Kind: driver.ChangeUnlatch, Account: key}
		var err error
		if records[i], err = account.EncodeRecord(&r); err != nil {
			return failed("unlatch", err)
		}
		objects[i] = r.Object()
	}
	_, err := s.step(ctx, call{function: "unlatch", moments: true, args: func(*placement) []any {
		return []any{uuids(accounts), uuids(objects), [16]byte(c.ID), c.Seen, records}
	}})
	return err
}

// Kill implements driver.Store. The function finds a flag by its dimensions, the keys of the scope values that it sets. Kill returns once the
// steps that were running when the flag was set have ended. After an error one of them may still admit calls, and the flag may be set or
// not: set it again.
func (s *Store) Kill(ctx context.Context, k driver.Kill, c driver.Change) error {
	if err := errors.Join(c.Validate(), k.Validate()); err != nil {
		return err
	}
	scope, err := account.EncodeScope(k.Scope)
	if err != nil {
		return failed("kill", err)
	}
	var until any // null for a flag without an end
	if !k.Until.IsZero() {
		until = account.End(k.Until)
	}
	r := driver.Record{Change: c, Kind: driver.ChangeKill, Scope: k.Scope, Patterns: k.Patterns, Until: k.Until}
	// MaxPatterns bounds the flags with patterns; FlagRetention is how long ended flags are kept. The function notifies the processes that listen
	// on s.channel.
	behind := []any{until, k.Patterns, int64(driver.MaxPatterns), int64(driver.FlagRetention)}
	if _, err := s.change(ctx, "set_flag", r, behind, uuids(k.Scope.Dims()), scope, []byte(k.Reason), s.channel); err != nil {
		return err
	}
	return s.awaitUnaware(ctx)
}

// Revive implements driver.Store. Calls that the flag covered are admitted from the next step on, in all processes; those that listen on s.channel
// are notified. Unlike Kill, Revive waits for no running transactions: one that still knows the flag only refuses.
func (s *Store) Revive(ctx context.Context, f driver.Flag, c driver.Change) error {
	r := driver.Record{Change: c, Kind: driver.ChangeRevive, Scope: f.Scope, Patterns: f.Patterns}
	_, err := s.change(ctx, "remove_flag", r, []any{f.Patterns}, uuids(f.Scope.Dims()), s.channel)
	return err
}

// Correct implements driver.Store. A tombstone, which Void writes for an id that it does not know so that a late Reserve of it fails, is not
// found: it has no accounts to which an amount could be posted.
func (s *Store) Correct(ctx context.Context, c driver.Correction) (driver.Posting, error) {
	if err := c.Validate(); err != nil {
		return driver.Posting{}, err
	}
	// From, the amounts before, stays zero here: only the function knows them, and keeps them beside the row.
	r := driver.Record{Change: c.Change, Kind: driver.ChangeCorrect, Reservation: c.ID, To: c.Actual}
	behind := []any{encodeShares(c.Shares), int64(s.opts.UsageRows)} // without shares, the first is an empty text
	a, err := s.change(ctx, "correct", r, behind, [16]byte(c.ID), c.Actual[:])
	if err != nil {
		return driver.Posting{}, overflowOr(err) // driver.ErrOverflow if the server has found a sum too large
	}
	// The value is the state of the reservation before.
	return driver.Posting{Replayed: a.status == "replayed", From: driver.State(a.value)}, nil
}

// Revision implements driver.Store. The function changes returns the revision as the value of its answer; here it is asked for 0 rows.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	a, err := s.step(ctx, call{function: "changes", args: func(*placement) []any { return []any{int64(0), int64(0)} }})
	return a.value, err
}

// maxRecords is the size of the largest page of Changes.
const maxRecords = 10_000

// Changes implements driver.Store. A limit out of range is replaced with the nearest valid one. The amounts before a correction are beside the
// encoded row, because only the function knows them.
func (s *Store) Changes(ctx context.Context, after int64, limit int) ([]driver.Record, error) {
	a, err := s.step(ctx, call{function: "changes", args: func(*placement) []any {
		return []any{after, int64(max(1, min(limit, maxRecords)))}
	}})
	if err != nil {
		return nil, err
	}
	all := make([]driver.Record, len(a.detail.Changes))
	for i, c := range a.detail.Changes {
		if all[i], err = account.DecodeRecord(c.Record, c.Revision, c.At); err != nil {
			return nil, failed("changes", err)
		}
		// It is no correction.
		if c.Before == nil {
			continue
		}
		if all[i].From, err = charge(c.Before); err != nil {
			return nil, failed("changes", err)
		}
	}
	return all, nil
}

// record is a row of the audit trail in the server's answer.
type record struct {
	Revision int64
	At       int64   // in nanoseconds since 1970
	Before   []int64 // the posted amounts before a correction, by unit; nil for other changes
	Record   []byte  // as account.EncodeRecord has encoded it
}
