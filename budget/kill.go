package budget

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// killMemory is how long a flag that the store reported is remembered, and refuses calls without asking the store. A call that no remembered
// flag refuses is still checked inside Reserve.
const killMemory = time.Second

// knownKills remembers flags that refused a call, so that a killed loop costs no I/O. Its zero value is empty.
type knownKills struct {
	mu    sync.Mutex // held while known is replaced
	known atomic.Pointer[[]knownKill]
}

// knownKill is a flag that is remembered.
type knownKill struct {
	flag  Flag
	dims  []Key        // the keys of the values that the flag's scope sets (Scope.Dims)
	err   *KilledError // for the calls that it refuses
	until time.Time    // when it is forgotten, by this process's clock
}

// check returns the error of a remembered flag that refuses calls of a scope, whose keys are dims, or nil. It is kept apart from search so that
// it is cheap as long as no flag was ever remembered, which is the usual case.
func (k *knownKills) check(dims []Key, s *Scope) error {
	if k.known.Load() == nil {
		return nil
	}
	return k.search(dims, s)
}

// search is check once any flag has been remembered.
func (k *knownKills) search(dims []Key, s *Scope) error {
	now := time.Now()
	for _, known := range k.all() {
		if now.Before(known.until) && known.holds(dims, s) {
			return known.err
		}
	}
	return nil
}

// holds reports whether the flag refuses calls of a scope, whose keys are dims. For a flag without patterns it compares the keys, which is
// faster.
func (k *knownKill) holds(dims []Key, s *Scope) bool {
	if k.flag.Patterns {
		return k.flag.Holds(*s)
	}
	return !slices.ContainsFunc(k.dims, func(d Key) bool { return !slices.Contains(dims, d) })
}

// all returns the flags remembered; the slice is never written again.
func (k *knownKills) all() []knownKill {
	if known := k.known.Load(); known != nil {
		return *known
	}
	return nil
}

// remember keeps a flag for killMemory. A flag that has an end is not kept: only the store knows when it has ended.
func (k *knownKills) remember(err *KilledError) {
	if !err.Until.IsZero() {
		return
	}
	now := time.Now()
	flag := Flag{Scope: err.Scope, Patterns: err.Patterns}
	k.mu.Lock()
	defer k.mu.Unlock()
	var live []knownKill // the other flags that are still remembered
	for _, known := range k.all() {
		anotherFlag := known.flag.Object() != flag.Object() // two versions of one flag have the same object
		if now.Before(known.until) && anotherFlag {
			live = append(live, known)
		}
	}
	live = append(live, knownKill{flag: flag, dims: err.Scope.Dims(), err: err, until: now.Add(killMemory)})
	k.known.Store(&live)
}

// forget drops all flags, because one was revived by this Ledger, whose next call must not be refused from memory.
func (k *knownKills) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known.Store(nil)
}
