package driver

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/internal/glob"
)

// MaxPatterns is how many flags with patterns may be set at a time: each of them is matched in every Reserve, while a flag without patterns
// is looked up by its keys.
const MaxPatterns = 64

// FlagRetention is how long a flag is kept at least after it has ended, because a clock that goes back puts the flag in force again. A flag with
// patterns is removed earlier if another one needs its place: see MaxPatterns.
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
		return contains(s.Dims(), f.Scope.Dims()) // Dims has one key for each value that a scope sets
	}
	for name, pattern := range f.Scope.values() { // values yields what the flag's scope sets, and value returns what the call has there
		if value := s.value(name); value == "" || !glob.Wildcard(pattern, value) {
			return false
		}
	}
	return true
}

// Object names the flag in the audit trail: changes of the flag are compared with each other by this key (see Record.Object). Flags of the same
// values with and without patterns have different keys.
func (f Flag) Object() Key {
	dims := f.Scope.Dims()
	text := binary.AppendUvarint(nil, uint64(len(dims)))
	for _, d := range dims {
		text = append(text, d[:]...)
	}
	if f.Patterns {
		return keyOf("object", "patterns", string(text))
	}
	return keyOf("object", "flag", string(text))
}

// Kill is a flag that refuses every Reserve of the calls that it selects. Without Patterns it selects the reservations whose Dims include all of
// the Dims of its Scope: Scope.Dims has a key for each value that a scope sets. A store keeps the texts of Scope and Reason as values only, so that
// no text of a user is part of a key.
type Kill struct {
	Scope    Scope
	Patterns bool // see Flag
	Reason   string
	Until    time.Time // when it ends by itself, by the store's clock; zero for never
	At       time.Time // by the store's clock; set by the store
	// EffectiveBy is when, at the latest, the flag holds in every process, by the store's clock. Zero means At. A lease.Store, which admits calls by
	// itself from amounts that it drew before (leases), reports a later time in Kills: until then other processes may still admit calls. The time is
	// right if the leases of no process are longer than those of this one, and if the clocks of all of them run.
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
