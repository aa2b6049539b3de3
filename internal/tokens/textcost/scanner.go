package textcost

import "math/bits"

// Scanner adds up the cost of one text. It allocates nothing. Make one with NewScanner.
//
// The cost of a character depends on a few characters before it, so an automaton reads the bytes: one look-up for each gives its cost and
// the row for the next look-up. A mispredicted branch would take as long as three bytes, so no branch depends on where words, characters
// beyond ASCII or escapes are: first a block of text is read as if it had no words, then all its characters beyond ASCII are looked up, then
// all its words.
type Scanner struct {
	table *table
	units int64
	row   uint16 // the present row of table, which stands for the last characters
	run   run

	script uint16 // of the last character, if that is beyond ASCII
	letter uint16 // if the last character is a small Russian letter, its number from 1 on; else 0

	added   int64 // by how many bytes normalisation can lengthen what was scanned
	inexact bool  // added is not Lengthening of the text, because some bytes are malformed

	blocks int // how many blocks to scan before dense is tried again
	block  block
}

// run is the run of letters and characters beyond ASCII to which the last character belongs, if any.
type run struct {
	open  bool
	start int    // its offset in the text; unlisted if it can't be a listed word
	units int64  // its cost so far
	row   uint16 // the row before it
}

// unlisted is an offset so far before the text that the run is longer than any listed word.
const unlisted = -1 << 30

// NewScanner returns a scanner at the beginning of a text. It begins with the cost of one token, because some tokenizers put a space before
// a text.
func NewScanner() Scanner {
	t := fitted()
	return Scanner{table: t, units: Unit, row: t.begin}
}

// Tokens returns the bound for the first at bytes of a text, which were scanned, rounded up.
func (s *Scanner) Tokens(text string, at int) int64 {
	return (s.units - s.saved(bytesOf(text), at) + Unit - 1) / Unit
}

// AtMostBytes returns the smaller of tokens and the Bytes of a text that was scanned completely.
func (s *Scanner) AtMostBytes(tokens int64, text string) int64 {
	if s.inexact {
		return AtMostBytes(tokens, text)
	}
	return min(tokens, int64(len(text))+s.added)
}

// Scan scans a text from the byte at from to about to, and returns where it stopped: it does not stop inside of a character or an escape. So
// a text can be scanned in pieces; each begins where the last one stopped.
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
	n := min(end-i, blockBytes) // number of characters of the block
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
		// A word that continues after the block is left to the next block, unless it is the whole block.
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
		behind := s.characters(window, c.beyond) // the last character may continue after the end of the block
		if n == blockBytes && behind > n {
			n, taken = behind, taken+behind-n
		}
	}
	s.units += b.until(min(n, blockBytes)) - s.saves(text, window, i, n, taken, c)
	s.row = uint16(b.states[min(n, blockBytes)])
	return taken
}

// saves returns how much less the words that end in the block cost than the sum of their letters, and remembers the run that is still open.
// The block begins at i and has n characters, from taken bytes.
func (s *Scanner) saves(text []byte, window *window, i, n, taken int, c classes) (saved int64) {
	b, runs, continues := &s.block, c.letters|c.beyond, uint64(0)
	if s.run.open {
		continues = 1
	}
	before := runs<<1 | continues
	begins, ends := runs&^before, before&^runs&below(n)
	single := begins << 1 & ends
	spoiled := runs + (c.capitals&before | c.beyond) // the carry of the addition goes to the end of the run
	if s.run.open {
		first := bits.TrailingZeros64(ends) // 64 if it is still open
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

// words returns how much less the words that end in the block cost than the sum of their letters. It does the same as table.saved, but
// without calls, which makes prose a third faster. No branch depends on whether a word is listed.
func (s *Scanner) words(text *window, begins, ends uint64) (saved int64) {
	b, space, w := &s.block, uint32(s.table.space), s.table.words
	for ; ends != 0; ends &= ends - 1 {
		end := bits.TrailingZeros64(ends) & (blockBytes - 1)
		start := (bits.Len64(begins&(ends&-ends-1)) - 1) & (blockBytes - 1)
		mask := &masks[(end-start)&(blockBytes-1)]
		first := word(text[:], start)
		other := b.states[start]&rowOfState ^ space // 0 after a space
		position := tokensShift + ^first>>3&capital + uint64(-other>>31*afterOther)
		first = first&mask.first | 0x20
		last := word(text[:], start+8) & mask.last
		slot := &w.slots[w.slot(hash(first, last))]
		differs := slot.first ^ first | (slot.last^last)&lettersOfLast
		tokens := slot.last >> (position & 63) & ((differs|-differs)>>63 - 1) // 0 if the word differs
		saved += max(b.until(end)-b.until(start)-wordCosts[tokens&3], 0)
	}
	return saved
}

// saved returns how much less the open run costs if it ends before the byte at.
func (s *Scanner) saved(text []byte, at int) int64 {
	if !s.run.open {
		return 0
	}
	return s.table.saved(text, s.run.start, at-s.run.start, s.run.row, s.run.units)
}

// escapedLetter scans the escape at i, which stands for an ASCII letter, and returns its length. A run with such an escape is not a listed
// word.
func (s *Scanner) escapedLetter(text []byte, i int) int {
	r, size := unicodeEscape(text[i:])
	state := s.table.states[s.row|uint16(s.table.columns[byte(r)])]
	s.units += int64(state >> unitsShift)
	s.row, s.run = uint16(state), run{open: true, start: unlisted}
	return size
}
