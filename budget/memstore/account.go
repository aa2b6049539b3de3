package memstore

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	keep "github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// All times of this package are in nanoseconds since 1970 UTC, by the store's clock. An account has its sums in buckets of time: a calendar window
// is one bucket, and a rolling one consists of sixty. A driver.Span says which bucket a moment is booked in (Start), and which buckets count at that
// moment (those from Since on).

// account is one limit for one set of scope values.
type account struct {
	key          driver.Key
	limit        string           // the limit's name; empty if no line that was booked here had one
	scope        driver.Scope     // the values that split the limit
	buckets      []bucket         // ascending by start
	override     *driver.Override // replaces the Max of the lines until its end; nil if there is none
	latchedUntil int64            // 0 when open
	quietUntil   []int64          // by threshold: until when it is not reported again

	window driver.Window // the window of span
	span   driver.Span   // the last result of at
}

// bucket has the sums of a part of time.
type bucket struct {
	start, end int64 // end is when it stops counting, or later if it has to be kept for longer; Options.Retention begins only then
	settled    int64
	pending    int64
	forgotten  int64 // the part of settled that was posted by entries that are forgotten
}

// booking says where one line of a reservation is booked.
type booking struct {
	account *account
	start   int64 // of the bucket
	unit    driver.Unit
}

// accountSpan is where a line would be booked now. The account is nil if there is none yet.
type accountSpan struct {
	account *account
	span    driver.Span
}

// spanOf returns where a line would be booked now.
func (s *Store) spanOf(line *driver.Line, now int64) accountSpan {
	a := s.find(&line.Account)
	return accountSpan{a, a.at(line.Window, now)}
}

// recentAccount is a slot of Store.recent: the account that find returned last for keys that belong to this slot.
type recentAccount struct {
	key     driver.Key
	account *account
}

// find returns the account with a key, or nil if there is none.
func (s *Store) find(key *driver.Key) *account {
	n := &s.recent[key[0]%byte(len(s.recent))]
	if n.account == nil || n.key != *key {
		a := s.accounts[*key]
		if a == nil {
			return nil
		}
		*n = recentAccount{*key, a}
	}
	return n.account
}

// at returns the span of a moment in a window. The last result is kept, because an account mostly has one window, and many calls fall into the same
// bucket: the edges of a calendar window take longer to compute than the rest of a step. It is computed anew for another window or bucket; at first
// the account has the zero window.
func (a *account) at(w driver.Window, now int64) driver.Span {
	if a == nil {
		return w.At(time.Unix(0, now))
	}
	length := a.span.Start - a.span.Since // of a rolling window, whose buckets count for one length after their end; 0 for a calendar window
	bucketEnd := a.span.End - length
	if a.window != w || now < a.span.Start || now >= bucketEnd {
		a.window, a.span = w, w.At(time.Unix(0, now))
	}
	return a.span
}

// windowPassed returns until when a latch stays closed that closes now, or a threshold stays quiet that is reported now: the end of a calendar
// window, or one length from now for a rolling one. span is where now lies in the window.
func windowPassed(span driver.Span, now int64) int64 {
	if span.Start == span.Since { // only the present bucket counts: it is a calendar window
		return span.End
	}
	length := span.Start - span.Since // of a rolling window, whose oldest bucket that counts begins at Since
	return now + length
}

// open returns the account with a key, and makes it if there is none.
func (s *Store) open(key driver.Key) *account {
	a := s.find(&key)
	if a == nil {
		a = &account{key: key}
		s.accounts[key] = a
	}
	return a
}

// from returns the buckets that begin at since or later.
func (a *account) from(since int64) []bucket {
	i := len(a.buckets)
	for i > 0 && a.buckets[i-1].start >= since {
		i--
	}
	return a.buckets[i:]
}

// bucket returns the bucket of a span, and makes it if there is none. The pointer is valid until the next call. KeptEnd returns when the bucket stops
// counting, or a later time if its sums have to be kept for longer than the retention.
func (a *account) bucket(span *driver.Span, retention int64) *bucket {
	i := len(a.buckets) - len(a.from(span.Start))
	if i == len(a.buckets) || a.buckets[i].start != span.Start {
		a.buckets = slices.Insert(a.buckets, i, bucket{start: span.Start, end: keep.KeptEnd(*span, time.Duration(retention))})
	}
	return &a.buckets[i]
}

// find returns the bucket of a booking, or nil if it was forgotten.
func (b *booking) find() *bucket {
	if from := b.account.from(b.start); len(from) > 0 && from[0].start == b.start {
		return &from[0]
	}
	return nil
}

// balance returns the sums of an account in the window of a line, without ResetAfter. overflow reports whether a sum would leave the range of int64
// if amount were added; the sums that are returned stop at the largest int64. The account is nil if nothing was ever booked there.
func (a *account) balance(line *driver.Line, span *driver.Span, now, amount int64) (b driver.Balance, overflow bool) {
	b.Max = line.Max
	if a == nil {
		return b, false
	}
	if a.override != nil && time.Unix(0, now).Before(a.override.Until) {
		b.Max = a.override.Max
	}
	var limited bool                       // the last sum was limited to the largest int64
	for _, k := range a.from(span.Since) { // the buckets that count now
		b.Settled, limited = plus(b.Settled, k.settled)
		overflow = overflow || limited
		b.Pending, limited = plus(b.Pending, k.pending)
		overflow = overflow || limited
	}
	used, limited := plus(b.Settled, b.Pending)
	overflow = overflow || limited
	_, limited = plus(used, amount)
	b.Latched = a.latchedUntil > now
	return b, overflow || limited
}

// wait returns how long it takes until excess has left the window and the latch is open; 0 if waiting never helps. excess is by how much the account
// is too full, and not positive if only the latch is in the way. The account is nil if nothing was ever booked there.
func (a *account) wait(w driver.Window, span *driver.Span, now, excess int64) time.Duration {
	var d time.Duration
	if excess > 0 {
		var sums []driver.Bucket
		if a != nil {
			for _, k := range a.from(span.Since) {
				used, _ := plus(k.settled, k.pending) // at most the largest int64
				sums = append(sums, driver.Bucket{Start: k.start, Used: used})
			}
		}
		if d = w.ResetAfter(time.Unix(0, now), sums, excess); d == 0 { // it never leaves, as in a lifetime
			return 0
		}
	}
	if a == nil || a.latchedUntil <= now {
		return d
	}
	if a.latchedUntil == math.MaxInt64 { // the latch of a lifetime, which does not open by itself
		return 0
	}
	return max(d, time.Duration(a.latchedUntil-now))
}

// report returns the thresholds of a line that settled spend has reached and that were not reported in this window yet. i is the line's index in
// the settlement, by which the caller knows it.
func (a *account) report(line *driver.Line, i int, now int64) (all []driver.Crossing) {
	span := a.at(line.Window, now)
	b, _ := a.balance(line, &span, now, 0)
	for m := range line.Notify {
		// Threshold returns the amount at which the fraction Notify[m] of the Max is reached.
		isReached := b.Settled >= line.Threshold(m, b.Max)
		isQuiet := m < len(a.quietUntil) && now < a.quietUntil[m] // it was reported in this window
		if !isReached || isQuiet {
			continue
		}
		if m >= len(a.quietUntil) {
			// The first report, or the limit has more thresholds now: one for each of them.
			a.quietUntil = append(a.quietUntil, make([]int64, len(line.Notify)-len(a.quietUntil))...)
		}
		a.quietUntil[m] = windowPassed(span, now)
		all = append(all, driver.Crossing{Line: i, Mark: m, Settled: b.Settled, Max: b.Max})
	}
	return all
}

// idle reports whether an account has been like a new one since a moment, so that it can be dropped: it has no sums, and its override, its latch and
// the quiet times of its thresholds had all ended by then.
func (a *account) idle(since int64) bool {
	lasted := func(until int64) bool { return until > since }
	overridden := a.override != nil && time.Unix(0, since).Before(a.override.Until)
	return len(a.buckets) == 0 && !overridden && !lasted(a.latchedUntil) && !slices.ContainsFunc(a.quietUntil, lasted)
}

// Balances implements driver.Store.
func (s *Store) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	now, err := s.lockSums(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := make([]driver.Balance, len(lines))
	for i := range lines {
		line := &lines[i]
		a, span := s.find(&line.Account), line.Window.At(time.Unix(0, now))
		b, _ := a.balance(line, &span, now, 0)
		// The sum is limited to the largest int64. ResetAfter is how long it takes until all that is used has left.
		used, _ := plus(b.Settled, b.Pending)
		b.ResetAfter = a.wait(line.Window, &span, now, used)
		all[i] = b
	}
	return all, nil
}

// Override implements driver.Store.
func (s *Store) Override(ctx context.Context, key driver.Key, o *driver.Override, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if o != nil && o.Max < 0 {
		return fmt.Errorf("%w: an override to %d", driver.ErrInvalidCharge, o.Max)
	}
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	// make puts a new change into the audit trail. One that is not new is a repeat, with a nil err, or superseded.
	if isNew, err := s.changes.make(driver.Record{Change: c, Kind: driver.ChangeOverride, Account: key, Override: o}, now); !isNew {
		return err
	}
	if o == nil {
		if a := s.find(&key); a != nil {
			a.override = nil
		}
		return nil
	}
	own := *o
	s.open(key).override = &own
	return nil
}

// Unlatch implements driver.Store.
func (s *Store) Unlatch(ctx context.Context, keys []driver.Key, c driver.Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	now, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	var superseded error
	for _, k := range keys {
		isNew, err := s.changes.make(driver.Record{Change: c, Kind: driver.ChangeUnlatch, Account: k}, now)
		if !isNew {
			superseded = cmp.Or(superseded, err) // err is nil for a repeat; the other latches are opened all the same
			continue
		}
		if a := s.accounts[k]; a != nil {
			a.latchedUntil = 0
		}
	}
	return superseded
}
