package prompt

import (
	"math"
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
	pieces, run, before := int64(0), 0, ofSpace // run counts the bytes of the kind before, since that kind began
	for i := 0; i < len(s) && pieces < enough; {
		c, n, times := s[i], 1, 1 // a byte, how many bytes of s stand for it, and how often it comes
		if quoted && c == '\\' {
			c, n, times = escapedByte(s[i:])
		}
		i += n
		kind := kindOf(c)
		if kind != before {
			run = 0
		}
		for range times { // more than once for an escape that stands for several bytes
			if kind != ofSpace && run%kind.longest() == 0 { // a piece begins
				pieces++
			}
			run++
		}
		before = kind
	}
	return pieces
}

// pieceKind is what kind of bytes a piece consists of.
type pieceKind uint8

const (
	ofSpace pieceKind = iota
	ofLetters
	ofDigits
	ofSigns
	ofOthers // not ASCII
)

// kindOf returns the kind of a byte.
func kindOf(c byte) pieceKind {
	switch {
	case c <= ' ':
		return ofSpace
	case isDigit(c):
		return ofDigits
	case c|0x20 >= 'a' && c|0x20 <= 'z':
		return ofLetters
	case c >= 0x80:
		return ofOthers
	default:
		return ofSigns
	}
}

// longest returns how many bytes a piece of this kind can have: see piecesIn.
func (k pieceKind) longest() int {
	switch k {
	case ofDigits:
		return 3 // numbers are cut into pieces of up to three digits
	case ofOthers:
		return 24 // as long as eight characters of three bytes; a larger number would only count fewer pieces, and never too many
	default:
		return math.MaxInt // a run of letters or signs is one piece, however long
	}
}

// escapedByte returns the first byte of what the escape at the beginning of s stands for, the length of the escape, and how many bytes of the same
// kind it stands for: one for an ASCII character, and two or three in UTF-8 for any other.
func escapedByte(s string) (c byte, n, times int) {
	const many = 0x80              // stands for any character that is not ASCII
	if len(s) < 6 || s[1] != 'u' { // a backslash and a letter or sign, such as \n
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
