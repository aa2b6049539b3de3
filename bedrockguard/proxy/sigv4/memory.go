package sigv4

import (
	"math"
	"slices"
	"sync"
	"time"
)

// A signature is served once, as a rule. It is served again within repeatWindow in two cases, which Options.Duplicates explains: the request is
// another attempt of its client, as its attempt number shows (see Verifier.attempt), or it counts as one of several equal requests sent at once.
const (
	repeatWindow = 2 * time.Second
	maxAttempts  = 64 // how many attempts one signature may have
)

// memory has the signatures that were served, by the second of their date.
type memory struct {
	opts    *Options
	mu      sync.Mutex
	seconds map[int64]map[[32]byte]*served
	oldest  int64 // the oldest second in seconds
	floor   int64 // a request with this date or an earlier one is refused: it may have been served and forgotten, or served before Options.Since
	n       int   // how many served requests are remembered: the sum of all counts
}

// served is what is remembered of one signature.
type served struct {
	first    time.Time // when it was served first
	attempts []uint64  // the attempts that were served, if the first request had an attempt number
	again    int       // how many equal requests were served after the first
	count    int       // how often it was served in all
}

// newMemory returns an empty memory. It refuses what was signed before Options.Since.
func newMemory(o *Options) *memory {
	m := &memory{opts: o, seconds: make(map[int64]map[[32]byte]*served), floor: math.MinInt64}
	if !o.Since.IsZero() {
		m.floor = o.Since.Unix() - 1
	}
	return m
}

// take records a request with a valid signature, or returns ErrReplayed. second is the date of the signature, in seconds since 1970; attempt is the
// result of Verifier.attempt, 0 for none.
func (m *memory) take(now time.Time, second int64, signature [32]byte, attempt uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.seconds) > 0 && now.Sub(time.Unix(m.oldest, 0)) > m.opts.Skew { // too old to be accepted in any case
		m.forgetOldest()
	}
	if m.seconds[second][signature] == nil { // a new signature needs room
		for m.n >= m.opts.MaxSeen && second > m.floor {
			m.forgetOldest()
		}
	}
	// Making room may have forgotten the second of this request itself.
	if second <= m.floor {
		return &Error{Err: ErrReplayed, Detail: "or what was served at its date is not known any more: sign it anew"}
	}
	if s := m.seconds[second][signature]; s != nil {
		return m.again(s, now, attempt)
	}
	m.remember(now, second, signature, attempt)
	return nil
}

// remember records a signature that was not served before. Requires mu held.
func (m *memory) remember(now time.Time, second int64, signature [32]byte, attempt uint64) {
	if m.seconds[second] == nil {
		if len(m.seconds) == 0 || second < m.oldest {
			m.oldest = second
		}
		m.seconds[second] = make(map[[32]byte]*served)
	}
	s := &served{first: now, count: 1}
	if attempt != 0 {
		s.attempts = []uint64{attempt}
	}
	m.seconds[second][signature] = s
	m.n++
}

// again records a signature that was served before and is served again, or returns ErrReplayed. Requires mu held.
func (m *memory) again(s *served, now time.Time, attempt uint64) error {
	// A repeat makes no room for itself: if the memory is full, it is refused.
	soon := now.Sub(s.first).Abs() <= repeatWindow && m.n < m.opts.MaxSeen
	// If the first request had no attempt number, a number proves nothing: whoever replays that request could have added it.
	another := attempt != 0 && len(s.attempts) > 0 && !slices.Contains(s.attempts, attempt)
	switch {
	case soon && another && len(s.attempts) < maxAttempts:
		s.attempts = append(s.attempts, attempt)
	case soon && s.again < m.opts.Duplicates:
		s.again++
	default:
		return &Error{Err: ErrReplayed, Detail: "sign it anew; a client that signs no id of its own can't send two equal requests in one second"}
	}
	s.count++
	m.n++
	return nil
}

// forgetOldest drops the oldest second; requests with that date or an earlier one are refused from then on. Requires mu held.
func (m *memory) forgetOldest() {
	for _, s := range m.seconds[m.oldest] {
		m.n -= s.count
	}
	delete(m.seconds, m.oldest)
	m.floor = max(m.floor, m.oldest)
	m.oldest = math.MaxInt64
	for second := range m.seconds {
		m.oldest = min(m.oldest, second)
	}
}
