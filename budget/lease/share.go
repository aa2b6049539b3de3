package lease

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// This file decides how much a grant asks for. A grant is a reservation in the store inside, from which the calls of a group (a set of accounts)
// are then served in this process. The room is what the accounts have left in the store inside; to look is to read it. Of the room a process
// takes its part, the quota, and draws grants from that until it looks again. How large a grant the process would like to have depends on the
// usual size of its calls and on how many of them it makes in one length, the time for which a lease admits calls.

// quotaLives is for how many lengths a process may draw from a quota before it reads the room again.
const quotaLives = 4

// skipLooks is for how many grants the room is not read after it turned out to be too little for more than one call.
const skipLooks = 8

// counted returns a charge with zeros in the units that no line of the group counts.
func (g *group) counted(c driver.Charge) (of driver.Charge) {
	for _, u := range g.units {
		of[u] = c[u]
	}
	return of
}

// wantedGrant returns how large a grant the process would like to have: enough for the calls that it usually makes in one length. oversized is
// true if the call r alone is larger than that.
func (g *group) wantedGrant(r *driver.Reservation) (ask driver.Charge, oversized bool) {
	usual := g.callSize
	if usual == (driver.Charge{}) { // this is the group's first call: its size is the usual one
		usual = r.Charge
	}
	for _, u := range g.units {
		ask[u] = times(usual[u], g.wantedCalls)
		oversized = oversized || r.Charge[u] > ask[u]
	}
	return ask, oversized
}

// grantAmount works out how much to draw for a call that finds no room in the leases, and returns the route drawLease for that. The route askStore
// sends the call to the store inside alone, and answered goes with an error. It also returns the balances if it read them. It draws the wanted amount
// as long as that is within the group's quota, and else what is left of the quota. If that is less than the call needs, the grant is as large as the
// call, and what the call leaves of it serves the next ones. Two kinds of calls are sent to the store inside alone, because too much of a grant for
// them would lie unused: one that is larger than a wanted grant, and one of more than twice the usual size that needs more than the quota.
func (s *Store) grantAmount(ctx context.Context, g *group, r *driver.Reservation) (amount driver.Charge, balances []driver.Balance, way route, err error) {
	s.mu.Lock()
	now := s.now()
	wanted, oversized := g.wantedGrant(r)
	roomNeeded := s.beingDenied(g.lines) || s.wishOn(g.lines, now) // by a call that is about to be denied, or by another process
	// A wish says that a call of another process waits for room. Without grantLines the answers to this group's grants show none. Then the room is
	// read in any case, which shows them, too.
	mustRead := g.grantLines == nil
	amount, way = wanted, drawLease
	switch {
	case oversized || roomNeeded || s.nearEdge(g, now):
		way = askStore
	case len(g.lines) == 0 || !mustRead && g.entitled(wanted, now, quotaLives*s.length): // there is no limit, or the quota has enough
		g.cutDown = false
		g.takeFromQuota(wanted)
	case !mustRead && g.looksToSkip > 0: // there was hardly any room when it was last read, so that it is not worth reading again yet
		g.looksToSkip--
		amount, way = g.leastGrant(r)
	default:
		s.mu.Unlock()
		return s.grantByRoom(ctx, g, r, wanted, now)
	}
	s.mu.Unlock()
	return amount, nil, way, nil
}

// grantByRoom reads the room, works out the quota anew, and cuts the wanted amount down to it. It returns what grantAmount returns.
func (s *Store) grantByRoom(ctx context.Context, g *group, r *driver.Reservation, wanted driver.Charge, now time.Time) (amount driver.Charge, balances []driver.Balance, way route, err error) {
	if balances, err = s.inner.Balances(ctx, g.balanceLines); err != nil || len(balances) != len(g.balanceLines) {
		return wanted, nil, answered, cmp.Or(err, errAnswers)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.yieldToWishes(g.wishesIn(balances, now), now) // remembers the wishes, and closes this process's leases on their accounts
	if s.wishOn(g.lines, now) {
		return wanted, balances, askStore, nil
	}
	balances = balances[:len(g.lines)] // the others showed wishes
	s.setQuota(g, wanted, balances, now)
	g.observedFull = false
	for i, b := range balances {
		g.observedFull = g.observedFull || g.lines[i].Observe && b.Left() < r.Charge[g.lines[i].Unit]
	}
	amount, way = g.cutToQuota(wanted, r)
	return amount, balances, way, nil
}

// entitled reports whether the quota is not older than lives and large enough for a grant of this amount.
func (g *group) entitled(amount driver.Charge, now time.Time, lives time.Duration) bool {
	return !now.Before(g.quotaAt) && now.Sub(g.quotaAt) < lives && g.within(amount, g.quota)
}

// takeFromQuota subtracts a grant from the group's quota.
func (g *group) takeFromQuota(amount driver.Charge) {
	for _, u := range g.units {
		g.quota[u] = max(g.quota[u]-amount[u], 0)
	}
}

// cutToQuota reduces amount, a wanted grant, to what is left of the group's quota, and subtracts it from the quota. It records in cutDown
// whether the grant is smaller than was wanted: then it is no sign of a busy process if the grant is soon used up.
//
// If the quota is less than the call needs, in any unit, the quota is left as it is, and leastGrant decides: it returns a grant just large
// enough for the call, or the route askStore, which sends the call to the store inside without a grant. The next skipLooks grants then do
// not read the room again.
func (g *group) cutToQuota(amount driver.Charge, r *driver.Reservation) (driver.Charge, route) {
	g.cutDown = false
	for _, u := range g.units {
		g.cutDown = g.cutDown || amount[u] > g.quota[u]
		if amount[u] = min(amount[u], g.quota[u]); amount[u] < r.Charge[u] {
			g.looksToSkip = skipLooks
			return g.leastGrant(r)
		}
	}
	g.takeFromQuota(amount)
	return amount, drawLease
}

// leastGrant returns a grant that is just large enough for a call, and the route askStore if that is not worth a lease: for a call of more
// than twice the usual size, and if an observe-only line is full, because only the store inside knows by how much and whether it still is.
func (g *group) leastGrant(r *driver.Reservation) (driver.Charge, route) {
	for _, u := range g.units {
		if g.observedFull || r.Charge[u]/2 > g.callSize[u] {
			return driver.Charge{}, askStore
		}
	}
	return g.counted(r.Charge), drawLease
}

// tighten reacts to a denied grant. The quota is out of date, so the room is read again. looked says that it had just been read: then many processes
// draw at the same time, and the next grants ask only for what their call needs. Requires that mu is not held.
func (s *Store) tighten(g *group, looked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.quotaAt = time.Time{}
	if looked {
		g.looksToSkip = skipLooks
	}
}

// errAnswers says that the store inside broke its contract.
var errAnswers = errors.New("budget: the store inside did not answer for each line")

// setQuota works out a group's quota: of what each line has left, one part in holders + 1. Holders are the processes that hold leases there. A
// single holder so leaves half to processes that come later, and ten thousand of them leave almost nothing unused. Nobody knows how many there
// are, so the number is estimated from what others have pending, as if each had as much pending as this process usually has. Requires mu held.
func (s *Store) setQuota(g *group, ask driver.Charge, balances []driver.Balance, now time.Time) {
	g.quotaAt = now
	for _, u := range g.units {
		g.quota[u] = math.MaxInt64 // no bound, until the lines set one
	}
	for i, b := range balances {
		unit := g.lines[i].Unit
		typical := g.usualPending[unit]
		if typical == 0 { // this process has drawn nothing yet
			typical = max(ask[unit], 1)
		}
		holders := 1 + max(b.Pending-s.ownPending(g, unit), 0)/typical
		g.quota[unit] = min(g.quota[unit], b.Left()/(holders+1)) // of several lines in one unit, the one with the least decides
	}
}

// observePending updates usualPending, an average in which what is pending after the present grant weighs one half. Requires mu held.
func (s *Store) observePending(g *group) {
	for _, u := range g.units {
		own := s.ownPending(g, u)
		if g.usualPending[u] == 0 {
			g.usualPending[u] = own // the first grant: the average begins with it, and the next line adds nothing
		}
		g.usualPending[u] += (own - g.usualPending[u]) / 2
	}
}

// observeCall updates the usual size of a call, an average in which the present call weighs one eighth. Requires mu held.
func (g *group) observeCall(c driver.Charge) {
	if g.callSize == (driver.Charge{}) {
		g.callSize = g.counted(c) // the first call: the average begins with it, and the loop adds nothing
	}
	for _, u := range g.units {
		g.callSize[u] += (c[u] - g.callSize[u]) / 8
	}
}

// observeCall is group.observeCall for a caller that does not hold mu. g is nil for a repeated call, which was observed before.
func (s *Store) observeCall(g *group, c driver.Charge) {
	if g == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g.observeCall(c)
}

// ownPending returns how much of a unit this process's leases of a group have pending in the store inside. Requires mu held.
func (s *Store) ownPending(g *group, u driver.Unit) (sum int64) {
	for l := range s.live {
		if l.group != g {
			continue
		}
		for _, part := range l.grants {
			if !part.posted {
				sum = addUp(sum, part.amount[u])
			}
		}
	}
	return sum
}

// beingDenied reports whether a call is about to be denied on one of these lines' accounts. Requires mu held.
func (s *Store) beingDenied(lines []driver.Line) bool {
	return len(s.denying) > 0 && slices.ContainsFunc(lines, func(l driver.Line) bool { return s.denying[l.Account] > 0 })
}

// nearEdge reports whether a window ends so soon that a lease drawn now would last for less than a sixteenth of a length, which is not worth a
// draw. As long as the store's clock is not known, it reports false.
// Requires mu held.
func (s *Store) nearEdge(g *group, now time.Time) bool {
	return s.timed && s.usable(g.lines, now.Add(s.offset)) < s.length/16
}

// clockGrain is the coarsest unit to which a store may round its moments.
const clockGrain = time.Millisecond

// usable returns how long a grant that was reserved at a moment of the store's clock may admit calls. A line counts in buckets of time: a calendar
// window, or a sixtieth of a rolling one. The grant ends with the first bucket that ends, because its calls count in the bucket in which it was
// reserved. That keeps the limit of every window, rolling ones included: the store counts a bucket in full until one window after the bucket's
// end, and so for one window after the last of these calls.
func (s *Store) usable(lines []driver.Line, at time.Time) time.Duration {
	usable := s.length
	for i := range lines {
		// A grain earlier, because the store may have rounded the moment up into the next bucket.
		bucketEnd := lines[i].Window.At(at.Add(-clockGrain)).Next
		usable = min(usable, time.Duration(bucketEnd-at.UnixNano()))
	}
	return usable
}

// sameBuckets reports whether two moments are certainly in the same bucket of every line: that of a lease's first grant, which is known, and that of a
// grant just drawn, which the store may round. All grants of a lease are booked in the same buckets.
func sameBuckets(lines []driver.Line, a, b time.Time) bool {
	for i := range lines {
		w := lines[i].Window
		start := w.At(a).Start
		if w.At(b.Add(-clockGrain)).Start != start || w.At(b.Add(clockGrain)).Start != start {
			return false
		}
	}
	return true
}
