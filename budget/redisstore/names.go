package redisstore

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// encodeCall encodes the call of a reservation; nil if there is none.
func encodeCall(c *driver.Call) []byte {
	if c == nil {
		return []byte{}
	}
	return account.EncodeCall(c, "")
}

// encodeNames encodes the names of the lines' accounts, as lua/name.lua describes it.
func encodeNames(lines []driver.Line) []byte {
	out := []byte{}
	for i := range lines {
		name := account.EncodeName(&lines[i])
		out = binary.BigEndian.AppendUint16(out, uint16(8+len(name)))
		span, step := lines[i].Window.At(time.Unix(0, 0)), int64(0)
		if span.Start != span.Since {
			step = rollingStep(span)
		}
		out = append(binary.BigEndian.AppendUint64(out, uint64(step)), name...)
	}
	return out
}

// list runs a script that returns a list, and returns the part after the head.
func (s *Store) list(ctx context.Context, sc *script, first []byte, numbers ...int64) (now int64, all []string, err error) {
	k, err := s.sound(ctx)
	if err != nil {
		return 0, nil, err
	}
	_, clock := s.guess()
	h := newHead(s.epoch(), first).numbers(s.seen.Load(), clock).numbers(numbers...)
	value, err := s.run(ctx, sc, nil, []byte(h))
	if err != nil {
		return 0, nil, err
	}
	parts, ok := value.([]any)
	if !ok {
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
	for _, part := range parts[1:] {
		text, ok := part.(string)
		if !ok {
			return 0, nil, errReply
		}
		all = append(all, text)
	}
	return answer.now, all, nil
}

// Accounts implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Accounts(ctx context.Context, after driver.Key, limit int) ([]driver.Account, error) {
	now, found, err := s.list(ctx, scriptAccounts, after[:], int64(max(1, min(limit, maxEntries))))
	if err != nil {
		return nil, err
	}
	all := make([]driver.Account, len(found))
	for i, text := range found {
		in := reader{text: text}
		key := in.bytes(16)
		latched, until, most := in.count(), in.count(), in.number(8)
		if in.failed || latched > never || until > never {
			return nil, errReply
		}
		all[i].Key = driver.Key([]byte(key))
		if until > 0 {
			all[i].Override = &driver.Override{Max: most, Until: fromMicro(until)}
		}
		if latched > now {
			all[i].Latched = fromMicro(latched)
		}
		if in.text == "" {
			continue
		}
		in.bytes(8)
		if all[i].Limit, all[i].Scope, err = account.DecodeName([]byte(in.text)); err != nil || in.failed {
			return nil, errReply
		}
	}
	return all, nil
}

// Periods implements driver.Store. A limit out of range is replaced with the nearest valid one. Periods of a rolling window begin at the zero time until
// something was booked there by a library that stores names.
func (s *Store) Periods(ctx context.Context, key driver.Key, after time.Time, limit int) ([]driver.Period, error) {
	limit = max(1, min(limit, maxEntries))
	all := []driver.Period{}
	for from := int64(0); len(all) < limit; {
		_, found, err := s.list(ctx, scriptPeriods, key[:], from, maxEntries)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, errReply
		}
		name := reader{text: found[0]}
		step := int64(0)
		if found[0] != "" {
			step = name.count()
		}
		for _, text := range found[1:] {
			in := reader{text: text}
			start := in.count()
			p := driver.Period{Settled: in.count(), Pending: in.count(), Forgotten: in.count()}
			if !in.done() {
				return nil, errReply
			}
			from = start + 1
			if p.Start = startOf(start, step > 0, step); after.IsZero() || p.Start.After(after) {
				all = append(all, p)
			}
		}
		if len(found)-1 < maxEntries {
			break
		}
	}
	return all[:min(len(all), limit)], nil
}
