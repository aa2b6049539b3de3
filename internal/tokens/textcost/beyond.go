package textcost

import "unicode/utf8"

// beyond scans text from i, where a character beyond ASCII or a broken byte stands, to end or to the next ASCII character,
// and returns where it stopped.
func (s *Scanner) beyond(text []byte, i, end int) int {
	t, units, script, letter := s.table, s.units, s.script, s.letter
	first := int64(t.units[s.row|columnBeyond])
	if s.row != t.beyond {
		units -= scriptChange // the loop adds it, because no script is scriptNone
		script, letter = scriptNone, 0
		if s.row == t.space {
			letter = cyrillicSpace
		}
	}
	for text = text[:end]; uint(i) < uint(len(text)) && text[i] >= beyond; {
		r, size := decode(text[i:])
		i += size
		if l := r - cyrillicFirst; l < cyrillicLetters {
			if script != scriptRussian && script != scriptCyrillic {
				units += scriptChange
			}
			units += int64(t.cyrillic[(letter<<6|uint16(l+1))&(1<<12-1)])
			script, letter, first = scriptRussian, uint16(l+1), 0
			continue
		}
		last := script
		if script = scriptOf(r); script != last {
			units += scriptChange
		}
		if r > 0xffff {
			units += int64(size)*Unit + first
		} else {
			units += int64(t.plane[r>>2]>>(r&3*2)&3)*Unit + first
		}
		if letter, first = 0, 0; r >= 0x344 { // the marks before it add none: they have a cost
			units += addedTo(r) * Unit
		}
	}
	s.units, s.script, s.letter, s.row = units, script, letter, t.beyond
	s.run = run{open: true, start: unlisted} // a word that follows goes on
	return i
}

// decode returns the first character of text and its length. A broken byte counts as U+FFFD: that costs one token, too.
func decode(text []byte) (uint32, int) {
	switch b := text[0]; {
	case b&0xe0 == 0xc0 && len(text) > 1:
		if r := uint32(b&0x1f)<<6 | uint32(text[1]&0x3f); r >= 0x80 && text[1]&0xc0 == 0x80 {
			return r, 2
		}
	case b&0xf0 == 0xe0 && len(text) > 2:
		r := uint32(b&0xf)<<12 | uint32(text[1]&0x3f)<<6 | uint32(text[2]&0x3f)
		if r >= 0x800 && r&^0x7ff != 0xd800 && text[1]&0xc0 == 0x80 && text[2]&0xc0 == 0x80 {
			return r, 3
		}
	}
	r, size := utf8.DecodeRune(text)
	return uint32(r), size
}
