package prompt

import (
	"strconv"
	"unicode/utf16"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// CountsAtLeast reports whether the blocks from first to last, both included, certainly have the given number of tokens, by counting pieces of text
// of which each is at least one token. It reads no more text than necessary.
func (p *Prompt) CountsAtLeast(first, last int, tokens int64) bool {
	for i := max(first, 0); i <= last && tokens > 0; i++ {
		for _, l := range p.leavesOf(i) {
			switch {
			case l.binary: // the model does not read it as text
			case l.json: // resolved leaves out white space and decodes escapes
				tokens -= piecesIn(l.resolved(), false, tokens)
			default:
				tokens -= piecesIn(l.text(), l.quoted, tokens)
			}
			if tokens <= 0 {
				break // which also ends the outer loop
			}
		}
	}
	return tokens <= 0
}

// piecesIn counts the pieces into which tokenizers cut a text before they look for tokens, and stops at enough: a run of letters, up to three digits,
// a run of signs, and up to 24 bytes that are not ASCII are a piece each. White space goes with what follows it. A token never reaches over two
// pieces in the public vocabularies that cut at all. quoted says that the text is the inside of a JSON string: then each escape counts as what it
// stands for.
func piecesIn(s string, quoted bool, enough int64) int64 {
	const space, letter, digit, sign, other = 0, 1, 2, 3, 4
	pieces, run, before := int64(0), 0, space // run counts the bytes of the kind before, since that kind began
	for i := 0; i < len(s) && pieces < enough; {
		c, n, times := s[i], 1, 1 // a byte, how many bytes of s stand for it, and how often it comes
		if quoted && c == '\\' {
			c, n, times = escapedByte(s[i:])
		}
		i += n
		kind := sign
		switch {
		case c <= ' ':
			kind = space
		case isDigit(c):
			kind = digit
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			kind = letter
		case c >= 0x80:
			kind = other
		}
		if kind != before {
			run = 0
		}
		longest := len(s) // how many bytes of this kind a piece can have
		switch kind {
		case digit:
			longest = 3
		case other:
			longest = 24
		}
		for range times { // more than once for an escape that stands for several bytes
			if kind != space && run%longest == 0 {
				pieces++
			}
			run++
		}
		before = kind
	}
	return pieces
}

// escapedByte returns the first byte of what an escape stands for, the length of the escape, and how many bytes like that one there are.
func escapedByte(s string) (c byte, n, times int) {
	const many = 0x80 // stands for any character that is not ASCII
	if len(s) < 6 || s[1] != 'u' {
		return jsonscan.Unescape(s[:2])[0], 2, 1
	}
	switch r, _ := strconv.ParseUint(s[2:6], 16, 16); {
	case r < 0x80:
		return byte(r), 6, 1
	case r < 0x800, utf16.IsSurrogate(rune(r)): // two halves of four bytes
		return many, 6, 2
	default:
		return many, 6, 3
	}
}
