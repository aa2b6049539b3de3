package textcost

import "math/bits"

// Words that all files of this package use:
//
//   - A unit is the smallest amount of cost: 1/120 token.
//   - A row stands for the last few characters of the text before the present byte. The table of costs has a row of costs for each.
//   - A column is the place in a row: which byte comes next.
//   - A state is a row, and the units that were added up on the way to it, in one number.
//   - A block is 64 bytes of the text, which are scanned together. Sets of its bytes are masks: bit i of a uint64 is for byte i.
//   - Beyond ASCII is each character above U+007E, and each byte of one.
//   - A run is a row of letters and characters beyond ASCII without anything between them.
//   - A listed word is one of the common words in words.txt. It is a run, and may cost less than its letters do one by one.

// Scanner adds up the cost of one text. It allocates nothing. Make one with NewScanner.
//
// The cost of a character depends on a few characters before it, so an automaton reads the bytes: one look-up for each gives its cost and
// the row for the next look-up. A mispredicted branch would take as long as three bytes, so no branch depends on where words, characters
// beyond ASCII or escapes are: first a block of text is read as if it had no words, then all its characters beyond ASCII are looked up, then
// all its words.
type Scanner struct {
	table *table
	units int64  // the cost so far, in which the letters of the open run count one by one
	row   uint16 // the present row of table, which stands for the last characters
	run   run    // the run to which the last character belongs, if any

	script uint16 // if the last character is beyond ASCII, its script, in the bits that an entry of table.plane has for it
	letter uint16 // if the last character is a small Russian letter, its number from 1 on; else 0

	added   int64 // by how many bytes Unicode's normalisation can lengthen what was scanned
	inexact bool  // some bytes are malformed, so that added is wrong, and Lengthening has to read the text once more

	backslash int // from the present block up to this offset there is no backslash

	blocks int   // how many blocks are scanned as such before dense, which scans character by character, is tried again
	pause  int   // to what blocks was set the last time that dense had scanned less than a block; 0 once dense has scanned more
	block  block // what reading the present block has found; a field, so that its arrays are made once
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

// Tokens returns the bound for the first at bytes of a text, all of which were scanned, rounded up to whole tokens.
func (s *Scanner) Tokens(text string, at int) int64 {
	// saved is what the open run would cost less, as a listed word, if the text ended here. Adding Unit - 1 makes the division round up.
	return (s.units - s.saved(bytesOf(text), at) + Unit - 1) / Unit
}

// AtMostBytes returns the smaller of tokens and the Bytes of a text that was scanned completely: its length, and what normalisation can add to it.
// The function of the same name reads the text for that; the scanner mostly knows it.
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
	s.backslash = i // nothing is known of the text from here on
	for i < end {
		i += s.next(bytesOf(text), i, end, escaped)
	}
	return i
}

// next scans the text from i on, up to a block of it, and returns how many bytes it was. With escaped, the text is the inside of a JSON string. In
// text of one script dense is faster, and is tried first. Otherwise the block's bytes get their classes and columns, and escapes those of their
// characters; read adds up all bytes; characters corrects the cost of those beyond ASCII; and saves takes off what listed words cost less.
func (s *Scanner) next(text []byte, i, end int, escaped bool) int {
	if s.blocks == 0 {
		if n := s.dense(text, i, end, escaped); n > 0 {
			return n
		}
	}
	b := &s.block
	n := min(end-i, blockBytes) // how many bytes of the block are scanned now; fewer if a word or an escape goes on behind the block
	full := n == blockBytes
	window, skipped := b.window(text, i), uint64(0) // skipped has the bytes of escapes whose column is columnSkipped: unescape fills it in
	c := classify(window, &b.columns)
	if escaped && i+n > s.backslash {
		if at := s.backslashes(text, i, n, window); at != 0 {
			// unescape may make n smaller. n is 0 if the block begins with the escape of a letter, which is scanned by itself.
			if window, n, skipped = s.unescape(text, i, n, window, &c, at); n == 0 {
				return s.escapedLetter(text, i)
			}
		}
	}
	// If unescape has made n smaller the block ends before an escape, and no word goes on there.
	if full && n == blockBytes {
		// A word that may go on behind the block is left to the next block, unless it is the whole block. cut is how many letters the block ends with.
		if cut := bits.LeadingZeros64(^c.letters); cut < n {
			n -= cut
		}
	}
	c.within(n)
	b.read(s.table, s.row, skipped)
	s.blocks = max(s.blocks-1, 0)
	if many := bits.OnesCount64(c.beyond); 2*many < n { // mostly ASCII, for which dense is slower
		s.blocks = max(s.blocks, 2)
	}
	if c.beyond != 0 {
		follows := c.beyond << 1 // the bytes whose predecessor is beyond ASCII: only there can the script have changed
		if s.row == s.table.beyond {
			follows |= 1
		}
		behind := s.characters(window, c.beyond&^c.skipped, follows) // where the last character ends, perhaps behind the block
		// A shorter n ends before a letter or an escape, or where the text to scan ends, so that no character goes on behind it.
		if n == blockBytes {
			n = max(n, behind)
		}
	}
	// characters has added all of the last character, so that of an n behind the block only the block is left to add.
	s.units += b.until(min(n, blockBytes)) - s.saves(text, window, i, n, c)
	s.row = uint16(b.states[min(n, blockBytes)])
	return n
}

// saves returns how much less the listed words that end in the block cost than their letters, which read has added up, and remembers in s.run the run
// that is still open at the block's end. The block begins at i, and c has the classes of its bytes. n is how many of its bytes are scanned, or more
// than blockBytes if the last character goes on behind the block.
//
// It first takes the run that was open before the block, which has its own record in s.run, and the one that stays open. Then it makes two masks,
// begins with the first byte of each other run and ends with the byte after each, takes out the runs that can't be listed words, and has words
// look up those that remain: the first begin belongs to the first end, and so on.
func (s *Scanner) saves(text []byte, window *window, i, n int, c classes) (saved int64) {
	b, runs, continues := &s.block, c.letters|c.beyond, uint64(0) // runs has all bytes that are in a run
	if s.run.open {
		continues = 1 // the byte before the block is in a run
	}
	before := runs<<1 | continues                       // the bytes whose predecessor is in a run
	begins, ends := runs&^before, before&^runs&below(n) // the first byte of each run, and the byte after each that ends in the block
	single := begins << 1 & ends                        // the ends of runs of one byte: no listed word is that short
	spoils := c.capitals&before | c.beyond              // a run with a capital behind its first letter, or with a byte beyond ASCII, is no listed word
	if s.run.open {
		// This run began in an earlier block: it has the first bit of ends, and none in begins. Its units grow by what its bytes in this block cost.
		first := bits.TrailingZeros64(ends) // 64 if it is still open
		if c.beyond&below(first) != 0 {
			s.run.start = unlisted
		}
		// Without an end in the block the run stays open, and is the only one.
		if s.run.units += b.until(min(first, n, blockBytes)); ends == 0 {
			return 0
		}
		saved = s.saved(text, i+first)
		ends &= ends - 1 // takes out the lowest bit, which is that of first
	}
	s.run.open = false
	// The run that stays open has the last bit of begins, and none in ends: words stops before it.
	if last := min(n, blockBytes); runs>>(last-1)&1 == 1 {
		start := bits.Len64(begins) - 1 // the highest bit of begins
		s.run = run{open: true, start: i + start, units: b.until(last) - b.until(start), row: uint16(b.states[start])}
		if c.beyond>>start != 0 { // the run has a byte beyond ASCII
			s.run.start = unlisted
		}
	}
	begins, ends = begins&^(single>>1), ends&^single
	if spoils != 0 { // takes out the beginning and the end of each run that has a byte of spoils
		begins, ends = begins&^beginsOf(spoils, runs), ends&^endsOf(spoils, runs)
	}
	return saved + s.words(window, begins, ends)
}

// endsOf returns a mask with the byte after each run that has a byte of spoils; other bits may be set where no run ends. It needs no loop, because an
// addition does the walking: the 1 of a spoiling byte added to the 1s of its run carries on to the first 0, which is the byte after the run.
func endsOf(spoils, runs uint64) uint64 { return runs + spoils }

// beginsOf returns a mask with the first byte of each run that has a byte of spoils; other bits may be set where no run begins. It is endsOf with the
// bits in reverse order, so that the carry comes out at the byte before the run; a run from the first byte of the block on has none, and carries out
// of the sum instead.
func beginsOf(spoils, runs uint64) uint64 {
	sum, first := bits.Add64(bits.Reverse64(runs), bits.Reverse64(spoils), 0)
	return bits.Reverse64(sum)&^runs<<1 | first
}

// words returns how much less the listed ones among some runs of a block cost than their letters. begins has the first byte of each run, ends the
// byte after it. It does the same as table.saved for each of them, but without calls, which makes prose a third faster. No branch depends on whether
// a word is listed.
func (s *Scanner) words(text *window, begins, ends uint64) (saved int64) {
	b, space, w := &s.block, uint32(s.table.space), s.table.words
	// Each turn takes the lowest bit out of both masks. "& (blockBytes - 1)" changes no number here: it saves a check of an index.
	for ; ends != 0; ends, begins = ends&(ends-1), begins&(begins-1) {
		end := bits.TrailingZeros64(ends) & (blockBytes - 1)
		start := bits.TrailingZeros64(begins) & (blockBytes - 1)
		mask := &masks[(end-start)&(blockBytes-1)]  // which bytes of first and last are letters of a word of this length
		first := word(text[:], start)               // eight bytes of the text, the one at start in the lowest byte
		other := b.states[start]&rowOfState ^ space // 0 after a single space, whose row is space
		// The position of a word, as in table.saved, is by how much the word's number of tokens in that position is shifted in its slot. ^first>>3
		// makes the bit 0x20, which a capital lacks, the bit capital. -other has its highest bit set for all other than 0.
		position := tokensShift + ^first>>3&capital + uint64(-other>>31*afterOther)
		// first and last become the letters of the word; 0x20 makes a capital at its beginning small.
		first = first&mask.first | 0x20
		last := word(text[:], start+8) & mask.last
		slot := &w.slots[w.slot(hash(first, last))]                           // the only slot in which the word can be
		differs := slot.first ^ first | (slot.last^last)&lettersOfLast        // 0 if it is the word of that slot
		tokens := slot.last >> (position & 63) & ((differs|-differs)>>63 - 1) // 0 if the word differs: the mask is then 0, else all ones
		// wordCosts of 0 tokens, which says that the word is not listed, is so high that nothing is saved.
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
	// Escapes of two bytes, such as \n, never stand for a letter.
	r, size := unicodeEscape(text[i:])
	// The letter is its own column in the row. The entry leads to the next row in the low bits of state, and has the cost above them.
	state := uint32(s.row) + s.table.states[s.row+uint16(r)]
	s.units += int64(state >> unitsShift)
	s.row, s.run = uint16(state), run{open: true, start: unlisted}
	return size
}
