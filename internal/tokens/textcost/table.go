// Package textcost bounds how many tokens a text has by its characters and words, in one pass and without a vocabulary.
//
// The cost of a character depends on the one or two characters before it, by a table that was fitted to real tokenizers; a common word costs
// the most tokens that any of them makes of it. A unit of cost is 1/120 token. The table and the list of words were made by
// internal/tools/tokenizers, from vocabularies of 2026-11-28.
package textcost

import (
	_ "embed"
	"strings"
	"sync"
	"unicode/utf8"
)

// Unit is how many units of cost one token has.
const Unit = 120

// table is costs.bin and words.txt in the form in which the scanner uses them. A row stands for the possible characters before the present
// one. Rows are multiples of 128: the sum of a row and the column of a character is an index of states.
type table struct {
	columns [256]uint8      // of ASCII characters; columnBeyond for other bytes
	states  [1 << 16]uint32 // the cost of the character, and the row after it; in columnBeyond, the cost that depends on the last character before one beyond ASCII
	behind  [1 << 9]uint32  // by row: what it means for a following character beyond ASCII, see behindASCII

	begin, space, beyond uint16 // the rows at the beginning of a text, after a single space, and after a character beyond ASCII

	cyrillic [64 * 64]uint8 // [letter before][letter]: units
	// plane has, for each character of the basic plane, its tokens, and how many bytes normalisation adds. The tokens of small Russian
	// letters are in cyrillic instead. The last entry is for all characters beyond the plane.
	plane [1<<16 + 1]uint8

	words *words
}

// Columns. Those of letters, digits and the signs of base64 come first, so that such text needs few cache lines.
const (
	usualFirst    = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
	letterColumns = 2 * 26
	columnBeyond  = 127
)

// Small Russian letters are numbered from 1 at U+0430. Before the first one the number is 0, or cyrillicSpace after a single space.
const (
	cyrillicFirst   = 0x430
	cyrillicLetters = 32
	cyrillicSpace   = 63
)

// behindASCII marks the rows of ASCII characters in table.behind. The bits below it have the cost that the last character adds to one beyond
// ASCII, and the number that stands for it before a small Russian letter.
const behindASCII = 1 << 31

// beyond stands for any character beyond ASCII.
const beyond = 0x7f

// stored is costs.bin.
type stored struct {
	letters  [groups * 32 * 32]uint8 // [group of the character two before][class of the one before][small letter]
	pairs    [128 * 128]uint8        // [character before][any ASCII character but a small letter, or beyond]
	repeats  [128]uint8              // [ASCII character] that comes for at least the third time in a row
	cyrillic [64 * 64]uint8
	plane    [1 << 16 / 4]uint8
}

//go:embed costs.bin
var costs string

// Groups of the character two before a small letter.
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
	t := &table{columns: columns(), cyrillic: s.cyrillic, words: newWords(wordList)}
	rows := rows{table: t, stored: s, numbers: make(map[place]uint16)}
	t.begin, t.space, t.beyond = rows.number(place{last: '\n'}), rows.number(place{last: ' '}), rows.number(place{last: beyond})
	for _, row := range rows.numbers {
		t.states[row|columnBeyond] |= uint32(t.beyond)
	}
	t.behind[t.space>>7] |= cyrillicSpace << 8
	t.behind[t.beyond>>7] &^= behindASCII
	t.fillPlane(s)
	return t
})

// lengthened marks characters of the plane that normalisation can lengthen.
const lengthened = 8

func (t *table) fillPlane(s *stored) {
	for r := range uint32(1 << 16) {
		added := uint8(addedTo(r))
		t.plane[r] = s.plane[r>>2]>>(r&3*2)&3 + added
		if r < 0x344 {
			t.plane[r] -= added // these marks have a cost of their own, which includes the added bytes
		}
		if added > 0 {
			t.plane[r] |= lengthened
		}
		if r-cyrillicFirst < cyrillicLetters {
			t.plane[r] = 0
		}
	}
	t.plane[1<<16] = utf8.UTFMax
}

func columns() (columns [256]uint8) {
	next := uint8(len(usualFirst))
	for c := range columns {
		switch at := strings.IndexByte(usualFirst, byte(c)); {
		case c >= beyond:
			columns[c] = columnBeyond
		case at >= 0:
			columns[c] = uint8(at)
		default:
			columns[c] = next
			next++
		}
	}
	return columns
}

// place is what the cost of a character depends on: the characters before it.
type place struct {
	last   byte // the character before; beyond stands for all that are not ASCII
	group  int  // of the character before last, if last is a small letter
	humped bool // last is a capital that follows a capital
	again  bool // last is not a small letter, and equals the character before it
}

// rows numbers the places that can occur in a text.
type rows struct {
	table   *table
	stored  *stored
	numbers map[place]uint16
}

// number returns the row of a place. For a new place it fills the row, and those of the places that can follow.
func (r *rows) number(p place) uint16 {
	row, ok := r.numbers[p]
	if ok {
		return row
	}
	row = uint16(len(r.numbers)) << 7
	r.numbers[p] = row
	for c := range byte(beyond) {
		at := row | uint16(r.table.columns[c])
		r.table.states[at] = uint32(r.stored.cost(p, c))<<unitsShift | uint32(r.number(p.then(c)))
	}
	first := r.stored.pairs[int(p.last)<<7|beyond]
	r.table.behind[row>>7], r.table.states[row|columnBeyond] = behindASCII|uint32(first), uint32(first)<<unitsShift
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

// asGroup returns the group of the last character, for a small letter two characters later.
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

// letterIndex returns where stored.letters has the cost of a small letter that comes next: the class of the character before it, and the group of
// the one before that (see the constants).
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
	scriptNone     = 0x101
	russianBit     = 0x8000
	scriptRussian  = scriptCyrillic | russianBit // small Russian letters
)

// scriptChange is the cost of a change between scripts beyond ASCII, or between small Russian letters and others. Byte-level tokenizers
// merge the last bytes of one character with the first of the next if that pair is common in some text, and are then left with single bytes.
const scriptChange = Unit * 3 / 4

// scripts has the script of each sixteen characters of the basic plane, and then scriptBeyond.
var scripts = func() (s [1<<16/16 + 1]uint16) {
	for i := range s {
		switch block := i / 16; {
		case block == scriptBeyond:
			s[i] = scriptBeyond
		case i == cyrillicFirst/16 || i == cyrillicFirst/16+1:
			s[i] = scriptRussian
		case block <= 2:
			s[i] = scriptLatin
		case block >= 0x20 && block <= 0x2b:
			s[i] = scriptSymbols
		case block >= 0x2e && block <= 0x9f || block >= 0xac && block <= 0xd7 || block == 0xff:
			s[i] = scriptEastAsia
		default:
			s[i] = uint16(block)
		}
	}
	return s
}()
