package textcost

import "unicode/utf8"

// A text is scanned in one of two ways: in blocks of 64 bytes by next, which has no branches that depend on the text, or character by character by
// dense, which is faster as long as one script follows another seldom.
//
// A row stands for the last characters, and a state is a row in the low 16 bits of a number, with units of cost, 1/120 token each, above it.
// Adding the entry of a character in table.states to a state gives the next one. A run is a row of letters and characters beyond ASCII, which
// may be a listed word and then costs less than read letter by letter; Scanner.saved is by how much.

// blocksBetween is how many blocks are scanned with next before the text is tried with dense again.
const blocksBetween = 32

// blocksAfterShort is the same after dense has scanned less than a block. It doubles each time that this happens again, up to blocksBetween.
const blocksAfterShort = 4

// mostSigns is how many signs in a row are scanned one by one.
const mostSigns = 16

// dense scans the text from i on as long as it only has characters beyond ASCII and signs (all ASCII characters but letters), one after another,
// and returns how many bytes that were. In text of one script the processor predicts branches well, so that this is twice as fast as scanning
// blocks. It stops where the script changes often.
func (s *Scanner) dense(text []byte, i, end int, escaped bool) int {
	from := i
	for i < end && s.blocks == 0 { // beyond, too, sets blocks: where the script changes often
		before := i
		if text[i] >= beyond {
			i = s.beyond(text, i, end)
		}
		signs := i // where the signs begin
		// Where neither step got on there is a letter or an escape, for which blocks are needed.
		if i = s.signs(text, i, min(end, i+mostSigns), escaped); i == before {
			break
		}
		if i == signs+mostSigns {
			s.blocks = 1 // blocks are faster for long runs of signs
		}
	}
	if i-from < blockBytes { // blocks are faster where it stops so soon: by 5 % for letters under piled-up marks
		s.pause = min(max(2*s.pause, blocksAfterShort), blocksBetween)
		s.blocks = max(s.blocks, s.pause)
	} else {
		s.pause = 0
	}
	return i - from
}

// signs scans the characters from i on that are neither letters nor beyond ASCII nor, if the text is escaped, the backslash of an escape. It returns
// where it stopped, at end at the latest, which is at most mostSigns away: blocks are faster for more.
func (s *Scanner) signs(text []byte, i, end int, escaped bool) int {
	t, state, from := s.table, uint32(s.row), i
	for ; i < end; i++ {
		c := text[i]
		if c >= beyond || isLetter(c) || escaped && c == '\\' {
			break
		}
		state += t.states[uint16(state)+uint16(c)]
	}
	if i > from {
		// The first sign ends the open run, which costs less if it was a listed word.
		if s.run.open && s.run.start != unlisted {
			s.units -= s.saved(text, from)
		}
		s.row, s.run.open = uint16(state), false
		s.units += int64(state >> unitsShift)
	}
	return i
}

// beyond scans text from i, where a character beyond ASCII or a malformed byte is, to end or to the next ASCII character, and returns where
// it stopped. It adds to s.units what these characters cost, and to s.added by how many bytes Unicode's normalisation, which some tokenizers apply
// first, can lengthen them.
func (s *Scanner) beyond(text []byte, i, end int) int {
	t, units, script, letter, from := s.table, s.units, s.script, s.letter, i
	// behind tells of the character before: in its lowest 8 bits by how much it makes the first character dearer, and in the 6 above these its number in
	// table.cyrillic, if it is ASCII.
	behind := t.behind[s.row/rowUnit]
	first, changes := int64(behind&0xff), 0 // changes counts those of the script
	if s.row != t.beyond {                  // the character before is ASCII
		units -= scriptChange // the loop adds it for the first character, because no script is scriptNone
		script, letter = scriptNone<<scriptShift, uint16(behind>>8&63)
	}
	// The comparison of numbers without a sign saves a check of the index.
	for text = text[:end]; uint(i) < uint(len(text)) && text[i] >= beyond; {
		r, size := decode(text[i:])
		i += size
		if l := r - cyrillicFirst; l < cyrillicLetters { // a small Russian letter: for a character before those l is a very large number
			if script != russianInPlane && script != cyrillicInPlane { // before it is neither such a letter nor another Cyrillic one
				units += scriptChange
			}
			units += int64(t.cyrillic[(letter<<6|uint16(l+1))&(1<<12-1)])
			// t.cyrillic includes what the character before adds, so first is dropped.
			script, letter, first = russianInPlane, uint16(l+1), 0
			continue
		}
		last, in := script, t.plane[min(r, planeEnd)] // the script of the character before, and the entry of this one
		if script = in & planeScript; script != last {
			units += scriptChange
			// Four changes of script, and one more for each 16 bytes, are usual. After more of them the rest is left to blocks: cutting the text
			// ends the loop.
			if changes++; changes > 4+(i-from)/16 {
				s.blocks = blocksBetween
				text = text[:i]
			}
		}
		units += int64(in&planeTokens)*Unit + first
		// The character before the next one is this one, no small Russian letter, so its number is 0. first was for the first character alone.
		// The bits lengthened and lengthenedBeyond say that normalisation can lengthen the character: by addedTo(r) bytes, of a token each.
		if letter, first = 0, 0; in&(lengthened|lengthenedBeyond) != 0 {
			s.added += addedTo(r)
			// For a character of the basic plane the entry's tokens include those of the added bytes, and nothing is added here: addedTo is
			// addedInPlane, which has no bit of addedBeyond. For one beyond it, addedBeyond tokens are. The & comes before the *.
			units += addedTo(r) & addedBeyond * Unit
		}
		s.inexact = s.inexact || r == utf8.RuneError && size == 1
	}
	s.units, s.script, s.letter, s.row = units, script, letter, t.beyond
	s.run = run{open: true, start: unlisted} // a word that follows continues this run
	return i
}

// decode returns the first character of text and its length. A malformed byte counts as U+FFFD, because it costs one token too. Characters of
// two and three bytes, the usual ones, are decoded without a call.
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
