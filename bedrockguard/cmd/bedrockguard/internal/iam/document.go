package iam

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind says how a document is attached. What IAM accepts in it, and its largest size, depend on that.
type Kind int

// The kinds of documents.
const (
	ServiceControl Kind = iota // of AWS Organizations, attached to an account or above it
	Boundary                   // the permissions boundary of a role or a user
	Identity                   // attached to a role, a user or a group
)

func (k Kind) String() string {
	return [...]string{"service control policy", "permissions boundary", "identity policy"}[k]
}

// The versions of the policy language. Only the newer one has variables; a document without a version has the older one.
const (
	Version2012 = "2012-10-17"
	version2008 = "2008-10-17"
)

// Policy is a document. It is not changed after it was parsed.
type Policy struct {
	Version    string
	ID         string
	Statements []Statement
}

// The effects of statements.
const (
	Allow = "Allow"
	Deny  = "Deny"
)

// Statement is one of a document's statements. Either Actions or NotActions is set, and either Resources or NotResources.
type Statement struct {
	Sid          string
	Effect       string
	Actions      []string
	NotActions   []string
	Resources    []string
	NotResources []string
	Conditions   []Condition
	At           Position
}

// Condition is one key with one operator.
type Condition struct {
	Operator string // as written in the document
	Key      string
	Values   []string
	op       operator // Operator, split into its parts
}

// Parse parses a document. The error has all mistakes, each as a *SyntaxError.
func Parse(raw []byte, kind Kind) (*Policy, error) {
	all, err := ParseAll(raw, kind)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("iam: %d documents, want one", len(all))
	}
	return all[0], nil
}

// ParseAll parses a text with several documents, one after another.
func ParseAll(raw []byte, kind Kind) ([]*Policy, error) {
	nodes, err := readNodes(raw)
	if err != nil {
		return nil, err
	}
	if len(nodes) == 0 {
		return nil, &SyntaxError{Position{1, 1}, "no document"}
	}
	var all []*Policy
	var problems []error
	for _, n := range nodes {
		p := &parser{kind: kind}
		all = append(all, p.policy(n))
		problems = append(problems, p.problems...)
	}
	return all, errors.Join(problems...)
}

// parser turns the nodes of one document into a policy. It goes on after a mistake and collects them all. The kind of a node is '{' for an object,
// '[' for a list, 's' for a string and 0 for null, and its method what returns that in words. The at of a node or a field is its place in the text.
type parser struct {
	kind     Kind    // of the document
	version  string  // of the policy language, as the document says; known once all its members but Statement are read
	problems []error // each is a *SyntaxError
}

// wrong notes a mistake and its place.
func (p *parser) wrong(at Position, format string, args ...any) {
	p.problems = append(p.problems, &SyntaxError{at, fmt.Sprintf(format, args...)})
}

// policy parses a document. Its version is needed for the statements, wherever it stands in the document, so these are parsed last.
func (p *parser) policy(n *node) *Policy {
	policy := &Policy{Version: version2008}
	if n.kind != '{' {
		p.wrong(n.at, "a policy is an object, and this is %s", n.what())
		return policy
	}
	var statements *node
	for _, f := range n.fields {
		switch f.name {
		case "Version":
			policy.Version = p.text(f.value, "Version")
			if policy.Version != Version2012 && policy.Version != version2008 {
				p.wrong(f.value.at, "Version %q: want %q or %q", policy.Version, Version2012, version2008)
			}
		case "Id":
			policy.ID = p.text(f.value, "Id")
		case "Statement":
			statements = f.value
		default:
			p.unknown(f, "a policy", "Version", "Id", "Statement")
		}
	}
	p.version = policy.Version
	if statements == nil {
		p.wrong(n.at, "a policy without Statement")
	} else {
		policy.Statements = p.statements(statements)
	}
	p.distinctSids(policy.Statements)
	return policy
}

// statements parses the value of Statement: one statement, or a list of at least one.
func (p *parser) statements(n *node) (all []Statement) {
	if n.kind == '{' {
		return []Statement{p.statement(n)}
	}
	if n.kind != '[' || len(n.items) == 0 {
		p.wrong(n.at, "Statement: want a statement, or a list of at least one")
		return nil
	}
	for _, item := range n.items {
		all = append(all, p.statement(item))
	}
	return all
}

// distinctSids notes statements whose name another one in the same policy has.
func (p *parser) distinctSids(all []Statement) {
	seen := make(map[string]bool)
	for i := range all {
		if sid := all[i].Sid; sid != "" {
			if seen[sid] {
				p.wrong(all[i].At, "Sid %q stands twice in one policy", sid)
			}
			seen[sid] = true
		}
	}
}

// unknown notes a member that does not exist. names are the members that do: one that only differs in upper and lower case is suggested, or else all
// of them. of is what has these members.
func (p *parser) unknown(f field, of string, names ...string) {
	for _, name := range names {
		if strings.EqualFold(name, f.name) {
			p.wrong(f.at, "%q: %s spells it %q", f.name, of, name)
			return
		}
	}
	p.wrong(f.at, "%q is no member of %s: want %s", f.name, of, strings.Join(names, ", "))
}

// statement parses a statement. Exactly one of Action and NotAction, and one of Resource and NotResource, has to be there.
func (p *parser) statement(n *node) Statement {
	s := Statement{At: n.at}
	if n.kind != '{' {
		p.wrong(n.at, "a statement is an object, and this is %s", n.what())
		return s
	}
	has := make(map[string]bool)
	for _, f := range n.fields {
		has[f.name] = true
		p.member(&s, f)
	}
	if !has["Effect"] {
		p.wrong(n.at, "a statement without Effect")
	}
	for _, pair := range [...][2]string{{"Action", "NotAction"}, {"Resource", "NotResource"}} {
		switch {
		case has[pair[0]] && has[pair[1]]:
			p.wrong(n.at, "a statement has either %s or %s, not both", pair[0], pair[1])
		case !has[pair[0]] && !has[pair[1]]:
			p.wrong(n.at, "a statement without %s or %s", pair[0], pair[1])
		}
	}
	return s
}

// member parses one member of a statement into s.
func (p *parser) member(s *Statement, f field) {
	switch f.name {
	case "Sid":
		s.Sid = p.sid(f.value)
	case "Effect":
		s.Effect = p.text(f.value, "Effect")
		if s.Effect != Allow && s.Effect != Deny {
			p.wrong(f.value.at, "Effect %q: want %q or %q", s.Effect, Allow, Deny)
		}
	case "Action":
		s.Actions = p.list(f, p.action)
	case "NotAction":
		s.NotActions = p.list(f, p.action)
	case "Resource":
		s.Resources = p.list(f, p.resource)
	case "NotResource":
		s.NotResources = p.list(f, p.resource)
	case "Condition":
		s.Conditions = p.conditions(f.value)
	case "Principal", "NotPrincipal":
		p.wrong(f.at, "%s belongs to the policy of a resource: a %s holds for whom it is attached to", f.name, p.kind)
	default:
		p.unknown(f, "a statement", "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")
	}
}

// text parses a string; name is what it is, for the mistake that is noted if it is none. It returns the empty text for any other value.
func (p *parser) text(n *node, name string) string {
	if n.kind != 's' {
		p.wrong(n.at, "%s: want a string, and this is %s", name, n.what())
		return ""
	}
	p.characters(n)
	return n.text
}

// characters refuses characters that IAM does not accept: it accepts Latin-1 without control characters.
func (p *parser) characters(n *node) {
	for _, c := range n.text {
		if c > 0xFF || c < ' ' && !strings.ContainsRune("\t\n\r", c) {
			p.wrong(n.at, "the character U+%04X, which IAM does not take: %q", c, n.text)
			return
		}
	}
}

// sid parses the name of a statement: letters and digits, and in a service control policy also spaces.
func (p *parser) sid(n *node) string {
	sid := p.text(n, "Sid")
	odd := func(c rune) bool {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		return !letter && (c < '0' || c > '9') && (c != ' ' || p.kind != ServiceControl)
	}
	if strings.ContainsFunc(sid, odd) {
		p.wrong(n.at, "Sid %q: want letters and digits alone", sid)
	}
	return sid
}

// list parses a string, or a list of strings, and calls check for each. Other values in the list are noted (text) and left out.
func (p *parser) list(f field, check func(*node)) []string {
	items := f.value.items
	if f.value.kind != '[' {
		items = []*node{f.value}
	}
	if len(items) == 0 {
		p.wrong(f.value.at, "%s: an empty list", f.name)
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		text := p.text(item, f.name)
		if item.kind == 's' {
			check(item)
			list = append(list, text)
		}
	}
	return slices.Clip(list)
}

// action checks an action: SERVICE:ACTION, with wildcards only after the colon, or an asterisk alone.
func (p *parser) action(n *node) {
	service, name, ok := strings.Cut(n.text, ":")
	switch {
	case n.text == "*" || n.text == "*:*":
	case !ok:
		p.wrong(n.at, "action %q: want SERVICE:ACTION, or *", n.text)
	case !alphanumeric(service, "-"):
		p.wrong(n.at, "action %q: %q is no service; it can't have wildcards", n.text, service)
	case !alphanumeric(name, "*?"):
		p.wrong(n.at, "action %q: %q is no action", n.text, name)
	}
}

// alphanumeric reports whether a text has letters, digits and the further characters, and at least one of them.
func alphanumeric(text, further string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(further, c)
	})
}

// resource checks a resource: an ARN, or an asterisk alone. In a service control policy an ARN has all of its parts, which colons separate, unless it
// has an asterisk, which may stand for several of them; in other kinds of documents IAM completes an ARN that lacks parts.
func (p *parser) resource(n *node) {
	if n.text == "*" {
		return
	}
	if !strings.HasPrefix(n.text, "arn:") {
		p.wrong(n.at, "resource %q: want an ARN, or *", n.text)
		return
	}
	p.variables(n)
	short := strings.Count(n.text, ":") < arnParts-1
	if short && p.kind == ServiceControl && !strings.Contains(n.text, "*") {
		p.wrong(n.at, "resource %q: an ARN has six parts", n.text)
	}
}

// variables notes a variable, ${NAME}, without an end. In the older version of the language there are none.
func (p *parser) variables(n *node) {
	if p.version == version2008 {
		return
	}
	if _, err := splitVariables(n.text); err != nil {
		p.wrong(n.at, "%q: %v", n.text, err)
	}
}
