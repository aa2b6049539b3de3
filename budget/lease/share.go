package lease

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// quotaLives is for how many lengths of a lease a holder may go on drawing from the quota that it has worked out.
const quotaLives = 4

// skipLooks is for how many grants nobody looks at what is left after it turned out to be too little for more than one call.
const skipLooks = 8

// counted is a charge in the units that a group's lines count, and nothing in others.
func (g *group) counted(c budget.Charge) (of budget.Charge) {
	for _, u := range g.units {
		of[u] = c[u]
	}
	return of
}

// wanted is what a grant asks for before anybody has looked at what is left: as many usual calls as the process is used to
// make in a length. Dear is a call that is larger than that.
func (g *group) wanted(r *budget.Reservation) (ask budget.Charge, dear bool) {
	for _, u := range g.units {
		need := r.Charge[u]
		if ask[u] = times(max(g.callSize[u], 0), g.wantedCalls); g.callSize == (budget.Charge{}) {
			ask[u] = times(need, g.wantedCalls)
		}
		dear = dear || need > ask[u]
	}
	return ask, dear
}

// amount works out how much to draw for a call that finds no room, and what the accounts stood at if it looked. What is
// wanted is drawn as long as it is within the group's quota of what is left, and else the quota. Once the quota is less than
// the call needs, the grant is as large as the call, so that what the call leaves serves the next ones. A call that is
// larger than the share would be goes direct, and so does one at twice the usual size once the quota is less than it needs:
// they would leave too much lying idle.
func (s *Store) amount(ctx context.Context, g *group, r *budget.Reservation) (amount budget.Charge, balances []budget.Balance, way route, err error) {
	s.mu.Lock()
	now := s.now()
	amount, dear := g.wanted(r)
	look := g.alert == nil
	way = drawLease
	switch {
	case dear || s.beingDenied(g.lines) || s.wantedOn(g.lines, now) || s.nearEdge(g, now):
		way = askStore
	case len(g.lines) == 0 || !look && g.entitled(amount, now, quotaLives*s.length):
		g.cutDown = false
		g.takeFromQuota(amount)
	case !look && g.looksToSkip > 0:
		g.looksToSkip--
		amount, way = g.leastGrant(r)
	default:
		s.mu.Unlock()
		if balances, err = s.inner.Balances(ctx, g.looks); err != nil || len(balances) != len(g.looks) {
			return amount, nil, answered, cmp.Or(err, errAnswers)
		}
		s.mu.Lock()
		if s.yieldToWishes(g.wishesIn(balances, now), now); s.wantedOn(g.lines, now) {
			way = askStore
			break
		}
		balances = balances[:len(g.lines)]
		s.divide(g, amount, balances, now)
		g.observedFull = false
		for i, b := range balances {
			g.observedFull = g.observedFull || g.lines[i].Observe && b.Left() < r.Charge[g.lines[i].Unit]
		}
		amount, way = g.cutToQuota(amount, r)
	}
	s.mu.Unlock()
	return amount, balances, way, err
}

// entitled reports whether the quota that was worked out last has enough for a grant.
func (g *group) entitled(amount budget.Charge, now time.Time, lives time.Duration) bool {
	return !now.Before(g.quotaAt) && now.Sub(g.quotaAt) < lives && g.within(amount, g.quota)
}

// takeFromQuota takes a grant out of the group's quota.
func (g *group) takeFromQuota(amount budget.Charge) {
	for _, u := range g.units {
		g.quota[u] = max(g.quota[u]-amount[u], 0)
	}
}

// cutToQuota cuts what is wanted down to the group's quota; or to what the call needs, if that is more.
func (g *group) cutToQuota(amount budget.Charge, r *budget.Reservation) (budget.Charge, route) {
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

// leastGrant is what a call needs, and whether that is worth a lease. It is not if an observe-only line is full: only the store
// knows by how much, and whether it still is.
func (g *group) leastGrant(r *budget.Reservation) (budget.Charge, route) {
	for _, u := range g.units {
		if g.observedFull || r.Charge[u]/2 > g.callSize[u] {
			return budget.Charge{}, askStore
		}
	}
	return g.counted(r.Charge), drawLease
}

// tighten reacts to a grant that was denied: what was known is out of date; or, if somebody has just looked, there is a
// rush. Requires that mu is not held.
func (s *Store) tighten(g *group, looked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.quotaAt = time.Time{}
	if looked {
		g.looksToSkip = skipLooks
	}
}

// errAnswers says that the store inside is broken.
var errAnswers = errors.New("budget: the store inside did not answer for each line")

// divide works out a group's quota of what each line has left: one in holders + 1, so that one holder leaves half to those
// who have yet to come, and ten thousand leave as good as nothing lying idle. How many holders there are is read from what
// is pending: as many as would hold it, if each held what this process usually does. That takes no registry and no clock. Requires mu
// held.
func (s *Store) divide(g *group, ask budget.Charge, balances []budget.Balance, now time.Time) {
	g.quotaAt = now
	for _, u := range g.units {
		g.quota[u] = math.MaxInt64
	}
	for i, b := range balances {
		unit := g.lines[i].Unit
		typical := g.usualPending[unit]
		if typical == 0 {
			typical = max(ask[unit], 1)
		}
		holders := 1 + max(b.Pending-s.ownPending(g, unit), 0)/typical
		g.quota[unit] = min(g.quota[unit], b.Left()/(holders+1))
	}
}

// observePending records what a group holds pending after a grant, from which its quota is worked out. Requires mu held.
func (s *Store) observePending(g *group) {
	for _, u := range g.units {
		own := s.ownPending(g, u)
		if g.usualPending[u] == 0 {
			g.usualPending[u] = own
		}
		g.usualPending[u] += (own - g.usualPending[u]) / 2
	}
}

// observeCall records what a call needs, from which the usual size of a call is worked out. Requires mu held.
func (g *group) observeCall(c budget.Charge) {
	if g.callSize == (budget.Charge{}) {
		g.callSize = g.counted(c)
	}
	for _, u := range g.units {
		g.callSize[u] += (c[u] - g.callSize[u]) / 8
	}
}

func (s *Store) observeCall(g *group, c budget.Charge) {
	if g == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g.observeCall(c)
}

// ownPending is what a group's own leases hold pending in a unit. Requires mu held.
func (s *Store) ownPending(g *group, u budget.Unit) (sum int64) {
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
func (s *Store) beingDenied(lines []budget.Line) bool {
	return len(s.denying) > 0 && slices.ContainsFunc(lines, func(l budget.Line) bool { return s.denying[l.Account] > 0 })
}

// nearEdge reports whether a lease drawn now would be over too soon to be worth it, as far as the store's clock is known.
// Requires mu held.
func (s *Store) nearEdge(g *group, now time.Time) bool {
	return s.timed && s.usable(g.lines, now.Add(s.offset)) < s.length/16
}

// clockGrain is how much a store may round the moment that it tells.
const clockGrain = time.Millisecond

// usable is how long a grant that was reserved at a moment of the store's clock may admit calls: not beyond the bucket in
// which any of its lines is booked, because its calls count there. That keeps every window's limit, rolling ones included:
// the store counts a bucket in full until one length after its end, and so for one length after the last of these calls.
func (s *Store) usable(lines []budget.Line, at time.Time) time.Duration {
	usable := s.length
	for i := range lines {
		if end := lines[i].Window.At(at.Add(-clockGrain)).Next; end-at.UnixNano() < int64(usable) {
			usable = time.Duration(end - at.UnixNano())
		}
	}
	return usable
}

// sameBuckets reports whether two moments are certainly in the same bucket of every line, however the store rounds them.
func sameBuckets(lines []budget.Line, a, b time.Time) bool {
	for i := range lines {
		w := lines[i].Window
		start := w.At(a).Start
		if w.At(b.Add(-clockGrain)).Start != start || w.At(b.Add(clockGrain)).Start != start {
			return false
		}
	}
	return true
}
