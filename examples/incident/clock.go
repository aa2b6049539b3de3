package main

import (
	"sync/atomic"
	"time"
)

// clock is the time of the replay: the simulator's cache and the ledger's windows both read it, so that nine days pass in
// seconds. It is safe for concurrent use.
type clock struct{ ns atomic.Int64 }

// newClock returns a clock that stands at a time.
func newClock(start time.Time) *clock {
	c := &clock{}
	c.ns.Store(start.UnixNano())
	return c
}

// Now returns the replay's time.
func (c *clock) Now() time.Time { return time.Unix(0, c.ns.Load()).UTC() }

// Advance moves it on.
func (c *clock) Advance(d time.Duration) { c.ns.Add(int64(d)) }
