package driver

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/internal/key"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/quote"
)

// Scope says to which accounts a call counts. Every field is optional; calls that leave a field empty share the account of the empty value,
// so leaving it out never escapes a limit. The library fills in Model itself.
type Scope struct {
	Principal string            // who pays: an IAM role, a user, a team
	Workflow  string            // what runs: an agent, a job
	Model     string            // the resolved foundation-model id
	Region    string            // where the call is sent to
	Profile   string            // the inference profile that the caller named; empty if none
	Project   string            // the provider's project that the caller named; empty if none
	Tags      map[string]string // anything else that a limit is split or matched by

	branch *Branch // the child, a budget inside of another one, that the calls belong to: see Branch; nil for none, which is the root of all children
}

// Bounds on the size of a scope.
const (
	MaxScopeValue = 512 // bytes in a field, a tag's name or a tag's value
	MaxScopeTags  = 16
)

// Validate reports values that are too long and too many tags. It returns ErrInvalidScope.
func (s Scope) Validate() error {
	if len(s.Tags) > MaxScopeTags {
		return fmt.Errorf("%w: %d tags, at most %d", ErrInvalidScope, len(s.Tags), MaxScopeTags)
	}
	for _, v := range [...]string{s.Principal, s.Workflow, s.Model, s.Region, s.Profile, s.Project} {
		if len(v) > MaxScopeValue {
			return fmt.Errorf("%w: a value of %d bytes, at most %d", ErrInvalidScope, len(v), MaxScopeValue)
		}
	}
	for k, v := range s.Tags {
		if k == "" || len(k) > MaxScopeValue || len(v) > MaxScopeValue {
			return fmt.Errorf("%w: a tag needs a name and at most %d bytes in name and value", ErrInvalidScope, MaxScopeValue)
		}
	}
	return nil
}

// String prints the fields that are set, values quoted where they need it: "principal=ci workflow=nightly".
func (s Scope) String() string {
	var parts []string
	for name, value := range s.values() {
		parts = append(parts, name+"="+quote.Value(value))
	}
	return strings.Join(parts, " ")
}

// values yields the fields that are set, in a fixed order, and then all tags, sorted. A field is set if it is not empty; a tag also if its value is.
func (s Scope) values() func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for _, f := range [...][2]string{{"principal", s.Principal}, {"workflow", s.Workflow}, {"model", s.Model}, {"region", s.Region}, {"profile", s.Profile}, {"project", s.Project}} {
			if f[1] != "" && !yield(f[0], f[1]) {
				return
			}
		}
		if len(s.Tags) == 0 {
			return
		}
		for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
			if !yield("tag:"+k, s.Tags[k]) {
				return
			}
		}
	}
}

// value returns the value of a field or tag, by the name that values yields; empty if it is not set.
func (s Scope) value(name string) string {
	for n, v := range s.values() {
		if n == name {
			return v
		}
	}
	return ""
}

// Has reports whether s has all the values that part sets.
func (s Scope) Has(part Scope) bool {
	for name, value := range part.values() {
		found := false
		for n, v := range s.values() {
			found = found || n == name && v == value
		}
		if !found {
			return false
		}
	}
	return true
}

// Dims returns one opaque key for each field that is set. A kill flag holds for a call if all of the flag's keys are among the call's. So an
// empty scope's flag holds for every call.
func (s Scope) Dims() []Key {
	dims := make([]Key, 0, 6+len(s.Tags))
	for name, value := range s.values() {
		dims = append(dims, keyOf("dim", name, value))
	}
	return dims
}

// Fill returns s with its empty fields filled from rest.
func (s Scope) Fill(rest Scope) Scope {
	if rest.Principal == "" && rest.Workflow == "" && rest.Model == "" && rest.Region == "" && rest.Profile == "" && rest.Project == "" && len(rest.Tags) == 0 && rest.branch == nil {
		return s // there is nothing to fill in
	}
	merged, _ := s.add(rest) // where both set a field, s keeps its own
	return merged
}

// add returns s with everything of inner that s leaves empty, and the name of the first field that both set differently; empty if there is none.
// s is the outer scope: where both set a field, its value stays. If both belong to a child (see Branch), the one further from the root counts,
// provided that it is below the other.
func (s Scope) add(inner Scope) (merged Scope, conflict string) {
	merge := func(name string, outer *string, value string) {
		if *outer == "" {
			*outer = value
		} else if value != "" && value != *outer && conflict == "" {
			conflict = name
		}
	}
	merge("principal", &s.Principal, inner.Principal)
	merge("workflow", &s.Workflow, inner.Workflow)
	merge("model", &s.Model, inner.Model)
	merge("region", &s.Region, inner.Region)
	merge("profile", &s.Profile, inner.Profile)
	merge("project", &s.Project, inner.Project)
	if len(inner.Tags) > 0 {
		tags, differing := mergeTags(s.Tags, inner.Tags)
		s.Tags, conflict = tags, cmp.Or(conflict, differing)
	}
	// A nil branch is the root, which every child is under.
	switch {
	case inner.branch.under(s.branch):
		s.branch = inner.branch
	case s.branch.under(inner.branch): // s is below already
	case conflict == "": // neither child is below the other
		conflict = "its child"
	}
	return s, conflict
}

// mergeTags returns all tags of inner and of outer, whose value stays where both have one, and the name of a tag for which both have different
// values; empty if there is none.
func mergeTags(outer, inner map[string]string) (tags map[string]string, differing string) {
	tags = maps.Clone(inner)
	for name, value := range outer {
		if other, both := inner[name]; both && other != value && differing == "" {
			differing = "tag " + quote.Value(name)
		}
		tags[name] = value
	}
	return tags, differing
}

// Under returns the scope of a call that has the scope s inside the outer scope: what outer sets stays, what it leaves empty comes from s.
// It returns ErrInvalidScope if the two set a field differently, because a caller must not be able to move its spend to another account.
func (s Scope) Under(outer Scope) (Scope, error) {
	merged, conflict := outer.add(s)
	if conflict != "" {
		return merged, fmt.Errorf("%w: an inner scope sets %s to another value than the outer one: use a tag for a finer split", ErrInvalidScope, conflict)
	}
	return merged, merged.Validate()
}

// Branch is a place in a tree of children: budgets that a Ledger opens inside of others, for sub-agents (see budget.Ledger.Child). A scope
// carries it, out of sight, from the Ledger that made it back to that Ledger. No store has to look at it, or to keep it.
type Branch struct {
	Parent *Branch // nil for a child of the root
	Child  any     // what the Ledger knows of the child
}

// BranchOf returns the branch that the calls of a scope belong to; nil at the root.
func BranchOf(s *Scope) *Branch { return s.branch }

// WithBranch returns a scope whose calls belong to a branch.
func WithBranch(s Scope, b *Branch) Scope {
	s.branch = b
	return s
}

// under reports whether b is the branch other, or below it. With nil for the root, every branch is under it.
func (b *Branch) under(other *Branch) bool {
	for at := b; at != nil; at = at.Parent {
		if at == other {
			return true
		}
	}
	return other == nil
}

// Key is an opaque name for an account or a dimension: the first half of a SHA-256 over length-prefixed parts, so that
// no user text reaches a store's keys and no two lists of parts can be confused.
type Key [16]byte

// keyOf returns the key of a list of parts: another one for each list.
func keyOf(parts ...string) Key { return key.Of(parts...) }
