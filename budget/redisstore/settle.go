package redisstore

import (
	"context"
	"errors"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Settle implements driver.Store. It is sent without its lines where these are not needed, which is the usual case, and with them if the answer
// is codeUnknown: no reservation with this id is there, or it was voided.
func (s *Store) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	if err := st.Validate(); err != nil {
		return driver.Posting{}, err
	}
	// No amount may be larger than a script can count, and no two lines may be of the same account.
	if err := errors.Join(fits(&st.Actual), distinct(st.Lines)); err != nil {
		return driver.Posting{}, err
	}
	answer, err := s.settle(ctx, &st, needsLines(st.Lines))
	if err == nil && answer.code == codeUnknown {
		answer, err = s.settle(ctx, &st, true)
	}
	if err != nil {
		return driver.Posting{}, err
	}
	return posting(answer, st.Lines)
}

// needsLines reports whether a settlement is sent with its lines at once. The stored entry has the bookings of a reservation, so that the script
// needs lines for two purposes only: to report thresholds, and to post an amount that was never reserved in the present windows. The latter shows
// only in the answer. Without any lines there is nothing to leave out.
func needsLines(lines []driver.Line) bool {
	for i := range lines {
		if len(lines[i].Notify) > 0 { // the line has thresholds
			return true
		}
	}
	return len(lines) == 0
}

// settle sends a settlement. withLines says whether to send the lines, with their windows, thresholds and names, too.
func (s *Store) settle(ctx context.Context, st *driver.Settlement, withLines bool) (reply, error) {
	// usage is the key of the row of usage, a day's sum over calls of one scope, to which the amount is added; without a call the script uses the
	// reservation's row. shares say how the amount divides among several rows.
	usage, shares := driver.Key{}, []byte(encodeShares(st.Shares))
	if st.Call != nil {
		usage = st.Call.UsageKey()
	}
	// ask calls this function for each try. The script gets the key of the hash with the reservation's entry (shard). By the epoch, the ledger's random
	// name, and the highest sequence seen it notices a loss; the clock is 0 for the server's own. A day may have UsageRows rows of usage.
	return s.ask(ctx, scriptSettle, s.shard(st.ID), func(now, clock int64) ([]any, error) {
		h := newHead(s.epoch(), st.ID[:], st.Owner[:]).numbers(s.seen.Load(), clock, now, s.retention, int64(s.opts.UsageRows))
		h = append(h, usage[:]...).flags(st.Estimated, withLines).charge(&st.Actual)
		if !withLines { // the texts below that come from lines are empty
			return []any{[]byte(h), "", "", "", encodeCall(st.Call), st.Reference, "", shares}, nil
		}
		// place encodes for the time now where the lines are booked; with true also the thresholds, in p.marks.
		p, err := s.place(st.Lines, &st.Actual, now, true)
		if err != nil {
			return nil, err
		}
		return []any{[]byte(h), []byte(p.booked), []byte(p.terms), []byte(p.marks), encodeCall(st.Call), st.Reference, encodeNames(st.Lines), shares}, nil
	})
}

// posting decodes the answer to a Settle: the state of the reservation before, and each threshold that was reached first by this amount:
// <line 2 bytes><threshold 2><settled 8><1 if an override is in force 1><override 8>.
func posting(answer reply, lines []driver.Line) (p driver.Posting, err error) {
	// The same amount was settled before; the script then tells no state.
	if answer.code == codeReplayed {
		return driver.Posting{Replayed: true, From: driver.Settled}, nil
	}
	// A reader takes each value off the front of in.text. If it has failed, a value was missing or out of range.
	in := answer.rest
	// Letters that stand for an error don't get here: ask returns that.
	if p.From, err = in.before(); err != nil || answer.code != codeDone {
		return driver.Posting{}, errReply
	}
	for !in.failed && in.text != "" {
		c := driver.Crossing{Line: int(in.number(2)), Mark: int(in.number(2)), Settled: in.count()}
		if c.Line >= len(lines) || c.Mark >= len(lines[c.Line].Notify) {
			return driver.Posting{}, errReply
		}
		// The Max in force: the override's if there is one, else the line's.
		overridden, override := in.number(1) == 1, in.number(8)
		if c.Max = lines[c.Line].Max; overridden {
			c.Max = override
		}
		p.Crossed = append(p.Crossed, c)
	}
	if in.failed {
		return driver.Posting{}, errReply
	}
	return p, nil
}

// before reads the state of a reservation before the step, a letter; 0 for the letter n, which means that there was no reservation.
func (in *reader) before() (driver.State, error) {
	letter := byte(in.number(1))
	if letter == 'n' {
		return 0, nil
	}
	if states[letter] == 0 {
		return 0, errReply
	}
	return states[letter], nil
}

// Void implements driver.Store. For an id that the ledger does not know it writes a tombstone, so that a Reserve of it that arrives late fails.
// The same script is sent under two names: scriptVoid also runs if the server's memory is full, because it only frees an amount;
// scriptForestal, which writes the tombstone, does not.
func (s *Store) Void(ctx context.Context, id driver.ID, owner driver.Key) error {
	answer, err := s.void(ctx, scriptVoid, id, owner, false)
	if err == nil && answer.code == codeUnknown {
		answer, err = s.void(ctx, scriptForestal, id, owner, true)
	}
	if err == nil && answer.code != codeDone && answer.code != codeReplayed {
		err = errReply
	}
	return err
}

// void runs a script that voids a reservation. tombstone says what to do about an unknown id: to write a tombstone, or to answer codeUnknown.
func (s *Store) void(ctx context.Context, sc *script, id driver.ID, owner driver.Key, tombstone bool) (reply, error) {
	return s.ask(ctx, sc, s.shard(id), func(_, clock int64) ([]any, error) {
		return []any{[]byte(newHead(s.epoch(), id[:], owner[:]).numbers(s.seen.Load(), clock, s.retention).flags(tombstone))}, nil
	})
}
