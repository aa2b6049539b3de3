package jsonscan

import (
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is the content of a string literal.
type Text struct {
	Raw string // with its escapes
	Len int    // its length in bytes once escapes are decoded
}

// Escaped reports whether Raw has escapes. An escape is always longer than its character.
func (t Text) Escaped() bool { return t.Len != len(t.Raw) }

// String returns the text with escapes decoded.
func (t Text) String() string {
	if !t.Escaped() {
		return t.Raw
	}
	return Unescape(t.Raw)
}

// Unescape decodes the escapes in the content of a string that a scanner has read. Of a lone surrogate it makes the replacement character, as
// encoding/json does.
func Unescape(raw string) string {
	var b strings.Builder
	b.Grow(len(raw))
	for {
		i := strings.IndexByte(raw, '\\')
		if i < 0 || i+1 == len(raw) {
			b.WriteString(raw)
			return b.String()
		}
		b.WriteString(raw[:i])
		if raw = raw[i:]; raw[1] != 'u' {
			b.WriteByte(meaning(raw[1]))
			raw = raw[2:]
			continue
		}
		r, n := unicodeEscape(raw)
		b.WriteRune(r)
		raw = raw[max(n, 2):] // n is 0 for a text that no scanner has read, in which a \u may have no digits
	}
}

// meaning returns the character for the letter of an escape.
func meaning(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default: // a quote, a backslash or a slash
		return c
	}
}

// Eight bytes are checked at once, as one number. Multiplied by ones, a byte is repeated in all eight; tops has the highest bit of each.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// special returns a word in which the highest bit of a byte marks that a string can't contain this byte of w as it is: it is a quote, a backslash or
// a control character. Only the first mark is reliable, because a subtraction can borrow from the bytes above.
func special(w uint64) uint64 {
	// An exclusive or makes quotes, or backslashes, zero, and subtracting one from zero sets the highest bit. So does subtracting 0x20 from a control
	// character. &^ w takes out the bytes beyond ASCII, which had the highest bit before.
	return (((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones) | (w - ones*' ')) &^ w & tops
}

// word returns the first eight bytes of s as a little-endian number.
func word(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// plainLen returns how many bytes s has before the first special one: a quote, a backslash or a control character. high is those bytes, and perhaps
// some after them, joined with "or", eight or one at a time: if none of its bytes has the highest bit set, all are ASCII.
func plainLen(s string) (n int, high uint64) {
	rest := s
	for len(rest) >= 16 {
		v, w := word(rest), word(rest[8:]) // the first byte of the text is the lowest of the number
		high |= v | w
		if m := special(v); m != 0 {
			return len(s) - len(rest) + bits.TrailingZeros64(m)/8, high
		}
		if m := special(w); m != 0 {
			return len(s) - len(rest) + 8 + bits.TrailingZeros64(m)/8, high
		}
		rest = rest[16:]
	}
	for len(rest) > 0 && rest[0] >= ' ' && rest[0] != '"' && rest[0] != '\\' {
		high |= uint64(rest[0])
		rest = rest[1:]
	}
	return len(s) - len(rest), high
}

// Text reads a string. Its loop has two steps: plainLen passes over plain text, eight bytes at a time, up to the closing quote or an escape; then the
// escapes that follow one another directly are read one by one.
func (p *Scanner) Text() (Text, error) {
	if p.Peek() != '"' {
		return Text{}, p.Fail("expected a string")
	}
	start := p.pos + 1
	saved, seen := 0, uint64(0) // by how many bytes decoding shortens the text; its plain bytes joined with "or", eight at a time
	for i := start; ; {
		n, high := plainLen(p.s[i:])
		i += n
		seen |= high
		switch {
		case i == len(p.s):
			p.pos = i
			return Text{}, p.Fail("unterminated string")
		case p.s[i] == '"':
			notASCII := seen&tops != 0 // some byte has the highest bit set
			return p.endText(start, i, saved, notASCII)
		case p.s[i] < ' ':
			p.pos = i
			return Text{}, p.Fail("control character in a string")
		}
		for i+1 < len(p.s) && p.s[i] == '\\' { // the byte is a backslash: one escape, or several in a row
			if simple[p.s[i+1]] { // an escape of two bytes
				i += 2
				saved++
				continue
			}
			r, n := unicodeEscape(p.s[i:])
			if n == 0 {
				break // no escape at all: the backslash is still there, and fails below
			}
			i += n
			saved += n - utf8.RuneLen(r)
		}
		if i < len(p.s) && p.s[i] == '\\' { // the loop has stopped at what is no escape
			p.pos = i
			return Text{}, p.Fail("invalid escape")
		}
	}
}

// endText returns the string from start to end, the offset of its closing quote. saved is by how much decoding its escapes shortens it. Text that is
// not all ASCII has to be valid UTF-8.
func (p *Scanner) endText(start, end, saved int, notASCII bool) (Text, error) {
	raw := p.s[start:end]
	if notASCII && !utf8.ValidString(raw) {
		return Text{}, p.Fail("invalid UTF-8")
	}
	p.pos = end + 1
	p.spare += saved
	return Text{raw, len(raw) - saved}, nil
}

// simple has the characters that form an escape of two bytes with a backslash.
var simple = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// unicodeEscape returns the character of the \u escape (or pair of surrogates) at the beginning of s, and the length of the escape in bytes: 6, or 12
// for a pair. A surrogate without its other half is the replacement character, as in encoding/json. The length is 0 if there is no escape.
func unicodeEscape(s string) (r rune, n int) {
	r, ok := hex4(s)
	if !ok {
		return utf8.RuneError, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := hex4(s[6:]); ok {
		if r := utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, 12
		}
	}
	return utf8.RuneError, 6
}

// hex4 parses the four hexadecimal digits of the \u escape at the beginning of s, and reports false if there is none.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	// digit has values plus one, and zero for what is no digit: then the number is meaningless, and the second result false.
	a, b, c, d := digit[s[2]], digit[s[3]], digit[s[4]], digit[s[5]]
	return rune(a-1)<<12 | rune(b-1)<<8 | rune(c-1)<<4 | rune(d-1), a != 0 && b != 0 && c != 0 && d != 0
}

// digit has the values of hexadecimal digits plus one, and zero for other bytes.
var digit = func() (table [256]uint8) {
	for i, c := range []byte("0123456789abcdef") {
		table[c] = uint8(i + 1)
	}
	for i, c := range []byte("ABCDEF") {
		table[c] = uint8(i + 11)
	}
	return table
}()
