package budget

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MaxPatterns is how many flags with patterns may be set at a time: each of them is matched in every Reserve, while a flag without patterns
// is looked up by its keys.
const MaxPatterns = 64

// FlagRetention is how long a flag is kept at least after it has ended, because a clock may go back. One with patterns is removed earlier if
// another one needs its place.
const FlagRetention = 7 * 24 * time.Hour

// Flag selects the calls that a kill flag refuses: those whose scope has all the values that Scope sets. An empty Scope selects every call.
// With Patterns the values are globs, in which * stands for any text and ? for one character; no pattern matches a value that a call leaves
// empty.
type Flag struct {
	Scope    Scope
	Patterns bool
}

// Holds reports whether the flag refuses calls of the given scope.
func (f Flag) Holds(s Scope) bool {
	if !f.Patterns {
		return contains(s.Dims(), f.Scope.Dims())
	}
	for name, pattern := range f.Scope.values() {
		if value := s.value(name); value == "" || !wildcard(pattern, value) {
			return false
		}
	}
	return true
}

// Kill is a flag that refuses every Reserve of the calls that it selects. Without Patterns these are found by their Dims, which include all
// of the flag's. Scope and Reason are stored as values, never as keys.
type Kill struct {
	Scope    Scope
	Patterns bool // see Flag
	Reason   string
	Until    time.Time // when it ends by itself, by the store's clock; zero for never
	At       time.Time // by the store's clock; set by the store
	// EffectiveBy is when, at the latest, the flag holds in every process, by the store's clock. A lease.Store reports it in Kills: until
	// then other processes may admit calls from leases that they drew before, provided that their Length is no longer than this process's
	// and that their clocks run. Zero means At.
	EffectiveBy time.Time
}

// Flag returns which calls the kill refuses.
func (k Kill) Flag() Flag { return Flag{k.Scope, k.Patterns} }

// Holds reports whether the flag refuses calls of the given scope while it is in force.
func (k Kill) Holds(s Scope) bool { return k.Flag().Holds(s) }

// Err returns the error that refused callers get.
func (k Kill) Err() *KilledError {
	return &KilledError{Scope: k.Scope, Patterns: k.Patterns, Reason: k.Reason, At: k.At, Until: k.Until}
}

// Validate reports a scope that is too large, a reason that is too long, and Patterns without any value, as ErrInvalidScope. A store calls
// it first.
func (k Kill) Validate() error {
	switch {
	case len(k.Reason) > MaxScopeValue:
		return fmt.Errorf("%w: a reason of %d bytes, at most %d", ErrInvalidScope, len(k.Reason), MaxScopeValue)
	case k.Patterns && len(k.Scope.Dims()) == 0:
		return fmt.Errorf("%w: patterns of nothing: a flag for every call has none", ErrInvalidScope)
	}
	return k.Scope.Validate()
}

// contains reports whether all of part is among whole.
func contains(whole, part []Key) bool {
	for _, k := range part {
		if !slices.Contains(whole, k) {
			return false
		}
	}
	return true
}

// killMemory is how long a flag that the store reported is remembered, and refuses calls without asking the store. A call that no remembered
// flag refuses is still checked inside Reserve.
const killMemory = time.Second

// knownKills remembers flags that refused a call, so that a killed loop costs no I/O. Its zero value is empty.
type knownKills struct {
	mu    sync.Mutex // held while known is replaced
	known atomic.Pointer[[]knownKill]
}

type knownKill struct {
	flag  Flag
	dims  []Key
	err   *KilledError
	until time.Time
}

func (k *knownKills) check(dims []Key, s *Scope) error {
	if k.known.Load() == nil {
		return nil
	}
	return k.search(dims, s)
}

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
	return contains(dims, k.dims)
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
	flag := Flag{err.Scope, err.Patterns}
	k.mu.Lock()
	defer k.mu.Unlock()
	var live []knownKill
	for _, known := range k.all() {
		if now.Before(known.until) && known.flag.Object() != flag.Object() {
			live = append(live, known)
		}
	}
	live = append(live, knownKill{flag: flag, dims: err.Scope.Dims(), err: err, until: now.Add(killMemory)})
	k.known.Store(&live)
}

func (k *knownKills) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known.Store(nil)
}
