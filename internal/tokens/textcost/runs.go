package textcost

import "encoding/binary"

// A block is 64 bytes of the text, which are scanned together; its window also has the 16 bytes after it. A column is the place in a row of the
// table of costs at which a byte has its cost. Beyond ASCII is each character from U+007F on.

// classes says of what kind the bytes of a block are: bit i of each mask is for byte i.
type classes struct {
	letters  uint64 // ASCII letters
	capitals uint64 // ASCII capitals
	beyond   uint64 // bytes of characters beyond ASCII, and 0x7f; and all bytes of their escapes
	skipped  uint64 // those of beyond that are in an escape, but not of its character
}

// Eight bytes are looked at in one number: each times a byte is eight of that byte, and highest has the highest bit of each.
const (
	each    = 0x0101010101010101
	highest = 0x80 * each
)

// classify returns the classes of the bytes of a block, and stores the column of each: where the rows of the table of costs have it.
func classify(text *window, columns *[blockBytes]uint8) (c classes) {
	for i := 0; i < blockBytes; i += 8 {
		x := word(text[:], i)
		high := x & highest      // the highest bits, which bytes beyond ASCII have
		low := x ^ high          // the other seven bits, so that no sum below carries into the next byte
		small := low | 0x20*each // with capitals made small
		// The first sum has the highest bit set in each byte from 'a' on, and the second in each after 'z'. The last mask has it in each ASCII byte.
		letters := (small + (0x80-'a')*each) &^ (small + (0x7f-'z')*each) & (high ^ highest)
		// One more makes 0x7f, too, have the highest bit.
		c.beyond |= gather((low+each)&highest|high) << i
		c.letters |= gather(letters) << i
		// x<<2 moves the bit 0x20, which small letters have, to the highest.
		c.capitals |= gather(letters&^(x<<2)) << i
		// The column of an ASCII character is its byte. high-high>>7 is columnBeyond, 0x7f, for each byte beyond ASCII.
		binary.LittleEndian.PutUint64(columns[i:i+8], low|(high-high>>7))
	}
	return c
}

// within clears the classes of all but the first n bytes. skipped stays, because it is only used to take bytes out of beyond.
func (c *classes) within(n int) {
	mask := below(n)
	c.letters, c.capitals, c.beyond = c.letters&mask, c.capitals&mask, c.beyond&mask
}

// backslashes returns a bit for each byte of a block that is a backslash.
func backslashes(text *window) (at uint64) {
	for i := 0; i < blockBytes; i += 8 {
		at |= gather(zeros(word(text[:], i)^'\\'*each)) << i
	}
	return at
}

// continuations returns a bit for each byte of a block that is not the first one of a character.
func continuations(text *window) (at uint64) {
	for i := 0; i < blockBytes; i += 8 {
		x := word(text[:], i)
		// Inside of a character a byte has the form 10xxxxxx: the highest bit is set, and the next one is not.
		at |= gather(x&^(x<<1)&highest) << i
	}
	return at
}

// gather collects the highest bits of eight bytes into one byte, the first one in its lowest bit. No other bits may be set. After the shift they are
// bits 8j, for j from 0 to 7, and the multiplication moves each to bit 56+j.
func gather(x uint64) uint64 { return x >> 7 * 0x0102040810204080 >> 56 }

// below returns a mask of the first n bytes of a block.
func below(n int) uint64 {
	if n >= blockBytes {
		return 1<<blockBytes - 1
	}
	return 1<<n - 1
}

// word returns eight bytes of text, from i on, as one number with the first byte in its lowest bits.
func word(text []byte, i int) uint64 { return binary.LittleEndian.Uint64(text[i : i+8]) }

// zeros returns a number with the highest bit of each byte set that is 0 in x, and no other bit: adding 0x7f to the lower seven bits of a byte sets
// its highest bit unless they are 0.
func zeros(x uint64) uint64 { return ^(x | (x&^highest + 0x7f*each)) & highest }

// eightBytes returns the bytes of text from i on as a little-endian number, with zeros after the end of the text.
func eightBytes(text []byte, i int) (x uint64) {
	if i+8 <= len(text) {
		return word(text, i)
	}
	for j, c := range text[min(i, len(text)):] {
		x |= uint64(c) << (8 * j & 63)
	}
	return x
}
