package budget

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/glob"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/quote"
	"go.yaml.in/yaml/v4"
)

// PolicySchema is the JSON schema of policy files, for editors that check them.
//
//go:embed policy.schema.json
var PolicySchema string

// PolicyFileError is one thing that is wrong in a policy file. It unwraps to ErrInvalidPolicy.
type PolicyFileError struct {
	Line, Column int    // counted from 1; 0 for the file as a whole
	Problem      string // what is wrong, and what would be right
}

// Error prints the place and the problem.
func (e *PolicyFileError) Error() string {
	if e.Line == 0 {
		return "budget: policy file: " + e.Problem
	}
	return fmt.Sprintf("budget: policy file: line %d, column %d: %s", e.Line, e.Column, e.Problem)
}

// Unwrap returns ErrInvalidPolicy.
func (e *PolicyFileError) Unwrap() error { return ErrInvalidPolicy }

// Bounds on the size of a policy file, besides driver.MaxPolicyDocument.
const (
	maxFileDepth = 16
	maxFileNodes = 100_000 // nodes behind an alias count each time that it is used
)

// ReadPolicy reads a policy from a file in YAML or JSON:
//
//	limits:
//	  - name: team-month
//	    max: 50 USD
//	    window: monthly in Europe/Berlin
//	    max_for: [{match: {tags: {team: research}}, max: 400 USD}]
//	    per: [principal, "tag:team"]
//	    match: {model: "anthropic.*", tags: {env: prod}}
//	    notify: [50%, 80%]
//
// Further keys are latch, observe and paced, which are true or false, and max_depth and max_children, which are whole numbers. It returns
// everything that is wrong, joined, in the order of the file, each as a *PolicyFileError with its place: unknown and repeated keys, values
// that can't be parsed, limits that Open would refuse, and limits that can never match.
func ReadPolicy(r io.Reader) (Policy, error) {
	raw, err := io.ReadAll(io.LimitReader(r, driver.MaxPolicyDocument+1))
	if err != nil {
		return Policy{}, fmt.Errorf("budget: policy file: %w", err)
	}
	f := policyFile{}
	if len(raw) > driver.MaxPolicyDocument {
		f.add(nil, "more than %d bytes", driver.MaxPolicyDocument)
		return Policy{}, f.err()
	}
	var doc yaml.Node
	if err := yaml.Load(raw, &doc); err != nil {
		f.syntax(raw, err)
		return Policy{}, f.err()
	}
	// The parser puts what is in the file into a node for the document.
	root := &doc
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	p := f.policy(root)
	if len(f.errs) == 0 { // else the problems of the policy as a whole may only follow from those
		f.validate(root, p)
	}
	if err := f.err(); err != nil {
		return Policy{}, err
	}
	return p, nil
}

// validate records the problems of a policy as a whole.
func (f *policyFile) validate(root *yaml.Node, p Policy) {
	err := p.Validate()
	if err == nil {
		return
	}
	// Validate joins its errors, one a line, and each begins with the text of ErrInvalidPolicy.
	for _, line := range strings.Split(err.Error(), "\n") {
		f.add(root, "%s", strings.TrimPrefix(line, ErrInvalidPolicy.Error()+": "))
	}
}

// policyFile collects what is wrong in a file while it is read. Its methods read one value of the file each. They record what is wrong with it
// and return what could be read, so that everything that is wrong is found in one reading. Their parameter depth is how deep the value is nested.
type policyFile struct {
	errs  []*PolicyFileError
	nodes int // how many nodes were read; those behind an alias count each time
}

// add records a problem with a node, or with the whole file if the node is nil.
func (f *policyFile) add(at *yaml.Node, format string, args ...any) {
	e := &PolicyFileError{Problem: fmt.Sprintf(format, args...)}
	if at != nil {
		e.Line, e.Column = at.Line, at.Column
	}
	f.errs = append(f.errs, e)
}

// err returns what was recorded, joined in the order of the file; nil if nothing was.
func (f *policyFile) err() error {
	slices.SortStableFunc(f.errs, func(a, b *PolicyFileError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	all := make([]error, len(f.errs))
	for i := range all {
		all[i] = f.errs[i]
	}
	return errors.Join(all...)
}

// syntax records that a file is not YAML. err is the parser's error, which says "line 3, column 4" somewhere. Only these numbers are kept, because
// the rest of its text may quote the file.
func (f *policyFile) syntax(raw []byte, err error) {
	e := &PolicyFileError{Problem: "not YAML, or more than one document"}
	if len(bytes.TrimSpace(raw)) == 0 {
		e.Problem = "empty: want limits"
	}
	if _, rest, found := strings.Cut(err.Error(), "line "); found {
		e.Line = leadingNumber(rest)
		if _, rest, found = strings.Cut(rest, "column "); found {
			e.Column = leadingNumber(rest)
		}
		e.Column = max(e.Column, 1)
	}
	f.errs = append(f.errs, e)
}

// leadingNumber returns the number that a text begins with; 0 if it does not begin with a digit.
func leadingNumber(text string) int {
	behind := strings.TrimLeft(text, "0123456789")
	number, _ := strconv.Atoi(text[:len(text)-len(behind)])
	return number
}

// resolve follows aliases. It returns nil, and records one problem, if the file has too many nodes with aliases followed, or is nested too
// deep.
func (f *policyFile) resolve(n *yaml.Node, depth int) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode && depth <= maxFileDepth {
		n, depth = n.Alias, depth+1
	}
	f.nodes++
	if n != nil && depth <= maxFileDepth && f.nodes <= maxFileNodes {
		return n
	}
	if recordedBefore := f.nodes > maxFileNodes+1; !recordedBefore {
		f.add(n, "too deep, or too many aliases")
		f.nodes = maxFileNodes + 1 // from now on each node is one too many, and recordedBefore is true
	}
	return nil
}

// mapping reads a mapping: it calls field with each key, the key's node and the value's node. It records a problem for each key that is not in
// keys, unless keys is nil, and for each one that stands there twice. what names the mapping in problems.
func (f *policyFile) mapping(n *yaml.Node, depth int, what string, keys []string, field func(key string, at, value *yaml.Node)) {
	if n = f.resolve(n, depth); n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		f.add(n, "%s is no mapping", what)
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		// Followed at the depth of this mapping: what reads a list or a mapping in it counts one level more.
		at, value := n.Content[i], f.resolve(n.Content[i+1], depth)
		switch key := at.Value; {
		case value == nil: // resolve has recorded why
		case at.Kind != yaml.ScalarNode:
			f.add(at, "%s has a key that is no text", what)
		case seen[key]:
			f.add(at, "%q stands twice in %s", quote.Clip(key), what)
		case keys != nil && !slices.Contains(keys, key):
			f.add(at, "%s has no %q: want %s", what, quote.Clip(key), strings.Join(keys, ", "))
		default:
			field(key, at, value)
		}
		seen[at.Value] = true
	}
}

// list reads a sequence, or a single value that stands for a sequence of one.
func (f *policyFile) list(n *yaml.Node, depth int, each func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		each(n)
		return
	}
	for _, one := range n.Content {
		if one = f.resolve(one, depth); one != nil {
			each(one)
		}
	}
}

// text reads a scalar.
func (f *policyFile) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		f.add(n, "%s is no text", what)
		return "", false
	}
	return n.Value, true
}

// boolean reads true or false.
func (f *policyFile) boolean(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		f.add(n, "%s is true or false", what)
	}
	return n.Value == "true"
}

// count reads a whole number of at least 1.
func (f *policyFile) count(n *yaml.Node, what string) int {
	text, ok := f.text(n, what)
	number, err := strconv.ParseInt(text, 10, 32)
	// If it is not ok, text has recorded that already.
	if ok && (err != nil || number < 1) {
		f.add(n, "%s: %q is no whole number from 1 on: leave it out to set no bound", what, quote.Clip(text))
	}
	return int(number)
}

// policy reads the whole file.
func (f *policyFile) policy(n *yaml.Node) (p Policy) {
	found := false
	f.mapping(n, 0, "the file", []string{"limits"}, func(_ string, _, value *yaml.Node) {
		found = true
		if value.Kind != yaml.SequenceNode {
			f.add(value, "limits is a list")
			return
		}
		names := make(map[string]bool)
		f.list(value, 1, func(one *yaml.Node) {
			l := f.limit(one)
			if names[l.Name] && l.Name != "" {
				f.add(one, "two limits are named %q", quote.Clip(l.Name))
			}
			names[l.Name] = true
			p.Limits = append(p.Limits, l)
		})
		if len(p.Limits) == 0 || len(p.Limits) > MaxLimits {
			f.add(value, "%d limits, want 1 to %d", len(p.Limits), MaxLimits)
		}
	})
	// If something else is wrong, such as a misspelled key, that has been recorded, and says more.
	if !found && len(f.errs) == 0 {
		f.add(n, "no limits")
	}
	return p
}

// limitKeys are the keys of a limit.
var limitKeys = []string{"name", "max", "max_for", "window", "per", "match", "latch", "notify", "observe", "paced", "max_depth", "max_children"}

// limit reads one limit. What is wrong with the limit as a whole (Limit.problems) is recorded only if nothing was wrong with any of its values. The
// numbers are depths: of a limit in the file, which is in the list under "limits", and of the values in its own lists.
func (f *policyFile) limit(n *yaml.Node) (l Limit) {
	before := len(f.errs)
	f.mapping(n, 2, "a limit", limitKeys, func(key string, _, value *yaml.Node) {
		switch key {
		case "name":
			l.Name, _ = f.text(value, key)
		case "max":
			f.unmarshal(value, key, &l.Max)
		case "max_for":
			f.list(value, 3, func(one *yaml.Node) { l.MaxFor = append(l.MaxFor, f.maxFor(one)) })
		case "window":
			f.unmarshal(value, key, &l.Window)
		case "per":
			f.list(value, 3, func(one *yaml.Node) { f.per(one, &l) })
		case "match":
			l.Match = f.match(value, matchKeys)
		case "latch":
			l.Latch = f.boolean(value, key)
		case "observe":
			l.Observe = f.boolean(value, key)
		case "paced":
			l.Paced = f.boolean(value, key)
		case "max_depth":
			l.MaxDepth = f.count(value, key)
		case "max_children":
			l.MaxChildren = f.count(value, key)
		case "notify":
			f.list(value, 3, func(one *yaml.Node) { l.Notify = append(l.Notify, f.fraction(one)) })
		}
	})
	if len(f.errs) == before {
		for _, problem := range l.problems() {
			f.add(n, "limit %q: %s", quote.Clip(l.Name), problem)
		}
	}
	return l
}

// maxFor reads one element of max_for.
func (f *policyFile) maxFor(n *yaml.Node) (m MaxFor) {
	f.mapping(n, 4, "max_for", []string{"match", "max"}, func(key string, _, value *yaml.Node) {
		if key == "match" {
			m.Match = f.match(value, matchKeys)
		} else {
			f.unmarshal(value, key, &m.Max)
		}
	})
	return m
}

// unmarshal reads a scalar into a value that can parse its text.
func (f *policyFile) unmarshal(n *yaml.Node, what string, into interface{ UnmarshalText([]byte) error }) {
	text, ok := f.text(n, what)
	if !ok {
		return
	}
	if err := into.UnmarshalText([]byte(text)); err != nil {
		f.add(n, "%s: %s", what, strings.TrimPrefix(err.Error(), ErrInvalidPolicy.Error()+": "))
	}
}

// per reads one element of per, a dimension or "tag:" and the name of a tag, and adds it to what the limit is split by.
func (f *policyFile) per(n *yaml.Node, l *Limit) {
	text, ok := f.text(n, "per")
	if !ok {
		return
	}
	if tag, isTag := strings.CutPrefix(text, "tag:"); isTag && tag != "" {
		l.PerTags = append(l.PerTags, tag)
	} else if one, known := perOf(text); known {
		l.Per |= one
	} else {
		f.add(n, "per: %q is no dimension: want %s, or tag: and the name of a tag", quote.Clip(text), strings.Join(perNames[:], ", "))
	}
}

// matchKeys are the keys of a match. The last one is "not", which a match under "not" can't have. append copies perNames, and does not write to it,
// because an array has no room behind its last element.
var matchKeys = append(perNames[:], "tags", "not")

// match reads a match, with the keys that are allowed there. The numbers are depths in the file, as in limit; a match that is nested deeper, in
// max_for or under not, is counted like that of a limit.
func (f *policyFile) match(n *yaml.Node, keys []string) (m Match) {
	fields := map[string]*string{
		"principal": &m.Principal, "workflow": &m.Workflow, "model": &m.Model, "region": &m.Region, "profile": &m.Profile, "project": &m.Project,
	}
	f.mapping(n, 3, "match", keys, func(key string, at, value *yaml.Node) {
		if key == "not" {
			f.list(value, 4, func(one *yaml.Node) { m.Not = append(m.Not, f.not(one)) })
			if len(m.Not) > maxNot {
				f.add(at, "%d not, at most %d", len(m.Not), maxNot)
			}
			return
		}
		if key == "tags" {
			m.Tags = f.tags(value)
			return
		}
		*fields[key] = f.pattern(value, key) // mapping passes on the keys that are in keys: all but tags and not are in fields
	})
	return m
}

// tags reads the patterns for tags, by the tags' names; nil if there are none.
func (f *policyFile) tags(n *yaml.Node) (tags map[string]string) {
	f.mapping(n, 4, "tags", nil, func(name string, at, pattern *yaml.Node) {
		if name == "" || len(name) > driver.MaxScopeValue {
			f.add(at, "the name of a tag has 1 to %d bytes", driver.MaxScopeValue)
		}
		if tags == nil {
			tags = make(map[string]string)
		}
		tags[name] = f.pattern(pattern, "tag "+quote.Clip(name))
	})
	if len(tags) > driver.MaxScopeTags {
		f.add(n, "%d tags: no call has more than %d, so that the limit can never match", len(tags), driver.MaxScopeTags)
	}
	return tags
}

// not reads a match under the key not, which excludes calls.
func (f *policyFile) not(n *yaml.Node) Match {
	before := len(f.errs)
	m := f.match(n, matchKeys[:len(matchKeys)-1]) // without "not"
	if len(f.errs) == before && m.everything() {
		f.add(n, "not: it selects everything, so that the limit can never match")
	}
	return m
}

// pattern reads a glob and records a problem if no value can match it.
func (f *policyFile) pattern(n *yaml.Node, what string) string {
	text, ok := f.text(n, what)
	if ok && text == "" {
		f.add(n, "%s: an empty pattern selects everything: leave it out, or write \"*\"", what)
	}
	all, problem := glob.Alternatives(text) // the patterns without braces that the text stands for
	if problem != "" {
		f.add(n, "%s: %s", what, problem)
		return text
	}
	least := math.MaxInt // the length of the shortest value that can match: each * may stand for nothing
	// Each ? stands for one byte, as a letter does for itself.
	for _, one := range all {
		least = min(least, len(strings.ReplaceAll(one, "*", "")))
	}
	if least > driver.MaxScopeValue {
		f.add(n, "%s: the pattern needs %d bytes at least, and no value has more than %d, so that the limit can never match", what, least, driver.MaxScopeValue)
	}
	return text
}

// fraction reads a threshold, as in 0.5 or 50%. If it is wrong, it returns 1, which is valid, so that one mistake is not recorded twice.
func (f *policyFile) fraction(n *yaml.Node) float64 {
	text, _ := f.text(n, "notify")
	number, percent := strings.CutSuffix(text, "%")
	x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		x /= 100
	}
	if err != nil || !(x > 0 && x <= 1) {
		f.add(n, "notify: %q is no part of the limit: want more than 0 and at most 1, or a percentage", quote.Clip(text))
		return 1
	}
	return x
}

// WritePolicy writes a policy that Open would accept, as a file from which ReadPolicy reads the same policy.
func WritePolicy(w io.Writer, p Policy) error {
	if err := p.Validate(); err != nil {
		return err
	}
	file := struct {
		Limits []limitText `yaml:"limits"`
	}{make([]limitText, len(p.Limits))}
	for i := range p.Limits {
		file.Limits[i] = p.Limits[i].text()
	}
	raw, err := yaml.Dump(file, yaml.WithIndent(2))
	if err == nil {
		_, err = w.Write(raw)
	}
	if err != nil {
		return fmt.Errorf("budget: policy file: %w", err)
	}
	return nil
}

// limitText is a limit in the form in which a file has it.
type limitText struct {
	Name    string         `yaml:"name"`
	Max     string         `yaml:"max"`
	MaxFor  []maxForText   `yaml:"max_for,omitempty"`
	Window  string         `yaml:"window"`
	Per     []string       `yaml:"per,omitempty"`
	Match   map[string]any `yaml:"match,omitempty"`
	Latch   bool           `yaml:"latch,omitempty"`
	Notify  []float64      `yaml:"notify,omitempty"`
	Observe bool           `yaml:"observe,omitempty"`

	Paced       bool `yaml:"paced,omitempty"`
	MaxDepth    int  `yaml:"max_depth,omitempty"`
	MaxChildren int  `yaml:"max_children,omitempty"`
}

// maxForText is a MaxFor in the form in which a file has it.
type maxForText struct {
	Match map[string]any `yaml:"match"`
	Max   string         `yaml:"max"`
}

// text returns the limit in the form in which a file has it.
func (l *Limit) text() limitText {
	t := limitText{Name: l.Name, Max: l.Max.String(), Window: l.Window.String(), Latch: l.Latch, Notify: l.Notify, Observe: l.Observe, Match: l.Match.text(), Paced: l.Paced, MaxDepth: l.MaxDepth, MaxChildren: l.MaxChildren}
	if l.Per != 0 {
		t.Per = strings.Split(l.Per.String(), "|")
	}
	for _, tag := range l.PerTags {
		t.Per = append(t.Per, "tag:"+tag)
	}
	for i := range l.MaxFor {
		t.MaxFor = append(t.MaxFor, maxForText{l.MaxFor[i].Match.text(), l.MaxFor[i].Max.String()})
	}
	return t
}

// text returns the match in the form in which a file has it: a mapping with a pattern for each dimension that it names, the patterns for tags
// under "tags", and what it leaves out under "not".
func (m *Match) text() map[string]any {
	t := make(map[string]any)
	for i, pattern := range m.fields() {
		if pattern != "" {
			t[perNames[i]] = pattern
		}
	}
	if len(m.Tags) > 0 {
		t["tags"] = m.Tags
	}
	if len(m.Not) > 0 {
		not := make([]map[string]any, len(m.Not))
		for i := range not {
			not[i] = m.Not[i].text()
		}
		t["not"] = not
	}
	return t
}
