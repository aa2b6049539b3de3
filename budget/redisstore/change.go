package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// A change is what an operator does: to set or remove a kill flag, an override or the policy, to open latches, to correct a posted amount, or
// to accept a loss. Its script gets the change's object, id and Seen, to find repeats and conflicts, and a row for the audit trail. Every
// request begins with the epoch, which is the ledger's random name, the highest sequence seen, and the clock, 0 for the server's own.

// encodeChange encodes what the script judges a change by, <object 16 bytes><id 16><Seen 8>, and its row of the audit trail.
func encodeChange(r *driver.Record) (change, row []byte, err error) {
	object := r.Object()
	row, err = account.EncodeRecord(r)
	return newHead(object[:], r.ID[:]).numbers(r.Seen), row, err
}

// changeError returns err, or an error if the answer is not one that a change can have. A repeat of a change is no error.
func changeError(answer reply, err error) error {
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
	return s.change(ctx, 'o', moment(o.Until), o.Max, r, key) // moment converts to microseconds, rounded up
}

// Unlatch implements driver.Store. It opens latches: an account whose limit has one stays closed after a refusal until the window's end.
func (s *Store) Unlatch(ctx context.Context, accounts []driver.Key, c driver.Change) error {
	return s.change(ctx, 'u', 0, 0, driver.Record{Change: c, Kind: driver.ChangeUnlatch}, accounts...)
}

// change sets an override of accounts, with action 'o', or opens their latches, with action 'u'. until, in microseconds, and limit are those
// of the override. r is the change's record, to which the key of each account is added: each account has its own row in the audit trail.
func (s *Store) change(ctx context.Context, action byte, until, limit int64, r driver.Record, accounts ...driver.Key) error {
	if err := r.Change.Validate(); err != nil {
		return err
	}
	var changes []byte
	var rows []any
	for _, key := range accounts {
		// r is this function's own copy.
		r.Account = key
		change, row, err := encodeChange(&r)
		if err != nil {
			return err
		}
		changes, rows = append(changes, change...), append(rows, row)
	}
	// ask calls this function for each try, because the clock may be another one; nil means that the script uses none of the hashes of entries.
	return changeError(s.ask(ctx, scriptAccount, nil, func(_, clock int64) ([]any, error) {
		h := append(newHead(s.epoch()).numbers(s.seen.Load(), clock), action).numbers(until, limit)
		return append([]any{[]byte(h), appendKeys(nil, accounts), changes}, rows...), nil
	}))
}

// Kill implements driver.Store. Its script also runs when the server's memory is full: stopping spend must work then.
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

// Revive implements driver.Store. It removes the flag that Kill has set.
func (s *Store) Revive(ctx context.Context, f driver.Flag, c driver.Change) error {
	return s.flag(ctx, 'r', time.Time{}, nil, driver.Record{Change: c, Kind: driver.ChangeRevive, Scope: f.Scope, Patterns: f.Patterns})
}

// flag sets a flag, with action 'k', or removes it, with action 'r', and publishes that on the ledger's channel. A flag is found by its
// dimensions: the keys of the scope values that it sets. One with patterns has none, because its values are globs: the script is sent the
// capital letter, and the flag's own key in their place. payload is the encoded flag that others read back; nil to remove it.
func (s *Store) flag(ctx context.Context, action byte, until time.Time, payload []byte, r driver.Record) error {
	// For a Revive; Kill has done this already.
	if err := r.Change.Validate(); err != nil {
		return err
	}
	change, row, err := encodeChange(&r)
	if err != nil {
		return err
	}
	foundBy := r.Scope.Dims()
	if r.Patterns {
		foundBy = []driver.Key{r.Object()}
		action = action - 'a' + 'A' // the capital letter
	}
	keys, ends := appendKeys(nil, foundBy), flagEnd(until)
	return changeError(s.ask(ctx, scriptKill, nil, func(_, clock int64) ([]any, error) {
		h := append(newHead(s.epoch()).numbers(s.seen.Load(), clock), action).numbers(ends, driver.MaxPatterns)
		return []any{[]byte(h), keys, payload, s.keys.channel, change, row}, nil
	}))
}

// flagEnd returns when a flag ends, in microseconds; 0 for one without an end.
func flagEnd(until time.Time) int64 {
	if until.IsZero() {
		return 0
	}
	ends := max(moment(until), 1) // 0, for 1970 and before, would be no end
	// The script adds FlagRetention, the time for which an ended flag is kept, and no time may exceed never. No clock gets as far: it has no end.
	if ends > never-micros(driver.FlagRetention) {
		return 0
	}
	return ends
}

// Correct implements driver.Store. The answer has the state that the reservation had before. A tombstone, which Void writes for an id that it does
// not know so that a late Reserve of it fails, is not found: it has no accounts to which an amount could be posted.
func (s *Store) Correct(ctx context.Context, c driver.Correction) (driver.Posting, error) {
	if err := c.Validate(); err != nil {
		return driver.Posting{}, err
	}
	if err := fits(&c.Actual); err != nil {
		return driver.Posting{}, err
	}
	change, row, err := encodeChange(&driver.Record{Change: c.Change, Kind: driver.ChangeCorrect, Reservation: c.ID, To: c.Actual})
	if err != nil {
		return driver.Posting{}, err
	}
	// The script gets the key of the hash that has the reservation's entry, too. The amount is part of a row of
	// usage, a day's sum over calls of one scope; UsageRows is how many rows a day may have. Shares divide the amount among several rows.
	answer, err := s.ask(ctx, scriptCorrect, s.shard(c.ID), func(_, clock int64) ([]any, error) {
		h := newHead(s.epoch(), c.ID[:]).numbers(s.seen.Load(), clock, s.retention, int64(s.opts.UsageRows)).charge(&c.Actual)
		return []any{[]byte(h), change, row, []byte(encodeShares(c.Shares))}, nil
	})
	if err != nil {
		return driver.Posting{}, err
	}
	// ask has returned an error already if the answer's letter stands for one. before reads the state that the reservation had.
	p := driver.Posting{Replayed: answer.code == codeReplayed}
	if p.From, err = answer.rest.before(); err != nil || answer.code != codeDone && !p.Replayed {
		return driver.Posting{}, errReply
	}
	return p, nil
}

// Revision implements driver.Store: it returns how many changes the audit trail holds.
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

// changes reads the revision, and up to limit rows of the audit trail with revisions after a given one. It does not use ask, as the other steps
// here do: the request depends on no time, and the answer is a list, of the reply and the rows.
func (s *Store) changes(ctx context.Context, after int64, limit int) (revision int64, all []driver.Record, err error) {
	// k is what is known of the ledger, or err says that it is lost, and that nobody has accepted the loss.
	k, err := s.sound(ctx)
	if err != nil {
		return 0, nil, err
	}
	// The clock is 0, for the server's own, unless a test replaces it.
	_, clock := s.guess()
	value, err := s.run(ctx, scriptChanges, nil, []byte(newHead(s.epoch()).numbers(s.seen.Load(), clock, after, int64(limit))))
	if err != nil {
		return 0, nil, err
	}
	parts := partsOf(value) // the reply, and then the rows
	answer, unreadable := parseReply(parts[0])
	// judge returns why the answer can't be used. The script has compared the ledger with what this process knows; judge notes a loss that it reports,
	// unless another ledger than k was adopted meanwhile.
	if err := s.judge(k, &answer, unreadable); err != nil {
		return 0, nil, err
	}
	revision = answer.rest.count()
	if !answer.rest.done() {
		return 0, nil, errReply
	}
	all, err = parseRecords(parts[1:], after)
	if err != nil {
		return 0, nil, err
	}
	return revision, all, nil
}

// parseRecords decodes rows of the audit trail. Their revisions count up by one, from the one that follows after.
func parseRecords(rows []any, after int64) ([]driver.Record, error) {
	all := make([]driver.Record, 0, len(rows))
	for i, row := range rows {
		// What is no text becomes an empty one, which parseRecord refuses.
		text, _ := row.(string)
		r, err := parseRecord(text, after+int64(i)+1)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// parseRecord decodes a row of the audit trail: <time in microseconds 8 bytes><length 1><posted amounts before a correction, 8 each><the
// record in account.EncodeRecord's form>. Only the script knows a correction's amounts before, so they stand outside of the encoded record.
func parseRecord(text string, revision int64) (driver.Record, error) {
	in := reader{text: text}
	at := in.count()
	before := reader{text: in.bytes(int(in.number(1)))}
	n := int64(len(before.text) / 8)
	// knows refuses more units than this library has: a newer one has written them.
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
