package budget

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Holds reports whether the flag refuses calls of the given scope.
func (k Kill) Holds(s Scope) bool { return contains(s.Dims(), k.Scope.Dims()) }

// contains reports whether all of part is among whole.
func contains(whole, part []Key) bool {
	for _, k := range part {
		if !slices.Contains(whole, k) {
			return false
		}
	}
	return true
}

// killMemory is how long a flag that the store reported is believed without asking again. It only ever refuses: a call
// that passes it still meets the flag inside Reserve.
const killMemory = time.Second

// knownKills remembers flags that refused a call, so that a killed loop costs no I/O. Its zero value is empty.
type knownKills struct {
	mu    sync.Mutex // held while known is replaced
	known atomic.Pointer[[]knownKill]
}

type knownKill struct {
	dims  []Key
	err   *KilledError
	until time.Time
}

func (k *knownKills) check(dims []Key) error {
	if k.known.Load() == nil {
		return nil
	}
	return k.search(dims)
}

func (k *knownKills) search(dims []Key) error {
	for _, known := range k.all() {
		if contains(dims, known.dims) && time.Now().Before(known.until) {
			return known.err
		}
	}
	return nil
}

// all returns the flags remembered; the slice is never written again.
func (k *knownKills) all() []knownKill {
	if known := k.known.Load(); known != nil {
		return *known
	}
	return nil
}

func (k *knownKills) remember(err *KilledError) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	var live []knownKill
	for _, known := range k.all() {
		if now.Before(known.until) && known.err.Scope.String() != err.Scope.String() {
			live = append(live, known)
		}
	}
	live = append(live, knownKill{dims: err.Scope.Dims(), err: err, until: now.Add(killMemory)})
	k.known.Store(&live)
}

func (k *knownKills) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known.Store(nil)
}
