package sigv4

import (
	"math"
	"slices"
	"sync"
	"time"
)

const (
	repeatWindow = 2 * time.Second
	maxAttempts  = 64 // requests of one signature that differ in their invocation id
)

// memory knows which signatures were served, second by second of their dates.
type memory struct {
	opts    *Options
	mu      sync.Mutex
	seconds map[int64]map[[32]byte]*served
	oldest  int64 // of the seconds
	floor   int64 // a request dated then or before is refused: what was served of that time is not known any more
	n       int   // requests remembered
}

// served is what is known of one signature.
type served struct {
	first    time.Time
	attempts []uint64 // of those that told one
	again    int      // times that it was served again without a new one
	count    int      // times that it was served
}

func newMemory(o *Options) *memory {
	m := &memory{opts: o, seconds: make(map[int64]map[[32]byte]*served), floor: math.MinInt64}
	if !o.Since.IsZero() {
		m.floor = o.Since.Unix() - 1
	}
	return m
}

// take notes a request whose signature is good, or returns an error that is ErrReplayed.
func (m *memory) take(now time.Time, second int64, signature [32]byte, attempt uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.seconds) > 0 && now.Sub(time.Unix(m.oldest, 0)) > m.opts.Skew {
		m.forgetOldest()
	}
	if second > m.floor && m.seconds[second][signature] == nil {
		for m.n >= m.opts.MaxSeen && second > m.floor {
			m.forgetOldest()
		}
	}
	if second <= m.floor {
		return &Error{Err: ErrReplayed, Detail: "or what was served at its date is not known any more: sign it anew"}
	}
	if s := m.seconds[second][signature]; s != nil {
		return m.again(s, now, attempt)
	}
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
	return nil
}

// again decides on a signature that was served. Requires mu held.
func (m *memory) again(s *served, now time.Time, attempt uint64) error {
	soon := now.Sub(s.first).Abs() <= repeatWindow && m.n < m.opts.MaxSeen
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

// forgetOldest drops the oldest second, and all that is dated in it or before. Requires mu held.
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
