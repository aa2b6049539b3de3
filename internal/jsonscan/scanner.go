// Package jsonscan reads JSON from front to back in one pass, without copying it. It is stricter than encoding/json where
// readers are known to differ: invalid UTF-8, duplicate keys in any object but those of Verbatim, and nesting beyond 200 levels are
// errors.
package jsonscan

import (
	"fmt"
	"strings"
)

const (
	maxDepth   = 200 // objects and arrays that may be open at once
	linearKeys = 16  // objects with more keys than this use a set to find duplicates
)

// Scanner parses one JSON text. It returns parts of the text; strings keep their escapes. The zero value has an empty text. It must be used
// by one goroutine.
type Scanner struct {
	s     string   // the whole text
	pos   int      // offset of the next byte to read
	depth int      // how many objects and arrays are open
	comma int      // of the member whose key was read last: the offset of the comma before it, or -1 if it is the first of its object
	start int      // of the same member: the offset of its key
	keys  []string // the keys that were read of all open objects, those of the innermost object last
	loose int      // how many calls of Verbatim are running: while there is one, an object may have a key twice
	spare int      // what Spare returns: bytes that another spelling of the same values would not need
}

// Error says why a text can't be parsed. It never quotes the text.
type Error struct {
	Offset int // in bytes
	Reason string
}

// Error returns the reason and the offset.
func (e *Error) Error() string {
	return fmt.Sprintf("malformed JSON at byte %d: %s", e.Offset, e.Reason)
}

// New returns a scanner at the beginning of a text.
func New(text string) Scanner { return Scanner{s: text} }

// Document parses a text that has to be one JSON object, and calls field for each of its members, as Object does. It resets the scanner.
func (p *Scanner) Document(text string, field func(key string) error) error {
	*p = Scanner{s: text, keys: p.keys[:0]}
	if p.Peek() != '{' {
		return p.Fail("not a JSON object")
	}
	if err := p.Object(field); err != nil {
		return err
	}
	if p.Peek(); p.pos != len(p.s) { // Peek skips white space at the end
		return p.Fail("data after the JSON object")
	}
	return nil
}

// Fail returns an *Error for the scanner's present offset. The reason must not quote the text.
func (p *Scanner) Fail(reason string) error { return &Error{Offset: p.pos, Reason: reason} }

// Pos returns how many bytes were read. Call Peek first to skip white space.
func (p *Scanner) Pos() int { return p.pos }

// From returns the text from an offset to the scanner's present one.
func (p *Scanner) From(start int) string { return p.s[start:p.pos] }

// Spare returns how many of the bytes that were read only this spelling needs: white space between tokens, and what escapes are longer than
// what they stand for. A value is as long as its text without those, whoever has written it.
func (p *Scanner) Spare() int { return p.spare }

// Len returns how long a JSON text is without the bytes that Spare counts, white space and what escapes are longer than their characters; or its
// length as it stands if it can't be read.
func Len(text string) int {
	p := New(text)
	if _, err := p.Verbatim(); err != nil {
		return len(text)
	}
	if p.Peek(); p.pos != len(text) {
		return len(text)
	}
	return len(text) - p.spare
}

// Plain returns a JSON text without white space between tokens, and with the escapes in its strings decoded, so that it need not be JSON any more. It
// has Len bytes. A text that can't be read is returned as it stands.
func Plain(text string) string {
	n := Len(text)
	if n == len(text) {
		return text
	}
	var b strings.Builder
	b.Grow(n)
	for rest := text; rest != ""; {
		switch c := rest[0]; c {
		case ' ', '\t', '\n', '\r':
			rest = rest[1:]
		case '"':
			p := New(rest)
			t, _ := p.Text() // Len has read it, so this can't fail
			b.WriteString(`"` + t.String() + `"`)
			rest = rest[p.pos:] // behind the closing quote
		default:
			b.WriteByte(c)
			rest = rest[1:]
		}
	}
	return b.String()
}

// Member returns where the member begins whose value the scanner is at: the offset of its key, and that of the comma before
// it, or -1 when it is the first of its object. It holds until the value is read.
func (p *Scanner) Member() (comma, key int) { return p.comma, p.start }

// Peek skips white space and returns the next byte, or 0 at the end.
func (p *Scanner) Peek() byte {
	for p.pos < len(p.s) {
		switch c := p.s[p.pos]; c {
		case ' ', '\t', '\n', '\r':
			p.pos++
			p.spare++
		default:
			return c
		}
	}
	return 0
}

// Object reads an object. It calls field for each member when the member's value comes next, and field has to read that value.
func (p *Scanner) Object(field func(key string) error) error {
	if err := p.open('{', "expected an object"); err != nil {
		return err
	}
	base := len(p.keys)         // where this object's keys begin
	var set map[string]struct{} // the same keys, once there are many; nil before
	// comma is the offset of the comma before the next member, and -1 before the first one.
	for comma := -1; ; {
		more, err := p.next('}', comma == -1)
		if err != nil {
			return err
		}
		if !more {
			p.keys = p.keys[:base]
			return nil
		}
		p.start, p.comma = p.pos, comma
		key, err := p.key()
		if err != nil {
			return err
		}
		if p.loose == 0 { // no call of Verbatim is running, so a key may not come twice
			if set, err = p.unique(base, key, set); err != nil {
				return err
			}
		}
		if err := field(key); err != nil {
			return err
		}
		p.Peek()
		comma = p.pos // the comma, if another member follows; otherwise it is not used
	}
}

// Array reads an array. It calls element when an element comes next, and element has to read it.
func (p *Scanner) Array(element func() error) error {
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

// open reads the opening bracket of an object or array, or fails for this reason.
func (p *Scanner) open(bracket byte, reason string) error {
	if p.Peek() != bracket {
		return p.Fail(reason)
	}
	if p.depth++; p.depth > maxDepth {
		return p.Fail("nested deeper than 200 levels")
	}
	p.pos++
	return nil
}

// next moves to the next member or element, past the comma if it is not the first. It returns false if the object or array has ended instead, and has
// then read its closing bracket.
func (p *Scanner) next(closing byte, first bool) (bool, error) {
	switch c := p.Peek(); {
	case c == closing:
		p.pos++
		p.depth--
		return false, nil
	case first:
		return true, nil
	case c != ',':
		return false, p.Fail("expected a comma or the end of an object or array")
	}
	p.pos++
	if p.Peek() == closing {
		return false, p.Fail("trailing comma")
	}
	return true, nil
}

// key reads a key and the colon after it.
func (p *Scanner) key() (string, error) {
	k, err := p.Text()
	if err != nil {
		return "", err
	}
	if p.Peek() != ':' {
		return "", p.Fail("expected a colon")
	}
	p.pos++
	return k.String(), nil
}

// unique adds a key of the innermost object, whose keys begin at base, and fails if it is there already. It compares the keys one by one until there
// are many, and returns nil; then it puts them into a set, which it returns. set is what it returned for the key before.
func (p *Scanner) unique(base int, key string, set map[string]struct{}) (map[string]struct{}, error) {
	open := p.keys[base:]
	p.keys = append(p.keys, key)
	if set == nil && len(open) < linearKeys {
		for _, k := range open {
			if k == key {
				return nil, p.Fail("duplicate key")
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
		return nil, p.Fail("duplicate key")
	}
	set[key] = struct{}{}
	return set, nil
}

// Value checks one value of any kind and returns its text.
func (p *Scanner) Value() (string, error) {
	c := p.Peek()
	start := p.pos
	var err error
	switch c {
	case '{':
		err = p.Object(p.skipField)
	case '[':
		err = p.Array(p.Skip)
	case '"':
		_, err = p.Text()
	default:
		err = p.literal()
	}
	return p.s[start:p.pos], err
}

// Verbatim is Value for text that is only passed on, such as text that happens to be JSON: objects in it may have a key twice.
func (p *Scanner) Verbatim() (string, error) {
	p.loose++
	defer func() { p.loose-- }()
	return p.Value()
}

// Skip checks one value of any kind.
func (p *Scanner) Skip() error {
	_, err := p.Value()
	return err
}

// skipField is Skip for a member, in the form that Object calls.
func (p *Scanner) skipField(string) error { return p.Skip() }

// literal checks a number, true, false or null.
func (p *Scanner) literal() error {
	rest := p.s[p.pos:]
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(rest, word) {
			p.pos += len(word)
			return nil
		}
	}
	n := numberLen(rest)
	if n == 0 {
		return p.Fail("expected a value")
	}
	p.pos += n
	return nil
}

// numberLen returns the length of the number at the beginning of s, or 0 if there is none or it is incomplete.
func numberLen(s string) int {
	i := 0
	if i < len(s) && s[i] == '-' {
		i++
	}
	whole := digits(s[i:])
	if whole == 0 || whole > 1 && s[i] == '0' {
		return 0 // no digit, or a leading zero
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

// digits returns how many decimal digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
