package linearizability

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/anishathalye/porcupine"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The model says what a ledger must answer to one operation after another. Reservations, accounts and flags are numbered from 0, as in the plan:
// op.hold is a reservation's number, and plan.holds has its amounts. A reservation has two amounts: a client that asks for the other one (op.other)
// under the same id must be refused. A change is a kill, a revive or a correction. Each change that is made raises the ledger's revision. A result is
// the answer to a client; replayed in it says that the same was done before, and nothing has changed.

// state is the whole ledger of one history: every reservation, every account and every flag, in a value that == compares.
type state struct {
	accounts [numAccounts]sums
	flags    [numFlags]bool // whether each kill flag is set
	holds    string         // a byte for each reservation: its phase, otherBit, and from actualShift on the amount that was posted, 0 if none was

	revision  int64                // of the last change of this history
	flagged   [numFlags]lastChange // of each flag
	corrected string               // the last change of each reservation that was corrected, in the order of their numbers; see correctedWidth
}

// lastChange is what changed an object last: the number of the change in the plan (op.change), and the revision that it made.
type lastChange struct {
	revision int64
	change   int
}

// The phases of a reservation, in the low bits of its byte, and the other parts of that byte.
const (
	none = iota
	pending
	settled
	voided
	tombstone // voided before it was reserved, so that a late Reserve is refused

	phaseMask   = 0x07
	otherBit    = 0x08 // it is pending with its other amount
	actualShift = 4
	maxActual   = 15 // the largest amount that fits above actualShift
)

// model is the ledger's contract for one plan, as a step function.
type model struct {
	plan *plan
	seed maphash.Seed // for hashes of states
}

// porcupine returns the model in the form of the checker, porcupine. A state there is a state, an input an op and an output a result.
func (m *model) porcupine() porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Init: func() []any { return []any{state{holds: string(make([]byte, len(m.plan.holds)))}} },
		Step: func(s, input, output any) []any { return m.after(s.(state), input.(op), output.(result)) },
		Hash: func(s any) uint64 { return maphash.Comparable(m.seed, s.(state)) },
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%s -> %s", input.(op), output.(result))
		},
		DescribeState: func(s any) string { return fmt.Sprintf("%+v %v", s.(state).accounts, s.(state).flags) },
	}).ToModel()
}

// after returns the states in which the ledger can be after an operation with this answer: none if the answer is wrong. If the answer was lost, the
// ledger may be in the old or in the new state. Because such an operation has no end in the history, the checker may also place it at any later time.
func (m *model) after(s state, asked op, got result) []any {
	next, want := m.step(s, asked)
	switch {
	case got.unknown && next == s: // it would change nothing
		return []any{next}
	case got.unknown: // it may not have happened yet, or have happened
		return []any{s, next}
	case !sameAnswer(got, want):
		return nil
	default:
		return []any{next}
	}
}

// sameAnswer reports whether a store's answer is the one that the model wants.
func sameAnswer(got, want result) bool {
	if want.err != nil { // if it is errImpossible, no answer is the same
		return errors.Is(got.err, want.err)
	}
	return got == want
}

// step returns the ledger after an operation, and what the client must be told. A change comes with the revision that it has made by the audit trail,
// o.revision, which is read when the history is over: so the model knows where in the trail it has to come.
func (m *model) step(s state, o op) (state, result) {
	switch o.kind {
	case reserve:
		return m.reserve(s, o)
	case settle:
		return m.settle(s, o)
	case void:
		return m.void(s, o)
	case correct:
		return m.correct(s, o)
	case killFlag, reviveFlag:
		fresh, err := s.flagged[o.flag].judge(s, o)
		if !fresh { // it is refused, or it was made before, which a kill or revive does not tell its client
			return s, result{err: err}
		}
		s.revision, s.flagged[o.flag] = o.revision, lastChange{o.revision, o.change}
		s.flags[o.flag] = o.kind == killFlag
		return s, result{}
	default: // the balances are read
		return s, result{accounts: s.accounts}
	}
}

// reserve, settle, void and correct are the steps for these operations. Each returns the ledger after it, and the answer that the store's contract
// demands in the reservation's present phase. A reservation that is pending may be reserved once more with the same amount, which changes nothing
// (replayed), but not while it is killed.
func (m *model) reserve(s state, o op) (state, result) {
	h, b := m.plan.holds[o.hold], s.holds[o.hold]
	switch phase := b & phaseMask; {
	case phase > pending: // settled, voided or a tombstone
		return s, result{err: driver.ErrResolved}
	case phase == pending && (b&otherBit != 0) != o.other: // it is pending with the amount that is not asked for
		return s, result{err: driver.ErrIDConflict}
	case s.flags[h.flag]: // before room is asked for, and also if it is pending already
		return s, result{killed: true}
	case phase == pending:
		return s, result{admitted: true, replayed: true}
	}
	amount := h.reserved(o.other) // its phase is none: it is new
	for line, a := range h.accounts {
		if at := s.accounts[a]; at.settled+at.pending+amount > m.plan.max[a] {
			return s, result{denied: true, line: line, at: at}
		}
	}
	for _, a := range h.accounts { // s is a copy, so that the caller's state stays as it is
		s.accounts[a].pending += amount
	}
	phase := byte(pending)
	if o.other {
		phase |= otherBit
	}
	return s.with(o.hold, phase), result{admitted: true}
}

// settle posts the amount in every phase but settled: a voided or unknown reservation too, because the money was spent.
func (m *model) settle(s state, o op) (state, result) {
	var told result
	switch b := s.holds[o.hold]; b & phaseMask {
	case settled:
		if int64(b>>actualShift) == o.amount {
			return s, result{replayed: true, from: driver.Settled}
		}
		return s, result{err: driver.ErrResolved}
	case pending:
		s, told.from = m.release(s, o.hold), driver.Pending
	case none: // spend that was never set aside, which has no state before
	default: // voided, or a tombstone, which is a voided reservation for a store
		told.from = driver.Voided
	}
	return m.settledWith(s, o.hold, 0, o.amount), told
}

// void gives a pending reservation back. One that is unknown leaves a tombstone.
func (m *model) void(s state, o op) (state, result) {
	switch s.holds[o.hold] & phaseMask {
	case none:
		return s.with(o.hold, tombstone), result{}
	case pending:
		return m.release(s, o.hold).with(o.hold, voided), result{}
	case settled:
		return s, result{err: driver.ErrResolved}
	default: // it was voided before
		return s, result{}
	}
}

// correct replaces the posted amount of a settled reservation, or posts one for a voided reservation, which stays voided until an amount other than 0
// is posted for it. A correction that was made before (not fresh) changes nothing.
func (m *model) correct(s state, o op) (state, result) {
	b := s.holds[o.hold]
	before, phase := int64(b>>actualShift), b&phaseMask // before is 0 for a voided one
	var from driver.State
	switch phase {
	case settled:
		from = driver.Settled
	case voided:
		from = driver.Voided
	default: // none, pending or a tombstone
		return s, result{err: budget.ErrNotFound}
	}
	fresh, err := s.lastOf(o.hold).judge(s, o)
	if err != nil {
		return s, result{err: err}
	}
	if !fresh {
		return s, result{replayed: true, from: from}
	}
	s = s.correctedBy(o) // the audit trail gets a record even if no amount changes
	if before == o.amount {
		return s, result{replayed: true, from: from}
	}
	return m.settledWith(s, o.hold, before, o.amount), result{from: from}
}

// errImpossible is an answer that no store gives, so that an order of the operations in which a change comes elsewhere than in the audit trail is
// wrong.
var errImpossible = errors.New("a change that the audit trail does not know, or knows at another place")

// judge reports whether the change o has to be made, l being the last change of the same object, and the error if o is refused: another client has
// changed the object since the client of o looked. o.revision is what o made according to the audit trail; 0 if it was not made.
func (l lastChange) judge(s state, o op) (fresh bool, err error) {
	switch {
	case l.change == o.change: // it was made before; changes are numbered from 1, so that 0 is no change
		return false, nil
	case l.revision > o.seen:
		return false, budget.ErrSuperseded
	case o.revision <= s.revision: // the trail has it before a change that came first in this order; or it was not made, and its revision is 0
		return false, errImpossible
	}
	return true, nil
}

// correctedWidth is the length of a record in state.corrected: the number of the reservation, the number of the change, and its revision.
const correctedWidth = 2 + 2 + 8

// lastOf returns what corrected a reservation last.
func (s state) lastOf(hold int) lastChange {
	for at := 0; at < len(s.corrected); at += correctedWidth { // a record begins with the number of its reservation
		if c := s.corrected[at:]; int(c[0])<<8|int(c[1]) == hold {
			return lastChange{int64(binary.BigEndian.Uint64([]byte(c[4:correctedWidth]))), int(c[2])<<8 | int(c[3])}
		}
	}
	return lastChange{}
}

// correctedBy returns the state after the correction o, which is now the latest one of its reservation. It inserts a record of correctedWidth
// bytes into s.corrected, which is sorted by reservation, or replaces the reservation's record if there is one.
func (s state) correctedBy(o op) state {
	own := binary.BigEndian.AppendUint64([]byte{byte(o.hold >> 8), byte(o.hold), byte(o.change >> 8), byte(o.change)}, uint64(o.revision))
	at := 0
	for at < len(s.corrected) && s.corrected[at:at+2] < string(own[:2]) { // the first two bytes are the reservation's number
		at += correctedWidth
	}
	rest := s.corrected[at:]
	if len(rest) > 0 && rest[:2] == string(own[:2]) {
		rest = rest[correctedWidth:]
	}
	s.corrected, s.revision = s.corrected[:at]+string(own)+rest, o.revision
	return s
}

// release subtracts the amount of reservation i, which is pending, from its accounts. Its byte stays as it is.
func (m *model) release(s state, i int) state {
	h := m.plan.holds[i]
	for _, a := range h.accounts {
		s.accounts[a].pending -= h.reserved(s.holds[i]&otherBit != 0)
	}
	return s
}

// reserved returns the amount of a reservation, or its other one.
func (h hold) reserved(other bool) int64 {
	if other {
		return h.otherAmount
	}
	return h.amount
}

// settledWith returns the state in which a reservation is settled with an amount, in place of what it had posted before.
func (m *model) settledWith(s state, i int, before, amount int64) state {
	for _, a := range m.plan.holds[i].accounts {
		s.accounts[a].settled += amount - before
	}
	return s.with(i, posted(amount))
}

// with returns the state with another byte for reservation i.
func (s state) with(i int, b byte) state {
	s.holds = s.holds[:i] + string([]byte{b}) + s.holds[i+1:]
	return s
}

// posted returns the byte of a reservation that is settled with an amount.
func posted(amount int64) byte { return settled | byte(amount)<<actualShift }
