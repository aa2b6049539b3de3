package statuspage

import (
	"math"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// The pace of an account is what it settled between two readings of the ledger, an earlier one (track.first) and the present one. While the page
// is viewed, the earlier one is exchanged so that it is five to ten minutes old. Just after the page was opened, or a new window has begun, there
// is none: then the pace is that of the account's window so far.

// paceSpan is how much later the second reading of a track is than its first, at least.
const paceSpan = 5 * time.Minute

// pace is how fast an account is spent, and when it will be full.
type pace struct {
	perHour float64       // in the account's unit, money in nano-USD
	over    time.Duration // the time over which it was measured; zero if no pace is known
	recent  bool          // measured from an earlier reading; otherwise over the window so far
	full    time.Duration // until the limit is reached; zero if it is not reached
	resets  bool          // the window ends before the limit is reached
}

// reading is how much an account had settled at a moment, in its unit.
type reading struct {
	at      time.Time
	settled int64
}

// track has the earlier readings of an account.
type track struct {
	first, second reading   // the pace is measured from first; second replaces it when it is paceSpan old itself
	last          time.Time // of the latest reading; see forget
}

// paces remembers what accounts had settled before. The zero value is empty. It is not safe for concurrent use: only the holder of
// snapshots.turn may use it.
type paces struct{ tracks map[budget.Key]*track }

// of adds the present reading of an account, and returns its pace.
func (p *paces) of(a *account, window budget.Window, now time.Time) pace {
	settled := a.balance.Settled.N
	first := p.note(a.key, reading{now, settled})
	measured := pace{over: now.Sub(first.at), recent: true}
	spent := settled - first.settled
	if measured.over < time.Minute { // there is no earlier reading yet
		// Everything settled in the window was spent since the window began.
		measured.over, measured.recent, spent = elapsed(window, now), false, settled
	}
	if measured.over < time.Minute {
		return pace{}
	}
	measured.perHour = float64(spent) / measured.over.Hours()
	return measured.foretell(a, window)
}

// note adds a reading to the track of an account, and returns the reading from which the pace is measured; the new one itself if there is no earlier
// one, or none that fits.
func (p *paces) note(key budget.Key, present reading) reading {
	t := p.tracks[key]
	if t == nil || present.settled < t.first.settled { // a new window began, or the amount was corrected
		t = &track{first: present, second: present}
		if p.tracks == nil {
			p.tracks = make(map[budget.Key]*track)
		}
		p.tracks[key] = t
	}
	t.last = present.at
	if present.at.Sub(t.second.at) >= paceSpan {
		t.first, t.second = t.second, present
	}
	return t.first
}

// elapsed returns how much of a window has passed; zero for a lifetime, which has no beginning.
func elapsed(w budget.Window, now time.Time) time.Duration {
	span := w.At(now)
	if span.End == math.MaxInt64 {
		return 0
	}
	return time.Duration(now.UnixNano() - span.Since)
}

// foretell computes when the account will be full at this pace, unless that takes more than ten years.
func (p pace) foretell(a *account, window budget.Window) pace {
	left := a.balance.Max.N - min(a.balance.Settled.N, a.balance.Max.N)
	if p.perHour <= 0 || left <= 0 {
		return p
	}
	hours := float64(left) / p.perHour
	if hours > 10*365*24 {
		return p
	}
	p.full = time.Duration(hours * float64(time.Hour))
	// Only a calendar window ends for all of its spend at once.
	p.resets = isCalendar(window) && a.balance.ResetAfter > 0 && p.full > a.balance.ResetAfter
	return p
}

// isCalendar reports whether a window is one of the calendar, such as a day, and not a rolling one. What counts at a moment begins at Since, and the
// newest part of the window, its bucket, at Start. A calendar window has one bucket alone.
func isCalendar(w budget.Window) bool {
	span := w.At(time.Unix(0, 0))
	return span.Since == span.Start
}

// forget drops accounts that do not exist any more: those that were not in the reading at now, which has just ended.
func (p *paces) forget(now time.Time) {
	for key, t := range p.tracks {
		if t.last.Before(now) {
			delete(p.tracks, key)
		}
	}
}
