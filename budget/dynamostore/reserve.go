package dynamostore

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// An account may be spread over several items, its shards, each of which holds a share of the limit; a group is an account with all of them, as they
// were read. The home shard is the one that the reservation's id picks. A gate is an item with the ledger's epoch and the token, which stands for the
// kill flags in force. Blind means: without having read anything, on the assumption that the token is the one that this process knows, that each
// account is in the present window, and that its home shard has room.
//
// A line of a reservation is one limit that applies to it: the account, its Max and its window. A line is full if the amount has no room in it. A
// full line refuses the reservation, unless it is observe-only: then it is only reported. If a line has a latch, its refusal keeps the account closed
// until the window ends or an operator opens it.

// reserving is the state of one Reserve over its attempts.
type reserving struct {
	*step // with the step's name, which each attempt leaves in what it writes
	r     driver.Reservation
	tries map[uint32]attempted // by attempt, the answer to give if its reply was lost and its transaction turns out to have been written
	waits bool                 // a kill flag is being set: until that is done, read and do not write

	// An attempt that refuses may write latches, which keep accounts closed. This is its decision, and the index of the first line that it latched.
	latchRefusal driver.Decision
	latched      int
}

// attempted is what an attempt at a Reserve has sent: the answer, and the reservation.
type attempted struct {
	decision driver.Decision
	entry    *entry
}

// Reserve implements driver.Store. It first sends, without reading anything, the transaction that admits: the new
// reservation, its due date, a gate with the epoch and the kill flags, and each account with room for the amount. Only when
// a condition of that fails, it looks at everything in one atomic read, decides on that, and admits in a transaction that
// requires what it saw. A refusal rests on the atomic read alone.
func (s *Store) Reserve(ctx context.Context, r driver.Reservation) (d driver.Decision, err error) {
	if err := r.Validate(); err != nil {
		return d, err
	}
	if err := s.fits(len(r.Lines), 0); err != nil { // 0, because only a settlement divides its amount among calls
		return d, err
	}
	q := &reserving{r: r, tries: make(map[uint32]attempted)}
	err = s.do(ctx, "reserve", func(ctx context.Context, t *step) error {
		q.step = t
		d, err = s.reserve(ctx, q)
		return err
	})
	if err != nil {
		return driver.Decision{}, err
	}
	return d, nil
}

// reserve is one attempt at Reserve. It first tries to admit without reading anything, if that is likely to succeed. If it fails, it decides on
// an atomic read. If what it then has to write requires an account to be as it was read, it takes the account's lock first, and reads again.
func (s *Store) reserve(ctx context.Context, q *reserving) (driver.Decision, error) {
	now, err := s.clock.now()
	if err != nil {
		return driver.Decision{}, err
	}
	if known := s.flags.get(); !q.waits && s.mayAdmitBlind(q.r, known) {
		d, err := s.reserveBlind(ctx, q, known.token, now)
		if !errors.Is(err, errMoved) {
			return d, err
		}
		var moved *movedError
		errors.As(err, &moved) // this always finds one: only a transaction whose conditions failed gives errMoved here
		// The transaction returns the reservation that it found under the id. If there is none, it failed in another item, and e is nil.
		if e, err := decodeEntry(q.r.ID, moved.old[entryAction]); err != nil {
			return driver.Decision{}, err
		} else if e != nil {
			if d, answered, err := s.answerKnown(q, e); answered {
				return d, err
			}
		}
	}
	d, toLock, err := s.reserveAfterReading(ctx, q, false)
	if toLock == nil { // no lock is needed
		return d, err
	}
	unlock, err := s.locks.lock(ctx, *toLock)
	if err != nil {
		return driver.Decision{}, err
	}
	defer unlock()
	d, _, err = s.reserveAfterReading(ctx, q, true)
	return d, err
}

// mayAdmitBlind reports whether a reservation is likely to be admitted without reading anything first: as far as this process knows, no flag refuses
// it, and none of its accounts was full, overridden or beyond a shard's share when it was read last. A wrong guess costs a round trip.
func (s *Store) mayAdmitBlind(r driver.Reservation, known flags) bool {
	// For the zero time, killed also finds flags that have ended: a call that one of these covers reads first, which is right in any case.
	if s.blindFailures.any(r.Lines) || known.killed(&r, time.Time{}) != nil {
		return false
	}
	home := pick(r.ID, s.shards)
	for i := range r.Lines {
		if r.Charge[r.Lines[i].Unit] > share(r.Lines[i].Max, home, s.shards) { // too much for the home shard, even if it is empty
			return false
		}
	}
	return true
}

// answerKnown answers a reservation whose id exists as entry e: an earlier attempt of this step made it, or the id is resolved or belongs to another
// reservation. answered is false if the entry is the same reservation, made by an earlier step: then the kill flags have to be asked first.
func (s *Store) answerKnown(q *reserving, e *entry) (d driver.Decision, answered bool, err error) {
	if e.mark.of(q.name) && e.state == driver.Pending {
		won := q.tries[attemptOf(e.mark)] // admit noted it before it sent the transaction
		if won.entry != nil {
			s.entries.put(won.entry) // remembered, so that its settlement needs no read
		}
		return won.decision, true, nil
	}
	err = e.conflict(q.r) // nil if the entry is the same reservation
	return driver.Decision{}, err != nil, err
}

// newEntry returns the reservation as the next attempt will store it, without bookings.
func (q *reserving) newEntry(now time.Time) *entry {
	at := now.UnixNano()
	// A negative TTL counts as 0, so that the reservation is due at once.
	e := &entry{id: q.r.ID, owner: q.r.Owner, state: driver.Pending, reserved: q.r.Charge, reservedAt: at, expiresAt: at + int64(max(q.r.TTL, 0))}
	e.mark = q.mark()     // which begins the attempt
	if e.expiresAt < at { // the sum has overflowed
		e.expiresAt = math.MaxInt64
	}
	if q.r.Call != nil { // the last argument is the provider's id of the request, for which an entry has an attribute of its own
		e.call = account.EncodeCall(q.r.Call, "")
	}
	return e
}

// head returns the first actions of each transaction that admits: it writes the reservation, whose index is entryAction and whose id must be unknown,
// and its due date, by which it expires, and checks a gate.
func (s *Store) head(e *entry, flags token, now time.Time) []types.TransactWriteItem {
	x := &expression{}
	x.requireNone(partitionKey)
	// The due date is an item with nothing but its key, and is written without a condition.
	return []types.TransactWriteItem{
		s.put(e.encode(), x),
		s.put(dueKey(e.id, e.expiresAt).with(item{}), &expression{}),
		s.checkGate(e.id, flags, now),
	}
}

// admit sends a transaction that admits. It notes the answer and the entry of this attempt before, in case that the reply is lost.
func (s *Store) admit(ctx context.Context, q *reserving, e *entry, d driver.Decision, actions []types.TransactWriteItem) (driver.Decision, error) {
	d.Admitted, d.ExpiresAt = true, time.Unix(0, e.expiresAt)
	q.tries[q.attempt] = attempted{d, e}
	if err := s.write(ctx, actions); err != nil {
		return driver.Decision{}, err
	}
	s.entries.put(e)
	return d, nil
}

// reserveBlind admits without having read anything, or fails with errMoved if a condition did not hold. flags is the token of the kill flags that
// this process knows.
func (s *Store) reserveBlind(ctx context.Context, q *reserving, flags token, now time.Time) (driver.Decision, error) {
	e := q.newEntry(now)
	home := pick(e.id, s.shards)
	var accounts []types.TransactWriteItem // the actions for the accounts, one for each line
	for i := range q.r.Lines {
		line := &q.r.Lines[i]
		amount, span := q.r.Charge[line.Unit], line.Window.At(now)
		x := &expression{}
		// The home shard has room in its share of the limit, and no override is in force: there is none, or it has ended. less subtracts, and stops at
		// the smallest int64.
		x.require(attrUsed, "<=", number(less(share(line.Max, home, s.shards), amount)))
		x.requireUnless(attrMaxUntil, "<=", number(now.UnixNano()))
		if s.shards > 1 { // the other shards are within their shares of this limit, too
			x.require(attrSharesOf, "=", number(line.Max))
		}
		b := booking{account: line.Account, shard: home, unit: line.Unit, start: span.Start, amount: amount}
		accounts = append(accounts, s.addPending(x, b, span, now))
		e.bookings = append(e.bookings, b)
	}
	return s.admit(ctx, q, e, driver.Decision{}, append(s.head(e, flags, now), accounts...))
}

// addPending returns the action that books an amount in an item of an account, and requires that the item is in the window of the span and that its
// latch is open; x holds what else is required.
func (s *Store) addPending(x *expression, b booking, span driver.Span, now time.Time) types.TransactWriteItem {
	x.require(attrSince, "=", number(span.Since))
	x.requireUnless(attrLatched, "<=", number(now.UnixNano()))
	x.add(attrUsed, b.amount)
	x.add(bucketAttribute(pendingPrefix, b.start), b.amount)
	x.add(attrChanges, 1)
	return s.update(accountKey(b.account, b.shard), x)
}

// reserveAfterReading reads the id, a gate and all accounts at one moment, and decides on that. An admission that requires an account to be as it was
// read needs the account's lock, which other steps of this process wait for: if locked is false, it writes nothing then and returns in toLock the
// account to lock. toLock is nil when the decision, or the error, is the result.
func (s *Store) reserveAfterReading(ctx context.Context, q *reserving, locked bool) (d driver.Decision, toLock *driver.Key, err error) {
	v, err := s.look(ctx, q.r.ID, accountsOf(q.r.Lines))
	if err != nil {
		return d, nil, err
	}
	if d, answered, err := s.answerUnjudged(ctx, q, v); answered {
		return d, nil, err
	}
	rulings, d, err := s.judge(v, q.r)
	if err != nil {
		return driver.Decision{}, nil, err
	}
	for i := range rulings { // decides whether the next reservation tries without a read
		s.blindFailures.set(q.r.Lines[i].Account, rulings[i].failsBlind())
	}
	refused := len(d.Denied) > 0
	latches := refused && slices.ContainsFunc(d.Denied, func(of driver.Denial) bool { return rulings[of.Line].latches })
	if refused && !latches { // a refusal that closes no latch writes nothing
		return d, nil, nil
	}
	if q.waits = v.gate.drain > v.now.UnixNano(); q.waits { // a kill flag is being set: with errDrained, do tries again after a pause
		return driver.Decision{}, nil, errDrained
	}
	if latches {
		return d, nil, s.refuseAndLatch(ctx, q, v, rulings, d)
	}
	home := pick(q.r.ID, s.shards)
	for i := range rulings {
		if !locked && rulings[i].needsLock(home) { // one lock is enough: it only saves repetitions
			return d, &q.r.Lines[i].Account, nil
		}
	}
	d, err = s.admitSeen(ctx, q, v, rulings, d)
	return d, nil, err
}

// answerUnjudged answers a reservation for which the room in its accounts does not matter: its id is known, a kill flag refuses it, or an earlier
// attempt of this step has refused it. answered is false if its lines have to judge it. The id comes first, then kill flags, then room.
func (s *Store) answerUnjudged(ctx context.Context, q *reserving, v *view) (d driver.Decision, answered bool, err error) {
	if v.entry != nil {
		if d, answered, err := s.answerKnown(q, v.entry); answered {
			return d, true, err
		}
	}
	flags, err := s.flagsOf(ctx, v.gate) // those in force, which the gate's token stands for
	if err != nil {
		return driver.Decision{}, true, err
	}
	if k := flags.killed(&q.r, v.now); k != nil {
		return driver.Decision{Killed: k}, true, nil
	}
	if v.entry != nil { // an earlier step has made the same reservation
		return driver.Decision{Admitted: true, Replayed: true, ExpiresAt: time.Unix(0, v.entry.expiresAt)}, true, nil
	}
	if len(q.latchRefusal.Denied) > 0 && bytes.Equal(latchedVersion(v, q), q.name[:versionBytes]) {
		return q.latchRefusal, true, nil // an earlier attempt latched, as the version made of this step's name shows, and its reply was lost
	}
	return driver.Decision{}, false, nil
}

// refuseAndLatch closes the latches of the lines that refuse the reservation, after it has put their accounts into the list of accounts: an account
// is listed before it is written. It needs no lock: of refusals that meet here, one closes the latch, and the others find it closed when they try
// again. d is the decision, which a later attempt gives if the reply of this one is lost.
func (s *Store) refuseAndLatch(ctx context.Context, q *reserving, v *view, rulings []ruling, d driver.Decision) error {
	for i := range rulings {
		if rulings[i].latches { // an observe-only line is listed, too, although latch does not write its account
			if err := s.list(ctx, rulings[i].group, rulings[i].line, v.now); err != nil {
				return err
			}
		}
	}
	q.latchRefusal, q.latched = d, slices.IndexFunc(rulings, func(ruled ruling) bool { return ruled.refuses && ruled.latches })
	err := s.latch(ctx, q, v, rulings)
	if err == nil { // the list gets a note of the accounts that this has created
		s.recordCreated(ctx, groupsOf(rulings)...)
	}
	return err
}

// admitSeen admits after an atomic read, v, has shown that there is room.
func (s *Store) admitSeen(ctx context.Context, q *reserving, v *view, rulings []ruling, d driver.Decision) (driver.Decision, error) {
	e := q.newEntry(v.now)
	var accounts []types.TransactWriteItem // the actions for the accounts
	for i := range rulings {
		if ruled := &rulings[i]; ruled.latches { // an observe-only line: it is only recorded as latched, to report that it would refuse
			ruled.group.latchedUntil = windowEnd(ruled.span, ruled.now.UnixNano())
		}
		// An account that is about to be created, or to begin a window, is in the list of accounts before it is written.
		if err := s.listIfNew(ctx, &rulings[i], e.id); err != nil {
			return driver.Decision{}, err
		}
		actions, bookings := s.place(&rulings[i], pick(e.id, s.shards))
		accounts, e.bookings = append(accounts, actions...), append(e.bookings, bookings...)
	}
	d, err := s.admit(ctx, q, e, d, append(s.head(e, v.gate.token, v.now), accounts...))
	if err == nil { // new accounts are noted in the list; of rewritten ones, old sums may move to the archive. Neither returns an error.
		s.recordCreated(ctx, groupsOf(rulings)...)
		s.archive(ctx, groupsOf(rulings)...)
	}
	return d, err
}

// groupsOf returns the accounts of rulings.
func groupsOf(rulings []ruling) []*group {
	groups := make([]*group, len(rulings))
	for i := range rulings {
		groups[i] = rulings[i].group
	}
	return groups
}

// ruling is how one line judges the reservation, by an atomic read.
type ruling struct {
	line    *driver.Line
	amount  int64
	group   *group
	now     time.Time // at which the line is judged
	span    driver.Span
	max     int64 // in force
	full    bool  // the amount has no room; an observe-only line takes it all the same
	refuses bool  // the line has no room, and is not observe-only, or observe-only lines refuse, too (RefuseObserved)
	latches bool  // the line latches: one that refuses when the reservation is refused, and an observe-only one when it is admitted
}

// needsLock reports whether the account of this line has to be as it was read when the reservation is admitted. It has not if one increment of the
// home shard is all that is written. A line that latches is observe-only here, and its latch is written, too.
func (ruled *ruling) needsLock(home int) bool {
	return ruled.latches || !ruled.incrementsHomeOnly(home)
}

// failsBlind reports whether the next reservation would probably fail, too, if it were made without reading: the line is full, has an
// override, or a shard is beyond its share.
func (ruled *ruling) failsBlind() bool {
	overridden := ruled.group.override != nil && ruled.now.Before(ruled.group.override.Until)
	if ruled.full || overridden {
		return true
	}
	return len(ruled.group.shards) > 1 && !ruled.group.keepsShares(ruled.max, ruled.span)
}

// judge returns a ruling for each line. The decision lists the lines without room: those that refuse, or else the observe-only ones.
func (s *Store) judge(v *view, r driver.Reservation) (rulings []ruling, d driver.Decision, err error) {
	for i := range r.Lines {
		ruled, b, err := s.judgeLine(v, &r, &r.Lines[i])
		if err != nil {
			return nil, driver.Decision{}, err
		}
		rulings = append(rulings, ruled)
		switch {
		case !ruled.full: // the decision does not name it
		case ruled.refuses:
			d.Denied = append(d.Denied, driver.Denial{Line: i, Balance: b})
		default:
			d.Observed = append(d.Observed, driver.Denial{Line: i, Balance: b})
		}
	}
	if len(d.Denied) > 0 {
		d.Observed = nil
	}
	return rulings, d, nil
}

// judgeLine returns how one line judges the reservation, and the balance of the line's account, which has its ResetAfter only if the line is full.
// The error is driver.ErrOverflow if the amount and what the account holds don't fit into an int64 together.
func (s *Store) judgeLine(v *view, r *driver.Reservation, line *driver.Line) (ruled ruling, b driver.Balance, err error) {
	ruled = ruling{line: line, amount: r.Charge[line.Unit], group: v.groups[line.Account]}
	// A clock that is behind counts in the account's newest window, but not if keepPast is set: then there is an Options.Clock, which may be set
	// back, and accounts keep the sums of windows that have passed.
	ruled.now, ruled.span = ruled.group.moment(line.Window, v.now, s.keepPast)
	b, overflow := ruled.group.balance(line, ruled.span, ruled.now, ruled.amount)
	if overflow {
		return ruling{}, driver.Balance{}, driver.ErrOverflow
	}
	ruled.max = b.Max
	need := b.Settled + b.Pending + ruled.amount // it fits into an int64, as overflow is false
	if ruled.full = need > b.Max || b.Latched; !ruled.full {
		return ruled, b, nil
	}
	// ResetAfter stays 0 for an amount above the limit, which no waiting makes room for. Else Max is not negative, and the difference does not wrap.
	if ruled.amount <= b.Max {
		b.ResetAfter = ruled.group.wait(line.Window, ruled.span, ruled.now, need-b.Max)
	}
	ruled.refuses = !line.Observe || r.RefuseObserved
	// A tentative caller asks again with a smaller amount. A latch that is closed already is not written again.
	ruled.latches = line.Latch && !r.Tentative && !b.Latched
	return ruled, b, nil
}

// latch closes the latches of the lines that refuse and have one. The transaction requires that the refusal still holds: the id is still unknown, no
// kill flag was set, and no line's account has changed. The accounts get a version made of the step's name, by which a later attempt recognises that
// this one was carried out.
func (s *Store) latch(ctx context.Context, q *reserving, v *view, rulings []ruling) error {
	x := &expression{}
	x.requireNone(partitionKey)
	actions := []types.TransactWriteItem{s.check(entryKey(q.r.ID), x), s.checkGate(q.r.ID, v.gate.token, v.now)}
	for i := range rulings {
		ruled := &rulings[i]
		if ruled.refuses && ruled.latches {
			ruled.group.latchedUntil = windowEnd(ruled.span, ruled.now.UnixNano())
			actions = append(actions, s.rewrite(ruled.group, ruled.line, ruled.span, ruled.now, q.name[:versionBytes])...)
			continue
		}
		for _, a := range ruled.group.shards { // an account that stays as it is
			x := &expression{}
			a.unchanged(x) // x requires that the item is as it was read
			actions = append(actions, s.check(accountKey(a.key, a.shard), x))
		}
	}
	return s.write(ctx, actions)
}

// latchedVersion returns the version that was read of the first account that an earlier attempt of this step wanted to latch.
func latchedVersion(v *view, q *reserving) []byte {
	return v.groups[q.r.Lines[q.latched].Account].version
}
