package redisstore

import (
	"math"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// standing is the balance of a line's account in a script's answer. Times are in microseconds.
type standing struct {
	line             int      // index into the request's lines
	settled, pending int64    // in the present window
	latched          int64    // until when it is latched: a refusal has closed it; 0 if none has, and the constant never if only an operator opens it
	override         int64    // what replaces the line's Max, if overridden is set
	overridden       bool     // an override is in force
	buckets          []bucket // of a rolling window, if the script lists them, in ascending order
}

// bucket is one of the parts in which a rolling window's amounts are summed up.
type bucket struct {
	start int64 // its number, which counts buckets since 1970: its start in nanoseconds divided by the buckets' width
	used  int64 // settled and pending
}

// standing reads the balance of one of the lines, of which there are so many. No script answers with a sum of more than 2*maxSum,
// which could overflow where it is added to another.
func (r *reader) standing(lines int) (s standing) {
	s.line = int(r.number(2))
	s.overridden = r.number(1) == 1
	s.settled, s.pending, s.latched, s.override = r.count(), r.count(), r.count(), r.number(8)
	n := int(r.number(2))
	if r.failed || s.line >= lines || s.settled > 2*maxSum || s.pending > 2*maxSum || len(r.text) < 16*n {
		r.failed = true
		return standing{}
	}
	for range n {
		s.buckets = append(s.buckets, bucket{r.count(), r.count()})
	}
	return s
}

// balance converts it for the caller. ResetAfter stays zero: see wait.
func (s *standing) balance(line *driver.Line, now int64) driver.Balance {
	b := driver.Balance{Max: line.Max, Settled: s.settled, Pending: s.pending, Latched: s.latched > now}
	if s.overridden {
		b.Max = s.override
	}
	return b
}

// wait returns how long it takes from now, in microseconds, until excess has left the window and the latch is open; 0 if waiting never
// helps, or if there is no excess and the latch is open already.
func (s *standing) wait(w driver.Window, now, excess int64) time.Duration {
	var d time.Duration
	if excess > 0 {
		at := fromMicro(now)
		sums, ok := s.sums(rollingStep(w.At(at)))
		if !ok {
			return 0
		}
		// 0 if time alone never frees that much, as in a lifetime.
		if d = w.ResetAfter(at, sums, excess); d == 0 {
			return 0
		}
	}
	switch {
	case s.latched <= now:
		return d
	case s.latched >= never: // only an operator opens it
		return 0
	default:
		return max(d, time.Duration(s.latched-now)*time.Microsecond)
	}
}

// sums returns the buckets with their starts in nanoseconds. width is that of a rolling window's buckets; a calendar window lists none, so that its
// width is not used. ok is false for a bucket's number that no script stores: the product would overflow.
func (s *standing) sums(width int64) (all []driver.Bucket, ok bool) {
	all = make([]driver.Bucket, len(s.buckets))
	for i, b := range s.buckets {
		if width <= 0 || b.start > math.MaxInt64/width {
			return nil, false
		}
		all[i] = driver.Bucket{Start: b.start * width, Used: b.used}
	}
	return all, true
}
