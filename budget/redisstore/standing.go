package redisstore

import (
	"math"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// standing is the balance of a line's account in a script's answer.
type standing struct {
	line             int
	settled, pending int64
	latched          int64 // until when it is latched
	override         int64
	overridden       bool
	buckets          []bucket // of a rolling window
}

// bucket has a bucket's number, and its sum of settled and pending.
type bucket struct{ start, used int64 }

// standing reads the balance of one of the lines.
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

// balance converts it, without ResetAfter.
func (s *standing) balance(line *driver.Line, now int64) driver.Balance {
	b := driver.Balance{Max: line.Max, Settled: s.settled, Pending: s.pending, Latched: s.latched > now}
	if s.overridden {
		b.Max = s.override
	}
	return b
}

// wait returns how long it takes until excess has left the window and the latch is open; 0 if waiting never helps.
func (s *standing) wait(w driver.Window, now, excess int64) time.Duration {
	var d time.Duration
	if excess > 0 {
		at := fromMicro(now)
		step := rollingStep(w.At(at))
		sums := make([]driver.Bucket, len(s.buckets))
		for i, b := range s.buckets {
			if step <= 0 || b.start > math.MaxInt64/step {
				return 0
			}
			sums[i] = driver.Bucket{Start: b.start * step, Used: b.used}
		}
		if d = w.ResetAfter(at, sums, excess); d == 0 {
			return 0
		}
	}
	switch {
	case s.latched <= now:
		return d
	case s.latched >= never:
		return 0
	default:
		return max(d, time.Duration(s.latched-now)*time.Microsecond)
	}
}
