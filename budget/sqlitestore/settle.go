package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// entry is one reservation. A tombstone, which Void writes for an id that it does not know, has no bookings and no expiry.
type entry struct {
	id                                driver.ID
	owner                             driver.Key // the ledger that made it; nobody else may resolve it
	state                             driver.State
	estimated                         bool          // the actual amount is the worst case, because the actual cost was not known
	orphan                            bool          // it was settled without a pending reservation
	reserved, actual                  driver.Charge // the worst case, and what is posted
	bookings                          []booking     // where it counts
	reservedAt, resolvedAt, expiresAt int64         // in nanoseconds since 1970; resolvedAt is 0 while it is pending
	call                              []byte        // its scope and operation, as account.EncodeCall encodes them
	reference                         []byte        // the provider's id of the request
	uses                              []account.Use // what it has added to rows of usage, the sums of a day over calls with the same scope
}

// reservedTime is when it was reserved: its amounts belong to the usage of that day.
func (e *entry) reservedTime() time.Time { return time.Unix(0, e.reservedAt) }

// tombstone reports whether the entry was voided before it was made, so that its accounts are not known.
func (e *entry) tombstone() bool { return e.state == driver.Voided && e.expiresAt == 0 }

// entry reads a reservation; nil if there is none.
func (t *tx) entry(id driver.ID) (*entry, error) {
	e, err := scanEntry(t.stmt(sqlEntry).QueryRow(id[:]).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if e != nil {
		// The statement selects by the id, and does not return it.
		e.id = id
	}
	return e, err
}

// scanEntry reads one row with the columns of a reservation. first are the columns in front of these.
func scanEntry(scan func(...any) error, first ...any) (*entry, error) {
	e := &entry{}
	var owner, reserved, actual, bookings, uses []byte
	fields := append(first, &owner, &e.state, &e.estimated, &e.orphan, &reserved, &actual, &bookings, &e.reservedAt, &e.resolvedAt, &e.expiresAt, &e.call, &e.reference, &uses)
	if err := scan(fields...); err != nil {
		return nil, err
	}
	if len(owner) != len(e.owner) {
		return nil, errEncoding
	}
	e.owner = driver.Key(owner)
	var errs [4]error
	e.reserved, errs[0] = decodeCharge(reserved)
	e.actual, errs[1] = decodeCharge(actual)
	e.bookings, errs[2] = decodeBookings(bookings)
	e.uses, errs[3] = account.DecodeUses(uses)
	return e, errors.Join(errs[:]...)
}

// refer stores the call and the reference of a settlement in an entry, which keeps its own where the settlement has none.
func (e *entry) refer(st *driver.Settlement) {
	if st.Call != nil {
		e.call = account.EncodeCall(st.Call, "") // the encoding has room for a reference, too, which has a field of its own here
	}
	if st.Reference != "" {
		e.reference = []byte(st.Reference)
	}
}

// blob returns bytes that are not nil: nil would become a null, which the columns refuse.
func blob(raw []byte) []byte {
	if raw == nil {
		return []byte{}
	}
	return raw
}

// insert writes an entry, in the place of one with the same id.
func (t *tx) insert(e *entry) error {
	return t.exec(sqlInsert, e.id[:], e.owner[:], e.state, e.estimated, e.orphan, encodeCharge(e.reserved), encodeCharge(e.actual),
		encodeBookings(e.bookings), e.reservedAt, e.resolvedAt, e.expiresAt, blob(e.call), blob(e.reference), account.EncodeUses(e.uses))
}

// resolve writes an entry's new state and posted amount, and what the caller has changed in its other fields. It drops a few old rows besides (at
// most forgetAlong of each kind), so that a busy file does not grow.
func (t *tx) resolve(e *entry, state driver.State, actual driver.Charge, estimated bool) error {
	e.state, e.actual, e.estimated, e.resolvedAt = state, actual, estimated, t.now.UnixNano()
	if err := t.exec(sqlUpdate, e.state, e.estimated, e.orphan, encodeCharge(e.actual), encodeBookings(e.bookings), e.resolvedAt, blob(e.call), blob(e.reference), account.EncodeUses(e.uses), e.id[:]); err != nil {
		return err
	}
	return t.forget(forgetAlong)
}

// Settle implements driver.Store. If there is no reservation, or it was voided, the amount is posted as an orphan, in the present windows.
func (s *Store) Settle(ctx context.Context, st driver.Settlement) (p driver.Posting, err error) {
	if err := st.Validate(); err != nil {
		return p, err
	}
	err = s.do(ctx, true, func(t *tx) error {
		p, err = t.settle(st)
		return err
	})
	return p, err
}

// settle posts what a call has cost. A pending reservation gives up its worst case for it; what was posted for an expired one is replaced.
func (t *tx) settle(st driver.Settlement) (driver.Posting, error) {
	e, err := t.entry(st.ID)
	switch {
	case err != nil:
		return driver.Posting{}, err
	case e != nil && e.owner != st.Owner:
		return driver.Posting{}, driver.ErrIDConflict
	case e == nil || e.state == driver.Voided:
		return t.postOrphan(e, st)
	case e.state == driver.Settled && e.actual == st.Actual:
		return driver.Posting{Replayed: true, From: driver.Settled}, nil
	case e.state == driver.Settled:
		return driver.Posting{}, driver.ErrResolved
	}
	p := driver.Posting{From: e.state} // pending or expired
	amounts := posting{actual: st.Actual, shares: st.Shares}
	if e.state == driver.Pending {
		amounts.pending = e.reserved
	} else {
		amounts.before = e.actual
	}
	e.refer(&st)
	if err := t.post(e, amounts); err != nil {
		return driver.Posting{}, err
	}
	if err := t.resolve(e, driver.Settled, st.Actual, st.Estimated); err != nil {
		return driver.Posting{}, err
	}
	p.Crossed, err = t.crossed(st.Lines)
	return p, err
}

// postOrphan posts spend that was never reserved, or whose reservation, e, was voided, in the present windows. e is nil if there is none; a voided
// one, which has posted nothing, is replaced.
func (t *tx) postOrphan(e *entry, st driver.Settlement) (p driver.Posting, err error) {
	bookings := t.bookings(st.Lines)
	if e != nil {
		p.From = e.state
	}
	now := t.now.UnixNano()
	orphan := &entry{
		id: st.ID, owner: st.Owner, state: driver.Settled, estimated: st.Estimated, orphan: true, actual: st.Actual,
		bookings: bookings, reservedAt: now, resolvedAt: now, expiresAt: now,
	}
	orphan.refer(&st)
	// It replaces nothing that was posted, and has nothing pending.
	if err := t.post(orphan, posting{actual: st.Actual, shares: st.Shares}); err != nil {
		return driver.Posting{}, err
	}
	if err := t.insert(orphan); err != nil {
		return driver.Posting{}, err
	}
	// The accounts may be new. Their states, the nil, were not read, so that a name is sent for each; one that is stored already stays.
	if err := t.name(st.Lines, nil); err != nil {
		return driver.Posting{}, err
	}
	p.Crossed, err = t.crossed(st.Lines)
	return p, err
}

// crossed reports the thresholds that settled spend has reached for the first time in their window, and notes until when they are not reported
// again.
func (t *tx) crossed(lines []driver.Line) (all []driver.Crossing, err error) {
	if !slices.ContainsFunc(lines, func(l driver.Line) bool { return len(l.Notify) > 0 }) {
		return nil, nil
	}
	states, err := t.states(lines)
	if err != nil {
		return nil, err
	}
	for i := range lines {
		reached := t.reach(&lines[i], i, &states[i])
		if len(reached) == 0 {
			continue
		}
		if err := t.exec(sqlMark, lines[i].Account[:], encodeTimes(states[i].fired)); err != nil {
			return nil, err
		}
		all = append(all, reached...)
	}
	return all, nil
}

// reach returns the thresholds of a line that are reached and were not reported in this window yet, and sets in state.fired, by the threshold's
// number in the line, until when they are not reported again. i is the line's index in the settlement, by which the caller knows it.
func (t *tx) reach(line *driver.Line, i int, state *state) (reached []driver.Crossing) {
	now := t.now.UnixNano()
	for m := range line.Notify {
		// Threshold returns the settled amount that a threshold stands for.
		isReached := state.Settled >= line.Threshold(m, state.Max)
		wasReported := m < len(state.fired) && now < state.fired[m]
		if !isReached || wasReported {
			continue
		}
		if m >= len(state.fired) { // 0 for thresholds that were never reached
			state.fired = append(state.fired, make([]int64, len(line.Notify)-len(state.fired))...)
		}
		state.fired[m] = windowEnd(line.Window.At(t.now), now)
		reached = append(reached, driver.Crossing{Line: i, Mark: m, Settled: state.Settled, Max: state.Max})
	}
	return reached
}

// Void implements driver.Store. If there is no reservation, it writes a tombstone, so that a Reserve of the same id that comes late is refused.
func (s *Store) Void(ctx context.Context, id driver.ID, owner driver.Key) error {
	return s.do(ctx, true, func(t *tx) error {
		e, err := t.entry(id)
		switch {
		case err != nil:
			return err
		case e == nil:
			now := t.now.UnixNano()
			// Without expiresAt, which makes it a tombstone.
			return t.insert(&entry{id: id, owner: owner, state: driver.Voided, reservedAt: now, resolvedAt: now})
		case e.owner != owner:
			return driver.ErrIDConflict
		case e.state == driver.Voided:
			return nil
		case e.state != driver.Pending:
			return driver.ErrResolved
		}
		// It posts nothing, and takes the worst case out of pending.
		if err := t.post(e, posting{pending: e.reserved}); err != nil {
			return err
		}
		return t.resolve(e, driver.Voided, driver.Charge{}, false)
	})
}
