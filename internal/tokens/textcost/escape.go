package textcost

import (
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// escapes has the characters of escapes of two bytes, by their second byte; 0 if there is no such escape.
var escapes = [256]uint8{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape decodes about limit bytes of the text from i on into the window. It returns how many bytes it has written and how many it has
// read. backslashes has a bit for each backslash. It stops before an escape that stands for an ASCII letter.
func (s *Scanner) unescape(text []byte, i, limit int, backslashes uint64) (n, taken int) {
	if limit == blockBytes {
		limit = wholeCharacters(text[i:], limit)
	}
	backslashes &= below(limit)
	var short, long uint64 // where escapes of two bytes begin, and where all others do
	for left := backslashes; left != 0; {
		at := bits.TrailingZeros64(left)
		second := byte(0)
		if i+at+1 < len(text) {
			second = text[i+at+1]
		}
		if escapes[second] != 0 && at+1 < limit {
			short |= 1 << at
		} else {
			long |= 1 << at
		}
		left &^= 3 << at
	}
	b := &s.block
	for taken < limit {
		if long>>taken&1 == 0 {
			stop := min(taken+bits.TrailingZeros64(long>>taken), limit)
			n = b.copy(text[i:], n, taken, stop, short)
			taken = stop
			continue
		}
		r, size := escape(text[i+taken:])
		if r < beyond && isLetter(byte(r)) {
			break
		}
		if r < utf8.RuneSelf {
			b.text[n] = byte(r)
			n++
		} else {
			n += utf8.EncodeRune(b.text[n:], r)
			s.added -= addedTo(uint32(r)) // an escaped character is not in the text's bytes, so it can't be lengthened there
		}
		taken += size
	}
	clear(b.text[n : n+utf8.UTFMax])
	return n, taken
}

// wholeCharacters returns the last offset up to limit that is not inside of a character.
func wholeCharacters(text []byte, limit int) int {
	for back := limit; back < len(text) && back > limit-utf8.UTFMax; back-- {
		if utf8.RuneStart(text[back]) {
			return back
		}
	}
	return limit
}

// copy decodes the bytes of text between two offsets into the window at n, and returns where it stopped. It copies the whole rest after each
// escape, which takes a few instructions: no branch depends on where the escapes are.
func (b *block) copy(text []byte, n, from, to int, short uint64) int {
	short = short >> from << from & below(to)
	if len(text) < blockBytes+windowSize {
		for i := from; i < to; i, n = i+1, n+1 {
			if b.text[n] = text[i]; short>>i&1 == 1 {
				i++
				b.text[n] = escapes[text[i]]
			}
		}
		return n
	}
	*(*[blockBytes]byte)(b.text[n:]) = [blockBytes]byte(text[from:])
	n -= from
	for ; short != 0; short &= short - 1 {
		at := bits.TrailingZeros64(short) & (blockBytes - 1)
		b.text[n+at] = escapes[text[at+1]]
		*(*[blockBytes]byte)(b.text[n+at+1:]) = [blockBytes]byte(text[at+2:])
		n--
	}
	return n + to
}

// escape returns the character of the escape at the beginning of a text, and its length. A malformed escape is a single backslash.
func escape(text []byte) (rune, int) {
	if len(text) > 1 && escapes[text[1]] != 0 {
		return rune(escapes[text[1]]), 2
	}
	if r, size := unicodeEscape(text); size > 0 {
		return r, size
	}
	return '\\', 1
}

// unicodeEscape decodes \uXXXX, or two of them that are a surrogate pair. A lone surrogate is U+FFFD, as in encoding/json. The size is 0 if
// the escape is malformed.
func unicodeEscape(text []byte) (rune, int) {
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

func hexadecimal(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	digits := digit[text[2]]<<12 | digit[text[3]]<<8 | digit[text[4]]<<4 | digit[text[5]]
	return rune(digits), digits <= 0xffff
}

// digit has the values of hexadecimal digits, and for all other bytes a value that makes any number too large.
var digit = func() (values [256]uint32) {
	for c := range values {
		switch {
		case c >= '0' && c <= '9':
			values[c] = uint32(c - '0')
		case c >= 'a' && c <= 'f':
			values[c] = uint32(c - 'a' + 10)
		case c >= 'A' && c <= 'F':
			values[c] = uint32(c - 'A' + 10)
		default:
			values[c] = 1 << 16
		}
	}
	return values
}()
