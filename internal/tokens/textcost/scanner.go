package textcost

import "unicode/utf8"

// Scanner adds up the cost of one text. It allocates nothing. Make one with NewScanner.
type Scanner struct {
	table *table
	run   run
	units int64

	history  uint64 // the classes of the last characters, five bits each, the last one lowest; for a word, its letters
	last     uint32 // the last character if it is ASCII, else beyond
	repeated bool   // the last character is ASCII, no small letter, and equals the one before it
	cyrillic uint32 // the last character as a Cyrillic letter, counted from 1, if last is beyond; else undefined
	script   uint32 // of the last character, if last is beyond; else undefined
}

// run is the run of ASCII letters that the last character belongs to, if any.
type run struct {
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
	return (s.run.end(s.table, s.history, s.units) + Unit - 1) / Unit
}

// end returns the units of the text when the run ends here: fewer if it is a listed word.
func (r *run) end(t *table, history uint64, units int64) int64 {
	if units <= r.before+wordCost || r.position == 0 || r.length < 2 || r.length > wordLetters {
		return units
	}
	if !t.listed(history&(1<<(5*r.length)-1), r.position) {
		return units
	}
	return r.before + wordCost
}

// plain scans text without escapes. The state that changes with each character is kept in variables: that makes it twice as
// fast as fields.
func (s *Scanner) plain(text string) {
	table, run, units, history, last := s.table, s.run, s.units, s.history, s.last
	for i := 0; i < len(text); {
		c := uint32(text[i])
		switch kinds[c] {
		case kindLower:
			if run.length == 0 {
				run.position, run.before = lowerPosition[history&31], units
			}
			start := i
			for ; i < len(text) && text[i]-'a' < 26; i++ {
				history = history<<5 | uint64(text[i]&31)
				units += int64(table.letters[history&(1<<15-1)])
			}
			run.length += i - start
			last = uint32(text[i-1])
			continue
		case kindOther:
			if run.length > 0 {
				units = run.end(table, history, units)
				run.length = 0
			}
			for {
				cost, class := table.pairs[(last<<7|c)&(1<<14-1)], uint64(classes[c&127])
				if c != last {
					s.repeated = false
				} else if class = classAgain(c); s.repeated {
					cost = table.repeats[c&127]
				} else {
					s.repeated = true
				}
				units += int64(cost)
				history, last = history<<5|class, c
				if i++; i == len(text) {
					break
				}
				if c = uint32(text[i]); kinds[c] != kindOther {
					break
				}
			}
			continue
		case kindUpper:
			units += int64(s.capital(&run, c, last, history, units))
			history, last = afterCapital(history, c, last), c
		default:
			s.units, s.history, s.last = units, history, last
			i += s.beyond(text[i:])
			units, history, last = s.units, s.history, s.last
			run.length = 0 // the word goes on, and is not listed
			continue
		}
		i++
	}
	s.run, s.units, s.history, s.last = run, units, history, last
}

// classAgain returns the class of a character that follows itself: several spaces are no longer the one before a word.
func classAgain(c uint32) uint64 {
	if c == ' ' {
		return classOther
	}
	return uint64(classes[c&127])
}

// capital returns what a capital costs. It begins a run of letters; inside of one it makes it unlisted.
func (s *Scanner) capital(run *run, c, last uint32, history uint64, units int64) uint8 {
	run.position = 0
	if run.length == 0 {
		run.position, run.before = lowerPosition[history&31]<<2, units
	}
	run.length++
	third := c == last && s.repeated
	s.repeated = c == last
	if third {
		return s.table.repeats[c&127]
	}
	return s.table.pairs[(last<<7|c)&(1<<14-1)]
}

// afterCapital returns the history behind the capital c.
func afterCapital(history uint64, c, last uint32) uint64 {
	if kinds[last] == kindUpper {
		return history<<5 | classUpper
	}
	return classBegin<<5 | uint64(c&31)
}

// ascii scans one ASCII character.
func (s *Scanner) ascii(c byte) { s.plain(string(rune(c))) }

// beyond scans the character beyond ASCII at the beginning of text, or a broken byte, and returns its length.
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
	s.repeated = false
	return size
}

// scriptChange is what a change between scripts beyond ASCII costs, or one from small Russian letters to others. Byte-level
// tokenizers merge the last bytes of one character with the first of the next where that pair is common in some text, and
// are left with odd bytes then.
const scriptChange = Unit * 3 / 4

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
