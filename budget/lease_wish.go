package budget

import (
	"bytes"
	"context"
	"slices"
	"time"
)

// A call that finds no room although its limits have enough, because other processes hold it in leases, leaves a wish: the store
// inside is asked for a reservation on an account of the wish's own, by a line that has a latch and a Max of nothing. Of that
// refusal nothing remains but the latch, which opens by itself: no entry, no amount, nothing to expire or to take back,
// whatever becomes of the process. Holders are told of it by the answers to their own draws. Until the wish ends they draw no
// leases there, send each call to the store on its own, and give back what lies idle.
//
// A wish admits nothing and refuses nothing.

// wish is a call that waits for room on an account.
type wish struct {
	account Key       // of the limit
	until   time.Time // by this process's clock
}

// ownName begins the names of accounts that this library keeps for itself. No limit of a policy may have such a name, and operators are
// told of none: what is booked there is nobody's spend.
const ownName = "\x00"

// wishName is what the accounts of wishes are called.
const wishName = ownName + "wanted"

// wishLife is how long a wish stands: for longer than it takes until each holder has drawn anew and given back.
func wishLife(length time.Duration) time.Duration { return 2*length + length/2 }

// dearShare is the part of what a limit has not spent yet from which on a call is dear.
const dearShare = 64

// wantedKey is the account of wishes for room on another one.
func wantedKey(account Key) Key { return keyOf("wanted", string(account[:])) }

// wishFor returns the line on which a wish for room on another one is left. How long the latch lasts is how long its window is.
func wishFor(l *Line, length time.Duration) Line {
	return Line{Account: wantedKey(l.Account), Limit: wishName, Unit: l.Unit, Window: Rolling(wishLife(length)), Latch: true}
}

// lookFor returns the line by which a wish is looked for. Its window has few buckets, because each grant makes one where there is none; a
// latch is seen through any window.
func lookFor(l *Line, unit Unit) Line {
	return Line{Account: wantedKey(l.Account), Limit: wishName, Unit: unit, Window: Monthly, Observe: true}
}

// mostAlert is how many lines of a group may have an account of wishes beside them in a grant.
const mostAlert = 16

// watch prepares a group for looking for wishes on its lines. A grant carries them in a unit of which it sets nothing aside.
func (g *group) watch() {
	g.looks = slices.Clone(g.lines)
	spare := UnitUSD
	for slices.Contains(g.units, spare) {
		spare++
	}
	for i := range g.lines {
		if l := &g.lines[i]; !l.Observe {
			g.looks, g.wishes = append(g.looks, lookFor(l, spare)), append(g.wishes, i)
		}
	}
	if g.hasThresholds() || !spare.Valid() || len(g.lines) > mostAlert {
		return
	}
	g.alert = slices.Clone(g.looks)
	slices.SortFunc(g.alert, byAccount)
	for i := range g.alert {
		at := slices.IndexFunc(g.looks, func(l Line) bool { return l.Account == g.alert[i].Account })
		if at >= len(g.lines) {
			at = g.wishes[at-len(g.lines)]
		}
		g.alerts = append(g.alerts, at)
	}
}

func byAccount(a, b Line) int { return bytes.Compare(a.Account[:], b.Account[:]) }

// seen returns the wishes that a look at the group's accounts and at those of wishes has shown.
func (g *group) seen(balances []Balance, now time.Time) (all []wish) {
	for i, b := range balances[len(g.lines):] {
		if b.Latched {
			all = append(all, wish{g.lines[g.wishes[i]].Account, now.Add(b.ResetAfter)})
		}
	}
	return all
}

// takeWishes takes out of the answer to a grant what it tells of wishes, so that the rest is about the group's lines.
func (g *group) takeWishes(of *grant, d *Decision, now time.Time) (all []wish) {
	if len(of.lines) == len(g.lines) {
		return nil
	}
	isWish := func(line int) bool { return of.lines[line].Account != g.lines[g.alerts[line]].Account }
	var observed []Denial
	for _, o := range d.Observed {
		switch {
		case o.Line < 0 || o.Line >= len(of.lines):
		case !isWish(o.Line):
			o.Line = g.alerts[o.Line]
			observed = append(observed, o)
		case o.Latched:
			all = append(all, wish{g.lines[g.alerts[o.Line]].Account, now.Add(o.ResetAfter)})
		}
	}
	d.Observed = observed
	for i, r := range d.Denied {
		if r.Line >= 0 && r.Line < len(of.lines) {
			d.Denied[i].Line = g.alerts[r.Line]
		}
	}
	return all
}

// wantedOn reports whether a call is known to wait for room on one of these lines' accounts. Requires mu held.
func (s *LeasedStore) wantedOn(lines []Line, now time.Time) bool {
	return len(s.wanted) > 0 && slices.ContainsFunc(lines, func(l Line) bool { return now.Before(s.wanted[l.Account]) })
}

// yieldToWishes ends this process's admissions from leases where somebody wishes for room, and has what lies idle in them given back. Requires mu
// held.
func (s *LeasedStore) yieldToWishes(wishes []wish, now time.Time) {
	for _, w := range wishes {
		if until := now.Add(wishLife(s.length)); w.until.After(until) {
			w.until = until
		}
		if !now.Before(w.until) {
			continue
		}
		s.wanted[w.account] = w.until
		on := []Line{{Account: w.account}}
		for l := range s.live {
			if l.at.IsZero() || !l.touches(on) { // one that is being drawn is shut by whoever draws it
				continue
			}
			if s.shut(l, now); l.idle() {
				s.wakeBackground()
			}
		}
	}
}

// forgetWishes drops those that have ended. Requires mu held.
func (s *LeasedStore) forgetWishes(now time.Time) {
	for account, until := range s.wanted {
		if !now.Before(until) {
			delete(s.wanted, account)
		}
	}
}

// wish leaves a wish on the lines that denied a call, unless one is known to stand there, or none would help. If it can't be left, the
// call is denied all the same.
func (s *LeasedStore) wish(ctx context.Context, g *group, r *Reservation, denied []Denial) {
	asked, err := s.lock(ctx)
	if err != nil {
		return
	}
	lines := s.wishable(g, r, denied, asked)
	s.mu.Unlock()
	if len(lines) == 0 {
		return
	}
	w := Reservation{ID: NewID(), Owner: s.owner, TTL: s.length}
	of := make(map[Key]Key, len(lines))
	for i := range lines {
		l := wishFor(&lines[i], s.length)
		w.Lines, w.Charge[l.Unit], of[l.Account] = append(w.Lines, l), 1, lines[i].Account
	}
	slices.SortFunc(w.Lines, byAccount)
	d, err := s.inner.Reserve(ctx, w)
	if err != nil {
		return
	}
	var left []wish
	for _, refusal := range d.Denied {
		if refusal.Line < 0 || refusal.Line >= len(w.Lines) {
			continue
		}
		lives := wishLife(s.length)
		if refusal.Latched { // somebody else was first, and it is not told when
			lives = s.length / 2
		}
		left = append(left, wish{of[w.Lines[refusal.Line].Account], asked.Add(lives)})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.yieldToWishes(left, s.now())
}

// wishable returns the lines to leave a wish on for a call that was denied: those that denied it and have none yet. There are none if it
// would not fit although nobody held leases; nor, for half a length, if it is so cheap that it can wait like the others. Requires mu
// held.
func (s *LeasedStore) wishable(g *group, r *Reservation, denied []Denial, now time.Time) (lines []Line) {
	if g == nil {
		return nil
	}
	dear := false
	for _, d := range denied {
		if d.Line < 0 || d.Line >= len(r.Lines) {
			return nil
		}
		line := &r.Lines[d.Line]
		need, unspent := r.Charge[line.Unit], d.Max-d.Settled
		if d.Latched || line.Latch || line.Observe || d.Max < 0 || need > unspent {
			return nil
		}
		dear = dear || need/2 > g.callSize[line.Unit] || need >= unspent/dearShare
		if !now.Before(s.wanted[line.Account]) {
			lines = append(lines, *line)
		}
	}
	if g.deniedSince.IsZero() || now.Before(g.deniedSince) {
		g.deniedSince = now
	}
	if !dear && now.Sub(g.deniedSince) < s.length/2 {
		return nil
	}
	return lines
}

// idleAndWanted reports whether a lease that is shut holds something idle where somebody wishes for room. Requires mu held.
func (s *LeasedStore) idleAndWanted(l *lease, now time.Time) bool {
	return s.wantedOn(l.lines, now) && l.idle()
}

// overdue reports whether a lease that is shut is to be given back although calls in it are in flight: at once where somebody wishes for
// room, else half a length after it admitted the last one, in which most calls end by themselves. Requires mu held.
func (s *LeasedStore) overdue(l *lease, now time.Time) bool {
	ended := l.closedAt
	if l.until.Before(ended) {
		ended = l.until
	}
	return !l.allSettled() && now.Sub(ended) >= s.length/2 || s.idleAndWanted(l, now)
}
