package tokens

import (
	"container/list"
	"sync"
)

// chunkKey is the hash of a chunk of text, 128 bits in two halves.
type chunkKey [2]uint64

// lru remembers the counts of the most recently used chunks. It is safe for concurrent use.
type lru struct {
	mu      sync.Mutex
	limit   int        // how many counts are remembered
	order   *list.List // of *lruEntry, the most recently used first
	entries map[chunkKey]*list.Element
}

// lruEntry is the count of one chunk, with its key for the removal from lru.entries.
type lruEntry struct {
	key   chunkKey
	count int64 // tokens
}

// newLRU returns an empty lru that remembers up to limit counts.
func newLRU(limit int) *lru {
	return &lru{limit: limit, order: list.New(), entries: make(map[chunkKey]*list.Element)}
}

// get returns the count of a chunk, and false if it is not remembered.
func (l *lru) get(k chunkKey) (int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[k]
	if !ok {
		return 0, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*lruEntry).count, true
}

// put remembers the count of a chunk, and forgets the one that was used longest ago if there are too many.
func (l *lru) put(k chunkKey, count int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.entries[k]; ok {
		// The count of a chunk never changes, so that the one here is the same.
		l.order.MoveToFront(e)
		return
	}
	l.entries[k] = l.order.PushFront(&lruEntry{k, count})
	if l.order.Len() > l.limit {
		oldest := l.order.Remove(l.order.Back()).(*lruEntry)
		delete(l.entries, oldest.key)
	}
}
