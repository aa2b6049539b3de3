package iam

import (
	"maps"
	"slices"
	"strings"
)

// Whether a statement applies, and each part of it, is a tri: yes, no, or maybe if it depends on keys that are not known. both is the tri for "and",
// either that for "or". glob makes a pattern of a text with wildcards, and literal one in which every character stands for itself; overlaps reports
// whether there is a text that two patterns match. version is the version of the document, on which the meaning of variables depends.

// Request is a request that IAM has to decide on. It remembers which unknown keys were used, so it must be used by one goroutine.
type Request struct {
	// Action is SERVICE:ACTION.
	Action string
	// Resource is an ARN; with asterisks it means all ARNs that it matches. "*" is for an action without a particular resource.
	Resource string
	// Context has the known keys. Their names are not case-sensitive.
	Context map[string][]string
	// Absent reports which of the keys that are not in Context are known to be missing, by their names in lower case; nil means all of them.
	Absent func(key string) bool

	folded map[string][]string // Context, by names in lower case
	asked  map[string]string   // the unknown keys that were used, by names in lower case, as the document writes them
}

// lookup returns the values of a key; no if it is missing, maybe if that is not known.
func (r *Request) lookup(key string) ([]string, tri) {
	if r.folded == nil {
		r.folded = make(map[string][]string, len(r.Context))
		for name, values := range r.Context {
			r.folded[strings.ToLower(name)] = values
		}
	}
	key = strings.ToLower(key)
	if values, ok := r.folded[key]; ok {
		return values, yes
	}
	if r.Absent == nil || r.Absent(key) {
		return nil, no
	}
	return nil, maybe
}

// ask remembers that an unknown key was used, so that a verdict that depends on it can name it.
func (r *Request) ask(key string) {
	if r.asked == nil {
		r.asked = make(map[string]string)
	}
	r.asked[strings.ToLower(key)] = key
}

// Outcome is the decision on a request.
type Outcome int

// The outcomes.
const (
	Denied  Outcome = iota // whatever the values of the unknown keys are
	Depends                // it depends on unknown keys, or AWS documents no result
	Allowed                // whatever the values of the unknown keys are
)

func (o Outcome) String() string { return [...]string{"denied", "depends", "allowed"}[o] }

// Layer has all documents of one kind: one of them has to allow a request, and none may deny it.
type Layer struct {
	Name     string
	Kind     Kind
	Policies []*Policy
}

// Verdict is the decision on a request, with its reason.
type Verdict struct {
	Outcome Outcome
	// Explicit says that a Deny decided; otherwise nothing allows the request.
	Explicit bool
	// By names what decided: the layer, and the statement's Sid if it has one.
	By string
	// Unknown are the keys on which the outcome depends.
	Unknown []string
}

// Evaluate decides on a request under all layers. An explicit Deny in any of them wins; otherwise each has to allow. If something only may deny the
// request, or only may allow it, the first such reason is kept, unless a later one denies the request for certain.
func Evaluate(layers []Layer, r *Request) Verdict {
	r.asked = nil
	verdict := explicitDeny(layers, r)
	if verdict.Outcome == Denied {
		return verdict
	}
	for _, layer := range layers {
		switch layer.allows(r) {
		case no:
			return Verdict{Outcome: Denied, By: layer.Name + ": nothing allows it"}
		case maybe:
			if verdict.Outcome == Allowed {
				verdict = Verdict{Outcome: Depends, By: layer.Name}
			}
		}
	}
	if verdict.Outcome == Depends {
		verdict.Unknown = slices.Sorted(maps.Values(r.asked))
	}
	return verdict
}

// explicitDeny returns what the Deny statements of all layers say: Denied by the first one that applies, Depends by the first one that may apply, and
// Allowed if none does.
func explicitDeny(layers []Layer, r *Request) Verdict {
	verdict := Verdict{Outcome: Allowed, By: "every layer allows it"}
	for _, layer := range layers {
		for _, policy := range layer.Policies {
			for i := range policy.Statements {
				s := &policy.Statements[i]
				if s.Effect != Deny {
					continue
				}
				applies := s.applies(r, policy.Version)
				if applies == yes {
					return Verdict{Outcome: Denied, Explicit: true, By: named(layer, s)}
				}
				if applies == maybe && verdict.Outcome == Allowed {
					verdict = Verdict{Outcome: Depends, Explicit: true, By: named(layer, s)}
				}
			}
		}
	}
	return verdict
}

// named says what has decided: the layer, and the statement's Sid if it has one.
func named(layer Layer, s *Statement) string {
	if s.Sid == "" {
		return layer.Name
	}
	return layer.Name + ": " + s.Sid
}

// allows returns whether a statement of a layer allows a request.
func (l *Layer) allows(r *Request) tri {
	verdict := no
	for _, policy := range l.Policies {
		for i := range policy.Statements {
			if s := &policy.Statements[i]; s.Effect == Allow {
				verdict = verdict.either(s.applies(r, policy.Version))
			}
		}
	}
	return verdict
}

// applies returns whether a statement is about a request. It checks the parts in order and stops at the first that does not hold. If that is a
// condition, the keys for which the conditions have asked are forgotten again, because the outcome does not depend on them.
func (s *Statement) applies(r *Request, version string) tri {
	if s.aboutAction(r.Action) == no { // it is yes or no, because the action is known
		return no
	}
	verdict := s.aboutResource(r, version)
	if verdict == no {
		return no
	}
	asked := maps.Clone(r.asked) // holds adds the keys on which a condition depends
	for i := range s.Conditions {
		verdict = verdict.both(s.Conditions[i].holds(r, version))
		if verdict == no {
			r.asked = asked
			return no
		}
	}
	return verdict
}

// aboutAction returns whether a statement is about an action. Actions are the same in upper and lower case.
func (s *Statement) aboutAction(action string) tri {
	among := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			if p == "*" || p == "*:*" {
				return true
			}
			return glob(strings.ToLower(p)).overlaps(literal(strings.ToLower(action)))
		})
	}
	if s.NotActions != nil {
		return triOf(!among(s.NotActions))
	}
	return triOf(among(s.Actions))
}

// aboutResource returns whether a statement is about the request's resource. In some cases (matchesResource) AWS documents that a Resource matches
// nothing, and does not say what becomes of a NotResource: there the answer is no for the one, and maybe for the other.
func (s *Statement) aboutResource(r *Request, version string) tri {
	among := func(patterns []string, undocumented tri) tri {
		verdict := no
		for _, p := range patterns {
			verdict = verdict.either(r.matchesResource(p, version, undocumented))
		}
		return verdict
	}
	if s.NotResources != nil {
		return among(s.NotResources, maybe).not()
	}
	return among(s.Resources, no)
}

// matchesResource returns whether a document's resource matches the request's, and undocumented in the cases in which the caller decides: a
// variable without a value, an ARN that lacks parts, and a request without a resource.
func (r *Request) matchesResource(text, version string, undocumented tri) tri {
	if text == "*" {
		return yes
	}
	// expand reads * and ? as wildcards, and replaces variables. known is no if one of them has no value, and maybe if that is not known.
	const wildcards = true
	want, known := r.expand(text, version, wildcards)
	switch {
	case r.Resource == "*", known == no:
		return undocumented
	case known == maybe:
		return maybe
	}
	// compareARN compares part by part; parts that want lacks match anything, because IAM completes resources.
	const complete = true
	verdict := compareARN(want, glob(r.Resource), complete)
	if verdict == no && len(want.split(arnParts)) < arnParts {
		return undocumented
	}
	return verdict
}
