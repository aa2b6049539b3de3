package textcost

import "math/bits"

// classes holds a bit for each byte of a block.
type classes struct {
	letters  uint64 // ASCII letters
	capitals uint64 // those that are capitals
}

const (
	each    = 0x0101010101010101
	highest = 0x80 * each
)

// classify returns the classes of the ASCII characters that text begins with, 64 at most, and how many they are. Escapes end
// them if there are any. So does a word that goes on behind the 64, if another one stands before it.
func classify(text []byte, escaped bool) (c classes, n int) {
	limit := min(len(text), blockBytes)
	for n < limit {
		var x uint64
		if n+8 <= len(text) {
			x = word(text, n)
		} else {
			x = lastBytes(text[n:])
		}
		stop := (x | (x&^highest + each)) & highest // 0x7f and all bytes beyond
		if escaped {
			backslash := x ^ '\\'*each
			stop |= ^(backslash | (backslash&^highest + 0x7f*each)) & highest
		}
		small := x | 0x20*each
		letters := (small + (0x80-'a')*each) &^ (small + (0x7f-'z')*each) & highest
		c.letters |= letters >> 7 * 0x0102040810204080 >> 56 << n
		c.capitals |= letters &^ (x << 2) >> 7 * 0x0102040810204080 >> 56 << n
		if stop != 0 {
			n += bits.TrailingZeros64(stop) / 8
			break
		}
		n += 8
	}
	if n >= limit {
		if n = limit; n == blockBytes && c.letters>>63 == 1 && ^c.letters != 0 {
			n = blockBytes - bits.LeadingZeros64(^c.letters)
		}
	}
	within := uint64(1)<<(n&63) - 1
	if n == blockBytes {
		within = 1<<64 - 1
	}
	return classes{c.letters & within, c.capitals & within}, n
}

// eightBytes returns the bytes of text from i on, the first one lowest, zeros behind its end.
func eightBytes(text []byte, i int) uint64 {
	if i+8 > len(text) {
		return lastBytes(text[min(i, len(text)):])
	}
	return word(text, i)
}

func lastBytes(bytes []byte) (x uint64) {
	for i, c := range bytes {
		x |= uint64(c) << (8 * i & 63)
	}
	return x
}

// saves returns how much cheaper the runs of letters are as words that end among the n bytes from i on, which cost units.
func (s *Scanner) saves(text []byte, i, n int, c classes, units int64) (saved int64) {
	before := c.letters << 1
	if s.run.open {
		before |= 1
	}
	begins, ends := c.letters&^before, before&^c.letters
	if n < blockBytes {
		ends &= 1<<n - 1
	}
	if s.run.open {
		if ends == 0 {
			s.run.units += units
			return 0
		}
		end := bits.TrailingZeros64(ends)
		s.run.units += s.block.until(end)
		saved = s.saved(text, i+end)
		s.run.open = false
		ends &= ends - 1
	}
	if n == blockBytes && c.letters>>63 == 1 || n < blockBytes && c.letters>>(n-1)&1 == 1 {
		start := blockBytes - 1 - bits.LeadingZeros64(begins)
		s.run = run{open: true, start: i + start, units: units - s.block.until(start), row: s.block.rows[start&(blockBytes-1)]}
	}
	s.block.join(c.letters, begins)
	single := begins << 1 & ends
	spoiled := c.letters + c.capitals&before
	return saved + s.words(text, i, begins, ends&^single&^spoiled)
}

// join makes the units of a run that begins in the first half and ends in the second one comparable. One that begins before the
// block has no start in it.
func (b *block) join(letters, begins uint64) {
	half := uint(b.half) & (blockBytes - 1) // 0 where there are no halves: no letter stands before it then
	start := bits.Len64(begins&(1<<half-1)) - 1
	across := letters << 1 >> half & 1
	b.units[start&(blockBytes-1)] -= uint16(b.halfUnits) & -uint16(across) &^ uint16(start>>15)
}

// words returns how much cheaper the runs of letters are as words that end in the block of text from i on. It does what
// table.saved does, but without calls: that makes prose a third faster. No branch depends on whether a word is listed.
func (s *Scanner) words(text []byte, i int, begins, ends uint64) (saved int64) {
	b, t, w := &s.block, s.table, s.table.words
	if i+blockBytes+2*8 > len(text) {
		for ; ends != 0; ends &= ends - 1 {
			end := bits.TrailingZeros64(ends)
			start := bits.Len64(begins&(ends&-ends-1)) - 1
			saved += t.saved(text, i+start, end-start, b.rows[start&(blockBytes-1)], int64(b.units[end&(blockBytes-1)]-b.units[start&(blockBytes-1)]))
		}
		return saved
	}
	text = text[i : i+blockBytes+2*8]
	for ; ends != 0; ends &= ends - 1 {
		end := bits.TrailingZeros64(ends)
		start := (bits.Len64(begins&(ends&-ends-1)) - 1) & (blockBytes - 1)
		mask := &masks[(end-start)&(blockBytes-1)]
		first := word(text, start)
		position := tokensShift + ^first>>3&capital
		if b.rows[start] != t.space {
			position += afterOther
		}
		first = first&mask.first | 0x20
		last := word(text, start+8) & mask.last
		slot := &w.slots[w.slot(hash(first, last))]
		tokens := slot.last >> (position & 63)
		if slot.first^first|(slot.last^last)&lettersOfLast != 0 {
			tokens = 0
		}
		saved += max(int64(b.units[end&(blockBytes-1)]-b.units[start])-wordCosts[tokens&3], 0)
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
