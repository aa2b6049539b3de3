package textcost

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bound returns a number of tokens that a text does not exceed: at least 0, at most its bytes. With escaped, the text is the
// inside of a JSON string literal whose escapes are not resolved: an escape counts as the character it stands for, one
// that is malformed as it is spelled.
func Bound(text string, escaped bool) int64 {
	s := NewScanner()
	s.Scan(text, 0, len(text), escaped)
	return min(s.Tokens(), int64(len(text)))
}

// Scan reads a text from the byte at from up to about to, and returns where it stopped: at the end of the character or
// escape that lies across to. A text can so be scanned in pieces; each begins where the last one stopped.
func (s *Scanner) Scan(text string, from, to int, escaped bool) int {
	if !escaped {
		end := characterEnd(text, to)
		s.plain(text[from:end])
		return end
	}
	for i := from; i < to; {
		end := to
		if escape := strings.IndexByte(text[i:to], '\\'); escape >= 0 {
			end = i + escape
		} else {
			end = characterEnd(text, to)
		}
		s.plain(text[i:end])
		if i = end; i < len(text) && text[i] == '\\' && i < to {
			i += s.escape(text[i:])
		}
		from = i
	}
	return from
}

// characterEnd returns the first place from i on at which a character may begin.
func characterEnd(text string, i int) int {
	for i < len(text) && !utf8.RuneStart(text[i]) {
		i++
	}
	return i
}

// escape scans the escape at the beginning of text, and returns its length.
func (s *Scanner) escape(text string) int {
	if len(text) < 2 {
		s.plain(text)
		return len(text)
	}
	if text[1] == 'u' {
		if r, size := unicodeEscape(text); size > 0 {
			var buffer [utf8.UTFMax]byte
			s.plain(string(buffer[:utf8.EncodeRune(buffer[:], r)]))
			return size
		}
	} else if at := strings.IndexByte(`"\/bfnrt`, text[1]); at >= 0 {
		s.ascii("\"\\/\b\f\n\r\t"[at])
		return 2
	}
	s.ascii('\\')
	return 1
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
