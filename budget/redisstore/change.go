package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// changed encodes a change as lua/change.lua describes it, and its row of the audit trail.
func changed(r *driver.Record) (change, row []byte, err error) {
	object := r.Object()
	row, err = account.EncodeRecord(r)
	return newHead(object[:], r.ID[:]).numbers(r.Seen), row, err
}

// made converts the answer to a change into an error. A repeat is no error.
func made(answer reply, err error) error {
	if err == nil && answer.code != codeDone && answer.code != codeReplayed {
		return errReply
	}
	return err
}

// Override implements driver.Store. A nil override takes one back: the script is sent an end of 0.
func (s *Store) Override(ctx context.Context, key driver.Key, o *driver.Override, c driver.Change) error {
	r := driver.Record{Change: c, Kind: driver.ChangeOverride, Account: key, Override: o}
	if o == nil {
		return s.change(ctx, 'o', 0, 0, r, key)
	}
	if o.Max < 0 {
		return fmt.Errorf("%w: an override to %d", driver.ErrInvalidCharge, o.Max)
	}
	return s.change(ctx, 'o', moment(o.Until), o.Max, r, key)
}

// Unlatch implements driver.Store.
func (s *Store) Unlatch(ctx context.Context, accounts []driver.Key, c driver.Change) error {
	return s.change(ctx, 'u', 0, 0, driver.Record{Change: c, Kind: driver.ChangeUnlatch}, accounts...)
}

// change sets an override of accounts, with action 'o', or opens their latches, with action 'u'. r is the change's record, to which the key of
// each account is added.
func (s *Store) change(ctx context.Context, action byte, until, limit int64, r driver.Record, accounts ...driver.Key) error {
	if err := r.Change.Validate(); err != nil {
		return err
	}
	var changes []byte
	var rows []any
	for _, key := range accounts {
		r.Account = key
		change, row, err := changed(&r)
		if err != nil {
			return err
		}
		changes, rows = append(changes, change...), append(rows, row)
	}
	return made(s.ask(ctx, scriptAccount, nil, func(_, clock int64) ([]any, error) {
		h := append(newHead(s.epoch()).numbers(s.seen.Load(), clock), action).numbers(until, limit)
		return append([]any{[]byte(h), appendKeys(nil, accounts), changes}, rows...), nil
	}))
}

// Kill implements driver.Store. It also works if the server's memory is full.
func (s *Store) Kill(ctx context.Context, k driver.Kill, c driver.Change) error {
	if err := errors.Join(c.Validate(), k.Validate()); err != nil {
		return err
	}
	payload, err := encodeFlag(k)
	if err != nil {
		return err
	}
	r := driver.Record{Change: c, Kind: driver.ChangeKill, Scope: k.Scope, Patterns: k.Patterns, Until: k.Until}
	return s.flag(ctx, 'k', k.Until, payload, r)
}

// Revive implements driver.Store.
func (s *Store) Revive(ctx context.Context, f driver.Flag, c driver.Change) error {
	return s.flag(ctx, 'r', time.Time{}, nil, driver.Record{Change: c, Kind: driver.ChangeRevive, Scope: f.Scope, Patterns: f.Patterns})
}

// flag sets a flag, with action 'k', or removes it, with action 'r', and publishes that on the ledger's channel. For a flag with patterns, the
// script is sent the capital letter, and the flag's own key in the place of its dimensions.
func (s *Store) flag(ctx context.Context, action byte, until time.Time, payload []byte, r driver.Record) error {
	if err := r.Change.Validate(); err != nil {
		return err
	}
	change, row, err := changed(&r)
	if err != nil {
		return err
	}
	dims, ends := appendKeys(nil, r.Scope.Dims()), int64(0)
	if r.Patterns {
		dims, action = appendKeys(nil, []driver.Key{r.Object()}), action-'a'+'A' // the capital letter
	}
	if !until.IsZero() {
		ends = max(moment(until), 1)
	}
	if ends > never-micros(driver.FlagRetention) { // no clock reaches that
		ends = 0
	}
	return made(s.ask(ctx, scriptKill, nil, func(_, clock int64) ([]any, error) {
		h := append(newHead(s.epoch()).numbers(s.seen.Load(), clock), action).numbers(ends, driver.MaxPatterns)
		return []any{[]byte(h), dims, payload, s.keys.channel, change, row}, nil
	}))
}

// Correct implements driver.Store. A tombstone is not found, because its accounts are not known.
func (s *Store) Correct(ctx context.Context, c driver.Correction) (driver.Posting, error) {
	if err := c.Validate(); err != nil {
		return driver.Posting{}, err
	}
	if err := fits(&c.Actual); err != nil {
		return driver.Posting{}, err
	}
	change, row, err := changed(&driver.Record{Change: c.Change, Kind: driver.ChangeCorrect, Reservation: c.ID, To: c.Actual})
	if err != nil {
		return driver.Posting{}, err
	}
	answer, err := s.ask(ctx, scriptCorrect, s.shard(c.ID), func(_, clock int64) ([]any, error) {
		h := newHead(s.epoch(), c.ID[:]).numbers(s.seen.Load(), clock, s.retention, int64(s.opts.UsageRows)).charge(&c.Actual)
		return []any{[]byte(h), change, row, []byte(encodeShares(c.Shares))}, nil
	})
	if err != nil {
		return driver.Posting{}, err
	}
	p := driver.Posting{Replayed: answer.code == codeReplayed}
	if p.From, err = answer.rest.before(); err != nil || answer.code != codeDone && !p.Replayed {
		return driver.Posting{}, errReply
	}
	return p, nil
}

// Revision implements driver.Store.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	revision, _, err := s.changes(ctx, 0, 0)
	return revision, err
}

// maxRecords is the size of the largest page of Changes.
const maxRecords = 10_000

// Changes implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Changes(ctx context.Context, after int64, limit int) ([]driver.Record, error) {
	_, all, err := s.changes(ctx, max(after, 0), max(1, min(limit, maxRecords)))
	return all, err
}

// changes reads the revision, and rows of the audit trail.
func (s *Store) changes(ctx context.Context, after int64, limit int) (int64, []driver.Record, error) {
	k, err := s.sound(ctx)
	if err != nil {
		return 0, nil, err
	}
	_, clock := s.guess()
	value, err := s.run(ctx, scriptChanges, nil, []byte(newHead(s.epoch()).numbers(s.seen.Load(), clock, after, int64(limit))))
	if err != nil {
		return 0, nil, err
	}
	parts, ok := value.([]any)
	if !ok { // the answer has no rows
		parts = []any{value}
	}
	answer, err := parseReply(parts[0])
	if err == nil {
		err = s.outcome(k, &answer)
	}
	if err != nil {
		return 0, nil, err
	}
	s.notice(answer.sequence)
	revision := answer.rest.count()
	if !answer.rest.done() {
		return 0, nil, errReply
	}
	all := make([]driver.Record, 0, len(parts)-1)
	for _, part := range parts[1:] {
		text, _ := part.(string)
		r, err := parseRecord(text, after+int64(len(all))+1)
		if err != nil {
			return 0, nil, err
		}
		all = append(all, r)
	}
	return revision, all, nil
}

// parseRecord decodes a row of the audit trail as lua/change.lua describes it. Of a correction, it holds the amount before.
func parseRecord(text string, revision int64) (driver.Record, error) {
	in := reader{text: text}
	at := in.count()
	before := reader{text: in.bytes(int(in.number(1)))}
	n := int64(len(before.text) / 8)
	if err := knows(n); err != nil {
		return driver.Record{}, err
	}
	if in.failed || at > never {
		return driver.Record{}, errReply
	}
	r, err := account.DecodeRecord([]byte(in.text), revision, fromMicro(at).UnixNano())
	if err == nil && before.text != "" {
		if r.From = before.charge(n); !before.done() {
			err = errReply
		}
	}
	return r, err
}
