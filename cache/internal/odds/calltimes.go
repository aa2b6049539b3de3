package odds

import "time"

// CallTimes remembers when the last calls were made.
type CallTimes struct {
	at [32]time.Time // a ring
	n  int           // how many calls there have been
}

// Add records a call.
func (c *CallTimes) Add(t time.Time) {
	c.at[c.n%len(c.at)] = t
	c.n++
}

// PerDay returns how many calls a day are made at the present rate, or 0 if that is not known: with fewer than three calls, or if the remembered ones
// came within a second.
func (c *CallTimes) PerDay() float64 {
	k := min(c.n, len(c.at))
	if k < 3 {
		return 0
	}
	last, first := c.at[(c.n-1)%len(c.at)], c.at[(c.n-k)%len(c.at)]
	span := last.Sub(first)
	if span < time.Second {
		return 0
	}
	return float64(k-1) * float64(24*time.Hour) / float64(span) // k calls have k-1 pauses between them
}

// Count returns how many calls there have been.
func (c *CallTimes) Count() int { return c.n }
