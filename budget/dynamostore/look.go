package dynamostore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A resolution is how a reservation ends, or how its posted amount changes: by a Settle, Void, Correct or Expire. An account may be spread over
// several items, its shards, each of which holds a share of the limit; a group is an account with all of them, as they were read. An account sums up
// amounts in buckets, one for each start. A shift is the change of one booking's sums. The home shard is the one that a reservation's id picks.
//
// An orphan is what is settled without a reservation, or after a Void. A tombstone is written by a Void that finds no reservation, so that a Reserve
// of the same id that comes late fails. The archive holds the sums of windows that passed long ago.

// errAccount says that an account that must be there is not.
var errAccount = fmt.Errorf("%w: the account of a reservation is gone before its time", driver.ErrLost)

// ceiling returns the most that one bucket of one shard may hold, so that the sum of all shards fits into an int64.
func ceiling(shards int) int64 { return math.MaxInt64 / int64(shards) }

// resolveAfterReading reads a reservation and its accounts at one moment, and resolves it in a transaction that requires them to be as they were
// read. e is the reservation as it was last seen, or nil: it tells which accounts to read, besides those of the step's lines. The lock saves
// repetitions: of two steps of this process that do this to the same account at once, one would fail.
func (s *Store) resolveAfterReading(ctx context.Context, q *resolving, e *entry) (driver.Posting, error) {
	accounts := q.accounts(e)
	if len(accounts) > 0 { // one lock is enough: it only saves repetitions
		unlock, err := s.locks.lock(ctx, accounts[0])
		if err != nil {
			return driver.Posting{}, err
		}
		defer unlock()
	}
	v, err := s.look(ctx, q.id, accounts)
	if err != nil {
		return driver.Posting{}, err
	}
	next, p, err := q.judge(v.entry, v.now)
	if err != nil || next.state == 0 { // nothing is changed: the step is refused, or p answers it, as when an earlier attempt has carried it out
		return p, err
	}
	from, err := s.resolvedFrom(ctx, q, v, next)
	if err != nil {
		return driver.Posting{}, err
	}
	works, err := s.works(ctx, q, v, from, from.shifts(next.actual))
	if err != nil {
		return driver.Posting{}, err
	}
	p.Crossed = works.reportThresholds(q.lines)
	var actions []types.TransactWriteItem
	for _, w := range works {
		actions = append(actions, s.carryOut(w)...)
	}
	p, err = s.finish(ctx, q, replacement{
		before: v.entry, after: from.resolved(next, works.shifts(), v.now), next: next, answer: p, accounts: actions, looking: true,
	})
	if err == nil {
		for _, w := range works { // a new account is noted in the list; of a rewritten one, old sums may move to the archive. Neither returns an error.
			s.recordCreated(ctx, w.group)
			s.archive(ctx, w.group)
		}
	}
	return p, err
}

// accounts returns the accounts of the step's lines, and those in which the reservation e is booked. e may be nil. An account may be in it twice.
func (q *resolving) accounts(e *entry) []driver.Key {
	accounts := accountsOf(q.lines)
	if e != nil {
		for _, b := range e.bookings {
			accounts = append(accounts, b.account)
		}
	}
	return accounts
}

// resolvedFrom returns the reservation that is resolved. If there is none, or if an orphan is posted in the place of a voided one, it returns a
// substitute: for an orphan with the bookings that it gets in the present windows, for a tombstone without any.
func (s *Store) resolvedFrom(ctx context.Context, q *resolving, v *view, next outcome) (from *entry, err error) {
	if from = v.entry; from != nil {
		if err := s.requireBooked(ctx, v, from); err != nil {
			return nil, err
		}
	}
	if from != nil && !next.orphan {
		return from, nil
	}
	now := v.now.UnixNano()
	// isSubstitute recognises this entry by its state, and by resolvedAt, which stays 0 here.
	from = &entry{id: q.id, owner: q.owner, state: driver.Voided, tombstone: next.tombstone, reservedAt: now}
	if next.orphan {
		from.expiresAt, from.bookings = now, s.bookOrphan(q, v)
		for i := range q.lines { // the accounts may be new, and are in the list of accounts before they are written
			if err := s.list(ctx, v.groups[q.lines[i].Account], &q.lines[i], v.now); err != nil {
				return nil, err
			}
		}
	}
	return from, nil
}

// bookOrphan returns the bookings of a settlement whose reservation does not exist: in the present windows of its lines. They hold nothing yet:
// shifts finds that all of the settlement's amount is beyond what was booked, and puts it in.
func (s *Store) bookOrphan(q *resolving, v *view) []booking {
	bookings := make([]booking, len(q.lines))
	for i := range q.lines {
		line := &q.lines[i]
		_, span := v.groups[line.Account].moment(line.Window, v.now, s.keepPast)
		bookings[i] = booking{account: line.Account, shard: pick(q.id, s.shards), unit: line.Unit, start: span.Start}
	}
	return bookings
}

// work is what a resolution changes in one account.
type work struct {
	group  *group
	shifts []shift      // of this account, as they are booked in the end
	line   *driver.Line // the step's line of this account; nil if it has none. now and span are only set with it
	now    time.Time    // at which the line is judged
	span   driver.Span  // the line's window then

	// One of these three says how the shifts are written: as increments of the sums of shards, by writing all shards of the group as a whole, or in
	// the archive. A whole group may come with a change in the archive; then the rewriting only records thresholds.
	increments []shift   // those of the shifts that change a sum; not used if whole is set
	whole      bool      // all shards are rewritten, with the sums that apply has put into the group
	archived   *archived // the bucket in the archive that is changed; nil if none is
}

// workList has a work for each account of a resolution.
type workList []*work

// shifts returns the shifts of all accounts: those that works was given, where a settlement beyond its reservation is spread over the shards.
func (l workList) shifts() (all []shift) {
	for _, w := range l {
		all = append(all, w.shifts...)
	}
	return all
}

// reportThresholds returns the thresholds that posted amounts have reached, in the order of the step's lines, and records that they were reported.
func (l workList) reportThresholds(lines []driver.Line) (crossed []driver.Crossing) {
	for i := range lines {
		if w := l.of(lines[i].Account); len(w.line.Notify) > 0 { // each line has a work: see works
			crossed = append(crossed, w.reportThresholds(i)...)
		}
	}
	return crossed
}

// of returns the work of the line that has this account, or nil.
func (l workList) of(account driver.Key) *work {
	for _, w := range l {
		if w.line != nil && w.line.Account == account {
			return w
		}
	}
	return nil
}

// works puts the shifts of each account together, which follow one another, and applies them to the groups that were read. A line whose account has
// no shifts gets a work, too, because its thresholds may be due. It returns errMoved if the reservation now has bookings in accounts that were not
// read, because it had others when the step chose what to read.
func (s *Store) works(ctx context.Context, q *resolving, v *view, from *entry, shifts []shift) (all workList, err error) {
	if slices.ContainsFunc(shifts, func(sh shift) bool { return v.groups[sh.account] == nil }) {
		return nil, errMoved
	}
	add := func(account driver.Key) *work { // appends the work of an account, still without shifts, to all
		w := &work{group: v.groups[account], line: lineOf(q.lines, account)}
		if w.line != nil {
			w.now, w.span = w.group.moment(w.line.Window, v.now, s.keepPast)
		}
		all = append(all, w)
		return w
	}
	for i := 0; i < len(shifts); {
		account := shifts[i].account
		w := add(account)
		for ; i < len(shifts) && shifts[i].account == account; i++ {
			w.shifts = append(w.shifts, shifts[i])
		}
		if err := s.apply(ctx, w, from); err != nil {
			return nil, err
		}
	}
	for i := range q.lines {
		if all.of(q.lines[i].Account) == nil {
			add(q.lines[i].Account)
		}
	}
	return all, nil
}

// apply changes the sums of a group as its shifts say, or prepares the change of the bucket in the archive if it was moved there. All shifts of a
// group are in one bucket.
func (s *Store) apply(ctx context.Context, w *work, from *entry) error {
	start, g := w.shifts[0].start, w.group
	wasThere := from.bookings != nil && !from.isSubstitute() // the account existed when the reservation was made
	switch {
	case wasThere && g.version == nil: // and is gone
		w.dropWithdrawals()
	case start <= g.archivedTo:
		return s.applyArchived(ctx, w)
	}
	var grows int64 // by how much the bucket's settled sum grows
	for i := range w.shifts {
		grows += w.shifts[i].settled
	}
	if grows > 0 {
		if _, overflow := plus(g.settled[start], grows); overflow {
			return driver.ErrOverflow
		}
	}
	if w.shifts[0].extra > 0 && s.shards > 1 { // more is posted than was reserved, and all of that is in the first shift
		w.spread()
	}
	for i := range w.shifts {
		if err := w.applyShift(start, w.shifts[i]); err != nil {
			return err
		}
	}
	return nil
}

// applyShift changes the sums of one shard, in the bucket that begins at start, and notes how that is to be written. It returns errAccount if less is
// there than was booked, because then a part of the ledger is lost.
func (w *work) applyShift(start int64, sh shift) error {
	a := w.group.shards[sh.shard]
	b := a.bucket(start)
	if b.pending+sh.pending < 0 || b.settled+sh.settled < 0 {
		return errAccount
	}
	b.pending, b.settled = b.pending+sh.pending, b.settled+sh.settled
	usesUpGap := start >= a.since && sh.settled > 0 && a.gap <= sh.settled // a threshold may be reached; in a window that has passed none counts
	if !a.found || usesUpGap {                                             // an increment needs an item, and a gap that is left
		w.whole = true
	}
	if sh.pending != 0 || sh.settled != 0 {
		w.increments = append(w.increments, sh)
	}
	return nil
}

// requireBooked returns errAccount if an account that an entry is booked in is gone before its time. An account must be there if the booking is
// within the retention or in a lifetime window, or if the list of accounts says so. Once an operator has accepted a loss, only the list counts.
func (s *Store) requireBooked(ctx context.Context, v *view, e *entry) error {
	gone := make(map[driver.Key]*group)
	for _, b := range e.bookings {
		g := v.groups[b.account]
		if g == nil || g.version != nil { // it was not read, so that a step that is to change it begins anew; or it is there
			continue
		}
		gone[b.account] = g
		if lossAccepted := len(s.acceptance()) > 0; !lossAccepted && s.mustBeKept(b.start, v.now) {
			return errAccount
		}
	}
	return s.requirePresent(ctx, gone, v.now)
}

// mustBeKept reports whether an account in which something is booked, in a window that begins at start, can't have been deleted by now: the window is
// a lifetime, or begins within the retention. However long this store's retention is, no account is deleted within the default one: see keeps.
func (s *Store) mustBeKept(start int64, now time.Time) bool {
	const lifetime = 0 // such a window begins in 1970, and never ends
	second, ends := expiry(start, min(s.opts.Retention, DefaultRetention))
	return start == lifetime || !ends || now.Unix() < second
}

// dropWithdrawals leaves only what the shifts add to the account, of which nothing is left that could be taken out: the account is past its
// retention, or was lost and the loss accepted.
func (w *work) dropWithdrawals() {
	for i := range w.shifts {
		sh := &w.shifts[i]
		sh.pending, sh.settled = max(sh.pending, 0), max(sh.settled, 0)
	}
}

// isSubstitute reports whether resolvedFrom has made this entry, for a step whose reservation does not exist.
func (e *entry) isSubstitute() bool { return e.state == driver.Voided && e.resolvedAt == 0 }

// spread distributes what a settlement exceeds its reservation by over the shards that have room in their share of the limit, the home shard first.
// What has no room goes to the home shard. Then a shard is beyond its share, and each reservation reads all shards until none is any more.
func (w *work) spread() {
	first := &w.shifts[0]
	rest := first.extra
	first.extra, first.settled, first.amount = 0, first.settled-rest, first.amount-rest // grow puts the parts of rest where they belong
	g, home := w.group, first.shard
	limit, sharesKept := g.shards[home].sharesOf, g.shards[home].hasSharesOf // without a line, the limit whose shares were kept last
	if w.line != nil {
		limit, sharesKept = g.max(w.line, w.now), true
	}
	for n := range g.shards {
		i := (home + n) % len(g.shards)
		room := w.roomIn(i, limit)
		sharesKept = sharesKept && room >= 0 // once a shard is beyond its share, all that is left goes to the home shard
		if take := min(rest, room); take > 0 && sharesKept {
			w.grow(i, take)
			rest -= take
		}
	}
	if rest > 0 {
		w.grow(home, rest)
		sharesKept = false
	}
	for _, a := range g.shards {
		a.hasSharesOf, a.sharesOf = sharesKept, limit
	}
	w.whole = true
}

// roomIn returns how much more a shard may hold within its share of the limit, after the shifts, which apply adds to the shard only later. It is
// negative if the shard is beyond its share.
func (w *work) roomIn(shard int, limit int64) int64 {
	a := w.group.shards[shard]
	since := a.since // where the window begins
	if w.line != nil {
		since = w.span.Since
	}
	room := share(limit, shard, len(w.group.shards)) - a.used(since)
	for _, sh := range w.shifts {
		if sh.shard == shard {
			room -= sh.pending + sh.settled
		}
	}
	return room
}

// grow adds n to what is posted in a shard. A shard in which nothing was booked so far gets a booking there, like the first one otherwise.
func (w *work) grow(shard int, n int64) {
	for i := range w.shifts {
		if w.shifts[i].shard == shard {
			w.shifts[i].settled, w.shifts[i].amount = w.shifts[i].settled+n, w.shifts[i].amount+n
			return
		}
	}
	sh := shift{booking: w.shifts[0].booking, settled: n}
	sh.shard, sh.amount = shard, n
	w.shifts = append(w.shifts, sh)
}

// reportThresholds returns the thresholds that the posted amount has reached, and records in the account that they were reported. at is the index of
// the line among those of the step. All shards are written then, even if nothing was reached: each of them holds how far the next threshold is.
func (w *work) reportThresholds(at int) []driver.Crossing {
	crossed := w.group.due(w.line, at, w.span, w.now)
	w.group.report(crossed, w.span, w.now)
	w.whole = true
	return crossed
}

// carryOut returns the actions that write what apply has changed in one account: all shards, or increments of the sums; and the bucket in the
// archive.
func (s *Store) carryOut(w *work) (actions []types.TransactWriteItem) {
	switch {
	case !w.whole: // the shards get increments, below
	case w.line != nil:
		actions = s.rewrite(w.group, w.line, w.span, w.now, newVersion())
	default:
		actions = s.rewriteAsIs(w.group)
	}
	if w.archived != nil {
		actions = append(actions, s.postArchived(w.archived))
	}
	if !w.whole {
		for i := range w.increments {
			actions = append(actions, s.increment(w.group, &w.increments[i]))
		}
	}
	return actions
}

// increment returns the action that changes the sums of one shard by a shift, without writing the rest of the shard's item.
func (s *Store) increment(g *group, sh *shift) types.TransactWriteItem {
	x, a := &expression{}, g.shards[sh.shard]
	if sh.start >= a.since { // in the present window, whose sums used and settled change with the bucket's
		return s.post(x, sh)
	}
	x.require(attrVersion, "=", blob(a.version)) // else the bucket may have been moved to the archive
	x.shift(sh, s.shards)
	x.add(attrChanges, 1)
	return s.update(accountKey(sh.account, sh.shard), x)
}

// rewriteAsIs returns the actions that write all shards of a group completely, in the window in which they are, for a step that does not know the
// account's line. How far the next threshold is cannot be computed then, so that the next settlement reads all shards.
func (s *Store) rewriteAsIs(g *group) []types.TransactWriteItem {
	span := driver.Span{Since: noWindow, Start: noWindow, End: noWindow} // of an account that is new
	for _, a := range g.shards {
		if a.found { // all shards are in one window
			span = driver.Span{Since: a.since, Start: a.start, End: a.end}
		}
	}
	n, version := g.notice(nil, span, time.Time{}), newVersion() // nil, because the line is not known
	g.created = g.version == nil
	var actions []types.TransactWriteItem
	for _, a := range g.shards {
		x := &expression{}
		a.unchanged(x) // x requires that the item is as it was read
		if !a.found {  // it gets the window of the others, or none if all are new
			a.roll(span)
		}
		a.shape, a.version = g.shape, version
		actions = append(actions, s.put(a.encode(n, s.opts.Retention), x))
	}
	g.version = version
	return actions
}
