package budget

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MaxPatterns is how many flags with patterns may be set at a time: each one is looked at in every Reserve, while flags without are found
// by what they hold for.
const MaxPatterns = 64

// FlagRetention is how long a flag is kept at least once it has ended, because a clock may go back. One with patterns is forgotten sooner
// where there is no room for another one.
const FlagRetention = 7 * 24 * time.Hour

// Flag says for which calls a kill flag holds: those whose scope has all the values that Scope sets; so an empty one holds for every
// call. With Patterns the values are globs, in which * stands for any text and ? for one character, and what a call leaves empty
// has none.
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

// Kill is a flag that refuses every Reserve that it holds for: of one without Patterns, those whose Dims hold all of its scope's. Scope and
// Reason are kept as values, never as keys.
type Kill struct {
	Scope    Scope
	Patterns bool // see Flag
	Reason   string
	Until    time.Time // when it ends by itself, by the store's clock; zero for never
	At       time.Time // by the store's clock; set by the store
	// EffectiveBy is by when, on the store's clock, the flag holds in every process. Kills of a lease.Store tells it: until
	// then others may admit calls from leases that they drew before, if their Length is no longer than this process's and their
	// clocks run. Zero stands for At.
	EffectiveBy time.Time
}

// Flag returns what the kill holds for.
func (k Kill) Flag() Flag { return Flag{k.Scope, k.Patterns} }

// Holds reports whether the flag refuses calls of the given scope, for as long as it has not ended.
func (k Kill) Holds(s Scope) bool { return k.Flag().Holds(s) }

// Err returns what those who are refused are told.
func (k Kill) Err() *KilledError {
	return &KilledError{Scope: k.Scope, Patterns: k.Patterns, Reason: k.Reason, At: k.At, Until: k.Until}
}

// Validate reports a scope that is too large, a reason that is too long, and patterns of nothing, as ErrInvalidScope. A store calls it first.
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

// killMemory is how long a flag that the store reported is believed without asking again. It only ever refuses: a call
// that passes it still meets the flag inside Reserve.
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

// holds reports whether the flag refuses calls of a scope. dims are the scope's: by them a flag without patterns is found at less cost.
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

// remember believes a flag for killMemory. One with an end is not remembered: when it has ended is for the store to say.
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
