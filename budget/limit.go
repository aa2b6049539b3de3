package budget

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/glob"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/key"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/quote"
)

// Limit is one rule: at most Max in every Window, for each value of Per, over the calls that Match selects.
type Limit struct {
	// Name identifies the limit in errors and in the store: a renamed limit starts with a new account. Required, at most 512 bytes.
	Name string
	// Max is the most that may be settled and pending together. A Max of zero denies every call. "Unlimited" can't be written: leave the
	// limit out.
	Max Quantity
	// Window is the time over which the limit counts. Required.
	Window Window
	// Per splits the limit into an account for each value. The zero value is one account for all calls.
	Per Per
	// PerTags splits it further by the values of these tags.
	PerTags []string
	// Match selects the calls that the limit counts. The zero value selects all.
	Match Match
	// MaxFor gives some accounts another Max: that of the first element that matches the account. Its Match may only use what the limit is
	// split by, so that all calls of an account have the same Max.
	MaxFor []MaxFor
	// Latch keeps an account closed once it has refused a call, even for calls that would fit, until the window of that refusal has passed,
	// or until Revive. It stops agents whose framework swallows errors.
	Latch bool
	// Notify lists fractions of the Max in force, overrides included, each in (0, 1]. The Ledger reports each one once a window, when
	// settled spend reaches it. At most 62.
	Notify []float64
	// Observe makes the limit count and report but never refuse, to try it out before it is enforced. Up to the first call that it reports,
	// its sums are those of an enforced limit; after that they are larger, because an enforced limit would have refused that call. With
	// Latch it reports that the account would stay closed.
	Observe bool
	// Paced makes the limit a rate that all processes share. A call without room gets room as time passes, so Wait (and the guard's MaxWait)
	// waits for that, in the order of arrival; if it would take too long, the refusal says when to try again. It is meant for a rolling
	// window, such as Rolling(time.Minute); Lifetime is refused.
	Paced bool
	// MaxDepth is how deep trees of children (Ledger.Child) may be whose calls the limit selects, and MaxChildren how many children of one
	// parent may be open at a time in this process. Zero sets no bound.
	MaxDepth    int
	MaxChildren int

	of *Scope // of a child's limit: the account's values, whatever those of a call are; nil for all others
}

// MaxFor is the Max of the accounts that Match selects by the values that split the limit. Its unit is the limit's.
type MaxFor struct {
	Match Match
	Max   Quantity
}

// maxMaxFor is how many MaxFor a limit may have: all of them are matched for each new scope.
const maxMaxFor = 1024

// maxFor returns the Max of the account with these values.
func (l *Limit) maxFor(of Scope) int64 {
	for i := range l.MaxFor {
		if l.MaxFor[i].Match.Selects(of) {
			return l.MaxFor[i].Max.N
		}
	}
	return l.Max.N
}

// beyond returns the name of a dimension that a match uses although the limit is not split by it; empty if there is none. Calls of one account may
// differ in such a dimension, so that a MaxFor with this match would not be clear for the account.
func (l *Limit) beyond(m Match) string {
	for i, pattern := range m.fields() {
		// fields has the patterns in the order of the bits of Per.
		if pattern != "" && l.Per&(1<<i) == 0 {
			return perNames[i]
		}
	}
	for tag := range m.Tags {
		if !slices.Contains(l.PerTags, tag) {
			return "tag:" + tag
		}
	}
	for i := range m.Not {
		if of := l.beyond(m.Not[i]); of != "" {
			return of
		}
	}
	return ""
}

// fields returns the patterns of the match without those of tags, in the order of the bits of Per, which is that of perNames and fieldsOf, too.
func (m *Match) fields() [6]string {
	return [6]string{m.Principal, m.Workflow, m.Model, m.Region, m.Profile, m.Project}
}

// Per is a set of dimensions by which a limit is split, joined with |.
type Per uint8

// The dimensions of a scope that a limit can be split by; PerTags adds tags.
const (
	PerPrincipal Per = 1 << iota
	PerWorkflow
	PerModel
	PerRegion
	PerProfile
	PerProject
	perAll = PerPrincipal | PerWorkflow | PerModel | PerRegion | PerProfile | PerProject
)

// Match selects calls. Each field is a glob over the scope's field, in which * stands for any text, ? for one character, and {a,b} for
// one of these texts; an empty field selects everything.
type Match struct {
	Principal string
	Workflow  string
	Model     string // compared with the resolved foundation-model id, never with a profile id or an ARN
	Region    string
	Profile   string
	Project   string
	Tags      map[string]string // every tag listed must match
	Not       []Match           // calls that one of these selects are left out; at most 16, which have no Not themselves
}

// maxNot is how many Not a Match may have.
const maxNot = 16

// Selects reports whether a call of the given scope is selected.
func (m Match) Selects(s Scope) bool {
	return m.every(&s, glob.Match) && !slices.ContainsFunc(m.Not, func(not Match) bool { return not.Selects(s) })
}

// mayMatch reports whether a pattern matches a value, or may match it later: an empty value is one that is not known yet.
func mayMatch(pattern, value string) bool { return value == "" || glob.Match(pattern, value) }

// surelyMatches reports whether a pattern matches a value in any case. An empty value is one that is not known yet: only the empty pattern,
// which selects everything, is sure to match it.
func surelyMatches(pattern, value string) bool {
	return pattern == "" || value != "" && glob.Match(pattern, value)
}

// mayApply reports whether Selects would select any of the calls that set what the scope sets, whatever they have in the fields that it leaves empty.
// So a Not must leave some of these calls, and that it does unless it surely selects all of them.
func (m Match) mayApply(s Scope) bool {
	leavesNone := m.anyNot(&s, surelyMatches)
	return m.every(&s, mayMatch) && !leavesNone
}

// surelySelects reports whether Selects would select all calls that set what the scope sets, whatever they have in the fields that it leaves empty.
// So no Not may even possibly select one of them.
func (m Match) surelySelects(s Scope) bool {
	mayLeaveSomeOut := m.anyNot(&s, mayMatch)
	return m.every(&s, surelyMatches) && !mayLeaveSomeOut
}

// anyNot reports whether a Not selects the scope, where matches judges its patterns: surelyMatches for whether it selects all calls that the scope
// stands for, mayMatch for whether it may select one.
func (m *Match) anyNot(s *Scope, matches func(pattern, value string) bool) bool {
	return slices.ContainsFunc(m.Not, func(not Match) bool { return not.every(s, matches) })
}

// every reports whether the pattern of every field and tag matches the scope's value, as matches judges it. It leaves out Not.
func (m *Match) every(s *Scope, matches func(pattern, value string) bool) bool {
	values := fieldsOf(s)
	for i, pattern := range m.fields() {
		if !matches(pattern, values[i]) {
			return false
		}
	}
	for tag, pattern := range m.Tags {
		if !matches(pattern, s.Tags[tag]) {
			return false
		}
	}
	return true
}

// problems returns why the match is invalid, each with its place in the match.
func (m *Match) problems() (problems []string) {
	patterns := make(map[string]string)
	for i, pattern := range m.fields() {
		patterns[perNames[i]] = pattern
	}
	for tag, pattern := range m.Tags {
		patterns["tag "+quote.Clip(tag)] = pattern
	}
	for _, where := range slices.Sorted(maps.Keys(patterns)) { // sorted, because a map has no order
		if _, problem := glob.Alternatives(patterns[where]); problem != "" { // an empty pattern has none
			problems = append(problems, where+": "+problem)
		}
	}
	if len(m.Not) > maxNot {
		problems = append(problems, fmt.Sprintf("%d Not, at most %d", len(m.Not), maxNot))
	}
	for i := range m.Not {
		problems = append(problems, m.Not[i].problemsAsNot(fmt.Sprintf("Not %d", i))...)
	}
	return problems
}

// problemsAsNot returns why the match is invalid as a Not of another match. where is its place there.
func (m *Match) problemsAsNot(where string) (problems []string) {
	if len(m.Not) > 0 {
		return []string{where + " has a Not of its own"} // nothing else in it is looked at
	}
	if m.everything() {
		problems = append(problems, where+" selects everything, so that nothing is left")
	}
	for _, problem := range m.problems() {
		problems = append(problems, where+": "+problem)
	}
	return problems
}

// everything reports whether the match certainly selects every call, because each of its patterns is empty or only stars. Its own Not does not count:
// this is only asked of a match that is a Not itself, and has none.
func (m *Match) everything() bool {
	onlyStars := func(pattern, _ string) bool { return strings.Trim(pattern, "*") == "" }
	return m.every(new(Scope), onlyStars) // any scope would do, because only the patterns are looked at
}

// Policy is what Open enforces. A policy without limits protects nothing: Validate refuses it, and for Open it stands for the policy in the store.
type Policy struct {
	Limits []Limit
}

// MaxLimits is how many limits a policy may have: every matching one is checked in each Reserve.
const MaxLimits = 64

// Validate returns every reason why the policy can't be enforced, joined, each wrapping ErrInvalidPolicy.
func (p Policy) Validate() error {
	var errs []error
	if len(p.Limits) == 0 || len(p.Limits) > MaxLimits {
		errs = append(errs, fmt.Errorf("%w: %d limits, want 1 to %d", ErrInvalidPolicy, len(p.Limits), MaxLimits))
	}
	names := make(map[string]bool, len(p.Limits))
	accounts := 0 // in which a call counts that all limits select
	for i, l := range p.Limits {
		_, keys := l.accounts(Scope{}) // their number depends only on the spelling of the time zone
		accounts += len(keys)
		if names[l.Name] {
			errs = append(errs, fmt.Errorf("%w: two limits are named %q", ErrInvalidPolicy, l.Name))
		}
		names[l.Name] = true
		for _, err := range l.problems() {
			errs = append(errs, fmt.Errorf("%w: limit %d %q: %s", ErrInvalidPolicy, i, l.Name, err))
		}
	}
	if len(p.Limits) <= MaxLimits && accounts > MaxLimits {
		errs = append(errs, fmt.Errorf("%w: limits whose time zone is spelled in another way than usual keep two accounts each, and so there are %d, want at most %d: spell zones as in Europe/Berlin or America/New_York", ErrInvalidPolicy, accounts, MaxLimits))
	}
	return errors.Join(errs...)
}

// maxNotify is how many Notify fractions a limit may have: a store remembers for each of them when it was reported.
const maxNotify = 62

// problemList is what is wrong with a limit, in the order in which it is found.
type problemList []string

// add adds a problem if bad is true.
func (p *problemList) add(bad bool, format string, args ...any) {
	if bad {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}

// problems returns everything that is wrong with a limit by itself.
func (l Limit) problems() []string {
	var all problemList
	all.add(l.Name == "" || len(l.Name) > driver.MaxScopeValue, "a name of 1 to %d bytes is needed", driver.MaxScopeValue)
	all.add(strings.HasPrefix(l.Name, key.Own), "names that begin with a zero byte are this library's own")
	all.add(strings.HasPrefix(l.Name, childPrefix), "names that begin with %q are those of children", childPrefix)
	all.add(!l.Max.Unit.Valid(), "Max has no unit")
	all.add(l.Paced && l.Window == Lifetime, "Paced needs a window that moves on: a lifetime limit never has room again")
	all.add(l.Paced && l.Latch, "Paced and Latch contradict each other: one waits for room, and the other stays closed")
	all.add(l.MaxDepth < 0 || l.MaxChildren < 0, "MaxDepth or MaxChildren is negative")
	// USD returns a negative amount for what is beyond int64.
	all.add(l.Max.N < 0, "Max is negative or beyond the range of int64")
	all.add(len(l.MaxFor) > maxMaxFor, "%d MaxFor, at most %d", len(l.MaxFor), maxMaxFor)
	for _, problem := range l.Match.problems() {
		all.add(true, "Match: %s", problem)
	}
	l.maxForProblems(&all)
	if err := l.Window.Validate(); err != nil {
		// The caller puts ErrInvalidPolicy in front of every problem.
		all.add(true, "%s", strings.TrimPrefix(err.Error(), ErrInvalidPolicy.Error()+": "))
	}
	all.add(l.Per&^perAll != 0, "Per holds unknown bits")
	all.add(len(l.PerTags) > driver.MaxScopeTags, "%d PerTags, at most %d", len(l.PerTags), driver.MaxScopeTags)
	all.add(len(l.Notify) > maxNotify, "%d Notify fractions, at most %d", len(l.Notify), maxNotify)
	for _, f := range l.Notify {
		all.add(!(f > 0 && f <= 1), "Notify %v is not in (0, 1]", f) // written so that NaN is refused, too
	}
	return all
}

// maxForProblems adds what is wrong with each MaxFor of a limit.
func (l *Limit) maxForProblems(all *problemList) {
	for i, m := range l.MaxFor {
		for _, problem := range m.Match.problems() {
			all.add(true, "MaxFor %d: %s", i, problem)
		}
		all.add(m.Max.Unit != l.Max.Unit || m.Max.N < 0, "MaxFor %d counts %s, want %s from 0 on", i, m.Max.Unit, l.Max.Unit)
		beyond := l.beyond(m.Match)
		all.add(beyond != "", "MaxFor %d matches by %s, which the limit is not split by", i, beyond)
	}
}

// accounts returns the values of a scope that split the limit, as split does, and the keys of the account with these values. Max is not part
// of a key, so that a limit with a changed Max keeps what was spent. There are two keys if the window's zone has a canonical name that differs
// from the one as written: an older version used the name as written, and what was spent there still counts.
func (l Limit) accounts(s Scope) (of Scope, keys []Key) {
	of = l.split(s)
	canonical, asWritten := l.Window.Spellings()
	keys = []Key{l.key(of, canonical)}
	if asWritten != canonical {
		keys = append(keys, l.key(of, asWritten))
	}
	return of, keys
}

// split returns a scope with those values of s that say in which of the limit's accounts a call counts: the dimensions in Per, and the tags in
// PerTags. All else is empty. The limit of a child has one account, whose values are fixed.
func (l Limit) split(s Scope) (of Scope) {
	if l.of != nil {
		return *l.of
	}
	if l.Per&PerPrincipal != 0 {
		of.Principal = s.Principal
	}
	if l.Per&PerWorkflow != 0 {
		of.Workflow = s.Workflow
	}
	if l.Per&PerModel != 0 {
		of.Model = s.Model
	}
	if l.Per&PerRegion != 0 {
		of.Region = s.Region
	}
	if l.Per&PerProfile != 0 {
		of.Profile = s.Profile
	}
	if l.Per&PerProject != 0 {
		of.Project = s.Project
	}
	if len(l.PerTags) > 0 {
		of.Tags = make(map[string]string, len(l.PerTags))
		for _, k := range l.PerTags {
			of.Tags[k] = s.Tags[k]
		}
	}
	return of
}

// key returns the key of the account with these values of a scope, as split returns them, for a window that is written in this way.
func (l Limit) key(of Scope, window string) Key {
	var stack [16]string // room for the parts of most limits, so that they are not allocated
	// These three dimensions always have a part, which is empty if the limit is not split by it: split leaves it empty.
	parts := append(stack[:0], "account", l.Name, l.Max.Unit.String(), window, of.Principal, of.Workflow, of.Model)
	for _, k := range l.PerTags {
		parts = append(parts, k, of.Tags[k])
	}
	// Dimensions that were added later come behind an empty part, where a tag would have its name: no tag has an empty one, so that no two lists of
	// parts are the same. The keys of limits without these dimensions have stayed as they were.
	for _, more := range [...]struct {
		per         Per
		name, value string
	}{{PerRegion, "\x00region", of.Region}, {PerProfile, "\x00profile", of.Profile}, {PerProject, "\x00project", of.Project}} {
		if l.Per&more.per != 0 {
			parts = append(parts, "", more.name, more.value)
		}
	}
	return key.Of(parts...)
}
