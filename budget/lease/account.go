package lease

import (
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/internal/checked"
)

// The store inside is the store that all processes share. A lease is a share of limits that this process has reserved there and spends on calls
// of its own; it consists of grants, each of which is one reservation in the store inside. To draw is to reserve a grant. To close a lease is to
// let it admit no more calls; to give it back is to settle its grants with what its calls have cost. A call is in flight from its Reserve until it
// is settled, voided or expired.

// group is one distinct set of accounts. Calls that count in the same accounts are served from the same leases, so that a lease can be
// admitted or refused by all of its limits at once, like a single call.
type group struct {
	lines    []driver.Line // one for each account
	units    []driver.Unit // the units that any line counts in
	leasable bool          // calls may be served from leases; else each is sent to the store inside
	ttl      time.Duration // the longest TTL of any call so far
	lastUsed time.Time     // when a call last counted in these accounts

	wishLines
	grantSize
	reportedUntil [][]time.Time // by line and threshold: no report is expected before then, because the threshold is known to have been reported

	drawMu          contextMutex // held while a lease is being drawn
	open            []*lease     // the leases that still admit calls, oldest first
	lastDrawn       time.Time    // when the last grant was drawn
	draws           uint64       // how many draws were tried
	drawFailure     error        // the error of the last draw, or nil
	unansweredLease *lease       // a lease whose first grant got no answer; it is voided before another one is drawn

	lastDenial  lastDenial // repeated from memory for a short time
	deniedSince time.Time  // since when every call has been denied; zero if the last call was admitted
}

// wishLines are the lines by which a group sees that other processes wait for room. A process that waits leaves a wish: the closed latch of a
// separate account beside the limit's. A line of that account, which is asked for beside the group's own lines, shows the latch.
type wishLines struct {
	balanceLines []driver.Line // to read with Balances: the group's lines, followed by one for the wishes on each line that can refuse
	wishOf       []int         // for each line of wishes in balanceLines, the index of the group's line that the wishes are for
	// grantLines are the balanceLines sorted by account, as a reservation requires. A grant has these lines, so that its answer shows wishes without
	// another step. Nil if grants have only the group's lines, because these are too many or have thresholds.
	grantLines  []driver.Line
	grantLineOf []int // for each of grantLines, the index of the group's line that it is, or that its wishes are for
}

// grantSize is what a group knows to decide how much its next grant asks for. The room is what the lines have left in the store inside.
type grantSize struct {
	wantedCalls  int64         // the next grant is sized for this many calls of the usual size
	callSize     driver.Charge // the usual worst case of a call
	usualPending driver.Charge // what the group usually has pending in the store inside
	quota        driver.Charge // how much this process may draw without reading the room again: its part of the room, less what was drawn since
	quotaAt      time.Time     // when the quota was worked out
	cutDown      bool          // the last grant was less than was wanted
	looksToSkip  int           // this many of the next grants do not read the room
	observedFull bool          // an observe-only line had no room when the room was last read
}

// A group's first grant is sized for firstShare calls of the usual size, and no grant for more than largestShare.
const (
	firstShare   = 8
	largestShare = 1024
)

// lease is a share of a group's limits and the calls that it serves. The share is drawn in one or more grants, which are reservations in the
// store inside. On each line all grants of a lease are booked in the same bucket of time, so that it does not matter which grant pays for which
// call: what the calls need fills the grants in the order in which they were drawn.
type lease struct {
	group   *group
	lines   []driver.Line // the group's
	storeMu contextMutex  // held during steps in the store inside that concern this lease

	leaseGrants
	leaseTimes
	leaseCalls
	leaseEnd
}

// leaseGrants are what a lease has drawn from the store inside.
type leaseGrants struct {
	grants       []*grant      // in the order in which they were drawn
	unanswered   []*grant      // grants whose Reserve got no answer: they are voided before any other step
	granted      driver.Charge // the sum of all grants
	dims         []driver.Key  // the Dims of the call that the last grant was drawn for: no kill flag held for these at that time
	base         []int64       // by line: what others had settled when the last grant was drawn; nil if no line has thresholds
	maxes        []int64       // by line: the Max in force at that time; nil if base is nil
	thresholdIDs []driver.ID   // ids of settlements of nothing, whose answers tell askThresholds which thresholds were reached
}

// leaseTimes are the moments of a lease, by this process's clock except for at.
type leaseTimes struct {
	sent   time.Time // just before the first grant's Reserve was sent
	drawn  time.Time // just before the last grant's Reserve was sent
	until  time.Time // the lease admits no call from then on
	lapses time.Time // the store inside may expire a grant from then on, which charges it in full
	at     time.Time // of the first grant's Reserve, by the store's clock; zero while there is no answer
}

// leaseCalls are the calls of a lease and their sums.
type leaseCalls struct {
	calls     []*call     // all that were ever admitted
	uses      []*leaseUse // the calls' amounts by scope, for the rows of usage; at most MaxShares
	callSums              // of all calls
	inFlight  int         // how many calls are in flight
	estimates int         // how many calls were settled with their worst case because nobody knows what they cost
}

// callSums are the amounts of several calls, added up.
type callSums struct {
	settled driver.Charge // what the calls have cost that have ended
	pending driver.Charge // the worst cases of the calls in flight
}

// without returns the sums without a call: without its worst case if it is in flight, and without what is posted for it, which is zero then.
func (s callSums) without(inFlight bool, worst, posted driver.Charge) callSums {
	s.settled = minus(s.settled, posted)
	if inFlight {
		s.pending = minus(s.pending, worst)
	}
	return s
}

// leaseEnd says how far the end of a lease has come: it is closed, then given back, and then waits in a queue until its calls are forgotten.
type leaseEnd struct {
	closed      bool // the lease admits no more calls
	closedAt    time.Time
	givenBackAt time.Time // when it was last given back to the store inside
	queued      bool      // it waits in Store.toForget or Store.toForgetLater, the queues of leases of which nothing has to be known any more
	queuedCalls int       // how many calls it had when it was queued; Store.queuedCalls is the sum over the queued leases
}

// grant is one reservation in the store inside.
type grant struct {
	id           driver.ID
	amount       driver.Charge      // the amount that is reserved; zero in units that no line counts
	lines        []driver.Line      // the lines of its reservation
	at           time.Time          // when it was reserved, by the store's clock
	tried        *driver.Settlement // a settlement that may have been posted; it is repeated unchanged until its result is known
	posted       bool               // the grant is settled in the store inside; the next three fields say how
	settledAs    driver.Charge      // the amount
	shares       []driver.Share     // how the amount divides among the calls
	estimated    bool               // whether it is marked as an estimate
	correcting   bool               // a Correct from settledAs to correctingTo got no answer: either amount may be posted
	correctingTo driver.Charge
}

// newGroup returns a group of these lines, without leases. It is not leasable if its calls have to be sent to the store inside one by one. length is
// for how long a lease admits calls.
func newGroup(lines []driver.Line, length time.Duration) *group {
	g := &group{leasable: true, drawMu: newContextMutex(), grantSize: grantSize{wantedCalls: firstShare}, lines: slices.Clone(lines), reportedUntil: make([][]time.Time, len(lines))}
	for i := range g.lines {
		l := &g.lines[i]
		l.Notify = slices.Clone(l.Notify) // the lines are kept, and their caller may change its own
		g.reportedUntil[i] = make([]time.Time, len(l.Notify))
		// A denial that comes too early would close a latch.
		if l.Latch || bucketLength(l.Window) < length/2 {
			g.leasable = false
		}
		if !slices.Contains(g.units, l.Unit) {
			g.units = append(g.units, l.Unit)
		}
	}
	g.prepareWishLines()
	return g
}

// bucketLength returns about how long a window's buckets of time are: a calendar window is one bucket, a rolling window has sixty, and the one of a
// lifetime never ends. A lease admits calls only in the bucket in which it was drawn, so that short buckets make leases that are not worth drawing.
func bucketLength(w driver.Window) time.Duration {
	span := w.At(time.Unix(0, 0)) // any moment would do: all buckets of a window are about as long as that of 1970
	return time.Duration(span.Next - span.Start)
}

// hasThresholds reports whether any line has thresholds to report.
func (g *group) hasThresholds() bool {
	return slices.ContainsFunc(g.lines, func(l driver.Line) bool { return len(l.Notify) > 0 })
}

// sameRule reports whether two lines of the same account are the same rule. A window that was made twice has two pointers to its time zone, so
// that its name is compared, too.
func sameRule(a, b *driver.Line) bool {
	return a.Unit == b.Unit && a.Max == b.Max && a.Latch == b.Latch && a.Observe == b.Observe && slices.Equal(a.Notify, b.Notify) &&
		(a.Window == b.Window || a.Window.String() == b.Window.String())
}

// hasRules reports whether the group's lines are the same rules as these lines, which have the same accounts in the same order.
func (g *group) hasRules(lines []driver.Line) bool {
	for i := range lines {
		if !sameRule(&g.lines[i], &lines[i]) {
			return false
		}
	}
	return true
}

// groupOf returns the group of a call's lines and makes it if there is none. If the rules of the lines have changed, a new group replaces
// the old one, whose leases admit no more calls. Requires mu held.
func (s *Store) groupOf(lines []driver.Line, now time.Time) *group {
	var stack [8 * len(driver.Key{})]byte // enough for most calls, so that nothing is allocated
	key := stack[:0]
	for i := range lines {
		key = append(key, lines[i].Account[:]...)
	}
	g := s.groups[string(key)]
	if g != nil {
		if g.hasRules(lines) {
			g.lastUsed = now
			return g
		}
		for _, l := range slices.Clone(g.open) { // a copy, because closeLease takes the lease out of g.open
			s.closeLease(l, now)
		}
	}
	g = newGroup(lines, s.length)
	g.lastUsed = now
	s.groups[string(key)] = g
	return g
}

// closeLease stops a lease from admitting calls. Its unused amounts stay reserved until giveBack. Requires mu held.
func (s *Store) closeLease(l *lease, now time.Time) {
	if l.closed {
		return
	}
	l.closed, l.closedAt = true, now
	l.group.open = slices.DeleteFunc(l.group.open, func(o *lease) bool { return o == l })
	answered := !l.at.IsZero()                        // a grant of it was answered, so that the lease has times
	endedByItself := answered && !now.Before(l.until) // and was not closed early, for example because of a wish
	if endedByItself && l.halfUnused() {              // it was too large; a grant for fewer than 2 calls would save no step
		l.group.wantedCalls = max(l.group.wantedCalls/2, 2)
	}
}

// halfUnused reports whether the calls of a lease, those in flight included, need no more than half of it, in every unit.
func (l *lease) halfUnused() bool {
	for _, u := range l.group.units {
		if l.settled[u]+l.pending[u] > l.granted[u]/2 {
			return false
		}
	}
	return true
}

// fits reports whether the unused part of a lease has room for a worst case, without an overflow of int64.
func (l *lease) fits(c driver.Charge) bool {
	sum, ok := l.settled.Plus(l.pending)
	if !ok {
		return false
	}
	if sum, ok = sum.Plus(c); !ok {
		return false
	}
	return l.group.within(sum, l.granted)
}

// within reports whether a charge is within a bound in every unit that the group's lines count.
func (g *group) within(c, bound driver.Charge) bool {
	for _, u := range g.units {
		if c[u] > bound[u] {
			return false
		}
	}
	return true
}

// needed returns the part of the grants that the lease needs: what its calls have spent, and the worst cases of those in flight.
func (l *lease) needed() driver.Charge {
	sum, _ := l.settled.Plus(l.pending) // can't overflow: fits and book have checked it
	return sum
}

// targets returns the amount with which each grant has to be settled, so that together they come to the total. Grants are filled in the
// order in which they were drawn; the last one takes the rest, even if that is more than it reserved.
func (l *lease) targets(total driver.Charge) []driver.Charge {
	all := make([]driver.Charge, len(l.grants))
	for i, g := range l.grants {
		all[i] = total // what the last grant takes
		for u := range total {
			if i < len(l.grants)-1 {
				all[i][u] = min(total[u], g.amount[u])
			}
			// What is left of the total is for the grants behind this one.
			total[u] -= all[i][u]
		}
	}
	return all
}

// cover returns what the store inside has reserved or posted for a lease: what its calls may cost without exceeding a limit. Where that is not
// certain, because a correction got no answer, it counts the smaller amount.
func (l *lease) cover() (sum driver.Charge) {
	for _, g := range l.grants {
		part := g.amount
		if g.posted {
			part = g.settledAs
		}
		if g.correcting {
			part = smaller(part, g.correctingTo)
		}
		for u := range sum {
			// addUp leaves the sum as it is if it would overflow: that errs on the same side.
			sum[u] = addUp(sum[u], part[u])
		}
	}
	return sum
}

// uncovered reports whether the lease needs more than its cover. An open lease is covered by all that it was granted: if one of its grants is settled
// already, that is because the calls have used it up (usedUp), and so it was settled in full.
func (l *lease) uncovered() bool {
	if !l.closed {
		return !l.group.within(l.needed(), l.granted)
	}
	return !l.group.within(l.needed(), l.cover())
}

// allSettled reports whether every grant has been settled in the store inside. They are settled in their order, so that it is enough to look at the
// last one.
func (l *lease) allSettled() bool { return len(l.grants) > 0 && l.grants[len(l.grants)-1].posted }

// idle reports whether the lease's cover may be more than it needs. That may be so as long as the answer to a grant or to a settlement is missing,
// because nobody knows what the store inside then has reserved.
func (l *lease) idle() bool {
	if len(l.unanswered) > 0 || slices.ContainsFunc(l.grants, func(g *grant) bool { return g.tried != nil }) {
		return true
	}
	return !l.group.within(l.cover(), l.needed())
}

// exact reports whether the store inside has posted exactly what the lease needs, divided among its calls as it should be, and nothing is in
// flight that could change that.
func (l *lease) exact() bool {
	if l.inFlight > 0 || len(l.unanswered) > 0 {
		return false
	}
	targets := l.targets(l.needed())
	shares := l.shares(targets)
	for i, g := range l.grants {
		needlesslyEstimated := g.estimated && l.estimates == 0 // marked as an estimate, although by now the cost of every call is known
		if !g.posted || needlesslyEstimated || !g.isSettledAs(targets[i], shares[i]) {
			return false
		}
	}
	return true
}

// touches reports whether a lease is drawn from any of these lines' accounts.
func (l *lease) touches(lines []driver.Line) bool {
	return slices.ContainsFunc(l.lines, func(own driver.Line) bool {
		return slices.ContainsFunc(lines, func(o driver.Line) bool { return o.Account == own.Account })
	})
}

// storeTime converts a time since the lease was first drawn into a moment of the store's clock.
func (l *lease) storeTime(since time.Duration) time.Time { return l.at.Add(since) }

// smaller returns the smaller of a and b in every unit.
func smaller(a, b driver.Charge) driver.Charge {
	for u := range a {
		a[u] = min(a[u], b[u])
	}
	return a
}

// minus returns a - b in every unit, which may be below zero.
func minus(a, b driver.Charge) driver.Charge {
	for u := range a {
		a[u] -= b[u]
	}
	return a
}

// times returns n * m, at most math.MaxInt64. Neither may be negative.
func times(n, m int64) int64 {
	if product, ok := checked.MulDivCeil(n, m, 1); ok {
		return product
	}
	return math.MaxInt64
}
