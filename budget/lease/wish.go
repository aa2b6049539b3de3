package lease

import (
	"bytes"
	"context"
	"math"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/key"
)

// A limit may have enough room for a call, and yet refuse it because other processes hold the room in leases. Then the process of that call
// records a wish for room. A wish is the latch of a separate account: the store inside is asked for a reservation by a line with a latch and a
// Max of zero, which is always refused. The refusal leaves only the latch, which opens by itself, so that there is no entry or
// amount to clean up even if the process dies. The holders of leases see the latch in the answers to their own draws. Until it opens, they
// draw no leases on that limit, send each call to the store, and give unused amounts back.
//
// A wish itself neither admits nor refuses a call.

// LeavesWishes tells a Ledger that calls which wait for room leave wishes here, so that it leaves none itself.
func (s *Store) LeavesWishes() {}

// wish is the knowledge that another process waits for room on an account.
type wish struct {
	account driver.Key // of the limit
	until   time.Time  // by this process's clock
}

// wishName is the limit name of the accounts that hold wishes.
const wishName = key.Own + "wanted"

// wishLife returns how long a wish lasts, if leases have this length. That is longer than each process with leases takes to draw once more, which
// shows it the wish, and to give back.
func wishLife(length time.Duration) time.Duration { return 2*length + length/2 }

// bigCallShare decides which calls are large enough to record a wish at once: those that need at least 1/bigCallShare of what a limit has not
// spent yet.
const bigCallShare = 64

// wishKey returns the key of the account for wishes for room on the given account.
func wishKey(account driver.Key) driver.Key { return key.Of("wanted", string(account[:])) }

// rollingBuckets is how many buckets of time a rolling window has.
const rollingBuckets = 60

// shortestWish is the shortest life of a wish, because it is the length of a rolling window, and a second is the shortest of those. A call whose
// window ends sooner leaves no wish.
const shortestWish = time.Second

// wishLifeOn returns how long a wish lasts that is for room on a line that denied a call: no longer than a calendar window, because the next one has
// room of its own. The result is a multiple of 60 ns, one nanosecond for each bucket of the wish's own rolling window, because the store rounds that
// window up to such a multiple.
func wishLifeOn(l *driver.Line, denied driver.Denial, length time.Duration) time.Duration {
	life := wishLife(length)
	// Only a rolling window has a Length, and only a lifetime has no end, which is MaxInt64: all others are calendar windows.
	if l.Window.Length() == 0 && l.Window.At(time.Unix(0, 0)).End != math.MaxInt64 && denied.ResetAfter < life {
		life = denied.ResetAfter
	}
	return life - life%rollingBuckets
}

// lineLeavingWish returns the line by which a wish for room on line l is recorded. The latch lasts as long as the line's window, for life.
func lineLeavingWish(l *driver.Line, life time.Duration) driver.Line {
	return driver.Line{Account: wishKey(l.Account), Limit: wishName, Unit: l.Unit, Window: driver.Rolling(life), Latch: true}
}

// lineShowingWish returns the line by which a process with leases sees wishes for room on line l. The latch can be seen with any window; a calendar
// month makes few buckets, because each grant creates the bucket of its window if there is none.
func lineShowingWish(l *driver.Line, unit driver.Unit) driver.Line {
	return driver.Line{Account: wishKey(l.Account), Limit: wishName, Unit: unit, Window: driver.Monthly, Observe: true}
}

// mostGrantLines is the largest number of lines of a group whose grants also ask for wishes. Each of these lines adds an account to the grant.
const mostGrantLines = 16

// prepareWishLines makes the lines by which a group sees wishes: in g.balanceLines for Balances, and in g.grantLines for its grants. The lines of
// wishes count in a unit in which no line of the group counts, so that a grant reserves nothing there. If there is no such unit, or grants would be
// too large, or thresholds are reported by the index of a line, grants do without them, and wishes are seen with Balances alone.
func (g *group) prepareWishLines() {
	g.balanceLines = slices.Clone(g.lines)
	spare := driver.UnitUSD
	for slices.Contains(g.units, spare) {
		spare++
	}
	for i := range g.lines {
		if l := &g.lines[i]; !l.Observe {
			g.balanceLines, g.wishOf = append(g.balanceLines, lineShowingWish(l, spare)), append(g.wishOf, i)
		}
	}
	if g.hasThresholds() || !spare.Valid() || len(g.lines) > mostGrantLines {
		return
	}
	g.grantLines = slices.Clone(g.balanceLines)
	slices.SortFunc(g.grantLines, byAccount)
	for i := range g.grantLines {
		at := slices.IndexFunc(g.balanceLines, func(l driver.Line) bool { return l.Account == g.grantLines[i].Account })
		if wishes := at - len(g.lines); wishes >= 0 { // a line of wishes: balanceLines has them behind the group's lines
			at = g.wishOf[wishes]
		}
		g.grantLineOf = append(g.grantLineOf, at)
	}
}

// byAccount orders lines as a reservation requires.
func byAccount(a, b driver.Line) int { return bytes.Compare(a.Account[:], b.Account[:]) }

// wishesIn returns the wishes that show in the balances of g.balanceLines.
func (g *group) wishesIn(balances []driver.Balance, now time.Time) (all []wish) {
	for i, b := range balances[len(g.lines):] {
		if b.Latched {
			// The latch opens after ResetAfter at the latest; yieldToWishes bounds it to the life of a wish.
			all = append(all, wish{g.lines[g.wishOf[i]].Account, now.Add(b.ResetAfter)})
		}
	}
	return all
}

// takeWishes returns the wishes that the answer to a grant shows. It removes them from the answer, and changes the indexes of the other lines from
// those in g.grantLines to those in g.lines.
func (g *group) takeWishes(of *grant, d *driver.Decision, now time.Time) (all []wish) {
	if len(of.lines) == len(g.lines) { // the grant did not ask for wishes
		return nil
	}
	// grantLineOf has, for each line of the grant, the group's line that it is, or that its wishes are for. A line of wishes has another account.
	isWish := func(line int) bool { return of.lines[line].Account != g.lines[g.grantLineOf[line]].Account }
	var observed []driver.Denial
	for _, o := range d.Observed {
		switch {
		case o.Line < 0 || o.Line >= len(of.lines): // no such line: only a broken store names it
		case !isWish(o.Line):
			o.Line = g.grantLineOf[o.Line]
			observed = append(observed, o)
		case o.Latched:
			all = append(all, wish{g.lines[g.grantLineOf[o.Line]].Account, now.Add(o.ResetAfter)})
		}
	}
	d.Observed = observed
	// Only lines of the group deny: those of wishes are observe-only.
	for i, r := range d.Denied {
		if r.Line >= 0 && r.Line < len(of.lines) {
			d.Denied[i].Line = g.grantLineOf[r.Line]
		}
	}
	return all
}

// wishOn reports whether a call is known to wait for room on one of these lines' accounts. Requires mu held.
func (s *Store) wishOn(lines []driver.Line, now time.Time) bool {
	return len(s.wishedUntil) > 0 && slices.ContainsFunc(lines, func(l driver.Line) bool { return now.Before(s.wishedUntil[l.Account]) })
}

// yieldToWishes remembers wishes. It closes this process's leases on their accounts, and makes the background work give the unused amounts back.
// Requires mu held.
func (s *Store) yieldToWishes(wishes []wish, now time.Time) {
	for _, w := range wishes {
		// No wish lasts longer than wishLife, even if a clock that was set back makes it seem so.
		if until := now.Add(wishLife(s.length)); w.until.After(until) {
			w.until = until
		}
		if !now.Before(w.until) {
			continue
		}
		s.wishedUntil[w.account] = w.until
		on := []driver.Line{{Account: w.account}}
		for l := range s.live {
			if l.at.IsZero() || !l.touches(on) { // a lease that is being drawn is closed by the goroutine that draws it
				continue
			}
			if s.closeLease(l, now); l.idle() {
				s.wakeBackground()
			}
		}
	}
}

// forgetWishes removes wishes that have ended. Requires mu held.
func (s *Store) forgetWishes(now time.Time) {
	for account, until := range s.wishedUntil {
		if !now.Before(until) {
			delete(s.wishedUntil, account)
		}
	}
}

// wish records a wish for room on the lines that denied a call, except where one is recorded already or would not help. Its errors are ignored,
// because the call is denied in any case.
func (s *Store) wish(ctx context.Context, g *group, r *driver.Reservation, denied []driver.Denial) {
	asked, err := s.lock(ctx)
	if err != nil {
		return
	}
	lines, lives := s.linesToWishFor(g, r, denied, asked)
	s.mu.Unlock()
	if len(lines) == 0 {
		return
	}
	recorded, err := s.leaveWishes(ctx, lines, lives, asked)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.yieldToWishes(recorded, s.now())
}

// leaveWishes leaves a wish for room on each of these lines in the store inside, for as long as lives says, and returns the wishes that are there
// now.
func (s *Store) leaveWishes(ctx context.Context, lines []driver.Line, lives []time.Duration, asked time.Time) ([]wish, error) {
	// One reservation with a line for each wish, of 1 against a Max of zero. It is always refused, so that its TTL means nothing, and what remains are
	// the latches.
	w := driver.Reservation{ID: driver.NewID(), Owner: s.owner, TTL: s.length}
	of := make(map[driver.Key]wish, len(lines)) // by the wish's account
	for i := range lines {
		l := lineLeavingWish(&lines[i], lives[i])
		w.Lines, w.Charge[l.Unit], of[l.Account] = append(w.Lines, l), 1, wish{lines[i].Account, asked.Add(lives[i])}
	}
	slices.SortFunc(w.Lines, byAccount)
	d, err := s.inner.Reserve(ctx, w)
	if err != nil {
		return nil, err
	}
	var recorded []wish
	for _, refusal := range d.Denied {
		if refusal.Line < 0 || refusal.Line >= len(w.Lines) {
			continue
		}
		one := of[w.Lines[refusal.Line].Account]
		// If the latch was closed already, another process was first, and nobody here knows when its wish ends. So it counts for half a length, after
		// which a call that is denied may record another one.
		if soon := asked.Add(s.length / 2); refusal.Latched && soon.Before(one.until) {
			one.until = soon
		}
		recorded = append(recorded, one)
	}
	return recorded, nil
}

// linesToWishFor returns the lines on which to record a wish for a denied call, and how long each wish lasts: those that denied it and have none
// yet. It returns none if the call would not fit even without leases, and none if the call has no group (g is nil). For a call that is not big it
// returns none until all calls of its group have been denied for half the length of a lease. Requires mu held.
func (s *Store) linesToWishFor(g *group, r *driver.Reservation, denied []driver.Denial, now time.Time) (lines []driver.Line, lives []time.Duration) {
	if g == nil {
		return nil, nil
	}
	big := false
	for _, d := range denied {
		if d.Line < 0 || d.Line >= len(r.Lines) {
			return nil, nil
		}
		line := &r.Lines[d.Line]
		need, unspent := r.Charge[line.Unit], d.Max-d.Settled
		otherReason := d.Latched || line.Latch || line.Observe // the line denies for another reason than room
		if otherReason || d.Max < 0 || need > unspent {        // or there would be no room even without leases
			return nil, nil
		}
		// More than twice the usual size of a call, or at least a 64th of what is not spent.
		big = big || need/2 > g.callSize[line.Unit] || need >= unspent/bigCallShare
		if life := wishLifeOn(line, d, s.length); life >= shortestWish && !now.Before(s.wishedUntil[line.Account]) {
			lines, lives = append(lines, *line), append(lives, life)
		}
	}
	if g.deniedSince.IsZero() || now.Before(g.deniedSince) { // the first denial after an admitted call, or the clock was set back
		g.deniedSince = now
	}
	if !big && now.Sub(g.deniedSince) < s.length/2 {
		return nil, nil
	}
	return lines, lives
}

// idleAndWished reports whether a closed lease holds unused amounts of a limit on which another process wishes for room. Requires mu held.
func (s *Store) idleAndWished(l *lease, now time.Time) bool {
	return s.wishOn(l.lines, now) && l.idle()
}

// overdue reports whether a closed lease has to be given back although calls in it are in flight: at once if another process wishes for its unused
// amounts, else half a length after it stopped admitting calls, because most calls have ended by then. A lease whose grants are all settled
// (allSettled) has been given back, and is not due again because of its age. Requires mu held.
func (s *Store) overdue(l *lease, now time.Time) bool {
	ended := l.closedAt
	if l.until.Before(ended) {
		ended = l.until
	}
	return !l.allSettled() && now.Sub(ended) >= s.length/2 || s.idleAndWished(l, now)
}
