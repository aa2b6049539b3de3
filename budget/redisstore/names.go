package redisstore

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// encodeCall encodes the call of a reservation, which is its scope and operation; nothing for nil.
func encodeCall(c *driver.Call) []byte {
	if c == nil {
		return []byte{}
	}
	return account.EncodeCall(c, "")
}

// encodeNames encodes for each line what the ledger keeps about the line's account from its first booking on:
// <length 2 bytes><width of a rolling window's buckets 8, in nanoseconds, 0 for other windows><the limit's name and scope>.
func encodeNames(lines []driver.Line) []byte {
	out := []byte{}
	for i := range lines {
		name := account.EncodeName(&lines[i])
		out = binary.BigEndian.AppendUint16(out, uint16(8+len(name)))
		// A rolling window, which alone counts buckets before the one of now, has the same width at any time.
		// Since is where the first bucket that counts at a moment begins, and Start where that of the moment itself does.
		span, step := lines[i].Window.At(time.Unix(0, 0)), int64(0)
		if span.Start != span.Since {
			step = rollingStep(span)
		}
		out = append(binary.BigEndian.AppendUint64(out, uint64(step)), name...)
	}
	return out
}

// list runs a script that returns a list of texts after a head, and returns the server's time, in microseconds, and the texts. first and
// numbers are what the script wants to know besides what all get: the ledger's epoch, the highest sequence seen, and the clock.
func (s *Store) list(ctx context.Context, sc *script, first []byte, numbers ...int64) (now int64, all []string, err error) {
	// k is what is known of the ledger. sound fails if a loss was found that nobody has accepted yet.
	k, err := s.sound(ctx)
	if err != nil {
		return 0, nil, err
	}
	// The clock is 0, for the server's own, unless a test replaces it.
	_, clock := s.guess()
	h := newHead(s.epoch(), first).numbers(s.seen.Load(), clock).numbers(numbers...)
	value, err := s.run(ctx, sc, nil, []byte(h))
	if err != nil {
		return 0, nil, err
	}
	parts, ok := value.([]any)
	if !ok { // the script found the ledger lost, and answers with one text
		parts = []any{value}
	}
	answer, err := parseReply(parts[0])
	if err == nil {
		// The error that the answer's letter stands for, if any; a loss is remembered.
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

// Accounts implements driver.Store. A limit out of range is replaced with the nearest valid one. Each text that the script returns is an
// account: <key 16 bytes><latched until 8><override until 8><override 8>, times in microseconds, and, if the account has a name,
// what encodeNames encodes, without the length.
func (s *Store) Accounts(ctx context.Context, after driver.Key, limit int) ([]driver.Account, error) {
	now, found, err := s.list(ctx, scriptAccounts, after[:], int64(max(1, min(limit, maxEntries))))
	if err != nil {
		return nil, err
	}
	all := make([]driver.Account, len(found))
	for i, text := range found {
		in := reader{text: text}
		key := in.bytes(16)
		// An account without an override has 0 for its end, and one that was never latched has 0, too.
		latched, until, most := in.count(), in.count(), in.number(8)
		if in.failed || latched > never || until > never {
			return nil, errReply
		}
		all[i].Key = driver.Key([]byte(key))
		// An override is told even if it has ended, as long as nobody removes it; a latch only while it is closed.
		if until > 0 {
			all[i].Override = &driver.Override{Max: most, Until: fromMicro(until)}
		}
		if latched > now {
			all[i].Latched = fromMicro(latched)
		}
		if in.text == "" { // it has no name
			continue
		}
		in.bytes(8) // the width of its buckets
		if all[i].Limit, all[i].Scope, err = account.DecodeName([]byte(in.text)); err != nil || in.failed {
			return nil, errReply
		}
	}
	return all, nil
}

// Periods implements driver.Store. A limit out of range is replaced with the nearest valid one. The script lists buckets from a number on, a
// page at a time: a bucket's number is its start in microseconds or, for a rolling window, its start divided by the buckets' width. That
// width is stored with the account's name. Until a library that stores names has booked something there, it is not known: then each number is
// taken for a start in microseconds, so that periods of a rolling window begin in or near 1970.
func (s *Store) Periods(ctx context.Context, key driver.Key, after time.Time, limit int) ([]driver.Period, error) {
	limit = max(1, min(limit, maxEntries))
	all := []driver.Period{}
	// From the first bucket on, not from after: which number after has is known only with the width, which the first answer brings.
	for from := int64(0); len(all) < limit; {
		_, found, err := s.list(ctx, scriptPeriods, key[:], from, maxEntries)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, errReply
		}
		name := reader{text: found[0]} // the first text is the account's name, behind the width; the others are buckets
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
			from = start + 1 // where the next page begins
			// step is 0 for a calendar window, too; startOf takes start for microseconds then.
			if p.Start = startOf(start, step > 0, step); after.IsZero() || p.Start.After(after) {
				all = append(all, p)
			}
		}
		// The page was not full: it is the last one.
		if len(found)-1 < maxEntries {
			break
		}
	}
	return all[:min(len(all), limit)], nil
}
