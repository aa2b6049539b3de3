package redisstore

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The limits of the steps of Expire, which charges expired reservations and forgets old entries and buckets, and of Entries.
const (
	chargeBatch = 500    // reservations that one step charges at most
	forgetBatch = 1000   // entries and buckets that one step forgets at most
	forgetSteps = 64     // steps that one Expire uses to forget at most: a process that calls it once a minute keeps up with 1,000 entries a second
	lookBatch   = 20_000 // entries after which one step of Entries stops reading, at the end of a shard: one of the 256 hashes of entries
	maxEntries  = 10_000 // of a page that Entries, Accounts, Periods or Usage returns
)

// Expire implements driver.Store. It charges those reservations first that expired first. If a charge would overflow its account, the
// reservation stays pending, where it counts for the same amount, and is tried again a minute later: it was postponed. Expire repeats its script
// while there is more to charge, up to limit, or more to forget, the latter in forgetSteps steps at most.
func (s *Store) Expire(ctx context.Context, limit int) (int, error) {
	charged := 0
	for steps := 1; ; steps++ {
		// 0 if the limit is used up: the script then only forgets.
		batch := int64(min(max(limit-charged, 0), chargeBatch))
		step, err := s.expireBatch(ctx, batch)
		if err != nil {
			return charged, err
		}
		charged += int(step.charged)
		// A batch that was not full was the last one. Those that were postponed don't come up again for a minute.
		moreToCharge := step.charged+step.postponed == batch && charged < limit
		// forgetSteps bounds only steps that have nothing else to do, not those that still charge.
		moreToForget := step.dropped >= forgetBatch && steps < forgetSteps
		if !moreToCharge && !moreToForget {
			return charged, nil
		}
	}
}

// expired is what one run of the script of Expire has done.
type expired struct {
	charged   int64 // reservations
	postponed int64 // reservations that are left for later, because their account would overflow
	dropped   int64 // entries, buckets, flags and rows of usage that it has looked at to forget them
}

// expireBatch runs the script of Expire once. It charges up to batch reservations, and forgets as many of each kind as forgetBatch says.
func (s *Store) expireBatch(ctx context.Context, batch int64) (expired, error) {
	// The time by which the script forgets follows the clock by at most so much a step, an eighth of the retention, or an hour if that is more: a clock
	// that jumps ahead and back must not make it forget what still counts.
	advance := max(s.retention/8, micros(time.Hour))
	answer, err := s.ask(ctx, scriptExpire, s.keys.shard[:], func(_, clock int64) ([]any, error) {
		// By the epoch, the ledger's random name, and the highest sequence seen the script notices a loss; the clock is 0 for the server's own.
		// What is charged is added to rows of usage, of which a day has UsageRows at most, and which are forgotten after UsageRetention.
		return []any{[]byte(newHead(s.epoch()).numbers(s.seen.Load(), clock, s.retention, batch, forgetBatch, advance,
			int64(s.opts.UsageRows), micros(driver.UsageRetention)))}, nil
	})
	if err != nil {
		return expired{}, err
	}
	in := answer.rest
	did := expired{charged: in.number(4), postponed: in.number(4), dropped: in.number(4)}
	if !in.done() || did.charged+did.postponed > batch || answer.code != codeDone {
		return expired{}, errReply
	}
	return did, nil
}

// Entries implements driver.Store. A Max out of range is replaced with the nearest valid one.
func (s *Store) Entries(ctx context.Context, q driver.Query) ([]driver.Entry, error) {
	limit := max(1, min(q.Max, maxEntries))
	all := []driver.Entry{}
	// from is a shard: ids are divided among them by their first byte, so that shards before that of After have no larger ids.
	for from := int(q.After[0]); from < shards && len(all) < limit; {
		wanted := limit - len(all)
		if !q.Plain() {
			wanted = maxEntries // the script knows State and Estimated only: most entries that it finds are not selected below
		}
		page, shardsRead, err := s.page(ctx, q, from, wanted)
		if err != nil {
			return nil, err
		}
		for i := range page {
			// Whole shards were read, so that all may become longer than limit. It is cut at the end.
			if q.Selects(&page[i]) {
				all = append(all, page[i])
			}
		}
		from += shardsRead
	}
	return all[:min(len(all), limit)], nil
}

// page reads entries of whole shards, from a given one on, in the order of their ids, and returns how many shards it has read: the script stops
// at the end of one when it has found limit entries or has looked at lookBatch.
func (s *Store) page(ctx context.Context, q driver.Query, from, limit int) (entries []driver.Entry, shardsRead int, err error) {
	// k is what is known of the ledger. sound fails if a loss was found that nobody has accepted yet.
	k, err := s.sound(ctx)
	if err != nil {
		return nil, 0, err
	}
	// The clock is 0, for the server's own, unless a test replaces it.
	_, clock := s.guess()
	h := newHead(s.epoch(), q.After[:]).numbers(s.seen.Load(), clock, int64(limit), lookBatch)
	// stateLetter is - for a query of every state. The script needs the number of the first shard to tell whether the ledger says that it has
	// entries.
	h = append(h, stateLetter(q.State)).flags(q.Estimated).byte(byte(from))
	value, err := s.run(ctx, scriptEntries, s.keys.shard[from:], []byte(h))
	if err != nil {
		return nil, 0, err
	}
	answer, entries, unreadable := parsePage(value)
	// judge returns why the answer can't be used, such as a loss of the ledger.
	if err := s.judge(k, &answer, unreadable); err != nil {
		return nil, 0, err
	}
	read := answer.rest.number(2)
	if !answer.rest.done() || read < 1 || read > shards {
		return nil, 0, errReply
	}
	return entries, int(read), nil
}

// parsePage decodes an answer with entries, and sorts them. Behind the head there are pairs: first an entry's id and the entry, then an account
// and its name, which begins with the width of the account's buckets. An account in a pair has one byte behind its key,
// by which it is told from an id: both have 16 bytes. The pairs are read from the last one back, because the entries' bookings need these widths.
func parsePage(value any) (reply, []driver.Entry, error) {
	parts, ok := value.([]any)
	if !ok { // the answer has no entries
		r, err := parseReply(value)
		return r, nil, err
	}
	if len(parts)%2 != 1 { // one head, and pairs
		return reply{}, nil, errReply
	}
	r, err := parseReply(parts[0])
	if err != nil {
		return r, nil, err
	}
	entries := make([]driver.Entry, 0, len(parts)/2)
	steps := make(map[driver.Key]int64) // widths of the buckets of rolling windows
	for i := len(parts) - 2; i > 0; i -= 2 {
		first, isText := parts[i].(string)
		second, isTextToo := parts[i+1].(string)
		if !isText || !isTextToo {
			return r, nil, errReply
		}
		if isAccount := len(first) == len(driver.Key{})+1; isAccount {
			learnStep(steps, driver.Key([]byte(first[:16])), second)
			continue
		}
		e, err := parseEntry(first, second, steps)
		if err != nil {
			return r, nil, err
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b driver.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return r, entries, nil
}

// learnStep adds the width of an account's buckets, with which its stored name begins, to steps. The name is empty for an account without one, whose
// width is not known.
func learnStep(steps map[driver.Key]int64, account driver.Key, name string) {
	if name != "" {
		in := reader{text: name}
		steps[account] = in.count()
	}
}
