package pgstore

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// placement says where lines are booked at a guessed time of the server. A line is one limit that applies to the call; its account sums up amounts
// in buckets: one for a calendar window, many of the same width for a rolling one. Calendar windows depend on time zones and months, so they are
// computed here, together with the range of time in which the result is valid; if the server's clock is outside of that range, the function
// changes nothing and the step is repeated. Rolling windows are arithmetic, which the function does with its own clock. "The function" is here the
// function of the schema that the step calls: the slices are its arguments. All times are in nanoseconds.
type placement struct {
	from, until int64 // the range of time in which all this is valid

	// These have one element for each line.
	accounts       []pgtype.UUID
	names          [][]byte // what the accounts are called
	units          []int32
	starts         []int64 // when the bucket begins in which the line is booked
	widths         []int64 // for how long before its bucket's start earlier buckets count: 0 except in rolling windows
	ends           []int64 // when the bucket stops counting
	steps          []int64 // of rolling windows, their bucket's width; 0 for others
	extra          []int64 // for how much longer than until its end a bucket is kept
	maxes          []int64
	observe, latch []bool

	// These have one element for each threshold of each line.
	markLines  []int32   // the number of the line, from 1 on
	markNumber []int32   // the threshold's number in the line, from 0 on
	marks      []float64 // the fraction of the Max
}

// place fills in the fields for a time, now, in nanoseconds. Lines may be in any order. It returns errTwice if two of them are of one account.
func (p *placement) place(lines []driver.Line, now int64, retention time.Duration) error {
	p.from, p.until = math.MinInt64, math.MaxInt64
	p.makeRoom(len(lines))
	for i := range lines {
		line := &lines[i]
		p.names[i] = account.EncodeName(line)
		p.accounts[i] = uuid(line.Account)
		if slices.Contains(p.accounts[:i], p.accounts[i]) {
			return errTwice
		}
		p.units[i], p.maxes[i], p.observe[i], p.latch[i] = int32(line.Unit), line.Max, line.Observe, line.Latch
		p.placeWindow(i, line.Window, now, retention)
		for m, mark := range line.Notify {
			p.markLines, p.markNumber, p.marks = append(p.markLines, int32(i+1)), append(p.markNumber, int32(m)), append(p.marks, mark)
		}
	}
	return nil
}

// makeRoom makes the slices for n lines.
func (p *placement) makeRoom(n int) {
	p.accounts, p.names, p.units = make([]pgtype.UUID, n), make([][]byte, n), make([]int32, n)
	p.starts, p.widths, p.ends, p.steps, p.extra = make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	p.maxes, p.observe, p.latch = make([]int64, n), make([]bool, n), make([]bool, n)
	p.markLines, p.markNumber, p.marks = []int32{}, []int32{}, []float64{} // a nil slice would become a null
}

// placeWindow fills in when the line at index i is booked, and narrows the range of time in which the placement is valid.
func (p *placement) placeWindow(i int, w driver.Window, now int64, retention time.Duration) {
	span := w.At(time.Unix(0, now))
	p.starts[i], p.widths[i], p.ends[i] = span.Start, span.Start-span.Since, span.End
	// KeptEnd is the end, or later for calendar windows of a day or longer, whose sums are kept as long as usage.
	p.extra[i] = account.KeptEnd(span, retention) - span.End
	switch {
	case p.widths[i] > 0: // a rolling window: End is a width after the bucket's own end, which is a step after its start
		p.steps[i] = span.End - span.Start - p.widths[i]
	case span.End < math.MaxInt64: // a calendar window; the other case is a lifetime, which is valid at any time
		from, until := holds(w, now, span)
		p.from, p.until = max(p.from, from), min(p.until, until)
	}
}

// longestFold is longer than any hour that a time zone skips or repeats when its clocks are changed.
const longestFold = 3 * time.Hour

// holds returns the range of time around now, or a part of it, in which a calendar window's span stays the same. That is the span itself,
// except where a time zone skips or repeats an hour: there both ends are searched for in a somewhat longer range, to the nanosecond. until is the
// first moment that is not in the range.
func holds(w driver.Window, now int64, span driver.Span) (from, until int64) {
	// At returns the span in which a moment lies.
	same := func(at int64) bool { return w.At(time.Unix(0, at)) == span }
	from, until = span.Start, span.End
	// The usual case: the span holds now, and is the same at both of its ends.
	if from <= now && now < until && same(from) && same(until-1) {
		return from, until
	}
	from, until = min(from, now)-int64(longestFold), max(until, now)+int64(longestFold)
	// The first moment up to now from which on the span is the same, and then the first one after now at which it is another.
	from += int64(sort.Search(int(now-from), func(i int) bool { return same(from + int64(i)) }))
	until = now + 1 + int64(sort.Search(int(until-now-1), func(i int) bool { return !same(now + 1 + int64(i)) }))
	return from, until
}

// uuid returns a key or an id in the type in which the database keeps it.
func uuid(b [16]byte) pgtype.UUID { return pgtype.UUID{Bytes: b, Valid: true} }

// uuids is uuid for several.
func uuids[K ~[16]byte](keys []K) []pgtype.UUID {
	all := make([]pgtype.UUID, len(keys))
	for i, k := range keys {
		all[i] = uuid(k)
	}
	return all
}

// nanos returns a moment in nanoseconds since 1970 UTC, limited to the range of int64.
func nanos(t time.Time) int64 {
	switch s := t.Unix(); {
	case s >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	case s <= math.MinInt64/int64(time.Second):
		return math.MinInt64
	default:
		return t.UnixNano()
	}
}
