// Package textcost bounds how many tokens a text has by its characters and words, in one pass and without a vocabulary.
//
// The cost of a character depends on the one or two characters before it, by a table that was fitted to real tokenizers; a common word costs
// the most tokens that any of them makes of it. A unit of cost is 1/120 token. The table and the list of words were made by
// internal/tools/tokenizers, from vocabularies of 2026-11-28.
package textcost

import (
	_ "embed"
	"sync"
	"unicode/utf8"
)

// Unit is how many units of cost one token has.
const Unit = 120

// table is costs.bin and words.txt in the form in which the scanner uses them. A state is a row in the low 16 bits of a number, and the units
// that were added up above them. A row stands for the possible characters before the present one. Rows are multiples of rowWidth: the sum of a
// row and the column of a character is an index of states.
type table struct {
	// states has, for each row and column, what the character of that column adds to a state: its cost above the low 16 bits, and in these the step
	// from the row to the one after the character. In columnBeyond it has that part of the cost of a character beyond ASCII which depends on the
	// character before.
	states [1 << 16]uint32
	behind [1 << 16 / rowUnit]uint32 // by row/rowUnit: what the row's last character means for one beyond ASCII after it, see behindASCII

	begin, space, beyond uint16 // the rows at the beginning of a text, after a single space, and after a character beyond ASCII

	cyrillic [64 * 64]uint8 // [letter before][letter]: units
	// plane has, for each character of the basic plane and some beyond it, its script, its tokens, and whether normalisation can lengthen it
	// (see planeTokens). The tokens of small Russian letters are in cyrillic instead. The entry planeEnd is for all other characters.
	plane [planeSize]uint16

	words *words
}

// The column of an ASCII character is the character itself; there are two more. A row is nine cache lines wide: were that number even, the same
// column of many rows would be in a few sets of the processor's first cache, and would not fit there.
const (
	columnBeyond  = beyond // any character beyond ASCII
	columnSkipped = 0x80   // a byte that costs nothing and changes no row, such as the backslash of an escape
	rowWidth      = 144    // entries of table.states from one row to the next
	rowUnit       = 16     // divides rowWidth, so that row/rowUnit is a smaller index, and another one for each row
)

// Small Russian letters are numbered from 1 at U+0430. Before the first one the number is 0, or cyrillicSpace after a single space.
const (
	cyrillicFirst   = 0x430
	cyrillicLetters = 32
	cyrillicSpace   = 63
)

// behindASCII marks the rows of ASCII characters in table.behind. Of the bits below it the lowest 8 have the cost that the row's last character adds
// to one beyond ASCII, and the 6 above these the number that stands for it before a small Russian letter.
const behindASCII = 1 << 31

// beyond stands for any character beyond ASCII.
const beyond = 0x7f

// stored is costs.bin: the cost of a character in units, by what is in the brackets. Only plane has tokens.
type stored struct {
	letters  [groups * 32 * 32]uint8 // [group of the character two before][class of the one before][small letter]
	pairs    [128 * 128]uint8        // [character before][any ASCII character but a small letter, or beyond]
	repeats  [128]uint8              // [ASCII character] that comes for at least the third time in a row
	cyrillic [64 * 64]uint8          // as table.cyrillic
	plane    [1 << 16 / 4]uint8      // the tokens of each character of the basic plane, in two bits
}

//go:embed costs.bin
var costs string

// Groups of the character two before a small letter. They only differ in the cost if the character between the two is a letter.
const (
	groupLetter = iota // a small letter, or a capital that does not follow a capital
	groupSpace         // one space
	groupOther
	groupUpper // a capital after a capital
	groupBegin // anything, if the character between is a capital that does not follow a capital
	groups
)

// Classes of the character before a small letter; 1 to 26 are letters, except capitals that follow a capital.
const (
	classSpace  = 0 // one space
	classOther  = 27
	classDigit  = 28
	classUpper  = 29 // a capital after a capital
	classBeyond = 30
)

// newStored cuts costs.bin into its parts, which stand in it one after another.
func newStored() *stored {
	s, rest := new(stored), costs
	for _, part := range [][]uint8{s.letters[:], s.pairs[:], s.repeats[:], s.cyrillic[:], s.plane[:]} {
		rest = rest[copy(part, rest):]
	}
	return s
}

// fitted returns the table. It is made once, which takes some milliseconds.
var fitted = sync.OnceValue(func() *table {
	s := newStored()
	t := &table{cyrillic: s.cyrillic, words: newWords(wordList)}
	rows := rows{table: t, stored: s, numbers: make(map[place]uint16)}
	// The first of these calls numbers and fills all rows to which ASCII characters lead.
	t.begin, t.space, t.beyond = rows.number(place{last: '\n'}), rows.number(place{last: ' '}), rows.number(place{last: beyond})
	// In each row a character beyond ASCII leads to the row beyond, which had no number yet when most rows were filled.
	for _, row := range rows.numbers {
		t.states[row+columnBeyond] += uint32(t.beyond) - uint32(row)
	}
	// A space has a number of its own before a Russian letter; the row beyond is the only one that is not of an ASCII character.
	t.behind[t.space/rowUnit] |= cyrillicSpace << 8
	t.behind[t.beyond/rowUnit] &^= behindASCII
	t.fillPlane(s)
	return t
})

// The parts of an entry of plane, as masks. planeTokens and lengthened can be added up for all characters of a block in one number, because the bits
// of the script are taken out before and leave room between them.
const (
	planeTokens      = 7
	lengthened       = 1 << 12 // normalisation can lengthen the character, which is of the basic plane
	lengthenedBeyond = 1 << 13 // the same for a character beyond the basic plane
	planeScript      = 0x8ff8  // from scriptShift on 9 bits of the script, and the highest bit for russianBit
	scriptShift      = 3
)

// planeEnd is the code point after the last one that normalisation can lengthen: its entry is for all later ones, too. planeSize is the power of two
// above it, so that a mask can bound an index.
const (
	planeEnd  = addedFirst + addedSpan
	planeSize = 1 << 17
)

// planeScriptOf returns a script as it is in plane: shifted above the tokens, but for russianBit, which stays the highest bit.
func planeScriptOf(script uint16) uint16 {
	return script&^russianBit<<scriptShift | script&russianBit
}

// fillPlane fills in plane: the basic plane from costs.bin, and the characters beyond it, up to planeEnd, by one rule for all.
func (t *table) fillPlane(s *stored) {
	for r := range uint32(1 << 16) {
		added := uint16(addedTo(r))
		// stored.plane has two bits for each character.
		tokens := uint16(s.plane[r>>2] >> (r & 3 * 2) & 3)
		// One token more for each added byte, but not for the marks before U+0344, which have a cost of their own that includes those.
		if r >= 0x344 {
			tokens += added
		}
		if added > 0 {
			tokens |= lengthened
		}
		if r-cyrillicFirst < cyrillicLetters {
			// A small Russian letter has its cost in cyrillic instead.
			tokens = 0
		}
		t.plane[r] = tokens | planeScriptOf(scriptOf(r))
	}
	for r := uint32(1 << 16); r <= planeEnd; r++ {
		// One token for each byte. Scanner adds those for added bytes when it finds lengthenedBeyond.
		t.plane[r] = utf8.UTFMax | planeScriptOf(scriptBeyond)
		if addedTo(r) > 0 {
			t.plane[r] |= lengthenedBeyond
		}
	}
}

// place is what the cost of a character depends on: the characters before it.
type place struct {
	last   byte // the character before; beyond stands for all that are not ASCII
	group  int  // of the character before last, if last is a small letter
	humped bool // last is a capital that follows a capital
	again  bool // last is not a small letter, and equals the character before it, so that a third one in a row is a repetition
}

// rows numbers the places that can occur in a text.
type rows struct {
	table   *table
	stored  *stored
	numbers map[place]uint16
}

// number returns the row of a place. For a new place it fills the row, and by calling itself the rows of all places to which ASCII characters lead
// from there.
func (r *rows) number(p place) uint16 {
	row, ok := r.numbers[p]
	if ok {
		return row
	}
	row = uint16(len(r.numbers)) * rowWidth
	r.numbers[p] = row
	for c := range byte(beyond) { // the cost goes above the low 16 bits, and the step to the row of the next place into them
		r.table.states[row+uint16(c)] = uint32(r.stored.cost(p, c))<<unitsShift + uint32(r.number(p.then(c))) - uint32(row)
	}
	// first is what the place adds to the cost of a character beyond ASCII. fitted adds the step from this row to the row beyond.
	first := r.stored.pairs[int(p.last)<<7|beyond]
	r.table.behind[row/rowUnit], r.table.states[row+columnBeyond] = behindASCII|uint32(first), uint32(first)<<unitsShift
	return row
}

// then returns the place after the character c.
func (p place) then(c byte) place {
	switch {
	case isLower(c):
		return place{last: c, group: p.asGroup()}
	case isUpper(c) && isUpper(p.last):
		return place{last: c, humped: true, again: c == p.last}
	case isUpper(c):
		return place{last: c}
	default:
		return place{last: c, again: c == p.last}
	}
}

// asGroup returns the group that the last character of the place will have when it is the one two before a small letter.
func (p place) asGroup() int {
	switch {
	case isLower(p.last) || isUpper(p.last) && !p.humped:
		return groupLetter
	case p.humped:
		return groupUpper
	case p.last == ' ' && !p.again:
		return groupSpace
	default:
		return groupOther
	}
}

// letterIndex returns where stored.letters has the cost of a small letter that comes next: the class of the character before it, and the group
// of the one before that (see the constants). The group only matters if the character before is a letter.
func (p place) letterIndex() (class, group int) {
	switch c := p.last; {
	case isLower(c):
		return int(c & 31), p.group
	case p.humped:
		return classUpper, groupUpper
	case isUpper(c):
		return int(c & 31), groupBegin
	case c == ' ' && !p.again:
		return classSpace, groupOther
	case c == beyond:
		return classBeyond, groupOther
	case c >= '0' && c <= '9':
		return classDigit, groupOther
	default:
		return classOther, groupOther
	}
}

// cost returns what c costs in a place.
func (s *stored) cost(p place, c byte) uint8 {
	switch {
	case isLower(c):
		class, group := p.letterIndex()
		return s.letters[group<<10|class<<5|int(c&31)]
	case p.again && c == p.last:
		return s.repeats[c]
	default:
		return s.pairs[int(p.last)<<7|int(c)]
	}
}

// isLower, isLetter and isUpper are for ASCII letters.
func isLower(c byte) bool { return c >= 'a' && c <= 'z' }

func isLetter(c byte) bool { return isLower(c) || isUpper(c) }

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

// Scripts are numbered by blocks of 256 code points, except that all blocks of East Asia are one script, and so are those of Latin letters,
// of symbols, and all characters beyond the basic plane.
const (
	scriptLatin    = 0
	scriptCyrillic = 0x4 // except small Russian letters
	scriptSymbols  = 0x20
	scriptEastAsia = 0x4e
	scriptBeyond   = 0x100 // beyond the basic plane
	scriptNone     = 0x101 // of no character; it differs from all scripts
	russianBit     = 0x8000
	scriptRussian  = scriptCyrillic | russianBit // small Russian letters
)

// scriptChange is the cost of a change between scripts beyond ASCII, or between small Russian letters and others. Byte-level tokenizers
// merge the last bytes of one character with the first of the next if that pair is common in some text, and are then left with single bytes.
const scriptChange = Unit * 3 / 4

// scriptOf returns the script of a character of the basic plane.
func scriptOf(r uint32) uint16 {
	switch block := r >> 8; {
	case r-cyrillicFirst < cyrillicLetters:
		// For characters before U+0430 the difference is a very large number, because it has no sign.
		return scriptRussian
	case block <= 2:
		return scriptLatin
	case block >= 0x20 && block <= 0x2b:
		return scriptSymbols
	case block >= 0x2e && block <= 0x9f || block >= 0xac && block <= 0xd7 || block == 0xff:
		return scriptEastAsia
	default:
		return uint16(block)
	}
}
