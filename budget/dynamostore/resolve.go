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
	state     driver.State  // the new one; 0 for no change
	actual    driver.Charge // what is posted after that
	estimated bool          // actual is the worst case, because the actual cost is not known
	orphan    bool          // there is no reservation, or it was voided: the amount is booked in the present windows of the step's lines
	tombstone bool          // there is no reservation: the voided one is written, so that a late Reserve of it fails
	// How the amount is divided over calls, if it is not one call's alone, and whether this is a correction, which divides it by another rule.
	shares     []driver.Share
	correction bool
	unchanged  bool // nothing is posted that was not before
}

// resolving is the state of one Settle, Void, Correct or expiry over its attempts.
type resolving struct {
	*step
	id    driver.ID
	owner driver.Key
	lines []driver.Line // of a settlement: those whose thresholds are checked
	// decide says what becomes of a reservation, which may be nil, and what the step answers. That follows from its arguments and from what the step
	// was asked for; in a correction also from change.
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
func (s *Store) resolveOnce(ctx context.Context, q *resolving, e *entry) (driver.Posting, error) {
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
		raw, err := s.get(ctx, entryKey(q.id))
		if err != nil {
			return driver.Posting{}, err
		}
		if e, err = decodeEntry(q.id, raw); err != nil {
			return driver.Posting{}, err
		}
	}
	if e == nil {
		return s.resolveAfterReading(ctx, q, nil)
	}
	now, err := s.clock.now()
	if err != nil {
		return driver.Posting{}, err
	}
	next, p, err := q.judge(e, now)
	changesNothing := err != nil || next.state == 0
	switch {
	case remembered && changesNothing: // the stored one may be another by now
		return s.resolveAfterReading(ctx, q, e)
	case changesNothing:
		return p, err
	case next.orphan:
		return s.resolveAfterReading(ctx, q, e)
	}
	actions, ok := s.blindPosts(q, e, next, now)
	if !ok {
		return s.resolveAfterReading(ctx, q, e)
	}
	// The last argument says that the sums of usage are not read.
	p, err = s.finish(ctx, q, e, e.resolved(next, e.shifts(next.actual), now), p, actions, next, false)
	var moved *movedError
	if !errors.As(err, &moved) {
		return p, err
	}
	if old := moved.old[entryAction]; old != nil { // the stored reservation has changed; without it, a condition of another item did not hold
		if e, err = decodeEntry(q.id, old); err != nil {
			return driver.Posting{}, err
		}
	}
	return s.resolveAfterReading(ctx, q, e)
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

// finish sends the transaction that resolves a reservation. It writes the reservation, provided that it is still as it was before, removes its
// due date, and has the given actions for the accounts, and those for usage and the audit trail. before is nil if there was no reservation.
// looking says to read the sums of usage first: an attempt without that has failed.
func (s *Store) finish(ctx context.Context, q *resolving, before, after *entry, p driver.Posting, accounts []types.TransactWriteItem, next outcome, looking bool) (driver.Posting, error) {
	after.mark = q.mark() // which also numbers this attempt
	if len(q.call) > 0 {
		after.call = q.call
	}
	if len(q.reference) > 0 {
		after.reference = q.reference
	}
	q.tries[q.attempt] = p
	if !next.unchanged { // after gets the uses that it now has
		charged, err := s.chargeUsage(ctx, after, next, looking)
		if err != nil {
			return driver.Posting{}, err
		}
		accounts = append(accounts, charged...)
	}
	x := &expression{}
	if before == nil {
		x.requireNone(partitionKey)
	} else {
		x.require(attrMark, "=", blob(before.mark[:]))
	}
	actions := []types.TransactWriteItem{s.put(after.encode(), x)}
	if before == nil {
		actions = append(actions, s.checkEpoch(q.id)) // in any other table the reservation would be missing, too
	} else if before.state == driver.Pending { // the empty expression requires nothing
		actions = append(actions, s.remove(dueKey(q.id, before.expiresAt), &expression{}))
	}
	if q.change != nil { // a correction, for which there always is a reservation: its record says what it replaces
		q.change.records[0].From = before.actual
		noted, err := s.recordChange(q.change, time.Unix(0, after.resolvedAt))
		if err != nil {
			return driver.Posting{}, err
		}
		accounts = append(accounts, noted...)
	}
	if err := s.write(ctx, append(actions, accounts...)); err != nil {
		return driver.Posting{}, err
	}
	return p, nil
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

// shifts spreads the amount that is posted from now on over the reservation's bookings: of each account, they take what they held already, in
// order, and the first one also takes what is left.
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
// window, that no threshold of a line is reached, and, if there are several shards, that none goes beyond its share of the limit. It reports false
// when the accounts have to be read first: for a line whose account the reservation is not booked in, or where the limit is not known.
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
		if watched { // the gap to the next threshold is the one for these thresholds in this window, and none may be reported again
			x.require(attrSince, "=", number(line.Window.At(now).Since))
			x.require(attrThresholds, "=", blob(hashThresholds(line, line.Max))) // under an override they are others, and this fails
			x.require(attrQuiet, ">", number(now.UnixNano()))
			if sh.settled <= 0 {
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
		x.requireUnless(settled, "<=", number(ceiling(s.shards)-sh.settled))
		x.require(attrGap, ">", number(sh.settled)) // else a threshold might be reached unnoticed
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
