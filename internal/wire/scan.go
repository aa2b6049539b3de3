package wire

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxDepth   = 200
	linearKeys = 16 // objects with more keys than this get a set to find duplicates
)

// scanner reads one JSON text from front to back. It is stricter than encoding/json where readers are known to differ:
// invalid UTF-8, duplicate keys in any object and nesting beyond 200 levels are errors. Strings are returned as parts of
// the text, with their escapes, so nothing is copied.
type scanner struct {
	s     string
	pos   int
	depth int
	keys  []string // keys of the open objects, innermost last
}

// text is the inside of a string literal.
type text struct {
	raw     string
	escaped bool // raw holds escapes
}

// String resolves the escapes.
func (t text) String() string {
	if !t.escaped {
		return t.raw
	}
	var out string
	if json.Unmarshal([]byte(`"`+t.raw+`"`), &out) != nil {
		return t.raw
	}
	return out
}

// scanObject starts a scan of a body that has to be one JSON object, and calls field at every value of it.
func (p *scanner) scanObject(body []byte, field func(key string) error) error {
	if !utf8.Valid(body) {
		return p.fail("invalid UTF-8")
	}
	p.s = string(body)
	if p.peek() != '{' {
		return p.fail("not a JSON object")
	}
	if err := p.object(field); err != nil {
		return err
	}
	if p.peek(); p.pos != len(p.s) {
		return p.fail("data after the JSON object")
	}
	return nil
}

func (p *scanner) fail(reason string) error {
	return &MalformedError{Offset: p.pos, Reason: reason}
}

// peek skips white space and returns the next byte, or 0 at the end.
func (p *scanner) peek() byte {
	for p.pos < len(p.s) {
		switch c := p.s[p.pos]; c {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return c
		}
	}
	return 0
}

// object reads an object. field finds the scanner at a value, and has to read it.
func (p *scanner) object(field func(key string) error) error {
	if err := p.open('{', "expected an object"); err != nil {
		return err
	}
	base := len(p.keys)
	var set map[string]struct{}
	for first := true; ; first = false {
		more, err := p.next('}', first)
		if err != nil {
			return err
		}
		if !more {
			p.keys = p.keys[:base]
			return nil
		}
		key, err := p.key()
		if err != nil {
			return err
		}
		if set, err = p.unique(base, key, set); err != nil {
			return err
		}
		if err := field(key); err != nil {
			return err
		}
	}
}

// array reads an array. element finds the scanner at a value, and has to read it.
func (p *scanner) array(element func() error) error {
	if err := p.open('[', "expected an array"); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := p.next(']', first)
		if err != nil || !more {
			return err
		}
		if err := element(); err != nil {
			return err
		}
	}
}

func (p *scanner) open(bracket byte, reason string) error {
	if p.peek() != bracket {
		return p.fail(reason)
	}
	if p.depth++; p.depth > maxDepth {
		return p.fail("nested deeper than 200 levels")
	}
	p.pos++
	return nil
}

// next moves to the next member, and reports false when it closed the object or array instead.
func (p *scanner) next(closing byte, first bool) (bool, error) {
	switch c := p.peek(); {
	case c == closing:
		p.pos++
		p.depth--
		return false, nil
	case first:
		return true, nil
	case c != ',':
		return false, p.fail("expected a comma or the end of an object or array")
	}
	p.pos++
	if p.peek() == closing {
		return false, p.fail("trailing comma")
	}
	return true, nil
}

func (p *scanner) key() (string, error) {
	k, err := p.str()
	if err != nil {
		return "", err
	}
	if p.peek() != ':' {
		return "", p.fail("expected a colon")
	}
	p.pos++
	return k.String(), nil
}

// unique notes a key of the innermost object, whose keys start at base.
func (p *scanner) unique(base int, key string, set map[string]struct{}) (map[string]struct{}, error) {
	open := p.keys[base:]
	p.keys = append(p.keys, key)
	if set == nil && len(open) < linearKeys {
		for _, k := range open {
			if k == key {
				return nil, p.fail("duplicate key")
			}
		}
		return nil, nil
	}
	if set == nil {
		set = make(map[string]struct{}, 4*linearKeys)
		for _, k := range open {
			set[k] = struct{}{}
		}
	}
	if _, dup := set[key]; dup {
		return nil, p.fail("duplicate key")
	}
	set[key] = struct{}{}
	return set, nil
}

// str reads a string.
func (p *scanner) str() (text, error) {
	if p.peek() != '"' {
		return text{}, p.fail("expected a string")
	}
	start := p.pos + 1
	escaped := false
	for i := start; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.pos = i + 1
			return text{p.s[start:i], escaped}, nil
		case c < ' ':
			p.pos = i
			return text{}, p.fail("control character in a string")
		case c == '\\':
			escaped = true
			n := escapeLen(p.s[i:])
			if n == 0 {
				p.pos = i
				return text{}, p.fail("invalid escape")
			}
			i += n - 1
		}
	}
	p.pos = len(p.s)
	return text{}, p.fail("unterminated string")
}

// escapeLen returns the length of the escape that s begins with, or 0 when it is none.
func escapeLen(s string) int {
	if len(s) < 2 {
		return 0
	}
	if s[1] != 'u' {
		if strings.IndexByte(`"\/bfnrt`, s[1]) < 0 {
			return 0
		}
		return 2
	}
	if len(s) < 6 {
		return 0
	}
	for _, c := range []byte(s[2:6]) {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return 0
		}
	}
	return 6
}

// skip checks one value of any kind and returns it as it stands in the text.
func (p *scanner) skip() (string, error) {
	c := p.peek()
	start := p.pos
	var err error
	switch c {
	case '{':
		err = p.object(p.skipField)
	case '[':
		err = p.array(p.skipElement)
	case '"':
		_, err = p.str()
	default:
		err = p.literal()
	}
	return p.s[start:p.pos], err
}

func (p *scanner) skipField(string) error { return p.skipElement() }

func (p *scanner) skipElement() error {
	_, err := p.skip()
	return err
}

// literal checks a number, true, false or null.
func (p *scanner) literal() error {
	rest := p.s[p.pos:]
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(rest, word) {
			p.pos += len(word)
			return nil
		}
	}
	n := numberLen(rest)
	if n == 0 {
		return p.fail("expected a value")
	}
	p.pos += n
	return nil
}

// numberLen returns the length of the number that s begins with, or 0 when there is none or it is cut.
func numberLen(s string) int {
	i := 0
	if i < len(s) && s[i] == '-' {
		i++
	}
	whole := digits(s[i:])
	if whole == 0 || whole > 1 && s[i] == '0' {
		return 0
	}
	i += whole
	if i < len(s) && s[i] == '.' {
		n := digits(s[i+1:])
		if n == 0 {
			return 0
		}
		i += 1 + n
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		n := digits(s[i:])
		if n == 0 {
			return 0
		}
		i += n
	}
	return i
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// count reads a value that has to be a plain non-negative integer or null. It reports false for null.
func (p *scanner) count(field string) (int64, bool, error) {
	p.peek()
	at := p.pos
	raw, err := p.skip()
	if err != nil || raw == "null" {
		return 0, false, err
	}
	n, err := plainCount(raw)
	if err != nil {
		return 0, false, &MalformedError{Field: field, Offset: at, Reason: "not a plain non-negative integer"}
	}
	return n, true, nil
}

// plainCount accepts digits only: no sign, fraction, exponent or quotes.
func plainCount(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}
