package textcost

const (
	blockBytes = 64
	lanes      = 4
	laneBytes  = blockBytes / lanes
	windowSize = blockBytes + 16 // what stands behind a block is looked at, too
)

type window = [windowSize]byte

// A state is a row and, above it, units.
const (
	unitsShift = 16
	rowOfState = 1<<unitsShift - 1
)

// block is what was read of up to 64 bytes.
type block struct {
	states [blockBytes + 1]uint32 // before each byte: the row, and the units of the bytes before it in its lane
	lanes  [lanes + 1]int64       // the units of the lanes before each

	characters [blockBytes]uint32 // those beyond ASCII

	text [blockBytes + windowSize]byte // a window where the text has escapes, or ends
}

// window returns the text from i on.
func (b *block) window(text []byte, i int) *window {
	if text = text[i:]; len(text) >= windowSize {
		return (*window)(text)
	}
	clear(b.text[copy(b.text[:], text):windowSize])
	return (*window)(b.text[:])
}

// read follows the rows through the bytes of a block from row on, and notes what they cost without regard to words and to which
// characters those beyond ASCII are. It reads four parts at once, because each look-up of a row waits for the one before it: any
// row leads to the same one in three characters.
func (b *block) read(t *table, text *window, row uint16) {
	state0, state1, state2, state3 := uint32(row), uint32(0), uint32(0), uint32(0)
	for i := laneBytes - 3; i < laneBytes; i++ {
		state1 = t.states[uint16(state1)|uint16(t.columns[text[i]])]
		state2 = t.states[uint16(state2)|uint16(t.columns[text[i+laneBytes]])]
		state3 = t.states[uint16(state3)|uint16(t.columns[text[i+2*laneBytes]])]
	}
	state1, state2, state3 = state1&rowOfState, state2&rowOfState, state3&rowOfState
	for i := range laneBytes {
		b.states[i], b.states[i+laneBytes] = state0, state1
		b.states[i+2*laneBytes], b.states[i+3*laneBytes] = state2, state3
		state0 = state0&^rowOfState + t.states[uint16(state0)|uint16(t.columns[text[i]])]
		state1 = state1&^rowOfState + t.states[uint16(state1)|uint16(t.columns[text[i+laneBytes]])]
		state2 = state2&^rowOfState + t.states[uint16(state2)|uint16(t.columns[text[i+2*laneBytes]])]
		state3 = state3&^rowOfState + t.states[uint16(state3)|uint16(t.columns[text[i+3*laneBytes]])]
	}
	b.states[blockBytes] = state3 & rowOfState
	b.lanes[1] = int64(state0 >> unitsShift)
	b.lanes[2] = b.lanes[1] + int64(state1>>unitsShift)
	b.lanes[3] = b.lanes[2] + int64(state2>>unitsShift)
	b.lanes[4] = b.lanes[3] + int64(state3>>unitsShift)
}

// until returns what the bytes before i cost.
func (b *block) until(i int) int64 {
	return int64(b.states[i]>>unitsShift) + b.lanes[i/laneBytes]
}
