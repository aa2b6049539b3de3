package redisstore

import (
	"context"
	"errors"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Settle implements driver.Store. It is sent without its lines where these are not needed, which is the usual case, and with them if the answer
// is that nothing is pending.
func (s *Store) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	if err := st.Validate(); err != nil {
		return driver.Posting{}, err
	}
	if err := errors.Join(fits(&st.Actual), distinct(st.Lines)); err != nil {
		return driver.Posting{}, err
	}
	// The entry has the bookings of a reservation. Lines are only sent for their thresholds, and if the script says that nothing is pending,
	// so that spend has to be posted in the present windows.
	whole := len(st.Lines) == 0
	for i := range st.Lines {
		whole = whole || len(st.Lines[i].Notify) > 0
	}
	answer, err := s.settle(ctx, &st, whole)
	if err == nil && answer.code == codeUnknown {
		answer, err = s.settle(ctx, &st, true)
	}
	if err != nil {
		return driver.Posting{}, err
	}
	return posting(answer, st.Lines)
}

// settle sends a settlement. whole says whether to send the lines, with their windows, thresholds and names.
func (s *Store) settle(ctx context.Context, st *driver.Settlement, whole bool) (reply, error) {
	usage, shares := driver.Key{}, []byte(encodeShares(st.Shares))
	if st.Call != nil { // otherwise the reservation's is used
		usage = st.Call.UsageKey()
	}
	return s.ask(ctx, scriptSettle, s.shard(st.ID), func(now, clock int64) ([]any, error) {
		h := newHead(s.epoch(), st.ID[:], st.Owner[:]).numbers(s.seen.Load(), clock, now, s.retention, int64(s.opts.UsageRows))
		h = append(h, usage[:]...).flags(st.Estimated, whole).charge(&st.Actual)
		if !whole {
			return []any{[]byte(h), "", "", "", encodeCall(st.Call), st.Reference, "", shares}, nil
		}
		p, err := s.place(st.Lines, &st.Actual, now, true)
		if err != nil {
			return nil, err
		}
		return []any{[]byte(h), []byte(p.booked), []byte(p.terms), []byte(p.marks), encodeCall(st.Call), st.Reference, encodeNames(st.Lines), shares}, nil
	})
}

// posting decodes the answer to a Settle.
func posting(answer reply, lines []driver.Line) (p driver.Posting, err error) {
	if answer.code == codeReplayed {
		return driver.Posting{Replayed: true, From: driver.Settled}, nil
	}
	in := answer.rest
	if p.From, err = in.before(); err != nil || answer.code != codeDone {
		return driver.Posting{}, errReply
	}
	for !in.failed && in.text != "" {
		c := driver.Crossing{Line: int(in.number(2)), Mark: int(in.number(2)), Settled: in.count()}
		if c.Line >= len(lines) || c.Mark >= len(lines[c.Line].Notify) {
			return driver.Posting{}, errReply
		}
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

// before reads the state of a reservation before the step; n means none.
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

// Void implements driver.Store. If the server's memory is full, reservations can be voided, but tombstones can't be written.
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
