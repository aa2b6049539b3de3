package textcost

// Scanner adds up the cost of one text. It allocates nothing. Make one with NewScanner.
//
// What an ASCII character costs depends on a few before it alone, so an automaton reads them: one look-up for each byte tells
// what it costs and in which row to look next. A mispredicted branch would cost as much as three bytes, so that no branch
// depends on where words are: a block of text is read without regard to words, then all words in it are looked up.
type Scanner struct {
	table *table
	units int64
	row   uint16 // what the last characters were: see table
	run   run

	script uint16 // of the last character, if that is beyond ASCII
	letter uint16 // the last character as a small Russian letter, counted from 1, or 0, if it is beyond ASCII

	block block
}

// run is the run of ASCII letters that the last character belongs to, if any.
type run struct {
	open  bool
	start int    // where in the text it begins, unlisted if it is no listed word
	units int64  // it costs
	row   uint16 // before it
}

// unlisted is so far before any text that the run is longer than a word may be.
const unlisted = -1 << 30

const blockBytes = 64

// block is what was read of up to 64 bytes of ASCII.
type block struct {
	rows  [blockBytes]uint16 // before each character
	units [blockBytes]uint16 // of the characters before it in its half

	half      int   // where the second half begins
	halfUnits int64 // of the first one
}

// NewScanner returns a scanner at the beginning of a text. That costs one token, because some tokenizers put a space there.
func NewScanner() Scanner {
	t := fitted()
	return Scanner{table: t, units: Unit, row: t.begin}
}

// Tokens returns the bound of what was scanned of a text up to the byte at, rounded up.
func (s *Scanner) Tokens(text string, at int) int64 {
	return (s.units - s.saved(bytesOf(text), at) + Unit - 1) / Unit
}

// ascii scans text from i, where an ASCII character stands that begins no escape, to end or to where it is not so, and returns
// where it stopped.
func (s *Scanner) ascii(text []byte, i, end int, escaped bool) int {
	for {
		c, n := classify(text[i:end], escaped)
		units := s.read(text[i:], n)
		s.units += units - s.saves(text, i, n, c, units)
		if i += n; i == end || text[i] >= beyond || escaped && text[i] == '\\' {
			return i
		}
	}
}

// read follows the rows through n bytes of ASCII, and returns what they cost without regard to words. It reads both halves of
// them at once, because each look-up of a row waits for the one before it: any row leads to the same one in three characters.
func (s *Scanner) read(text []byte, n int) int64 {
	t, b, row, units, from := s.table, &s.block, uint(s.row), uint(0), 0
	text = text[:min(n, blockBytes)]
	if half := len(text) / 2; half >= 8 {
		row2, units2 := uint(t.begin), uint(0)
		for _, c := range text[half-3 : half] {
			row2 = uint(t.next[row2|uint(t.columns[c])])
		}
		first, second := text[:half], text[half:][:half]
		rows2, sums2 := b.rows[half:][:half], b.units[half:][:half]
		for i := range first {
			b.rows[i], b.units[i], rows2[i], sums2[i] = uint16(row), uint16(units), uint16(row2), uint16(units2)
			at, at2 := row|uint(t.columns[first[i]]), row2|uint(t.columns[second[i]])
			units, units2 = units+uint(t.units[at]), units2+uint(t.units[at2])
			row, row2 = uint(t.next[at]), uint(t.next[at2])
		}
		b.half, b.halfUnits = half, int64(units)
		row, units, from = row2, units2, 2*half
	} else {
		b.half, b.halfUnits = blockBytes, 0
	}
	for i := from; i < len(text); i++ {
		b.rows[i], b.units[i] = uint16(row), uint16(units)
		at := row | uint(t.columns[text[i]])
		units += uint(t.units[at])
		row = uint(t.next[at])
	}
	s.row = uint16(row)
	return int64(units) + b.halfUnits
}

// until returns what the characters before i cost.
func (b *block) until(i int) int64 {
	second := int64(b.half-1-i) >> 63 // all ones from the second half on
	return int64(b.units[i&(blockBytes-1)]) + b.halfUnits&second
}

// signs scans the characters from i to end that are neither letters nor beyond ASCII nor an escape, behind one beyond ASCII,
// and returns where it stopped. Where such text has no words in ASCII, this saves a block for each space.
func (s *Scanner) signs(text []byte, i, end int, escaped bool) int {
	t, row, units, from := s.table, s.row, s.units, i
	for ; i < end; i++ {
		column := t.columns[text[i]]
		if column < letterColumns || column == columnBeyond || escaped && column == columnBackslash {
			break
		}
		at := row | uint16(column)
		units += int64(t.units[at])
		row = t.next[at]
	}
	s.row, s.units = row, units
	if i > from {
		s.run.open = false
	}
	return i
}

// character scans an ASCII character that an escape at i stands for. A run in which one is is no listed word.
func (s *Scanner) character(text []byte, i int, c byte) {
	at := s.row | uint16(s.table.columns[c]&columnBeyond)
	letter := isLetter(c)
	if !letter {
		s.units -= s.saved(text, i)
	}
	s.units += int64(s.table.units[at])
	s.row, s.run = s.table.next[at], run{open: letter, start: unlisted}
}
