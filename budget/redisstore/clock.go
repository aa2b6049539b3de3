package redisstore

import (
	"sync/atomic"
	"time"
)

// estimate guesses the server's time, because windows depend on time zones and have to be computed before a script is sent. The script
// compares the guess with its own time, and refuses if that is in another window. set has to be called before now: the zero value has no
// time yet. An estimate is safe for concurrent use.
type estimate struct{ point atomic.Pointer[timePoint] }

// timePoint pairs a time of the server with one of this process, whose clock is monotonic.
type timePoint struct {
	server int64 // microseconds since 1970
	local  time.Time
}

// set notes what time it is on the server now, in microseconds since 1970.
func (e *estimate) set(server int64) { e.point.Store(&timePoint{server, time.Now()}) }

// now returns the server's time, as it was set and by what has passed in this process since.
func (e *estimate) now() int64 {
	p := e.point.Load()
	return p.server + time.Since(p.local).Microseconds()
}

// guess returns the server's time as it is estimated, for which windows are computed, and the clock for the script, both in microseconds. The clock
// is 0 for the server's own; only a test's Options.Clock replaces that, and then both are the test's time.
func (s *Store) guess() (now, clock int64) {
	if s.opts.Clock != nil {
		now = s.opts.Clock().UnixMicro()
		return now, now
	}
	return s.time.now(), 0
}

// fromMicro converts a time of the server, in microseconds since 1970.
func fromMicro(n int64) time.Time { return time.Unix(0, n*1000) }

// never, in microseconds, is in the year 2255: later than any time in a ledger, and still exact in the doubles that scripts count with.
const never = 9_000_000_000_000_000

// micros rounds a duration up to microseconds, the unit of the scripts; one below zero is 0.
func micros(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return ceilMicro(int64(d))
}

// ceilMicro rounds nanoseconds that are not negative up to microseconds.
func ceilMicro(nanos int64) int64 {
	n := nanos / 1000
	if nanos%1000 != 0 {
		n++
	}
	return n
}

// moment returns a time in microseconds, rounded up, and within the range of scripts.
func moment(t time.Time) int64 {
	n := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		n++
	}
	return min(max(n, 0), never)
}
