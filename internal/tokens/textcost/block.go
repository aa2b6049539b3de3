package textcost

const (
	blockBytes = 64
	lanes      = 4
	laneBytes  = blockBytes / lanes
	windowSize = blockBytes + 16 // the bytes after a block are needed too
)

type window = [windowSize]byte

// A state has a row in its low bits and units of cost above.
const (
	unitsShift = 16
	rowOfState = 1<<unitsShift - 1
)

// block is the result of reading up to 64 bytes.
type block struct {
	states [blockBytes + 1]uint32 // before each byte: the row, and the units of the earlier bytes in its lane
	lanes  [lanes + 1]int64       // the units of all lanes before each

	characters [blockBytes]uint32 // by position: the characters beyond ASCII

	text [blockBytes + windowSize]byte // the window, if the text has escapes or is too short for one
}

// window returns the text from i on, padded with zeros if it is shorter than a window.
func (b *block) window(text []byte, i int) *window {
	if text = text[i:]; len(text) >= windowSize {
		return (*window)(text)
	}
	clear(b.text[copy(b.text[:], text):windowSize])
	return (*window)(b.text[:])
}

// read goes through the bytes of a block, beginning with a row, and stores the row and the cost at each of them. It ignores words, and does
// not know which characters beyond ASCII there are. It reads four lanes at once, because each look-up of a row has to wait for the one
// before it: after three characters the row no longer depends on the first one, so each lane can begin by itself.
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

// until returns the cost of the bytes before i.
func (b *block) until(i int) int64 {
	return int64(b.states[i]>>unitsShift) + b.lanes[i/laneBytes]
}
