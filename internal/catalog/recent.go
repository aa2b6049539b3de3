package catalog

import (
	"strings"
	"sync"
	"sync/atomic"
)

// maxKeyBytes bounds what is kept of a caller's region.
const maxKeyBytes = 128

// maxRecent bounds how many resolutions a catalog remembers: a few hundred bytes each.
const maxRecent = 1024

// recent remembers resolutions. The zero value is ready; it is safe for concurrent use. Only successes are remembered, so
// that unknown ids cost no memory.
type recent struct {
	last atomic.Pointer[resolution] // the one asked for last, which is mostly the next one, too
	mu   sync.RWMutex
	seen map[callKey]*resolution // guarded by mu
}

type callKey struct{ modelID, region string }

// resolution is what a call resolved to. It never changes.
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

// put remembers a resolution. When full it starts over, which costs little: what is in use comes back with its next call.
func (r *recent) put(modelID, region string, resolved *Resolved) {
	key := callKey{strings.Clone(modelID), strings.Clone(printable(region, maxKeyBytes))}
	if key.region != region {
		return // neither a region nor a model: a caller's garbage must not be kept
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || len(r.seen) >= maxRecent {
		r.seen = make(map[callKey]*resolution)
	}
	r.seen[key] = &resolution{key, resolved}
}
