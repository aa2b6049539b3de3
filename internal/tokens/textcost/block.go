package textcost

import "math/bits"

// A block is read in lanes: quarters of it that are read at the same time, because the processor has to wait for each look-up before the next one of
// the same lane.
const (
	blockBytes = 64
	lanes      = 4
	laneBytes  = blockBytes / lanes
	windowSize = blockBytes + 16 // the bytes after a block are needed too
)

// window is the bytes of a block and some after it, for look-ups of several bytes that begin at the block's last ones.
type window = [windowSize]byte

// A state is one number: a row, which stands for the last characters, in its low bits, and above it units of cost, which add up to less than 1<<16
// in a lane.
const (
	unitsShift = 16
	rowOfState = 1<<unitsShift - 1
)

// block is what reading up to 64 bytes has found. A column is the place in a row of the table at which a byte has its cost; beyond ASCII is each
// character above U+007E.
type block struct {
	states [blockBytes + 1]uint32 // before each byte: the row, and the units of the earlier bytes in its lane
	lanes  [lanes + 1]int64       // the units of all lanes before each

	columns    [blockBytes]uint8  // of each byte: the byte itself if it is ASCII, else columnBeyond, or columnSkipped inside of an escape
	characters [blockBytes]uint32 // the characters beyond ASCII, one after another
	follows    [blockBytes]bool   // whether each of them comes directly after another one

	text window // a copy of the block's bytes, for a text too short for a window, or with escapes, over which their characters are written
}

// window returns the text from i on, padded with zeros if it is shorter than a window.
func (b *block) window(text []byte, i int) *window {
	if text = text[i:]; len(text) >= windowSize {
		return (*window)(text)
	}
	clear(b.text[copy(b.text[:], text):])
	return &b.text
}

// determining is how many characters tell the row after them, whatever the row before them: no cost depends on more of them.
const determining = 3

// read looks up the cost of each byte of a block by its column, and stores the state before each. The first byte comes after row. Words count as
// letters, and all characters beyond ASCII as one kind: saves and characters correct that. skipped has a bit for each byte whose column is
// columnSkipped, because it is part of an escape. Four lanes are read at once; each but the first finds out its first row from the three characters
// before it.
func (b *block) read(t *table, row uint16, skipped uint64) {
	columns, states := &b.columns, &t.states
	// The first row of each lane but the first does not matter before determining characters were read, so these lanes begin with row 0. Adding an
	// entry of states to a state leads to the next row and adds the units of the byte.
	state0, state1, state2, state3 := uint32(row), uint32(0), uint32(0), uint32(0)
	if ahead := readAhead(skipped); ahead > 0 {
		for i := laneBytes - ahead; i < laneBytes; i++ {
			state1 += states[uint16(state1)+uint16(columns[i])]
			state2 += states[uint16(state2)+uint16(columns[i+laneBytes])]
			state3 += states[uint16(state3)+uint16(columns[i+2*laneBytes])]
		}
		state1, state2, state3 = state1&rowOfState, state2&rowOfState, state3&rowOfState // drops the units, which the lane before has
	} else { // too many bytes before a lane are skipped: its first row follows from the last read ones of all bytes before it
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
	// The units of all lanes are in b.lanes, so this state has none.
	b.states[blockBytes] = state3 & rowOfState
	b.lanes[1] = int64(state0 >> unitsShift)
	b.lanes[2] = b.lanes[1] + int64(state1>>unitsShift)
	b.lanes[3] = b.lanes[2] + int64(state2>>unitsShift)
	b.lanes[4] = b.lanes[3] + int64(state3>>unitsShift)
}

// readAhead returns how many bytes before a lane have to be read so that they include the three characters that determine its first row: more than
// three if some of the bytes are skipped. It returns one number that is enough for each lane, and 0 if ten bytes are not enough for some lane.
func readAhead(skipped uint64) int {
	const most = determining + 7 // an escape of six bytes skips five, and two short escapes one each
	switch {
	case skipped == 0:
		return determining
	case skipped&(skipped<<1) == 0: // no two in a row are skipped, but every other one may be
		return 2 * determining
	}
	before := skipped >> (laneBytes - most) // its lowest bits are for the last bytes before the second lane
	for range lanes - 1 {
		if bits.OnesCount64(before&(1<<most-1)) > most-determining { // fewer than three are read
			return 0
		}
		before >>= laneBytes
	}
	return most
}

// rowAt returns the row after those bytes of a block that have a bit in read, if the block begins with row. It looks up no more than the last three
// of them, which determine the row.
func (b *block) rowAt(t *table, row uint16, read uint64) uint32 {
	last := uint64(0) // the highest bits of read, at most three
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

// until returns the units of the block's bytes before i, as read has added them up.
func (b *block) until(i int) int64 {
	return int64(b.states[i]>>unitsShift) + b.lanes[i/laneBytes]
}
