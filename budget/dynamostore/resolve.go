package dynamostore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// An account may be spread over several items, its shards, each of which holds a share of the limit. It sums up amounts in buckets, one for each
// start. The present window of an item is the one in which it was when it was last written completely; it counts the buckets that begin at its
// attribute since or later. A booking says in which bucket of which shard a part of a reservation is booked, and how much it holds there.

// outcome is how a step changes a reservation. The zero value changes nothing.
type outcome struct {
	state     driver.State   // the new one; 0 for no change
	actual    driver.Charge  // what is posted after that
	estimated bool           // actual is the worst case, because the actual cost is not known
	orphan    bool           // there is no reservation, or it was voided: the amount is booked in the present windows of the step's lines
	tombstone bool           // there is no reservation: the voided one is written, so that a late Reserve of it fails
	shares    []driver.Share // how the amount is divided over calls; none if it is one call's alone
	// correction says that the step is a correction, which without shares leaves the amount with the call that has its first part: see divide.
	correction bool
	unchanged  bool // what is posted stays as it was
}

// resolving is the state of one Settle, Void, Correct or expiry over its attempts.
type resolving struct {
	*step
	id    driver.ID
	owner driver.Key
	lines []driver.Line // of a settlement: those whose thresholds are checked
	// decide returns how the step changes a reservation, and what the step answers. e is nil if there is no reservation. Each kind of step has its own;
	// that of a correction also looks at change.
	decide          func(e *entry, now time.Time) (outcome, driver.Posting, error)
	call, reference []byte                    // the encoded call and the provider's id of the request, if a settlement says them
	tries           map[uint32]driver.Posting // by attempt: the answer to give if its transaction turns out to have been written
	// record is what a correction writes into the audit trail, and change what it has read there.
	record *driver.Record
	change *changing
}

// resolve takes a reservation to its next state, and the sums of its accounts with it. If this process made the reservation and remembers it, the
// first attempt sends the transaction without reading: it requires the reservation to be as it was written.
func (s *Store) resolve(ctx context.Context, op string, q *resolving) (p driver.Posting, err error) {
	known := s.entries.take(q.id)
	q.tries = make(map[uint32]driver.Posting)
	err = s.do(ctx, op, func(ctx context.Context, t *step) error {
		q.step = t
		from := known
		known = nil // only the first attempt uses it
		p, err = s.resolveOnce(ctx, q, from)
		return err
	})
	if err != nil {
		return driver.Posting{}, err
	}
	return p, nil
}

// resolveOnce is one attempt at resolve. e is the reservation as this process remembers it, or nil: then it is read first. It sends the
// transaction without having read the accounts, under the assumption that they and the reservation are as expected. It leaves the attempt to
// resolveAfterReading, which reads the reservation and its accounts at one moment, where
//
//   - there is no reservation, or an orphan has to be booked;
//   - the remembered reservation allows no change, because the stored one may be another by now;
//   - blindPosts can't tell without the accounts what to write;
//   - the transaction fails, because something was not as assumed.
func (s *Store) resolveOnce(ctx context.Context, q *resolving, e *entry) (p driver.Posting, err error) {
	if q.record != nil { // a correction, which adds to the audit trail
		unlock, err := s.changeLock.lock(ctx)
		if err != nil {
			return driver.Posting{}, err
		}
		defer unlock()
		if q.change, err = s.readChange(ctx, q.step, *q.record); err != nil {
			return driver.Posting{}, err
		}
	}
	remembered := e != nil
	if !remembered {
		if e, err = s.readEntry(ctx, q.id); err != nil {
			return driver.Posting{}, err
		}
	}
	if e == nil {
		return s.resolveAfterReading(ctx, q, nil)
	}
	p, answered, err := s.resolveBlind(ctx, q, e, remembered)
	var moved *movedError // the transaction failed, because a condition did not hold
	if answered && !errors.As(err, &moved) {
		return p, err
	}
	if moved != nil && moved.old[entryAction] != nil { // the stored reservation has changed; else a condition of another item did not hold
		if e, err = decodeEntry(q.id, moved.old[entryAction]); err != nil {
			return driver.Posting{}, err
		}
	}
	return s.resolveAfterReading(ctx, q, e)
}

// readEntry reads a reservation; nil if there is none.
func (s *Store) readEntry(ctx context.Context, id driver.ID) (*entry, error) {
	raw, err := s.get(ctx, entryKey(id))
	if err != nil {
		return nil, err
	}
	return decodeEntry(id, raw)
}

// resolveBlind resolves the reservation e without having read its accounts. answered is false if that can't be done; then nothing was sent.
// remembered says that e is as this process remembers it, and may be stored otherwise by now.
func (s *Store) resolveBlind(ctx context.Context, q *resolving, e *entry, remembered bool) (p driver.Posting, answered bool, err error) {
	now, err := s.clock.now()
	if err != nil {
		return driver.Posting{}, true, err
	}
	next, p, err := q.judge(e, now)
	if changesNothing := err != nil || next.state == 0; changesNothing {
		return p, !remembered, err // the stored one may allow a change
	}
	if next.orphan { // it is booked in the present windows, which only the accounts tell
		return driver.Posting{}, false, nil
	}
	actions, ok := s.blindPosts(q, e, next, now)
	if !ok {
		return driver.Posting{}, false, nil
	}
	p, err = s.finish(ctx, q, replacement{before: e, after: e.resolved(next, e.shifts(next.actual), now), next: next, answer: p, accounts: actions})
	return p, true, err
}

// judge returns how the step changes the reservation, and what it answers. If an earlier attempt of this step has changed it already, and only
// the reply was lost, it returns that attempt's answer and no change.
func (q *resolving) judge(e *entry, now time.Time) (outcome, driver.Posting, error) {
	if e != nil && e.mark.of(q.name) {
		return outcome{}, q.tries[attemptOf(e.mark)], nil
	}
	return q.decide(e, now)
}

// entryAction is the index of the action that writes the reservation, in each transaction that makes or resolves one: errors have items by index.
const entryAction = 0

// replacement is what one attempt at a resolution is about to write: the reservation in the place of what it was, and all that changes with it.
type replacement struct {
	before, after *entry // the reservation as it was, nil if there was none; and as it will be
	next          outcome
	answer        driver.Posting
	accounts      []types.TransactWriteItem // the actions for the accounts
	looking       bool                      // the sums of usage are read first, because an attempt without that has failed
}

// finish sends the transaction that resolves a reservation, and returns the answer. Beside the actions for the accounts, the transaction writes the
// reservation and removes its due date, and has actions for usage and the audit trail.
func (s *Store) finish(ctx context.Context, q *resolving, r replacement) (driver.Posting, error) {
	after := r.after
	after.mark = q.mark() // which also numbers this attempt
	if len(q.call) > 0 {
		after.call = q.call
	}
	if len(q.reference) > 0 {
		after.reference = q.reference
	}
	q.tries[q.attempt] = r.answer
	others := r.accounts
	if !r.next.unchanged { // after gets the uses that it now has, and is only encoded after that
		charged, err := s.chargeUsage(ctx, after, r.next, r.looking)
		if err != nil {
			return driver.Posting{}, err
		}
		others = append(others, charged...)
	}
	if q.change != nil { // a correction, for which there always is a reservation: its record says what it replaces
		q.change.records[0].From = r.before.actual
		noted, err := s.recordChange(q.change, time.Unix(0, after.resolvedAt))
		if err != nil {
			return driver.Posting{}, err
		}
		others = append(others, noted...)
	}
	if err := s.write(ctx, append(s.replaceEntry(q.id, r.before, after), others...)); err != nil {
		return driver.Posting{}, err
	}
	return r.answer, nil
}

// replaceEntry returns the actions that write a reservation, provided that it is still as it was before, and remove its due date. The index of the
// first of them is entryAction. before is nil if there was no reservation.
func (s *Store) replaceEntry(id driver.ID, before, after *entry) []types.TransactWriteItem {
	x := &expression{}
	if before == nil {
		x.requireNone(partitionKey)
		return []types.TransactWriteItem{s.put(after.encode(), x), s.checkEpoch(id)} // in any other table the reservation would be missing, too
	}
	x.require(attrMark, "=", blob(before.mark[:]))
	actions := []types.TransactWriteItem{s.put(after.encode(), x)}
	if before.state == driver.Pending { // only a pending one has a due date; the empty expression requires nothing
		actions = append(actions, s.remove(dueKey(id, before.expiresAt), &expression{}))
	}
	return actions
}

// resolved returns the reservation as it is after a step: with the new state and amount, and with the shifts' bookings.
func (e *entry) resolved(next outcome, shifts []shift, now time.Time) *entry {
	after := *e
	after.state, after.actual, after.estimated, after.orphan = next.state, next.actual, next.estimated, next.orphan || e.orphan
	after.resolvedAt = now.UnixNano()
	after.bookings = make([]booking, len(shifts))
	for i := range shifts {
		after.bookings[i] = shifts[i].booking
	}
	return &after
}

// shift is how the sums of one booking change. The booking's amount is what it holds afterwards.
type shift struct {
	booking
	pending, settled int64 // what is added to each of the two sums; may be negative
	extra            int64 // the part of settled that exceeds the reservation
}

// shifts spreads the amount that is posted from now on over the reservation's bookings, and returns how the sums of each change. The bookings of one
// account stand together. In their order, each of them takes at most what it holds already, and the first one also takes what is left then.
func (e *entry) shifts(actual driver.Charge) []shift {
	all := make([]shift, len(e.bookings))
	for from := 0; from < len(e.bookings); {
		to := from + 1
		for to < len(e.bookings) && e.bookings[to].account == e.bookings[from].account {
			to++
		}
		left := actual[e.bookings[from].unit]
		for i := from; i < to; i++ {
			b := e.bookings[i]
			take := min(left, b.amount)
			left -= take
			all[i] = shift{booking: b, settled: take - b.amount}
			if e.state == driver.Pending { // the whole amount was pending, and nothing of it settled
				all[i].pending, all[i].settled = -b.amount, take
			}
			all[i].amount = take
		}
		all[from].extra = left // what was posted beyond all that was booked; as a rule 0
		all[from].settled += left
		all[from].amount += left
		from = to
	}
	return all
}

// blindPosts returns the actions that change the accounts, made without having read them. They require that each booking is in the account's present
// window, that no threshold of a line is reached, and, if there are several shards, that none goes beyond its share of the limit. ok is false if the
// accounts have to be read first: for a line whose account the reservation is not booked in, or where the limit is not known.
func (s *Store) blindPosts(q *resolving, e *entry, next outcome, now time.Time) (actions []types.TransactWriteItem, ok bool) {
	shifts := e.shifts(next.actual)
	for i := range q.lines {
		if !slices.ContainsFunc(shifts, func(sh shift) bool { return sh.account == q.lines[i].Account }) {
			return nil, false
		}
	}
	for i := range shifts {
		sh, x := &shifts[i], &expression{}
		line := lineOf(q.lines, sh.account)
		watched := line != nil && len(line.Notify) > 0 // it has thresholds
		if sh.pending == 0 && sh.settled == 0 && !watched {
			continue
		}
		if watched {
			x.requireGapKnown(line, now)
			if sh.settled <= 0 { // else post requires a gap that is larger than what is settled
				x.require(attrGap, ">", number(sh.settled)) // else a threshold is due that was reached without a settlement
			}
		}
		if sh.extra > 0 && s.shards > 1 { // the shard must stay within its share
			if line == nil { // without a line the limit is not known
				return nil, false
			}
			x.require(attrSharesOf, "=", number(line.Max))
			x.require(attrUsed, "<=", number(less(share(line.Max, sh.shard, s.shards), sh.extra)))
		}
		actions = append(actions, s.post(x, sh))
	}
	return actions, true
}

// requireGapKnown adds to x the requirement that the gap of an account's item is the one to the next threshold of this line, in the window of now:
// for these thresholds, and while none that was reported may be reported again.
func (x *expression) requireGapKnown(line *driver.Line, now time.Time) {
	x.require(attrSince, "=", number(line.Window.At(now).Since))
	x.require(attrThresholds, "=", blob(hashThresholds(line, line.Max))) // under an override they are others, and this fails
	x.require(attrQuiet, ">", number(now.UnixNano()))
}

// post returns the action that changes the sums of a booking, which must be in the account's present window; x holds what else is required.
func (s *Store) post(x *expression, sh *shift) types.TransactWriteItem {
	pending, settled := bucketAttribute(pendingPrefix, sh.start), bucketAttribute(settledPrefix, sh.start)
	x.require(attrSince, "<=", number(sh.start))
	if sh.pending < 0 { // no resolution adds to it
		x.require(pending, ">=", number(-sh.pending))
		x.add(pending, sh.pending)
	}
	if sh.settled < 0 {
		x.require(settled, ">=", number(-sh.settled))
	}
	if sh.settled > 0 {
		x.requireUnless(settled, "<=", number(ceiling(s.shards)-sh.settled)) // the sum of all shards has to fit into an int64
		x.require(attrGap, ">", number(sh.settled))                          // else a threshold might be reached unnoticed
	}
	if sh.settled != 0 {
		x.add(settled, sh.settled)
		x.add(attrSettled, sh.settled)
		x.add(attrGap, -sh.settled)
	}
	if used := sh.pending + sh.settled; used != 0 {
		x.add(attrUsed, used)
	}
	x.add(attrChanges, 1)
	return s.update(accountKey(sh.account, sh.shard), x)
}

// lineOf returns the line of an account, or nil.
func lineOf(lines []driver.Line, account driver.Key) *driver.Line {
	for i := range lines {
		if lines[i].Account == account {
			return &lines[i]
		}
	}
	return nil
}
