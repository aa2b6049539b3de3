package textcost

import "unicode/utf8"

// Scanner adds up the cost of one text. It allocates nothing. Make one with NewScanner.
type Scanner struct {
	table    *table
	units    int64
	history  uint64 // the classes of the last characters, five bits each, the last one lowest; for a word, its letters
	last     uint32 // the last character if it is ASCII, else beyond
	repeated bool   // the last character is an ASCII sign that equals the one before it
	cyrillic uint32 // the last character as a Cyrillic letter, counted from 1, if last is beyond; else undefined
	script   uint32 // of the last character, if last is beyond; else undefined

	// The run of ASCII letters that the last character belongs to, if any.
	length   int    // letters, 0 outside of a run
	position uint64 // where the run may be listed as a word, 0 when it can't be
	before   int64  // units before the run
}

// NewScanner returns a scanner at the beginning of a text. That costs one token, because some tokenizers put a space there.
func NewScanner() Scanner {
	return Scanner{table: fitted(), units: Unit, history: classOther<<5 | classOther, last: '\n'}
}

// Tokens returns the bound of what was scanned, rounded up.
func (s *Scanner) Tokens() int64 {
	return (s.units - s.discount(s.history, s.units) + Unit - 1) / Unit
}

// discount returns how much less the current run costs when it ends here, because it is a listed word.
func (s *Scanner) discount(history uint64, units int64) int64 {
	saved := units - s.before - wordCost
	if s.position == 0 || s.length < 2 || s.length > wordLetters || saved <= 0 {
		return 0
	}
	if !s.table.listed(history&(1<<(5*s.length)-1), s.position) {
		return 0
	}
	return saved
}

// plain scans text without escapes. The state that changes with each character is kept in variables: that makes it twice as
// fast as fields.
func (s *Scanner) plain(text string) {
	table, units, history, last := s.table, s.units, s.history, s.last
	for i := 0; i < len(text); {
		c := uint32(text[i])
		if kind := kinds[c]; kind == kindLower {
			if s.length == 0 {
				s.position, s.before = lowerPosition[history&31], units
			}
			start := i
			for ; i < len(text) && text[i]-'a' < 26; i++ {
				history = history<<5 | uint64(text[i]&31)
				units += int64(table.letters[history&(1<<15-1)])
			}
			s.length += i - start
			s.repeated = false
			last = uint32(text[i-1])
		} else if kind != kindBeyond {
			if kind == kindUpper {
				s.capital(history, units)
			} else if s.length > 0 {
				units -= s.discount(history, units)
				s.length = 0
			}
			cost := table.pairs[(last<<7|c)&(1<<14-1)]
			class := uint64(classes[c&127])
			if c == last {
				if s.repeated {
					cost = table.repeats[c&127]
				}
				if c == ' ' {
					class = classOther
				}
			}
			units += int64(cost)
			s.repeated = c == last
			history = after(kind, history, last, class)
			last = c
			i++
		} else {
			s.units, s.history, s.last = units, history, last
			i += s.beyond(text[i:])
			units, history, last = s.units, s.history, s.last
		}
	}
	s.units, s.history, s.last = units, history, last
}

// after returns the history behind an ASCII character other than a small letter.
func after(kind uint8, history uint64, last uint32, class uint64) uint64 {
	switch {
	case kind != kindUpper:
		return history<<5 | class
	case kinds[last] == kindUpper:
		return history<<5 | classUpper
	default:
		return classBegin<<5 | class
	}
}

// capital begins a run of letters with a capital. A capital inside of one makes it unlisted.
func (s *Scanner) capital(history uint64, units int64) {
	s.position = 0
	if s.length == 0 {
		s.position, s.before = lowerPosition[history&31]<<2, units
	}
	s.length++
}

// ascii scans one ASCII character.
func (s *Scanner) ascii(c byte) { s.plain(string(rune(c))) }

// beyond scans the character beyond ASCII at the beginning of text, or a broken byte, and returns its length. A word that it
// stands in goes on, and is not listed.
func (s *Scanner) beyond(text string) int {
	r, size := utf8.DecodeRuneInString(text)
	letter, script := uint32(0), scriptOf(r)
	if r >= cyrillicFirst && r < cyrillicFirst+32 {
		letter = uint32(r-cyrillicFirst) + 1
	}
	if leavesWord := letter == 0 && s.cyrillic != 0; s.last == beyond && (script != s.script || leavesWord) {
		s.units += scriptChange
	}
	s.script = script
	switch {
	case letter != 0:
		before := uint32(0)
		if s.last == beyond {
			before = s.cyrillic
		} else if s.history&31 == classSpace {
			before = cyrillicSpace
		}
		s.units += int64(s.table.cyrillic[(before<<6|letter)&(1<<12-1)])
	case r > 0xffff || r == utf8.RuneError && size == 1:
		s.units += int64(size)*Unit + int64(s.table.pairs[s.last<<7|beyond])
	default:
		tokens := s.table.plane[r>>2] >> (uint(r&3) * 2) & 3
		s.units += int64(tokens)*Unit + int64(s.table.pairs[s.last<<7|beyond])
	}
	s.history, s.last, s.cyrillic = s.history<<5|classBeyond, beyond, letter
	s.length, s.repeated = 0, false
	return size
}

// scriptChange is what a change between scripts beyond ASCII costs, or one from small Russian letters to others. Byte-level tokenizers merge the last bytes of one
// character with the first of the next where that pair is common in some text, and are left with odd bytes then.
const scriptChange = Unit / 2

// scriptOf returns a number for the script of a character, as far as its block tells: 256 code points each, except that
// blocks of East Asia are one, and so are those of Latin letters, of symbols, and of all characters beyond the basic plane.
func scriptOf(r rune) uint32 {
	switch block := uint32(r) >> 8; {
	case block <= 2:
		return 0
	case block >= 0x20 && block <= 0x2b:
		return 0x20
	case block >= 0x2e && block <= 0x9f || block >= 0xac && block <= 0xd7 || block == 0xff:
		return 0x4e
	case block > 0xff:
		return 0x100
	default:
		return block
	}
}
