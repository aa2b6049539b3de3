package textcost

import (
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Bound returns a number of tokens that a text does not exceed: at least 0, at most its bytes and Lengthening. With escaped,
// the text is the inside of a JSON string literal whose escapes are not resolved: an escape counts as the character it stands
// for, one that is malformed as it is spelled.
func Bound(text string, escaped bool) int64 {
	s := NewScanner()
	s.Scan(text, 0, len(text), escaped)
	return AtMostBytes(s.Tokens(text, len(text)), text)
}

// Scan reads a text from the byte at from up to about to, and returns where it stopped: at the end of the character or
// escape that lies across to. A text can so be scanned in pieces; each begins where the last one stopped.
func (s *Scanner) Scan(text string, from, to int, escaped bool) int {
	i, end, bytes := from, characterEnd(text, to), bytesOf(text)
	for i < end {
		switch {
		case text[i] >= beyond:
			i = s.signs(bytes, s.beyond(bytes, i, end), end, escaped)
		case escaped && text[i] == '\\':
			i += s.escape(text, i)
		default:
			i = s.ascii(bytes, i, end, escaped)
		}
	}
	return i
}

func bytesOf(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

// characterEnd returns the first place from i on at which a character may begin.
func characterEnd(text string, i int) int {
	for i < len(text) && !utf8.RuneStart(text[i]) {
		i++
	}
	return i
}

// escape scans the escape at i, and returns its length. One that is malformed is a backslash alone.
func (s *Scanner) escape(text string, i int) int {
	if i+1 < len(text) && escapes[text[i+1]] != 0 {
		s.character(bytesOf(text), i, escapes[text[i+1]])
		return 2
	}
	r, size := unicodeEscape(text[i:])
	if size == 0 {
		r, size = '\\', 1
	}
	if r < beyond {
		s.character(bytesOf(text), i, byte(r))
		return size
	}
	var buffer [utf8.UTFMax]byte
	length := utf8.EncodeRune(buffer[:], r)
	s.beyond(buffer[:], 0, length)
	return size
}

// unicodeEscape reads \uXXXX, or two of them that are a surrogate pair. A lone surrogate is U+FFFD, as for encoding/json.
// The size is 0 when the escape is malformed.
func unicodeEscape(text string) (rune, int) {
	const size = len(`\u0000`)
	r, ok := hexadecimal(text)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, size
	}
	if low, ok := hexadecimal(text[size:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 2 * size
		}
	}
	return utf8.RuneError, size
}

func hexadecimal(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(text[2:6]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
