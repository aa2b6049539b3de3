package textcost

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Some tokenizers convert text to Unicode's normalisation form C first. That shortens nearly all text, but lengthens a few characters: those
// that are excluded from composition, such as U+0958, and those that a following mark decomposes because it comes before theirs in the
// canonical order, as U+0323 after U+00E9. The table has the former, and those marks, as the first and the last code point of each range. It is of
// Unicode 15.1; internal/tools/tokenizers/lengthened.py makes it with Python's unicodedata.
var lengthening = [...][2]rune{
	{0x31b, 0x31b},
	{0x323, 0x328},
	{0x32d, 0x32e},
	{0x330, 0x331},
	{0x344, 0x344},
	{0x958, 0x95f},
	{0x9dc, 0x9dd},
	{0x9df, 0x9df},
	{0xa33, 0xa33},
	{0xa36, 0xa36},
	{0xa59, 0xa5b},
	{0xa5e, 0xa5e},
	{0xb5c, 0xb5d},
	{0xf43, 0xf43},
	{0xf4d, 0xf4d},
	{0xf52, 0xf52},
	{0xf57, 0xf57},
	{0xf5c, 0xf5c},
	{0xf69, 0xf69},
	{0xf73, 0xf73},
	{0xf75, 0xf76},
	{0xf78, 0xf78},
	{0xf81, 0xf81},
	{0xf93, 0xf93},
	{0xf9d, 0xf9d},
	{0xfa2, 0xfa2},
	{0xfa7, 0xfa7},
	{0xfac, 0xfac},
	{0xfb9, 0xfb9},
	{0x2adc, 0x2adc},
	{0xfa6c, 0xfa6c},
	{0xfacf, 0xfad1},
	{0xfad5, 0xfad7},
	{0xfb1d, 0xfb1d},
	{0xfb1f, 0xfb1f},
	{0xfb2a, 0xfb36},
	{0xfb38, 0xfb3c},
	{0xfb3e, 0xfb3e},
	{0xfb40, 0xfb41},
	{0xfb43, 0xfb44},
	{0xfb46, 0xfb4e},
	{0x1d15e, 0x1d164},
	{0x1d1bb, 0x1d1c0},
}

// The most bytes that a character of the table adds: those beyond the basic plane become three characters of four bytes.
const (
	addedInPlane = 3
	addedBeyond  = 8
)

// Where the code points of the table that are beyond the basic plane begin, and how many there are from there to the last of them, with those between
// that are not in the table.
const (
	addedFirst = 0x1d15e
	addedSpan  = 0x1d1c0 - addedFirst + 1
)

// lengthens has a bit for each code point of the basic plane that is in the table.
var lengthens = func() (set [1 << 16 / 64]uint64) {
	for _, r := range lengthening {
		for c := r[0]; c <= r[1] && c <= 0xffff; c++ {
			set[c>>6] |= 1 << (c & 63)
		}
	}
	return set
}()

// addedTo returns by how many bytes normalisation may lengthen a text because of a character in it.
func addedTo(r uint32) int64 {
	switch {
	case r <= 0xffff:
		return int64(lengthens[r>>6]>>(r&63)&1) * addedInPlane
	case r >= 0x1d15e && r <= 0x1d164 || r >= 0x1d1bb && r <= 0x1d1c0: // the last two ranges of the table
		return addedBeyond
	default:
		return 0
	}
}

// Bytes returns the length of a text plus the bytes by which normalisation can lengthen it: a tokenizer that falls back to bytes never makes
// more tokens.
func Bytes(text string) int64 { return int64(len(text)) + Lengthening(bytesOf(text)) }

// AtMostBytes returns the smaller of tokens and Bytes of a text, which is only computed if needed.
func AtMostBytes(tokens int64, text string) int64 {
	if tokens <= int64(len(text)) {
		return tokens
	}
	return min(tokens, Bytes(text))
}

// Lengthening returns by how many bytes, at most, Unicode's normalisation form C can lengthen a text. For ASCII that is 0, which takes as
// long as reading it from memory. Malformed text is not lengthened.
func Lengthening(text []byte) (added int64) {
	// A window has some bytes behind its block, where the block's last character may go on. The rest of the text, too short for a window, comes below.
	for ; len(text) >= windowSize; text = text[blockBytes:] {
		t := (*window)(text)
		// A block of which no byte has its highest bit set is ASCII.
		if (word(t[:], 0)|word(t[:], 8)|word(t[:], 16)|word(t[:], 24)|word(t[:], 32)|word(t[:], 40)|word(t[:], 48)|word(t[:], 56))&highest != 0 {
			added += lengthening64(t)
		}
	}
	for i := 0; i < len(text); i++ {
		if i+8 <= len(text) && word(text, i)&highest == 0 {
			// Eight bytes of ASCII are passed at once: i grows by one more at the loop's end.
			i += 7
			continue
		}
		added += addedAt(text[i:])
	}
	return added
}

// lengthening64 returns by how many bytes normalisation can lengthen the characters that begin in a block. Only characters of four bytes
// cause a branch.
func lengthening64(text *window) (added int64) {
	var first, found uint64 // a mask of the bytes with which a character of the table may begin; how many characters of up to three bytes are in it
	for i := 0; i < blockBytes; i += 8 {
		// The characters of the table begin with 0xcc or 0xcd, which differ in the lowest bit, with 0xe0 or 0xe2, which differ in the next one, or with
		// 0xef or more: to such a byte's lower bits, 0x11 adds its highest bit.
		x := word(text[:], i)
		first |= gather(zeros((x^0xcc*each)&(0xfe*each))|zeros((x^0xe0*each)&(0xfd*each))|x&(x&^highest+0x11*each)&highest) << i
	}
	for ; first != 0; first &= first - 1 {
		at := bits.TrailingZeros64(first) & (blockBytes - 1)
		x := binary.BigEndian.Uint32(text[at : at+4])
		if x >= 0xf0<<24 {
			if x>>16 == 0xf09d { // U+1D000 to U+1DFFF
				added += addedAt(text[at : at+utf8.UTFMax])
			}
			continue
		}
		// The code point if the character has three bytes, and if it has two.
		r, two := x>>12&0xf000|x>>10&0xfc0|x>>8&0x3f, x>>18&0x7c0|x>>16&0x3f
		if x < 0xe0<<24 {
			r = two
		}
		// The last factor is 1 if the second byte has the form 10xxxxxx, as inside of a character. Otherwise the text is malformed and not
		// lengthened.
		found += lengthens[r>>6] >> (r & 63) & uint64(x>>23&^(x>>22)&1)
	}
	return added + int64(found)*addedInPlane
}

// addedAt returns addedTo of the character at the beginning of text, and 0 inside of a character.
func addedAt(text []byte) int64 {
	switch b := text[0]; {
	case b < 0xcc: // no character of the table begins with such a byte, and those inside of a character are smaller than 0xcc, too
		return 0
	case b < 0xe0: // a character of two bytes, if the second has the upper bits 10; else the text is malformed, and not lengthened
		if len(text) > 1 && text[1]>>6 == 2 {
			return addedTo(uint32(b&0x1f)<<6 | uint32(text[1]&0x3f))
		}
	case b < 0xf0: // a character of three bytes
		if len(text) > 2 && text[1]>>6 == 2 {
			return addedTo(uint32(b&0xf)<<12 | uint32(text[1]&0x3f)<<6 | uint32(text[2]&0x3f))
		}
	case len(text) > 3:
		r, _ := utf8.DecodeRune(text)
		return addedTo(uint32(r))
	}
	return 0
}
