package outer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
)

// A plan is made of parts, such as a kill, of which each denies something. Each part becomes a document, or several if it is too long for one. A door
// is a group of actions with which one can spend without going through a guard.

// Keys says which Bedrock API keys can still be used.
type Keys string

// The choices.
const (
	KeysUnsaid    Keys = ""           // the documents say nothing about them
	NoKeys        Keys = "none"       // none at all
	ShortTermKeys Keys = "short-term" // those that end with the credentials with which they were made, after 12 hours at most
	AgedKeys      Keys = "aged"       // also long-term ones, if they are made with an end
)

// Options say which documents to write.
type Options struct {
	// Kind is how they are attached.
	Kind iam.Kind
	// Allow names who may spend; nobody else may. If it is empty there is no such document.
	Allow []string
	// Leave names doors that stay open to all.
	Leave []string
	// KillUntil is when a kill ends. The zero time means no kill.
	KillUntil time.Time
	// Kill names the principals that a kill in a service control policy or a boundary is for. If it is empty, it is for all to whom the
	// document is attached.
	Kill []string
	// Keys says which API keys can still be used. KeyDays is for how many days a long-term one may be made: it is only set with AgedKeys.
	Keys    Keys
	KeyDays int
	// Now is the present time; KillUntil has to be later.
	Now time.Time
}

// validate returns all that is wrong with the options, joined.
func (o *Options) validate() error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf("outer: "+format, args...)) }
	if len(o.Allow) == 0 && o.KillUntil.IsZero() && o.Keys == KeysUnsaid {
		wrong("no document is wanted: name who may spend, an end of a kill, or which API keys stay of use")
	}
	if o.Kind == iam.Identity && len(o.Allow) > 0 {
		wrong("an identity policy holds whom it is attached to and nobody else: who alone may spend is said by a service control policy or a boundary")
	}
	if o.Kind == iam.Identity && len(o.Kill) > 0 {
		wrong("an identity policy kills whom it is attached to: name nobody, and attach it to them")
	}
	if len(o.Kill) > 0 && o.KillUntil.IsZero() {
		wrong("a kill without an end")
	}
	if !o.KillUntil.IsZero() && !o.KillUntil.After(o.Now) {
		wrong("a kill until %s has ended before it begins: it is %s", o.KillUntil.UTC().Format(time.RFC3339), o.Now.UTC().Format(time.RFC3339))
	}
	if err := o.validateKeys(); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// validateKeys returns what is wrong with Keys and KeyDays, and nil if nothing is.
func (o *Options) validateKeys() error {
	switch o.Keys {
	case KeysUnsaid, NoKeys, ShortTermKeys:
		if o.KeyDays != 0 {
			return fmt.Errorf("outer: days are said of API keys that are %q alone", AgedKeys)
		}
	case AgedKeys:
		if o.KeyDays < 1 || o.KeyDays > maxKeyDays {
			return fmt.Errorf("outer: API keys of %d days: want 1 to %d", o.KeyDays, maxKeyDays)
		}
	default:
		return fmt.Errorf("outer: API keys %q: want %q, %q or %q", o.Keys, NoKeys, ShortTermKeys, AgedKeys)
	}
	return nil
}

// maxKeyDays is the longest lifetime of a key that IAM can make with an end. (IAM API Reference, CreateServiceSpecificCredential, 2026-11.)
const maxKeyDays = 36_600

// Plan writes the documents. Parts that are attached and removed separately are separate documents, except in a boundary: a principal has
// only one, so that all parts are in it.
func Plan(o Options) ([]Document, error) {
	parts, err := o.parts()
	if err != nil {
		return nil, err
	}
	if o.Kind == iam.Boundary {
		d := boundary(parts)
		if d.Size() > Limit(d.Kind) {
			return nil, fmt.Errorf("outer: the %s has %d characters without white space, and may have %d; a principal has one, so that it can't be split: name fewer principals, or a path such as role/bedrock/*",
				d.Kind, d.Size(), Limit(d.Kind))
		}
		return []Document{d}, nil
	}
	var all []Document
	for _, p := range parts {
		documents, err := p.split(o.Kind)
		if err != nil {
			return nil, err
		}
		all = append(all, documents...)
	}
	return all, nil
}

// parts returns the parts that the options ask for, each with the notes about the whole plan behind its own. It returns an error if something is
// wrong with the options.
func (o *Options) parts() (all []part, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	actions, err := Spending().chosen(o.Leave)
	if err != nil {
		return nil, err
	}
	// Each of these writes one part, and returns false if the options do not ask for it.
	for _, write := range [...]func(*Options, []string) (part, bool, error){onlyNamed, kill, apiKeys} {
		p, wanted, err := write(o, actions)
		if err != nil {
			return nil, err
		}
		if wanted {
			p.notes = append(p.notes, o.notes()...)
			all = append(all, p)
		}
	}
	return all, nil
}

// notes returns what none of the documents does.
func (o *Options) notes() (all []string) {
	for _, name := range o.Leave {
		i := slices.IndexFunc(Spending().Doors, func(d Door) bool { return d.Name == name })
		all = append(all, fmt.Sprintf("The door %q is left open to all: %s.", name, Spending().Doors[i].What))
	}
	switch o.Kind {
	case iam.ServiceControl:
		all = append(all, "A service control policy does not hold the management account, nor service-linked roles. It grants nothing: leave FullAWSAccess, or what stands in its place, attached beside it.")
	case iam.Boundary:
		all = append(all, "A boundary replaces the one that a principal had, and holds only principals that have it: deny iam:CreateRole and iam:CreateUser without it. It grants nothing.")
	case iam.Identity:
		all = append(all, "Whoever may change the policies of a principal may take this one off. Writing to IAM takes effect after some seconds; what is being answered goes on to its end.")
	}
	return all
}

// part is the content of one document, or of several if it has to be split.
type part struct {
	name, what string      // of the document, as in Document
	fixed      []Statement // they stay together if the part is split
	divided    *Statement  // its actions may be divided among documents; nil if no statement's may
	notes      []string
}

// boundary makes one document of all parts, with an Allow for everything that they do not deny: without it a boundary would allow nothing.
func boundary(parts []part) Document {
	d := Document{Name: "bedrockguard-boundary", Kind: iam.Boundary, What: "A boundary for every principal that the guard is not"}
	d.Statements = []Statement{
		{Sid: "AllowWhatPoliciesGrant", Effect: iam.Allow, Actions: []string{"*"}, Why: "A boundary is the most that a principal can have. Without this, it would have nothing; it grants nothing by itself."},
		{Sid: "KeepTheBoundary", Effect: iam.Deny, Actions: []string{"iam:DeleteRolePermissionsBoundary", "iam:DeleteUserPermissionsBoundary", "iam:PutRolePermissionsBoundary", "iam:PutUserPermissionsBoundary"}, Why: "Nobody who has the boundary takes one off, or puts another in its place. Guard the policy itself, too: iam:CreatePolicyVersion, iam:SetDefaultPolicyVersion."},
	}
	for _, p := range parts {
		d.Statements = append(d.Statements, p.statements()...)
		for _, note := range p.notes {
			if !slices.Contains(d.Notes, note) {
				d.Notes = append(d.Notes, note)
			}
		}
	}
	return d
}

// statements returns all statements of the part as one document has them.
func (p *part) statements() []Statement {
	if p.divided == nil {
		return p.fixed
	}
	return append(slices.Clone(p.fixed), *p.divided)
}

// split splits a part into as few documents as possible. Actions can be divided, but not principals: a statement that denies all except some of the
// named ones would deny the others. Size is how many characters of a document count, Limit the most that a document of a kind may have, and
// attachable how many documents of a kind can be attached side by side.
func (p *part) split(kind iam.Kind) ([]Document, error) {
	whole := Document{Name: p.name, What: p.what, Kind: kind, Statements: p.statements(), Notes: p.notes}
	if whole.Size() <= Limit(kind) {
		return []Document{whole}, nil
	}
	most := 1 // documents into which the part can be split
	if p.divided != nil {
		most = min(attachable(kind), len(p.divided.Actions))
	}
	largest := whole.Size() // of the documents that were tried last, for the error
	for n := 2; n <= most; n++ {
		documents := make([]Document, n)
		largest = 0
		for i := range documents {
			documents[i] = p.nth(kind, i, n)
			largest = max(largest, documents[i].Size())
		}
		if largest <= Limit(kind) {
			return documents, nil
		}
	}
	return nil, fmt.Errorf("outer: %s has %d characters as one document, and a %s may have %d; of the %d that can be attached side by side, the largest would still have %d: name fewer principals, or a path such as role/bedrock/*",
		p.name, whole.Size(), kind, Limit(kind), attachable(kind), largest)
}

// nth returns the document with index i of the n into which the part is split: it has an even share of the divided actions, and the first one also
// the fixed statements.
func (p *part) nth(kind iam.Kind, i, n int) Document {
	actions := p.divided.Actions
	s := *p.divided
	s.Sid = fmt.Sprintf("%s%d", s.Sid, i+1)
	s.Actions = actions[len(actions)*i/n : len(actions)*(i+1)/n]
	d := Document{Name: fmt.Sprintf("%s-%d", p.name, i+1), What: fmt.Sprintf("%s (%d of %d: attach all of them)", p.what, i+1, n), Kind: kind, Notes: p.notes}
	if i == 0 {
		d.Statements = slices.Clone(p.fixed)
	}
	d.Statements = append(d.Statements, s)
	return d
}

// listed returns names as the list in a sentence: "a, b, c".
func listed(names []string) string { return strings.Join(names, ", ") }
