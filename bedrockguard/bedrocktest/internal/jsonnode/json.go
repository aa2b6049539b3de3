// Package jsonnode reads JSON into nodes that keep their raw text, of which the hash of a prompt's block is made.
package jsonnode

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Node is a JSON value with its raw text. A nil node stands for an absent value; its methods return nothing.
type Node struct {
	Raw   string
	Keys  []string // of an object, in order
	Items []*Node  // of an object or an array
}

// maxDepth bounds how deep objects and arrays may be nested.
const maxDepth = 200

// Parse reads one JSON object. It refuses duplicate keys at any depth, because the real service may read them in another way than this
// package would.
func Parse(body []byte) (*Node, *refusal.Error) {
	if !json.Valid(body) {
		return nil, refusal.New(400, "SerializationException", "the request body is not valid JSON")
	}
	p := parser{s: string(body)}
	p.space()
	n, err := p.value(0)
	if err == nil && n.Kind() != '{' {
		err = refusal.Invalid("the request body is not a JSON object")
	}
	return n, err
}

// parser walks over JSON that is known to be valid, so it checks no syntax and never runs over the end. i is the offset of the next byte in s.
type parser struct {
	s string
	i int
}

// space steps over white space.
func (p *parser) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
}

// value reads the value that begins at the current byte. depth is how many objects and arrays it is in.
func (p *parser) value(depth int) (*Node, *refusal.Error) {
	if depth > maxDepth {
		return nil, refusal.Invalid("the request body is nested too deeply")
	}
	start, n := p.i, &Node{}
	var err *refusal.Error
	switch p.s[p.i] {
	case '{', '[':
		err = p.members(n, depth)
	case '"':
		p.str()
	default:
		for p.i < len(p.s) && strings.IndexByte(",]} \t\r\n", p.s[p.i]) < 0 {
			p.i++
		}
	}
	n.Raw = p.s[start:p.i]
	return n, err
}

// members reads the members of the object or array that begins at the current byte, and steps over its end.
func (p *parser) members(n *Node, depth int) *refusal.Error {
	object := p.s[p.i] == '{'
	var seen map[string]struct{} // the keys of a large object, where comparing each key with all others would take quadratic time
	// The first step is over the opening bracket, and each later one over a comma.
	for p.i++; ; p.i++ {
		p.space()
		if c := p.s[p.i]; c == '}' || c == ']' {
			p.i++
			return nil
		}
		if object {
			key := unquote(p.str())
			if duplicate(n.Keys, &seen, key) {
				return refusal.Invalid("duplicate key in the request body")
			}
			n.Keys = append(n.Keys, key)
			p.space()
			p.i++ // the colon
			p.space()
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
		p.space()
		if p.s[p.i] != ',' {
			p.i++
			return nil
		}
	}
}

// ScanLimit is how many keys are compared one by one before they are kept in a set.
const ScanLimit = 16

// duplicate reports whether key is among keys. In a large object it also adds key to the set seen.
func duplicate(keys []string, seen *map[string]struct{}, key string) bool {
	if len(keys) < ScanLimit {
		return slices.Contains(keys, key)
	}
	if *seen == nil {
		*seen = make(map[string]struct{}, 2*len(keys))
		for _, k := range keys {
			(*seen)[k] = struct{}{}
		}
	}
	_, found := (*seen)[key]
	(*seen)[key] = struct{}{}
	return found
}

// str steps over a string and returns it with its quotes.
func (p *parser) str() string {
	start := p.i
	p.i++ // the opening quote
	for {
		end := p.i + strings.IndexByte(p.s[p.i:], '"') // the next quote, which may be escaped
		slashes := 0
		for p.s[end-1-slashes] == '\\' {
			slashes++
		}
		p.i = end + 1
		if slashes%2 == 0 { // after an odd number of backslashes the quote is a part of the string
			return p.s[start:p.i]
		}
	}
}

// unquote returns the value of a JSON string with its quotes.
func unquote(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	_ = json.Unmarshal([]byte(raw), &s) // valid by construction
	return s
}

// Kind returns the first byte of the raw text, by which the kinds of JSON values differ; 0 for an absent value.
func (n *Node) Kind() byte {
	if n == nil {
		return 0
	}
	return n.Raw[0]
}

// Get returns a member of an object; nil when it is absent or null.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	if i := slices.Index(n.Keys, key); i >= 0 && n.Items[i].Raw != "null" {
		return n.Items[i]
	}
	return nil
}

// KeyNames returns the names of an object's members, including those whose value is null.
func (n *Node) KeyNames() []string {
	if n.Kind() != '{' {
		return nil
	}
	return n.Keys
}

// List returns the items of an array; nothing for anything else.
func (n *Node) List() []*Node {
	if n.Kind() != '[' {
		return nil
	}
	return n.Items
}

// Text returns a string's value; empty for anything else.
func (n *Node) Text() string {
	if n.Kind() != '"' {
		return ""
	}
	return unquote(n.Raw)
}

// Is reports whether the node's raw JSON text is exactly raw, for example `true`.
func (n *Node) Is(raw string) bool { return n != nil && n.Raw == raw }

// Number returns an integer's value, and whether it is one.
func (n *Node) Number() (int, bool) {
	if n == nil {
		return 0, false
	}
	v, err := strconv.Atoi(n.Raw)
	return v, err == nil
}

// Decimal returns a number's value, and whether it is one.
func (n *Node) Decimal() (float64, bool) {
	if n == nil || n.Kind() == '"' {
		return 0, false
	}
	v, err := strconv.ParseFloat(n.Raw, 64)
	return v, err == nil
}

// Only refuses members that are not listed.
func (n *Node) Only(where string, keys ...string) *refusal.Error {
	if n == nil {
		return nil
	}
	if n.Kind() != '{' {
		return refusal.Invalid("%s is not an object", where)
	}
	for _, k := range n.Keys {
		if !slices.Contains(keys, k) {
			return refusal.Invalid("extraneous key [%.40s] is not permitted in %s", k, where)
		}
	}
	return nil
}

// RawOf returns the raw text of a node, empty for an absent one.
func RawOf(n *Node) string {
	if n == nil {
		return ""
	}
	return n.Raw
}
