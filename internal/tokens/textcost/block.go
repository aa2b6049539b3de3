package textcost

import "math/bits"

const (
	blockBytes = 64
	lanes      = 4
	laneBytes  = blockBytes / lanes
	windowSize = blockBytes + 16 // the bytes after a block are needed too
)

type window = [windowSize]byte

// A state has a row in its low bits and units of cost above, which add up to less than 1<<16 in a lane.
const (
	unitsShift = 16
	rowOfState = 1<<unitsShift - 1
)

// block is the result of reading up to 64 bytes.
type block struct {
	states [blockBytes + 1]uint32 // before each byte: the row, and the units of the earlier bytes in its lane
	lanes  [lanes + 1]int64       // the units of all lanes before each

	columns    [blockBytes]uint8  // the column of each byte: itself, columnBeyond or columnSkipped
	characters [blockBytes]uint32 // the characters beyond ASCII, one after another
	follows    [blockBytes]bool   // whether each of them comes directly after another one

	text window // a copy of the text, if that is too short for a window or has escapes of characters beyond ASCII
}

// window returns the text from i on, padded with zeros if it is shorter than a window.
func (b *block) window(text []byte, i int) *window {
	if text = text[i:]; len(text) >= windowSize {
		return (*window)(text)
	}
	clear(b.text[copy(b.text[:], text):])
	return &b.text
}

// determining is how many characters tell the row after them, whatever the row before them.
const determining = 3

// read goes through the columns of a block, beginning with a row, and stores the row and the cost at each of them. It ignores words, and
// does not know which characters beyond ASCII there are. skipped has a bit for each columnSkipped. It reads four lanes at once, because each
// look-up of a row has to wait for the one before it. Each lane but the first begins by itself, with the three characters before it.
func (b *block) read(t *table, row uint16, skipped uint64) {
	columns, states := &b.columns, &t.states
	state0, state1, state2, state3 := uint32(row), uint32(0), uint32(0), uint32(0)
	if ahead := readAhead(skipped); ahead > 0 {
		for i := laneBytes - ahead; i < laneBytes; i++ {
			state1 += states[uint16(state1)+uint16(columns[i])]
			state2 += states[uint16(state2)+uint16(columns[i+laneBytes])]
			state3 += states[uint16(state3)+uint16(columns[i+2*laneBytes])]
		}
		state1, state2, state3 = state1&rowOfState, state2&rowOfState, state3&rowOfState
	} else {
		state1 = b.rowAt(t, row, ^skipped&below(laneBytes))
		state2 = b.rowAt(t, row, ^skipped&below(2*laneBytes))
		state3 = b.rowAt(t, row, ^skipped&below(3*laneBytes))
	}
	for i := range laneBytes {
		b.states[i], b.states[i+laneBytes] = state0, state1
		b.states[i+2*laneBytes], b.states[i+3*laneBytes] = state2, state3
		state0 += states[uint16(state0)+uint16(columns[i])]
		state1 += states[uint16(state1)+uint16(columns[i+laneBytes])]
		state2 += states[uint16(state2)+uint16(columns[i+2*laneBytes])]
		state3 += states[uint16(state3)+uint16(columns[i+3*laneBytes])]
	}
	b.states[blockBytes] = state3 & rowOfState
	b.lanes[1] = int64(state0 >> unitsShift)
	b.lanes[2] = b.lanes[1] + int64(state1>>unitsShift)
	b.lanes[3] = b.lanes[2] + int64(state2>>unitsShift)
	b.lanes[4] = b.lanes[3] + int64(state3>>unitsShift)
}

// readAhead returns how many of the bytes before each lane include enough characters to determine its row; 0 if those are too many.
func readAhead(skipped uint64) int {
	const most = determining + 7 // an escape of six bytes, and two of two bytes
	switch {
	case skipped == 0:
		return determining
	case skipped&(skipped<<1) == 0:
		return 2 * determining // every other byte may be skipped
	}
	before := skipped >> (laneBytes - most)
	for range lanes - 1 {
		if bits.OnesCount64(before&(1<<most-1)) > most-determining {
			return 0
		}
		before >>= laneBytes
	}
	return most
}

// rowAt returns the row after the columns of a block that have a bit in read, if the block begins with a row. It looks at no more of them
// than determine the row.
func (b *block) rowAt(t *table, row uint16, read uint64) uint32 {
	last := uint64(0)
	for i := 0; i < determining && read != 0; i++ {
		highest := uint64(1) << (bits.Len64(read) - 1)
		last, read = last|highest, read^highest
	}
	state := uint32(row)
	for ; last != 0; last &= last - 1 {
		state += t.states[uint16(state)+uint16(b.columns[bits.TrailingZeros64(last)&(blockBytes-1)])]
	}
	return state & rowOfState
}

// until returns the cost of the bytes before i.
func (b *block) until(i int) int64 {
	return int64(b.states[i]>>unitsShift) + b.lanes[i/laneBytes]
}
