package catalog

import (
	"strings"
	"sync"
	"sync/atomic"
)

// maxKeyBytes bounds the length of a remembered region.
const maxKeyBytes = 128

// maxRecent bounds how many resolutions a catalog remembers: a few hundred bytes each.
const maxRecent = 1024

// recent remembers resolutions. The zero value is ready to use; it is safe for concurrent use. Only successes are remembered, so that
// unknown ids cost no memory.
type recent struct {
	last atomic.Pointer[resolution] // the one that was used last, because the next call mostly needs the same
	mu   sync.RWMutex
	seen map[callKey]*resolution // guarded by mu
}

// callKey is what a result is remembered by. SameModel's have a second model id in place of the region.
type callKey struct{ modelID, region string }

// resolution is the result for one id and region. It never changes.
type resolution struct {
	of callKey
	to *Resolved
}

// get returns nil for a call that is not remembered.
func (r *recent) get(modelID, region string) *Resolved {
	key := callKey{modelID, region}
	found := r.last.Load()
	if found != nil && found.of == key {
		return found.to
	}
	r.mu.RLock()
	found = r.seen[key]
	r.mu.RUnlock()
	if found == nil {
		return nil
	}
	r.last.Store(found)
	return found.to
}

// put remembers a resolution. If there are too many, all are dropped, which costs little: those in use come back with their next call.
func (r *recent) put(modelID, region string, resolved *Resolved) {
	key := callKey{strings.Clone(modelID), strings.Clone(printable(region, maxKeyBytes))}
	if key.region != region { // printable has cut it, or replaced what no region or model id has: invalid input must not be kept in memory
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || len(r.seen) >= maxRecent {
		r.seen = make(map[callKey]*resolution)
	}
	r.seen[key] = &resolution{key, resolved}
}
