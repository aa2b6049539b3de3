package lease

import (
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/checked"
)

// group is one distinct set of accounts. Calls that count in the same accounts are served from the same leases, so that a
// lease is all or nothing as each of its calls would be.
type group struct {
	lines    []budget.Line
	units    []budget.Unit // those that a line counts in
	leasable bool
	ttl      time.Duration // the longest of any call
	used     time.Time

	wishLines
	grantSize
	reportedUntil [][]time.Time // by line and threshold: until then it is known to have been reported

	drawMu     contextMutex // held while a lease is being drawn
	open       []*lease     // those that admit calls, oldest first
	drawn      time.Time    // when the last grant was
	draws      uint64       // how many were tried
	failure    error        // of the last one
	unanswered *lease       // whose first grant got no answer: no other is drawn before it is voided

	refusal     refusal
	deniedSince time.Time // since when all calls have been denied; zero when the last one was not
}

// wishLines are the lines by which a group sees other processes' wishes for room: see lease_wish.go.
type wishLines struct {
	looks  []budget.Line // the group's lines, followed by the lines of wishes for room on those that refuse
	wishes []int         // for each line of a wish, the index of the group's line that it is for
	alert  []budget.Line // the same as looks in the order of a reservation, so that the answer to a grant shows wishes; nil if it can't
	alerts []int         // for each line of alert, the index of the group's line that it is, or that its wish is for
}

// grantSize decides how much a grant asks for.
type grantSize struct {
	wantedCalls  int64         // how many usual calls the next grant is to hold
	callSize     budget.Charge // the usual worst case of a call
	usualPending budget.Charge // what the group usually holds pending in the store inside
	quota        budget.Charge // the group's part of what the lines had left, less what was drawn since
	quotaAt      time.Time     // when the quota was worked out
	cutDown      bool          // the last grant was less than was wanted
	looksToSkip  int           // for how many more grants the remaining room is not read
	observedFull bool          // an observe-only line had no room when the room was last read
}

// The first grant asks for so many usual worst cases, and none for more.
const (
	firstShare   = 8
	largestShare = 1024
)

// lease is a share of a group's limits, drawn in one or more grants, and the calls that it serves. All grants are booked in
// the same bucket of each line, so that it does not matter from which of them a call was served: what the calls need is booked in the grants
// in the order in which they were drawn.
type lease struct {
	group      *group
	lines      []budget.Line
	grants     []*grant
	unanswered []*grant      // grants whose Reserve got no answer: they are voided before any other step
	granted    budget.Charge // by all grants
	dims       []budget.Key  // of the call that the last one was drawn for: no flag held for these then
	base       []int64       // by line: what others had settled when the last one was drawn; nil if no line has thresholds
	maxes      []int64       // by line: the Max in force then; nil as base is
	calls      []*call
	uses       []*leaseUse // whose its calls are, at most MaxShares

	// By this process's clock: before the first Reserve was sent, before the last one, when the last call is admitted, and
	// the earliest moment at which the store inside may charge a grant.
	sent, drawn, until, lapses time.Time
	at                         time.Time // of the first Reserve, by the store's clock; zero before its answer

	settled   budget.Charge // by its calls
	pending   budget.Charge // by its calls
	inFlight  int
	estimates int // calls that were settled with their worst case

	closed       bool // admits no more calls
	closedAt     time.Time
	touched      time.Time    // when it was last given back
	queued       bool         // to be forgotten
	known        int          // how many calls it had by then
	storeMu      contextMutex // held during the store's steps for this lease
	thresholdIDs []budget.ID  // settlements of nothing, by which thresholds were asked for
}

// grant is one reservation in the store inside.
type grant struct {
	id           budget.ID
	amount       budget.Charge      // set aside; zero in units that no line counts
	lines        []budget.Line      // of its reservation
	at           time.Time          // of its Reserve, by the store's clock
	tried        *budget.Settlement // may have been posted; repeated unchanged until that is known
	posted       bool               // settled in the store inside:
	settledAs    budget.Charge      // with this amount
	shares       []budget.Share     // divided among these calls
	estimated    bool               // as an estimate
	correcting   bool               // a Correct from settledAs to correctingTo got no answer: either may stand
	correctingTo budget.Charge
}

func newGroup(lines []budget.Line, length time.Duration) *group {
	g := &group{leasable: true, drawMu: newContextMutex(), grantSize: grantSize{wantedCalls: firstShare}, lines: slices.Clone(lines), reportedUntil: make([][]time.Time, len(lines))}
	for i := range g.lines {
		l := &g.lines[i]
		l.Notify = slices.Clone(l.Notify)
		g.reportedUntil[i] = make([]time.Time, len(l.Notify))
		// An early denial would stick to a latch, and in a short window leases would not outlive a few calls.
		span := l.Window.At(time.Unix(0, 0))
		if l.Latch || span.Next-span.Start < int64(length/2) {
			g.leasable = false
		}
		if !slices.Contains(g.units, l.Unit) {
			g.units = append(g.units, l.Unit)
		}
	}
	g.prepareWishLines()
	return g
}

// hasThresholds reports whether any line has thresholds to report.
func (g *group) hasThresholds() bool {
	return slices.ContainsFunc(g.lines, func(l budget.Line) bool { return len(l.Notify) > 0 })
}

// sameRule reports whether two lines of the same account are the same rule.
func sameRule(a, b *budget.Line) bool {
	return a.Unit == b.Unit && a.Max == b.Max && a.Latch == b.Latch && a.Observe == b.Observe && slices.Equal(a.Notify, b.Notify) &&
		(a.Window == b.Window || a.Window.String() == b.Window.String())
}

// groupOf returns the group of a call's lines, made if need be. A group whose rules have changed is replaced, and its
// leases admit no more. Requires mu held.
func (s *Store) groupOf(lines []budget.Line, now time.Time) *group {
	var stack [8 * len(budget.Key{})]byte
	key := stack[:0]
	for i := range lines {
		key = append(key, lines[i].Account[:]...)
	}
	g := s.groups[string(key)]
	if g != nil {
		same := true
		for i := range lines {
			same = same && sameRule(&g.lines[i], &lines[i])
		}
		if same {
			g.used = now
			return g
		}
		for _, l := range slices.Clone(g.open) {
			s.closeLease(l, now)
		}
	}
	g = newGroup(lines, s.length)
	g.used = now
	s.groups[string(key)] = g
	return g
}

// closeLease ends a lease's admissions. giveBack gives its unused amounts back. Requires mu held.
func (s *Store) closeLease(l *lease, now time.Time) {
	if l.closed {
		return
	}
	l.closed, l.closedAt = true, now
	l.group.open = slices.DeleteFunc(l.group.open, func(o *lease) bool { return o == l })
	if !l.at.IsZero() && !now.Before(l.until) && l.halfUnused() {
		l.group.wantedCalls = max(l.group.wantedCalls/2, 2)
	}
}

// halfUnused reports whether less than half of a lease was spent, in every unit.
func (l *lease) halfUnused() bool {
	for _, u := range l.group.units {
		if l.settled[u]+l.pending[u] > l.granted[u]/2 {
			return false
		}
	}
	return true
}

// fits reports whether a worst case fits in what is left of a lease, and its sums in int64.
func (l *lease) fits(c budget.Charge) bool {
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
func (g *group) within(c, bound budget.Charge) bool {
	for _, u := range g.units {
		if c[u] > bound[u] {
			return false
		}
	}
	return true
}

// needed returns what the lease needs of its grants: what its calls have spent, and the worst cases of those in flight.
func (l *lease) needed() budget.Charge {
	sum, _ := l.settled.Plus(l.pending) // can't overflow: fits and book have checked it
	return sum
}

// targets returns what each grant has to be settled with, so that together they make the total: each is filled in its
// order, and the last one takes the rest, however much that is.
func (l *lease) targets(total budget.Charge) []budget.Charge {
	all := make([]budget.Charge, len(l.grants))
	for i, g := range l.grants {
		all[i] = total
		for u := range total {
			if i < len(l.grants)-1 {
				all[i][u] = min(total[u], g.amount[u])
			}
			total[u] -= all[i][u]
		}
	}
	return all
}

// cover is what the store inside has set aside or posted for a lease.
func (l *lease) cover() (sum budget.Charge) {
	for _, g := range l.grants {
		part := g.amount
		if g.posted {
			part = g.settledAs
		}
		if g.correcting {
			part = smaller(part, g.correctingTo)
		}
		for u := range sum {
			sum[u] = addUp(sum[u], part[u])
		}
	}
	return sum
}

// uncovered reports whether the lease needs more than that.
func (l *lease) uncovered() bool {
	if !l.closed { // what was settled of it by now was settled in full
		return !l.group.within(l.needed(), l.granted)
	}
	return !l.group.within(l.needed(), l.cover())
}

// allSettled reports whether all that was granted has been settled in the store inside.
func (l *lease) allSettled() bool { return len(l.grants) > 0 && l.grants[len(l.grants)-1].posted }

// idle reports whether it may be more than the lease needs.
func (l *lease) idle() bool {
	if len(l.unanswered) > 0 || slices.ContainsFunc(l.grants, func(g *grant) bool { return g.tried != nil }) {
		return true
	}
	return !l.group.within(l.cover(), l.needed())
}

// exact reports whether the store inside holds exactly what the lease needs, and that will not change by itself.
func (l *lease) exact() bool {
	if l.inFlight > 0 || len(l.unanswered) > 0 {
		return false
	}
	targets := l.targets(l.needed())
	shares := l.shares(targets)
	for i, g := range l.grants {
		needlesslyEstimated := g.estimated && l.estimates == 0
		if !g.posted || needlesslyEstimated || !g.knows(targets[i], shares[i]) {
			return false
		}
	}
	return true
}

// touches reports whether a lease counts in one of these lines' accounts.
func (l *lease) touches(lines []budget.Line) bool {
	return slices.ContainsFunc(l.lines, func(own budget.Line) bool {
		return slices.ContainsFunc(lines, func(o budget.Line) bool { return o.Account == own.Account })
	})
}

// storeTime is a moment since a lease was drawn first in the store's time.
func (l *lease) storeTime(since time.Duration) time.Time { return l.at.Add(since) }

// smaller returns the smaller of a and b in every unit.
func smaller(a, b budget.Charge) budget.Charge {
	for u := range a {
		a[u] = min(a[u], b[u])
	}
	return a
}

// minus returns a - b in every unit. Neither may be negative.
func minus(a, b budget.Charge) budget.Charge {
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
