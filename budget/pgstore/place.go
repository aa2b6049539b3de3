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

// placement says where lines are booked at a guessed time of the server. Calendar windows depend on time zones and months, so they are
// computed here, together with the range of time in which the result is valid; if the server's clock is outside of that range, the function
// changes nothing and the step is repeated. Rolling windows are arithmetic, which the function does with its own clock.
type placement struct {
	accounts              []pgtype.UUID
	units                 []int32
	starts, widths, ends  []int64
	steps                 []int64 // of rolling windows, their bucket's width; 0 for others
	extra                 []int64 // for how much longer than until its end a bucket is kept
	maxes                 []int64
	observe, latch        []bool
	from, until           int64 // the range of time in which all this is valid
	markLines, markNumber []int32
	marks                 []float64
	names                 [][]byte
}

// place fills in the fields. Lines may be in any order.
func (p *placement) place(lines []driver.Line, now int64, retention time.Duration) error {
	p.from, p.until = math.MinInt64, math.MaxInt64
	n := len(lines)
	p.accounts, p.units = make([]pgtype.UUID, n), make([]int32, n)
	p.starts, p.widths, p.ends, p.steps = make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	p.extra = make([]int64, n)
	p.maxes, p.observe, p.latch = make([]int64, n), make([]bool, n), make([]bool, n)
	p.markLines, p.markNumber, p.marks = []int32{}, []int32{}, []float64{} // a nil slice would become a null
	p.names = make([][]byte, n)
	for i := range lines {
		line := &lines[i]
		p.names[i] = account.EncodeName(line)
		p.accounts[i] = uuid(line.Account)
		if slices.Contains(p.accounts[:i], p.accounts[i]) {
			return errTwice
		}
		span := line.Window.At(time.Unix(0, now))
		p.units[i], p.maxes[i], p.observe[i], p.latch[i] = int32(line.Unit), line.Max, line.Observe, line.Latch
		p.starts[i], p.widths[i], p.ends[i] = span.Start, span.Start-span.Since, span.End
		p.extra[i] = account.KeptEnd(span, retention) - span.End
		switch {
		case p.widths[i] > 0:
			p.steps[i] = span.End - span.Start - p.widths[i]
		case span.End < math.MaxInt64:
			from, until := holds(line.Window, now, span)
			p.from, p.until = max(p.from, from), min(p.until, until)
		}
		for m, mark := range line.Notify {
			p.markLines, p.markNumber, p.marks = append(p.markLines, int32(i+1)), append(p.markNumber, int32(m)), append(p.marks, mark)
		}
	}
	return nil
}

// longestFold is longer than any change of clocks in a time zone.
const longestFold = 3 * time.Hour

// holds returns the range of time around now, or a part of it, in which a calendar window's span stays the same. That is the span itself,
// except where a time zone skips or repeats an hour.
func holds(w driver.Window, now int64, span driver.Span) (from, until int64) {
	same := func(at int64) bool { return w.At(time.Unix(0, at)) == span }
	from, until = span.Start, span.End
	if from <= now && now < until && same(from) && same(until-1) {
		return from, until
	}
	from, until = min(from, now)-int64(longestFold), max(until, now)+int64(longestFold)
	from += int64(sort.Search(int(now-from), func(i int) bool { return same(from + int64(i)) }))
	until = now + 1 + int64(sort.Search(int(until-now-1), func(i int) bool { return !same(now + 1 + int64(i)) }))
	return from, until
}

func uuid(b [16]byte) pgtype.UUID { return pgtype.UUID{Bytes: b, Valid: true} }

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
