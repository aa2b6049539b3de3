package bedrocktest

import (
	"crypto/sha256"
	"sync"
	"time"
)

// lookback is how many positions, counted backwards from a cache point and including its own, are searched for an earlier write.
const lookback = 20

// maxEntries bounds the cache; if it is full, expired entries are removed, and then all.
const maxEntries = 1 << 16

// promptCache remembers prefixes by a hash over model, profile and content. It is safe for concurrent use.
type promptCache struct {
	mu      sync.Mutex
	entries map[[32]byte]*cached
}

type cached struct {
	ttl     time.Duration
	expires time.Time
	ready   bool // the response of the request that wrote it has begun
}

// served says how a request's input is split into the classes that are billed separately.
type served struct {
	input, read, write5m, write1h int
	pending                       []*cached // written by this request, and readable once its response begins
}

// serve looks a prompt up in the cache, renews what it finds and writes the rest.
func (c *promptCache) serve(in *inference, now time.Time) served {
	prefixes, sums := in.prefixes()
	total := in.request.InputTokens
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= maxEntries {
		c.sweep(now)
	}
	hit := -1
	for i := range in.blocks {
		if in.blocks[i].point != "" && in.cacheable(sums[i]) {
			hit = max(hit, c.find(prefixes, i, now))
		}
	}
	var s served
	read, last, lastLong := 0, 0, 0
	if hit >= 0 {
		read = sums[hit]
	}
	for i := range in.blocks {
		ttl := in.blocks[i].point
		if ttl == "" || !in.cacheable(sums[i]) {
			continue
		}
		entry := c.entries[prefixes[i]]
		fresh := entry == nil || !now.Before(entry.expires)
		if fresh {
			entry = &cached{ttl: lifetime(ttl)}
			c.entries[prefixes[i]] = entry
		}
		if !entry.ready {
			entry.ttl = max(entry.ttl, lifetime(ttl)) // an earlier request that failed may have asked for a shorter lifetime
			s.pending = append(s.pending, entry)
		}
		entry.expires = later(entry.expires, now.Add(entry.ttl))
		if sums[i] <= read {
			continue
		}
		last = max(last, sums[i])
		if ttl == "1h" {
			lastLong = max(lastLong, sums[i])
		}
	}
	if hit >= 0 {
		found := c.entries[prefixes[hit]]
		found.expires = later(found.expires, now.Add(found.ttl))
	}
	s.read = read
	s.write1h = max(lastLong-read, 0)
	s.write5m = max(last-max(lastLong, read), 0)
	s.input = total - s.read - s.write5m - s.write1h
	return s
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func lifetime(ttl string) time.Duration {
	if ttl == "1h" {
		return time.Hour
	}
	return 5 * time.Minute
}

// cacheable reports whether a prefix with this number of tokens can be cached.
func (in *inference) cacheable(tokens int) bool {
	rule := in.model.Cache
	return tokens >= rule.Min && (rule.Max == 0 || tokens <= rule.Max)
}

// find returns the last readable position at or before i, or -1. Requires mu held.
func (c *promptCache) find(prefixes [][32]byte, i int, now time.Time) int {
	for j := i; j >= 0 && j > i-lookback; j-- {
		if e := c.entries[prefixes[j]]; e != nil && e.ready && now.Before(e.expires) {
			return j
		}
	}
	return -1
}

// prefixes returns, for each position, the hash of everything up to it and its tokens.
func (in *inference) prefixes() ([][32]byte, []int) {
	hashes, sums := make([][32]byte, len(in.blocks)), make([]int, len(in.blocks))
	state := sha256.Sum256([]byte(in.model.ID + "\x00" + in.profile + "\x00" + in.wholeVariant))
	sum, inMessages := 0, false
	buf := make([]byte, 64, 80)
	for i, b := range in.blocks {
		if b.section == messages && !inMessages {
			inMessages = true
			state = sha256.Sum256(append(state[:], in.variant...))
		}
		buf = buf[:64]
		copy(buf[:32], state[:])
		copy(buf[32:], b.hash[:])
		state = sha256.Sum256(append(buf, b.role...))
		sum += b.tokens
		hashes[i], sums[i] = state, sum
	}
	return hashes, sums
}

// begun makes what a request wrote readable, because its response has begun.
func (c *promptCache) begun(s served) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range s.pending {
		e.ready = true
	}
}

// sweep requires mu held.
func (c *promptCache) sweep(now time.Time) {
	alive := make(map[[32]byte]*cached)
	for k, e := range c.entries {
		if now.Before(e.expires) {
			alive[k] = e
		}
	}
	if len(alive) >= maxEntries {
		clear(alive)
	}
	c.entries = alive
}
