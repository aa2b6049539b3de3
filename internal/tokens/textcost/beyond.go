package textcost

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// A block is 64 bytes of the text, which are scanned together. A mask has bit i for byte i of it. Beyond ASCII is each character from U+007F on.
// Such a character costs the tokens of its entry in table.plane, and scriptChange if the character before is beyond ASCII too and of another
// script; small Russian letters have a table of their own, by pairs. A unit of cost is 1/120 token. Scanner.added counts the bytes by which
// Unicode's normalisation can lengthen the text.

// lead is what the first byte of a character says about it. Its masks are for four bytes from the first one on, read as one big-endian number: the
// character, and as many bytes behind it as it has less than four.
type lead struct {
	fixed, pattern uint32 // the bits that are the same in all well-formed characters with this first byte, and their values
	content        uint32 // the bits of the code point
	below          uint16 // the code point before the lowest that takes so many bytes
	shift          uint8  // by how many bits decode shifts the joined bits of content, to remove those of the bytes behind the character
	size           uint8  // of the character, in bytes
}

// leads has the lead of each first byte of a well-formed character. For all other bytes no number fits the pattern.
var leads = func() (leads [256]lead) {
	for b := range leads {
		switch {
		case b == beyond:
			leads[b] = lead{content: 0x7f << 24, below: beyond - 1, shift: 18, size: 1}
		case b >= 0xc2 && b <= 0xdf:
			leads[b] = lead{fixed: 0xc0 << 16, pattern: 0x80 << 16, content: 0x1f3f << 16, below: 0x7f, shift: 12, size: 2}
		case b&0xf0 == 0xe0:
			leads[b] = lead{fixed: 0xc0c0 << 8, pattern: 0x8080 << 8, content: 0xf3f3f << 8, below: 0x7ff, shift: 6, size: 3}
		case b >= 0xf0 && b <= 0xf4:
			leads[b] = lead{fixed: 0xc0c0c0, pattern: 0x808080, content: 0x73f3f3f, below: 0xffff, size: 4}
		default:
			// No bit is fixed, so that the pattern can't be met.
			leads[b] = lead{pattern: 1, size: 1}
		}
	}
	leads[0xed].fixed |= 0x20 << 16 // excludes surrogates
	leads[0xf4].fixed |= 0x30 << 16 // excludes everything above U+10FFFF
	return leads
}()

// characters adds the cost of the characters beyond ASCII that begin in a block, and returns where the last one ends. beyond has a bit for each of
// their bytes, and follows one for each that comes directly after such a byte. block.read has only added what the ASCII character before them
// makes them cost, because it takes all of them for the same one.
//
// Except for very rare ones, no branch depends on the text: that is twice as fast where Latin letters with and without accents alternate.
func (s *Scanner) characters(text *window, beyond, follows uint64) (end int) {
	heads := beyond &^ continuations(text) // the first byte of each character
	second := bits.Len64(heads)            // the offset of the byte after the first byte of the last character
	// A text of one script mostly has characters of one length: then one or two bytes follow each head. If pairs or triples return false they have done
	// nothing.
	switch followers := beyond &^ heads; {
	case followers == heads<<1 && s.pairs(text, heads, follows):
		return second + 1
	case followers == heads<<1|heads<<2 && s.triples(text, heads, follows):
		return second + 2
	}
	end, formed := s.block.decode(text, heads, follows, bits.OnesCount64(beyond))
	if !formed {
		heads, end = s.block.decodeBroken(text, beyond, follows)
		s.inexact = true
	}
	s.add(heads)
	return end
}

// pairs adds the cost of the characters whose first bytes are heads, as decode and add do, if each has two bytes; else it does nothing and returns
// false. It relies on its caller having seen that within the block one byte of the form 10xxxxxx, as inside of a character, follows each head: then
// only the first bytes are left to check. This takes a third of the instructions of decode and add: letters under piled-up marks went from 173 to 222
// MB/s.
func (s *Scanner) pairs(text *window, heads, follows uint64) bool {
	// last is the entry in plane of the character before, of which only the script is used, and all has the bits of all entries.
	b, t, last, all, i := &s.block, s.table, uint32(s.script), uint32(0), 0
	// sum adds up parts of the entries, and changes counts the changes of script, both for finish. wrong has its highest bit set if some character is
	// not of two bytes.
	sum, changes, wrong := uint32(0), uint32(0), uint32(0)
	for left := heads; left != 0; left &= left - 1 {
		at := bits.TrailingZeros64(left) & (blockBytes - 1)
		// The fixed bits of both bytes are taken off in one subtraction. After any other first byte r is out of the range of two bytes,
		// which wrong notes in its highest bit.
		r := uint32(text[at])<<6 + uint32(text[at+1]) - (0xc0<<6 + 0x80)
		wrong |= (r - 0x80) | (0x7ff - r)
		b.characters[i&(blockBytes-1)] = r
		i++
		in := uint32(t.plane[r&0x7ff]) // the character's entry
		change := (last ^ in) & planeScript
		if follows>>at&1 == 0 { // an ASCII character is between the two
			change = 0
		}
		changes += (change + 0xffff) >> 16 // 1 if it is not 0
		sum += in & (planeTokens | lengthened)
		all |= in
		last = in
	}
	// The last character may end behind the block, where the caller has not looked, so its second byte is checked here.
	if wrong>>31 != 0 || text[bits.Len64(heads)]&0xc0 != 0x80 {
		return false
	}
	s.finish(heads, sum, changes, all, last)
	return true
}

// triples is pairs for characters of three bytes: its caller has to have seen that within the block two bytes of the form 10xxxxxx follow each head.
// follows has a bit for each character that comes directly after another one beyond ASCII. triples does not store the characters, because finish
// reads those only if there are Russian letters, which have two bytes. It takes half of the instructions of decode and add.
func (s *Scanner) triples(text *window, heads, follows uint64) bool {
	// last is the entry in plane of the character before, of which only the script is used. sum adds up parts of the entries, and changes counts the
	// changes of script, both for finish. wrong has its highest bit set if some character is not of three bytes.
	t, last := s.table, uint32(s.script)
	sum, changes, wrong := uint32(0), uint32(0), uint32(0)
	for left := heads; left != 0; left &= left - 1 {
		at := bits.TrailingZeros64(left) & (blockBytes - 1)
		// The fixed bits of the three bytes are taken off in one subtraction. After a first byte of another kind r is out of the range of three bytes.
		r := uint32(text[at])<<12 + uint32(text[at+1])<<6 + uint32(text[at+2]) - (0xe0<<12 + 0x80<<6 + 0x80)
		// A difference below 0 sets the highest bit. r ^ 0xd800 comes first, and is below 0x800 for a surrogate.
		wrong |= (r - 0x800) | (0xffff - r) | (r ^ 0xd800 - 0x800) // neither below U+0800 nor above U+FFFF nor a surrogate
		in := uint32(t.plane[r&0xffff])                            // the character's entry
		change := (last ^ in) & planeScript
		if follows>>at&1 == 0 { // an ASCII character is between the two
			change = 0
		}
		changes += (change + 0xffff) >> 16 // 1 if it is not 0
		sum += in & (planeTokens | lengthened)
		last = in
	}
	// The last character may end behind the block, so its second and third byte are checked here.
	if behind := bits.Len64(heads); wrong>>31 != 0 || text[behind]&0xc0 != 0x80 || text[behind+1]&0xc0 != 0x80 {
		return false
	}
	// all is not needed, because no Russian letter has three bytes.
	s.finish(heads, sum, changes, 0, last)
	return true
}

// finish adds to the scanner what pairs, triples or add have counted of the characters that begin at heads. sum adds up two parts of their entries
// in table.plane: their tokens, and the bit lengthened of those that Unicode's normalisation can lengthen. changes is how often the script changes;
// all has the bits that any entry has, and last is the last entry.
func (s *Scanner) finish(heads uint64, sum, changes, all, last uint32) {
	// The tokens add up in the bits of sum below lengthened, and how many characters have that bit adds up from lengthened on.
	s.units += int64(sum&(lengthened-1)*Unit + changes*scriptChange)
	s.added += int64(sum/lengthened) * addedInPlane
	if all&russianBit != 0 {
		s.addRussian(heads)
		return
	}
	s.script, s.letter = uint16(last&planeScript), 0
}

// decode decodes the characters that begin at heads into b.characters, and stores in b.follows which of them have a bit in follows. It returns where
// the last one ends, and whether they are well-formed and include all bytes beyond ASCII of the block, of which there are so many as bytes says.
func (b *block) decode(text *window, heads, follows uint64, bytes int) (end int, formed bool) {
	// wrong has a bit set if a character does not fit its lead's pattern. The highest bit of above stays set as long as no character takes too many
	// bytes.
	wrong, above, size, i := uint32(0), ^uint32(0), 0, 0
	for ; heads != 0; heads &= heads - 1 {
		end = bits.TrailingZeros64(heads) & (blockBytes - 1)
		x := binary.BigEndian.Uint32(text[end : end+4])
		lead := &leads[x>>24] // by the first byte
		// y joins neighbouring groups of six bits of the code point, and r both halves.
		y := x & lead.content
		y = y&0x003f003f | y>>2&0x1fc01fc0
		r := (y>>4&0x1fff000 | y&0xfff) >> (lead.shift & 31)
		b.characters[i&(blockBytes-1)], b.follows[i&(blockBytes-1)] = r, follows>>end&1 != 0
		i++
		wrong |= x&lead.fixed ^ lead.pattern
		// The difference has its highest bit set if r is above lead.below, as it is unless it is written in more bytes than it needs.
		above &= uint32(lead.below) - r
		size = int(lead.size)
		bytes -= size
	}
	end += size
	// bytes is now 0, or minus what the last character has behind the block; it is another number if a byte belongs to no character.
	return end, wrong == 0 && (above>>31 == 1 || i == 0) && bytes+max(end-blockBytes, 0) == 0
}

// decodeBroken is decode for a block with malformed bytes. Each of them counts as U+FFFD, because it costs one token too.
func (b *block) decodeBroken(text *window, beyond, follows uint64) (heads uint64, end int) {
	for i := 0; beyond != 0; i++ {
		at := bits.TrailingZeros64(beyond) & (blockBytes - 1)
		r, size := utf8.DecodeRune(text[at : at+utf8.UTFMax])
		b.characters[i&(blockBytes-1)], b.follows[i&(blockBytes-1)] = uint32(r), follows>>at&1 != 0
		heads |= 1 << at
		end = at + size
		beyond &^= (1<<size - 1) << at // takes out all bytes of this character
	}
	return heads, end
}

// add adds the cost of the characters that decode has stored, which begin at heads.
func (s *Scanner) add(heads uint64) {
	// last is the entry in plane of the character before, of which only the script is used, and all has the bits of all entries. sum adds up parts of
	// the entries, and changes counts the changes of script, both for finish.
	b, plane, last, all := &s.block, &s.table.plane, uint32(s.script), uint32(0)
	sum, changes, n := uint32(0), uint32(0), bits.OnesCount64(heads)
	for i := range n {
		in := uint32(plane[inPlane(b.characters[i&(blockBytes-1)])]) // the character's entry
		change := (last ^ in) & planeScript
		if !b.follows[i&(blockBytes-1)] { // an ASCII character is between the two
			change = 0
		}
		changes += (change + 0xffff) >> 16 // 1 if it is not 0
		sum += in & (planeTokens | lengthened)
		all |= in
		last = in
	}
	if all&lengthenedBeyond != 0 {
		s.addLong(n)
	}
	s.finish(heads, sum, changes, all, last)
}

// inPlane returns where table.plane has a character: at r, or at planeEnd for each r that is larger. It has no branch: over is negative for a smaller
// r, and then added; else 0 is.
func inPlane(r uint32) uint32 {
	over := r - planeEnd
	return (planeEnd + over&uint32(int32(over)>>31)) & (planeSize - 1) // the mask changes nothing and saves a check
}

// addLong adds the bytes by which normalisation can lengthen those of the block's first n characters that are beyond the basic plane, and one token
// for each of these bytes. For characters of the basic plane finish does both.
func (s *Scanner) addLong(n int) {
	for _, r := range s.block.characters[:n] {
		if r > 0xffff {
			s.added += addedTo(r)
			s.units += addedTo(r) * Unit
		}
	}
}

// addRussian adds the cost of small Russian letters. If one follows another Cyrillic letter, add has counted a change of script,
// which is taken back.
func (s *Scanner) addRussian(heads uint64) {
	// last is the script of the character before, and letter its number if it is a small Russian letter, else 0.
	b, t, last, letter, units, i := &s.block, s.table, uint32(s.script), uint32(s.letter), int64(0), 0
	for ; heads != 0; heads &= heads - 1 {
		at := bits.TrailingZeros64(heads) & (blockBytes - 1)
		// behind tells of the character before: the highest bit says whether it is ASCII. The lowest 8 bits have the cost that block.read has added
		// because of it, which is taken back, and the 6 above these its number in table.cyrillic, if it is ASCII.
		behind := t.behind[uint16(b.states[at])/rowUnit]
		begins := uint32(int32(behind) >> 31) // all ones if the character before is ASCII
		r := b.characters[i&(blockBytes-1)]
		i++
		script := uint32(t.plane[inPlane(r)] & planeScript)
		// All ones for a small Russian letter: russianBit is the highest of the 16 bits.
		russian := uint32(int32(script<<16) >> 31)
		before := letter&^begins | behind>>8&63 // the number of the character before; behind has none for one beyond ASCII
		letter = (r - cyrillicFirst + 1) & russian
		cost := (uint32(t.cyrillic[(before<<6|letter)&(1<<12-1)]) - behind&0xff) & russian // 0 for any other character
		// The change that add has counted between another Cyrillic letter, directly before, and this one.
		if script == russianInPlane && last|begins == cyrillicInPlane {
			cost -= scriptChange
		}
		last = script
		units += int64(int32(cost))
	}
	s.units += units
	s.script, s.letter = uint16(last), uint16(letter)
}

// The scripts of Cyrillic letters as they are in plane.
const (
	russianInPlane  = scriptCyrillic<<scriptShift | russianBit
	cyrillicInPlane = scriptCyrillic << scriptShift
)
