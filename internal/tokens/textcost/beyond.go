package textcost

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// lead is what the first byte of a character says about it. The character's four bytes are read as one number.
type lead struct {
	fixed, pattern uint32 // the bits that are fixed in well-formed characters, and their values
	offset         uint32 // what the fixed bits add to the number
	least          uint32 // the lowest code point of this length
	shift          uint8  // removes the bytes after the character
	size           uint8
}

// leads is indexed by the first byte of a well-formed character. For other bytes no number fits the pattern.
var leads = func() (leads [256]lead) {
	for b := range leads {
		switch {
		case b == beyond:
			leads[b] = lead{offset: 0, least: beyond, shift: 18, size: 1}
		case b >= 0xc2 && b <= 0xdf:
			leads[b] = lead{fixed: 0xc0 << 16, pattern: 0x80 << 16, offset: 0xc0 << 6, least: 0x80, shift: 12, size: 2}
		case b&0xf0 == 0xe0:
			leads[b] = lead{fixed: 0xc0c0 << 8, pattern: 0x8080 << 8, offset: 0xe0 << 12, least: 0x800, shift: 6, size: 3}
		case b >= 0xf0 && b <= 0xf4:
			leads[b] = lead{fixed: 0xc0c0c0, pattern: 0x808080, offset: 0xf0 << 18, least: 1 << 16, size: 4}
		default:
			leads[b] = lead{pattern: 1, size: 1}
		}
	}
	leads[0xed].fixed |= 0x20 << 16 // excludes surrogates
	leads[0xf4].fixed |= 0x30 << 16 // excludes everything above U+10FFFF
	return leads
}()

// characters adds the cost of the characters beyond ASCII that begin in a block, except what read has added already, and returns where the
// last one ends.
//
// Except for very rare ones, no branch depends on the text: that is twice as fast where Latin letters with and without accents alternate.
func (s *Scanner) characters(text *window, beyond uint64) (end int) {
	heads := beyond &^ continuations(text)
	end, formed := s.block.decode(text, heads, bits.OnesCount64(beyond))
	if !formed {
		heads, end = s.block.decodeBroken(text, beyond)
		s.inexact = true
	}
	s.add(heads)
	return end
}

// decode stores the characters that begin at heads. It returns where the last one ends, and whether they are well-formed and include all
// bytes beyond ASCII of the block.
func (b *block) decode(text *window, heads uint64, bytes int) (end int, formed bool) {
	wrong, size, i := uint32(0), 0, 0
	for ; heads != 0; heads &= heads - 1 {
		at := bits.TrailingZeros64(heads) & (blockBytes - 1)
		x := binary.BigEndian.Uint32(text[at : at+4])
		lead := &leads[x>>24]
		r := (x>>6&(0xff<<18)|x>>4&(0x3f<<12)|x>>2&(0x3f<<6)|x&0x3f)>>(lead.shift&31) - lead.offset
		wrong |= x&lead.fixed ^ lead.pattern | (r-lead.least)>>31
		b.characters[i&(blockBytes-1)] = r
		i++
		bytes -= int(lead.size)
		end = at
		size = int(lead.size)
	}
	end += size
	return end, wrong == 0 && bytes+max(end-blockBytes, 0) == 0
}

// decodeBroken is decode for a block with malformed bytes. Each of them counts as U+FFFD, because it costs one token too.
func (b *block) decodeBroken(text *window, beyond uint64) (heads uint64, end int) {
	for i := 0; beyond != 0; i++ {
		at := bits.TrailingZeros64(beyond) & (blockBytes - 1)
		r, size := utf8.DecodeRune(text[at : at+utf8.UTFMax])
		b.characters[i&(blockBytes-1)] = uint32(r)
		heads |= 1 << at
		end = at + size
		beyond &^= (1<<size - 1) << at
	}
	return heads, end
}

// add adds the cost of the characters that begin at heads.
func (s *Scanner) add(heads uint64) {
	b, t, last, all, i := &s.block, s.table, uint32(s.script), uint32(0), 0
	units, added, long := uint32(0), uint32(0), uint32(0)
	for left := heads; left != 0; left &= left - 1 {
		at := bits.TrailingZeros64(left) & (blockBytes - 1)
		r := b.characters[i&(blockBytes-1)]
		i++
		in := inPlane(r)
		script := uint32(scripts[in>>4])
		change := last ^ script
		if b.states[at]&rowOfState != uint32(t.beyond) {
			change = 0
		}
		last = script
		all |= script
		tokens := uint32(t.plane[in])
		added += tokens & lengthened
		cost := tokens &^ lengthened * Unit
		if change != 0 {
			cost += scriptChange
		}
		units += cost
		first := r - addedFirst
		long |= (first - addedSpan) &^ first // the highest bit, if it is within the span
	}
	if long>>31 != 0 {
		s.addLong(heads)
	}
	s.units += int64(units)
	s.added += int64(added/lengthened) * addedInPlane
	if all&russianBit != 0 {
		s.addRussian(heads)
		return
	}
	s.script, s.letter = uint16(last), 0
}

// addLong adds the bytes by which normalisation can lengthen characters beyond the basic plane. It is a function of its own, because the
// loop of add needs all registers.
func (s *Scanner) addLong(heads uint64) {
	for i := range bits.OnesCount64(heads) {
		if r := s.block.characters[i]; r > 0xffff {
			s.added += addedTo(r)
			s.units += addedTo(r) * Unit
		}
	}
}

// inPlane returns a character of the basic plane unchanged, and 1<<16 for all others, without a branch.
func inPlane(r uint32) uint32 {
	behind := uint32(int32(0xffff-r) >> 31)
	return r&^behind | behind&(1<<16)
}

// addRussian adds the cost of small Russian letters. If one follows another Cyrillic letter, add has counted a change of script, which is
// taken back.
func (s *Scanner) addRussian(heads uint64) {
	b, t, last, letter, units, i := &s.block, s.table, uint32(s.script), uint32(s.letter), int64(0), 0
	for ; heads != 0; heads &= heads - 1 {
		at := bits.TrailingZeros64(heads) & (blockBytes - 1)
		behind := t.behind[uint16(b.states[at])>>7]
		begins := uint32(int32(behind) >> 31) // all ones if the character before is ASCII
		r := b.characters[i&(blockBytes-1)]
		i++
		script := uint32(scripts[inPlane(r)>>4])
		russian := uint32(int32(script<<16) >> 31)
		before := letter&^begins | behind>>8&63
		letter = (r - cyrillicFirst + 1) & russian
		cost := (uint32(t.cyrillic[(before<<6|letter)&(1<<12-1)]) - behind&0xff) & russian
		if script == scriptRussian && last|begins == scriptCyrillic {
			cost -= scriptChange
		}
		last = script
		units += int64(int32(cost))
	}
	s.units += units
	s.script, s.letter = uint16(last), uint16(letter)
}
