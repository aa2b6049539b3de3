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
	return account.EncodeCall(c, "") // the empty text is in the place of the provider's id of a request, which is stored apart
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
	parts := partsOf(value) // the head, and then the texts
	answer, unreadable := parseReply(parts[0])
	// judge returns why the answer can't be used, such as a loss of the ledger.
	if err := s.judge(k, &answer, unreadable); err != nil {
		return 0, nil, err
	}
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
		if all[i], err = parseAccount(text, now); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// parseAccount decodes an account: <key 16 bytes><latched until 8><override until 8><override 8>, times in microseconds, and, if the account has a
// name, what encodeNames encodes, without the length. A latch that has opened by now is left out.
func parseAccount(text string, now int64) (a driver.Account, err error) {
	in := reader{text: text}
	key := in.bytes(16)
	// An account without an override has 0 for its end, and one that was never latched has 0, too.
	latched, until, most := in.count(), in.count(), in.number(8)
	if in.failed || latched > never || until > never {
		return driver.Account{}, errReply
	}
	a.Key = driver.Key([]byte(key))
	// An override is told even if it has ended, as long as nobody removes it; a latch only while it is closed.
	if until > 0 {
		a.Override = &driver.Override{Max: most, Until: fromMicro(until)}
	}
	if latched > now {
		a.Latched = fromMicro(latched)
	}
	if in.text == "" { // it has no name
		return a, nil
	}
	in.bytes(8) // the width of its buckets
	if a.Limit, a.Scope, err = account.DecodeName([]byte(in.text)); err != nil || in.failed {
		return driver.Account{}, errReply
	}
	return a, nil
}

// Periods implements driver.Store. A limit out of range is replaced with the nearest valid one. It reads all buckets from the first one on, and not
// from after: which bucket begins at after can only be told by the width of the buckets, which the first answer brings.
func (s *Store) Periods(ctx context.Context, key driver.Key, after time.Time, limit int) ([]driver.Period, error) {
	limit = max(1, min(limit, maxEntries))
	all := []driver.Period{}
	for from := int64(0); len(all) < limit; {
		page, err := s.buckets(ctx, key, from)
		if err != nil {
			return nil, err
		}
		for _, p := range page.periods {
			if after.IsZero() || p.Start.After(after) {
				all = append(all, p)
			}
		}
		if page.last {
			break
		}
		from = page.next
	}
	return all[:min(len(all), limit)], nil
}

// bucketPage is a page of an account's buckets.
type bucketPage struct {
	periods []driver.Period
	next    int64 // the number from which on the next page has buckets
	last    bool  // no page follows
}

// buckets reads a page of an account's buckets, from a number on. A bucket's number is its start in microseconds or, for a rolling window, its start
// divided by the buckets' width, which is stored with the account's name. Until a library that stores names has booked something there, the width is
// not known: then each number is taken for a start in microseconds, so that periods of a rolling window begin in or near 1970.
func (s *Store) buckets(ctx context.Context, key driver.Key, from int64) (bucketPage, error) {
	_, found, err := s.list(ctx, scriptPeriods, key[:], from, maxEntries)
	if err != nil {
		return bucketPage{}, err
	}
	if len(found) == 0 {
		return bucketPage{}, errReply
	}
	// The first text is the account's name, behind the width in nanoseconds; it is empty if the account has no name. The others are buckets.
	name, numbers := reader{text: found[0]}, found[1:]
	width := int64(0) // also of a calendar window
	if name.text != "" {
		width = name.count()
	}
	page := bucketPage{next: from, last: len(numbers) < maxEntries} // a page that is not full is the last one
	for _, text := range numbers {
		in := reader{text: text}
		number := in.count()
		p := driver.Period{Settled: in.count(), Pending: in.count(), Forgotten: in.count()}
		if !in.done() {
			return bucketPage{}, errReply
		}
		p.Start = startOf(number, width > 0, width)
		page.periods, page.next = append(page.periods, p), number+1
	}
	return page, nil
}
