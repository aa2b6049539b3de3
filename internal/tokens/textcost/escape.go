package textcost

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// A block is 64 bytes of the text, which are scanned together; its window also has the 16 bytes after it. A mask has bit i for byte i of the
// block, and classes are masks of the kinds of its bytes. A column is the place in a row of the table of costs at which a byte has its cost.
// Beyond ASCII is each character from U+007F on.

// backslashSearch is how many bytes ahead a text is searched for a backslash at once.
const backslashSearch = 4096

// escapes has the characters of escapes of two bytes, by their second byte; 0 if there is no such escape.
var escapes = [256]uint8{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// backslashes returns a bit for each of the n bytes of the block at i that is a backslash. If there is none, it looks for the next one, so that
// the blocks before that need no look.
func (s *Scanner) backslashes(text []byte, i, n int, w *window) uint64 {
	at := backslashes(w) & below(n)
	if at == 0 {
		i += n // behind the block
		next := bytes.IndexByte(text[i:min(i+backslashSearch, len(text))], '\\')
		if next < 0 { // none is within that distance
			next = backslashSearch
		}
		s.backslash = i + next
	}
	return at
}

// unescape makes a block of n bytes, at i in the text, cost what its escapes stand for. The bytes of an escape stop being letters in c, and their
// columns, by which their costs are looked up, become those of the character that it stands for:
//
//   - An ASCII character: the last byte of the escape has that character's column, all before it columnSkipped, which costs nothing.
//   - Another one: all bytes have columnBeyond. The character itself is written over the beginning of its escape, in a copy of the window, where
//     Scanner.characters looks for it; the rest of the escape is added to c.skipped.
//
// backslashes has a bit for each backslash of the block. It returns the block's window or the copy, how many bytes remain in the block, which ends
// before an escape that does not fit into it or stands for an ASCII letter, and free: which bytes have columnSkipped.
//
// All bytes of the block keep their places, so that none are moved: with that, JSON inside of a JSON string went from 196 to 253 MB/s, and Go code
// from 213 to 243.
func (s *Scanner) unescape(text []byte, i, n int, w *window, c *classes, backslashes uint64) (of *window, remain int, free uint64) {
	columns, escaped := &s.block.columns, uint64(0) // escaped has all bytes of escapes
	for left := backslashes; left != 0; {           // left has the backslashes that were not looked at yet
		at := bits.TrailingZeros64(left) & (blockBytes - 1)
		if short := escapes[w[at+1]]; short != 0 { // an escape of two bytes, for the character short
			if at+1 == blockBytes { // its second byte is behind the block
				n = at
				break
			}
			// The second byte may be a backslash as well, so both are taken out of left.
			columns[at], columns[(at+1)&(blockBytes-1)] = columnSkipped, short
			free |= 1 << at
			escaped |= 3 << at
			left &^= 3 << at
			// The part of the text to scan may end inside of the escape, which is then scanned to its own end. So n can grow.
			n = max(n, at+2)
			continue
		}
		character, size := escape(text[i+at:])
		if size == 1 { // no escape begins here: the backslash is a character itself
			left &= left - 1 // takes out its bit, the lowest
			continue
		}
		// A letter has to be scanned by itself, because it may continue a word; see escapedLetter.
		if at+size > blockBytes || character < beyond && isLetter(byte(character)) {
			n = at
			break
		}
		n = max(n, at+size)
		covered := uint64(1<<size-1) << at // the bytes of this escape
		escaped |= covered
		left &^= covered
		if character < beyond { // six bytes, such as \u0020: five are skipped
			// Four bytes get columnSkipped at once; then the fifth gets it, and the sixth the character.
			binary.LittleEndian.PutUint32(columns[at:], columnSkipped*0x01010101)
			binary.LittleEndian.PutUint16(columns[at+4:], columnSkipped|uint16(character)<<8)
			free |= 31 << at
			continue
		}
		if w != &s.block.text { // w is the text itself, which must not be changed
			s.block.text, w = *w, &s.block.text
		}
		length := utf8.EncodeRune(w[at:], character)
		for j := range size {
			columns[at+j] = columnBeyond
		}
		// All bytes of the escape count as bytes of the character, but those after its encoded form are skipped.
		c.beyond |= covered
		c.skipped |= covered &^ ((1<<length - 1) << at)
		// Scanner.characters adds to s.added what normalisation can add to the character. In the text, which has the escape in its place, normalisation
		// finds nothing to lengthen, so that is taken off here.
		s.added -= addedTo(uint32(character))
	}
	c.letters, c.capitals = c.letters&^escaped, c.capitals&^escaped
	return w, n, free
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

// hexadecimal returns the number of the \uXXXX at the beginning of a text, and whether there is one.
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
