package textcost

import "math/bits"

// Scanner adds up the cost of one text. It allocates nothing. Make one with NewScanner.
//
// What a character costs depends on a few before it alone, so an automaton reads the bytes: one look-up for each tells what
// it costs and in which row to look next. A mispredicted branch would cost as much as three bytes, so that no branch depends on
// where words, characters beyond ASCII or escapes are: a block of text is read without regard to words, then all characters
// beyond ASCII in it are looked up, then all words.
type Scanner struct {
	table *table
	units int64
	row   uint16 // what the last characters were: see table
	run   run

	script uint16 // of the last character, if that is beyond ASCII
	letter uint16 // the last character as a small Russian letter, counted from 1, or 0, if it is beyond ASCII

	added   int64 // the bytes by which normalisation can lengthen what was scanned
	inexact bool  // added is not what the text's bytes say, because some are broken

	blocks int // to scan as such before text is tried as dense: see dense
	block  block
}

// run is the run of ASCII letters and characters beyond ASCII that the last character belongs to, if any.
type run struct {
	open  bool
	start int    // where in the text it begins, unlisted if it is no listed word
	units int64  // it costs
	row   uint16 // before it
}

// unlisted is so far before any text that the run is longer than a word may be.
const unlisted = -1 << 30

// NewScanner returns a scanner at the beginning of a text. That costs one token, because some tokenizers put a space there.
func NewScanner() Scanner {
	t := fitted()
	return Scanner{table: t, units: Unit, row: t.begin}
}

// Tokens returns the bound of what was scanned of a text up to the byte at, rounded up.
func (s *Scanner) Tokens(text string, at int) int64 {
	return (s.units - s.saved(bytesOf(text), at) + Unit - 1) / Unit
}

// AtMostBytes returns the lesser of tokens and the Bytes of a text, all of which was scanned.
func (s *Scanner) AtMostBytes(tokens int64, text string) int64 {
	if s.inexact {
		return AtMostBytes(tokens, text)
	}
	return min(tokens, int64(len(text))+s.added)
}

// Scan reads a text from the byte at from up to about to, and returns where it stopped: at the end of the character or
// escape that lies across to. A text can so be scanned in pieces; each begins where the last one stopped.
func (s *Scanner) Scan(text string, from, to int, escaped bool) int {
	i, end := from, characterEnd(text, to)
	for i < end {
		i += s.next(bytesOf(text), i, end, escaped)
	}
	return i
}

// next scans a block of the text from i on, and returns how many bytes it was.
func (s *Scanner) next(text []byte, i, end int, escaped bool) int {
	if s.blocks == 0 {
		if n := s.dense(text, i, end, escaped); n > 0 {
			return n
		}
	}
	b := &s.block
	n := min(end-i, blockBytes) // characters of the block
	taken, full := n, n == blockBytes
	window := b.window(text, i)
	if escaped {
		if at := backslashes(window) & below(n); at != 0 {
			if n, taken = s.unescape(text, i, n, at); taken == 0 {
				return s.escapedLetter(text, i)
			}
			window = (*[windowSize]byte)(b.text[:])
		}
	}
	c := classify(window)
	if full && n <= blockBytes {
		// A word that goes on behind the block is left to the next one, if anything stands before it.
		if cut := bits.LeadingZeros64(^(c.letters << (blockBytes - n))); cut < n {
			n, taken = n-cut, taken-cut
		}
	}
	c.within(n)
	b.read(s.table, window, s.row)
	s.blocks = max(s.blocks-1, 0)
	if many := bits.OnesCount64(c.beyond); 2*many < n {
		s.blocks = max(s.blocks, 1)
	}
	if c.beyond != 0 {
		behind := s.characters(window, c.beyond) // the last character may lie across the end of the block
		if n == blockBytes && behind > n {
			n, taken = behind, taken+behind-n
		}
	}
	s.units += b.until(min(n, blockBytes)) - s.saves(text, window, i, n, taken, c)
	s.row = uint16(b.states[min(n, blockBytes)])
	return taken
}

// saves returns how much cheaper the runs of letters are as words that end in the block, and notes the run that stays open. The
// block begins at i and has n characters, of taken bytes.
func (s *Scanner) saves(text []byte, window *window, i, n, taken int, c classes) (saved int64) {
	b, runs, continues := &s.block, c.letters|c.beyond, uint64(0)
	if s.run.open {
		continues = 1
	}
	before := runs<<1 | continues
	begins, ends := runs&^before, before&^runs&below(n)
	single := begins << 1 & ends
	spoiled := runs + (c.capitals&before | c.beyond) // the carry comes to the end of the run
	if s.run.open {
		first := bits.TrailingZeros64(ends) // 64 if it stays open
		if c.beyond&below(first) != 0 {
			s.run.start = unlisted
		}
		if s.run.units += b.until(min(first, n, blockBytes)); ends == 0 {
			return 0
		}
		saved = s.saved(text, i+first)
		ends &= ends - 1
	}
	s.run.open = false
	if last := min(n, blockBytes); runs>>(last-1)&1 == 1 {
		start := bits.Len64(begins) - 1
		s.run = run{open: true, start: i + taken - n + start, units: b.until(last) - b.until(start), row: uint16(b.states[start])}
		if c.beyond>>start != 0 {
			s.run.start = unlisted
		}
	}
	return saved + s.words(window, begins, ends&^single&^spoiled)
}

// words returns how much cheaper the runs of letters are as words that end in the block. It does what table.saved does, but
// without calls: that makes prose a third faster. No branch depends on whether a word is listed.
func (s *Scanner) words(text *window, begins, ends uint64) (saved int64) {
	b, space, w := &s.block, uint32(s.table.space), s.table.words
	for ; ends != 0; ends &= ends - 1 {
		end := bits.TrailingZeros64(ends) & (blockBytes - 1)
		start := (bits.Len64(begins&(ends&-ends-1)) - 1) & (blockBytes - 1)
		mask := &masks[(end-start)&(blockBytes-1)]
		first := word(text[:], start)
		other := b.states[start]&rowOfState ^ space // 0 behind a space
		position := tokensShift + ^first>>3&capital + uint64(-other>>31*afterOther)
		first = first&mask.first | 0x20
		last := word(text[:], start+8) & mask.last
		slot := &w.slots[w.slot(hash(first, last))]
		differs := slot.first ^ first | (slot.last^last)&lettersOfLast
		tokens := slot.last >> (position & 63) & ((differs|-differs)>>63 - 1) // 0 if it differs
		saved += max(b.until(end)-b.until(start)-wordCosts[tokens&3], 0)
	}
	return saved
}

// saved returns how much cheaper the open run is if it ends before the byte at.
func (s *Scanner) saved(text []byte, at int) int64 {
	if !s.run.open {
		return 0
	}
	return s.table.saved(text, s.run.start, at-s.run.start, s.run.row, s.run.units)
}

// escapedLetter scans the escape at i, which stands for an ASCII letter, and returns its length. A run in which one is is no
// listed word.
func (s *Scanner) escapedLetter(text []byte, i int) int {
	r, size := unicodeEscape(text[i:])
	state := s.table.states[s.row|uint16(s.table.columns[byte(r)])]
	s.units += int64(state >> unitsShift)
	s.row, s.run = uint16(state), run{open: true, start: unlisted}
	return size
}
