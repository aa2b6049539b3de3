package bedrocktest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// node is a JSON value with its raw text, because blocks are hashed by that. A nil node stands for an absent value.
type node struct {
	raw   string
	keys  []string // of an object, in order
	items []*node  // of an object or an array
}

// refusal is an answer in AWS's form that ends a request.
type refusal struct {
	status  int
	errType string
	message string
}

func (r *refusal) Error() string { return r.message }

func invalid(format string, args ...any) *refusal {
	return &refusal{400, "ValidationException", fmt.Sprintf(format, args...)}
}

const maxDepth = 200

// parseJSON reads one JSON object. It refuses duplicate keys at any depth, because the real service may read them in another way than this
// package would.
func parseJSON(body []byte) (*node, *refusal) {
	if !json.Valid(body) {
		return nil, &refusal{400, "SerializationException", "the request body is not valid JSON"}
	}
	p := parser{s: string(body)}
	p.space()
	n, err := p.value(0)
	if err == nil && n.kind() != '{' {
		err = invalid("the request body is not a JSON object")
	}
	return n, err
}

// parser walks over JSON that is known to be valid.
type parser struct {
	s string
	i int
}

func (p *parser) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *parser) value(depth int) (*node, *refusal) {
	if depth > maxDepth {
		return nil, invalid("the request body is nested too deeply")
	}
	start, n := p.i, &node{}
	var err *refusal
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
	n.raw = p.s[start:p.i]
	return n, err
}

func (p *parser) members(n *node, depth int) *refusal {
	object := p.s[p.i] == '{'
	var seen map[string]struct{} // the keys of a large object, where comparing each key with all others would take quadratic time
	for p.i++; ; p.i++ {
		p.space()
		if c := p.s[p.i]; c == '}' || c == ']' {
			p.i++
			return nil
		}
		if object {
			key := unquote(p.str())
			if duplicate(n.keys, &seen, key) {
				return invalid("duplicate key in the request body")
			}
			n.keys = append(n.keys, key)
			p.space()
			p.i++ // the colon
			p.space()
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
		p.space()
		if p.s[p.i] != ',' {
			p.i++
			return nil
		}
	}
}

// scanLimit is how many keys are compared one by one before they are kept in a set.
const scanLimit = 16

// duplicate reports whether key is among keys. In a large object it also adds key to the set seen.
func duplicate(keys []string, seen *map[string]struct{}, key string) bool {
	if len(keys) < scanLimit {
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
	for p.i++; ; {
		quote := strings.IndexByte(p.s[p.i:], '"')
		end := p.i + quote
		slashes := 0
		for p.s[end-1-slashes] == '\\' {
			slashes++
		}
		p.i = end + 1
		if slashes%2 == 0 {
			return p.s[start:p.i]
		}
	}
}

func unquote(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	_ = json.Unmarshal([]byte(raw), &s) // valid by construction
	return s
}

func (n *node) kind() byte {
	if n == nil {
		return 0
	}
	return n.raw[0]
}

// get returns a member of an object; nil when it is absent or null.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	if i := slices.Index(n.keys, key); i >= 0 && n.items[i].raw != "null" {
		return n.items[i]
	}
	return nil
}

// keyNames returns the names of an object's members, including those whose value is null.
func (n *node) keyNames() []string {
	if n.kind() != '{' {
		return nil
	}
	return n.keys
}

// list returns the items of an array; nothing for anything else.
func (n *node) list() []*node {
	if n.kind() != '[' {
		return nil
	}
	return n.items
}

// text returns a string's value; empty for anything else.
func (n *node) text() string {
	if n.kind() != '"' {
		return ""
	}
	return unquote(n.raw)
}

// is reports whether the node's raw JSON text is exactly raw, for example `true`.
func (n *node) is(raw string) bool { return n != nil && n.raw == raw }

// number returns an integer's value, and whether it is one.
func (n *node) number() (int, bool) {
	if n == nil {
		return 0, false
	}
	v, err := strconv.Atoi(n.raw)
	return v, err == nil
}

// decimal returns a number's value, and whether it is one.
func (n *node) decimal() (float64, bool) {
	if n == nil || n.kind() == '"' {
		return 0, false
	}
	v, err := strconv.ParseFloat(n.raw, 64)
	return v, err == nil
}

func itoa(n int) string { return strconv.Itoa(n) }

// only refuses members that are not listed.
func (n *node) only(where string, keys ...string) *refusal {
	if n == nil {
		return nil
	}
	if n.kind() != '{' {
		return invalid("%s is not an object", where)
	}
	for _, k := range n.keys {
		if !slices.Contains(keys, k) {
			return invalid("extraneous key [%.40s] is not permitted in %s", k, where)
		}
	}
	return nil
}
