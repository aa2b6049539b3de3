// Package promptcache remembers the prefixes of prompts as the service does, and says which part of a prompt is read from the cache and written
// to it.
package promptcache

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

// In this file a position is the index of a block in a prompt, and its prefix is everything up to and including that block. prefixes has the hash
// of the prefix at each position, sums its tokens. Prefixes that end at a cache point (a block's Point is its lifetime, or empty) are what is cached.

// lookback is how many positions, counted backwards from a cache point and including its own, are searched for an earlier write.
const lookback = 20

// maxEntries bounds the cache; if it is full, expired entries are removed, and then all.
const maxEntries = 1 << 16

// Cache remembers prefixes by a hash over model, profile and content. It is safe for concurrent use.
type Cache struct {
	mu      sync.Mutex
	entries map[[32]byte]*cached
}

// cached is one prefix in the cache.
type cached struct {
	ttl     time.Duration // by which each use postpones expires
	expires time.Time
	ready   bool // readable, because the response of the request that wrote it has begun
}

// Split says how a request's input is split into the classes that are billed separately.
type Split struct {
	Input, Read, Write5m, Write1h int
	Pending                       []*cached // written by this request, and readable once its response begins
}

// Serve looks a prompt up in the cache, renews what it finds, and enters the prefixes that end at its cache points. The Split says how the input
// is billed: the longest prefix that is found is read; what follows it, up to the last cache point, is written, first the part up to the last
// point of an hour and then that for five minutes; the rest is plain input.
func (c *Cache) Serve(in *dialects.Prompt, now time.Time) Split {
	prefixes, sums := prefixesOf(in)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= maxEntries {
		c.sweep(now)
	}
	var s Split
	hit := c.lastHit(in, prefixes, sums, now)
	if hit >= 0 {
		s.Read = sums[hit]
	}
	// Tokens up to the last cache point behind the hit, and up to the last one of an hour; no more than Read if there is none. A point before the hit
	// changes neither: what it covers is read, and not written.
	last, lastLong := s.Read, s.Read
	for i := range in.Blocks {
		ttl := in.Blocks[i].Point
		if ttl == "" || !cacheable(in.Model, sums[i]) {
			continue
		}
		if entry := c.enter(prefixes[i], lifetime(ttl), now); !entry.ready {
			s.Pending = append(s.Pending, entry)
		}
		last = max(last, sums[i])
		if ttl == "1h" {
			lastLong = max(lastLong, sums[i])
		}
	}
	if hit >= 0 { // it need not be at a cache point of this prompt, so it is renewed here
		c.entries[prefixes[hit]].renew(now)
	}
	s.Write1h = lastLong - s.Read
	s.Write5m = last - lastLong
	s.Input = in.InputTokens - s.Read - s.Write5m - s.Write1h
	return s
}

// lastHit returns the last position that can be read, or -1. Each cache point searches some blocks back, so that the last hit of all points counts.
// Requires mu held.
func (c *Cache) lastHit(in *dialects.Prompt, prefixes [][32]byte, sums []int, now time.Time) int {
	hit := -1
	for i := range in.Blocks {
		if in.Blocks[i].Point != "" && cacheable(in.Model, sums[i]) {
			hit = max(hit, c.find(prefixes, i, now))
		}
	}
	return hit
}

// enter returns the entry of a prefix, renewed, which it makes if there is none or if the old one has expired. Requires mu held.
func (c *Cache) enter(prefix [32]byte, ttl time.Duration, now time.Time) *cached {
	entry := c.entries[prefix]
	if entry == nil || !now.Before(entry.expires) {
		entry = &cached{ttl: ttl}
		c.entries[prefix] = entry
	}
	if !entry.ready {
		entry.ttl = max(entry.ttl, ttl) // an earlier request that failed may have asked for a shorter lifetime
	}
	entry.renew(now)
	return entry
}

// renew postpones when an entry expires, because it is used.
func (e *cached) renew(now time.Time) { e.expires = later(e.expires, now.Add(e.ttl)) }

// later returns the later one of two moments.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lifetime returns the duration of a TTL, "5m" or "1h".
func lifetime(ttl string) time.Duration {
	if ttl == "1h" {
		return time.Hour
	}
	return 5 * time.Minute
}

// cacheable reports whether the model caches a prefix with this number of tokens. Only a model with a cache has cache points, so that its rule is
// there.
func cacheable(m *modeltable.Model, tokens int) bool {
	rule := m.Cache
	return tokens >= rule.Min && (rule.Max == 0 || tokens <= rule.Max)
}

// find returns the last readable position at or before i, or -1. Requires mu held.
func (c *Cache) find(prefixes [][32]byte, i int, now time.Time) int {
	for j := i; j >= 0 && j > i-lookback; j-- {
		if e := c.entries[prefixes[j]]; e != nil && e.ready && now.Before(e.expires) {
			return j
		}
	}
	return -1
}

// prefixesOf returns the hash of the prefix at each position, and its tokens. The hash of a prefix is made of that of the prefix before it, and of
// its last block. Settings that invalidate the whole cache (WholeVariant) are in all hashes; those on which only the messages depend (Variant) are in
// the hashes from the first message on, so that tools and system prompt stay readable.
func prefixesOf(in *dialects.Prompt) ([][32]byte, []int) {
	hashes, sums := make([][32]byte, len(in.Blocks)), make([]int, len(in.Blocks))
	state := sha256.Sum256([]byte(in.Model.ID + "\x00" + in.Profile + "\x00" + in.WholeVariant))
	sum, inMessages := 0, false
	// What is hashed: the hash before, with 32 bytes, the block's, with 32, and its role, for which there is room.
	buf := make([]byte, 64, 80)
	for i, b := range in.Blocks {
		if b.Section == dialects.Messages && !inMessages {
			inMessages = true
			state = sha256.Sum256(append(state[:], in.Variant...))
		}
		buf = buf[:64]
		copy(buf[:32], state[:])
		copy(buf[32:], b.Hash[:])
		state = sha256.Sum256(append(buf, b.Role...))
		sum += b.Tokens
		hashes[i], sums[i] = state, sum
	}
	return hashes, sums
}

// Begun makes what a request wrote readable, because its response has begun.
func (c *Cache) Begun(s Split) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range s.Pending {
		e.ready = true
	}
}

// sweep removes expired entries, and all entries if the cache is still full. Requires mu held.
func (c *Cache) sweep(now time.Time) {
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
