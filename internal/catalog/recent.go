package catalog

import (
	"strings"
	"sync"
)

// maxRecent bounds how many resolutions a catalog remembers: a few hundred bytes each.
const maxRecent = 1024

// recent remembers resolutions. The zero value is ready; it is safe for concurrent use. Only successes are remembered, so
// that unknown ids cost no memory.
type recent struct {
	mu   sync.RWMutex
	seen map[callKey]*Resolved // guarded by mu; the values never change
}

type callKey struct{ modelID, region string }

func (r *recent) get(modelID, region string) (Resolved, bool) {
	r.mu.RLock()
	resolved, ok := r.seen[callKey{modelID, region}]
	r.mu.RUnlock()
	if !ok {
		return Resolved{}, false
	}
	return *resolved, true
}

// put remembers a resolution. When full it starts over, which costs little: what is in use comes back with its next call.
func (r *recent) put(modelID, region string, resolved Resolved) {
	key := callKey{strings.Clone(modelID), strings.Clone(printable(region, 32))}
	if key.region != region {
		return // not a region: a caller's garbage must not be kept
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || len(r.seen) >= maxRecent {
		r.seen = make(map[callKey]*Resolved)
	}
	r.seen[key] = &resolved
}
