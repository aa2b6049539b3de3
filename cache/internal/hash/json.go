package hash

import "strings"

// JSON hashes a JSON text so that the order of keys in objects and white space between tokens make no difference. A text that is
// not JSON gets the hash of its bytes.
func JSON(s string) uint64 {
	c := canonicalizer{s: s}
	h := c.value(0)
	c.space()
	if c.bad || c.pos != len(s) {
		return String(s)
	}
	return h
}

// canonicalizer walks through one JSON text. It accepts more than valid JSON: equal values only have to have equal hashes.
type canonicalizer struct {
	s   string
	pos int  // of the next byte to read
	bad bool // the text is not JSON: what is read from here on does not count
}

// maxNesting bounds the depth of the recursion. A text with deeper nesting counts as not JSON.
const maxNesting = 200

// space skips white space.
func (c *canonicalizer) space() {
	for c.pos < len(c.s) && strings.IndexByte(" \t\r\n", c.s[c.pos]) >= 0 {
		c.pos++
	}
}

// peek skips white space and returns the next byte, without going past it. At the end of the text, or after a mistake, it returns 0.
func (c *canonicalizer) peek() byte {
	c.space()
	if c.pos == len(c.s) || c.bad {
		c.bad = true // callers only peek where something has to follow
		return 0
	}
	return c.s[c.pos]
}

// value reads a value and returns its hash. The hashes of an object's members are mixed once more and added up, so that their order makes no
// difference; those of an array's elements are mixed in order. depth is how many objects and arrays the value stands in.
func (c *canonicalizer) value(depth int) uint64 {
	if depth > maxNesting {
		c.bad = true
	}
	switch c.peek() {
	case '{':
		return c.members('}', func() uint64 { return c.member(depth + 1) }, func(sum, member uint64) uint64 { return sum + Mix(member, 1) })
	case '[':
		return c.members(']', func() uint64 { return c.value(depth + 1) }, Mix)
	default: // a string, number or word; or nothing, which is no JSON
		return c.token()
	}
}

// member reads a member of an object, its key, a colon and its value, and returns its hash.
func (c *canonicalizer) member(depth int) uint64 {
	key := c.token()
	if c.peek() != ':' {
		c.bad = true
		return 0
	}
	c.pos++
	return Mix(key, c.value(depth))
}

// members reads an object or array from its opening bracket to the closing one. member reads one member or element and returns its hash, and fold
// adds that to the hash of those before it.
func (c *canonicalizer) members(closing byte, member func() uint64, fold func(sum, member uint64) uint64) uint64 {
	h := uint64(closing) // so that {} and [] have different hashes
	c.pos++
	for first := true; ; first = false {
		switch b := c.peek(); {
		case c.bad:
			return 0
		case b == closing:
			c.pos++
			return Mix(h, uint64(closing))
		case b == ',' && !first:
			c.pos++
		case !first:
			c.bad = true
			return 0
		}
		h = fold(h, member())
	}
}

// token reads a string, number or word, and returns the hash of its text; 0 if there is none.
func (c *canonicalizer) token() uint64 {
	first := c.peek() // which skips the white space before the token
	if first == 0 {
		return 0
	}
	start := c.pos
	if first == '"' {
		c.pastString()
	} else {
		c.pastWord()
	}
	if c.bad {
		return 0
	}
	return String(c.s[start:c.pos])
}

// pastString goes past a string: up to the next quote that no backslash precedes.
func (c *canonicalizer) pastString() {
	for c.pos++; c.pos < len(c.s) && c.s[c.pos] != '"'; c.pos++ {
		if c.s[c.pos] == '\\' {
			c.pos++
		}
	}
	if c.pos >= len(c.s) {
		c.bad = true
		return
	}
	c.pos++
}

// pastWord goes past a number or a word, which ends before white space or a sign. It is not checked, since equal texts have equal hashes anyway.
func (c *canonicalizer) pastWord() {
	start := c.pos
	for c.pos < len(c.s) && strings.IndexByte(" \t\r\n,:{}[]\"", c.s[c.pos]) < 0 {
		c.pos++
	}
	c.bad = c.bad || c.pos == start // a sign stands where a value has to be
}
