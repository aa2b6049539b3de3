package cache

import (
	"slices"
	"time"
)

// PlaceOptions is what is known of a request's workflow. The zero value knows nothing, as before a first response.
type PlaceOptions struct {
	// Factor is how many tokens the workflow's responses counted for a thousand of the middle estimate. Zero is unknown: then
	// a prefix has to be long by the lowest estimate before it gets a point.
	Factor int64
	// Gaps decide whether new points ask for an hour instead of five minutes.
	Gaps Gaps
	// Before bounds where new points may stand: behind the first so many blocks only. It is for a prompt whose next block is
	// known to differ in each request, so that points behind it would only cost. Zero is no bound.
	Before int
}

// usualPoints is how many points a request gets when nobody knows how many the model accepts: every model known accepts four.
const usualPoints = 4

// Place returns what to change about a prompt's cache points so that the service accepts them, and so that the next request
// of the conversation finds in the cache what this one wrote. A prompt that is fine gets no edits, and neither does one whose
// edits were applied. It is pure; documents are serialised as far as it takes to tell whether the prefix is long enough.
//
// Points are wanted, the most valuable first, behind
//
//  1. the newest user turn, unless no other is likely to follow: after a Final request, and after a first question to a
//     model without tools;
//  2. the turn before it, which is where the previous request had its newest: what that wrote is met exactly;
//  3. a block between the two, if they are as far apart as the model's lookback or farther: the last one from which what was
//     written at the earlier turn is in reach;
//  4. the system prompt;
//  5. the tools;
//
// each behind the last block that takes one; in a turn without any, the assistant's message that it answers is tried. That
// place depends on the turn alone and so is the same in each request. No new point stands before the model's minimum by the
// lowest estimate, beyond its maximum by the highest, or directly behind a document or content of unknown kind.
//
// The caller's points come first: each that the service accepts stays where it is and counts. One that it does not accept
// moves to the nearest block before it in its section that takes one, if there is room behind all of the above, or goes. Of
// too many, the last of the tools, the last of the system prompt and the newest two of the messages stay. One that can't have
// an effect, since its prefix is too short or too long by any estimate, gives way to a wanted one.
//
// Where a lifetime follows a shorter one, the shorter one is raised: the longer was asked for in so many words, and it costs
// nothing, since all tokens before a longer-lived point are billed as written for the longer life. New points, and those of
// the caller that leave it open or ask for what is not on offer, ask for five minutes or an hour, as Gaps says, within what
// the caller's other points before and behind them ask for.
func Place(p *Prompt, m Model, o PlaceOptions) []Edit {
	return place(p, &m, o, nil)
}

// place is Place with a function that may restrict where the placer puts points. It may be nil.
func place(p *Prompt, m *Model, o PlaceOptions, judge func(*placer)) []Edit {
	if !m.Explicit {
		return withoutPoints(p)
	}
	pl := placer{site: newSite(p, m, o), room: m.MaxPoints, fresh: m.lifetime(o.Gaps), drop: len(p.Blocks)}
	if judge != nil {
		judge(&pl)
	}
	if pl.room <= 0 {
		pl.room = usualPoints
	}
	pl.sort()
	if m.MaxPoints > 0 && len(pl.spots) > m.MaxPoints {
		pl.thin()
	}
	pl.fill()
	pl.lifetimes()
	return pl.edits()
}

// withoutPoints takes every point away.
func withoutPoints(p *Prompt) []Edit {
	var edits []Edit
	for i := range p.Points {
		edits = append(edits, Edit{Remove: i, After: -1})
	}
	return edits
}

// placer holds a prompt's points while they are being placed.
type placer struct {
	site
	room   int           // how many points the model accepts
	fresh  time.Duration // the lifetime of new points, and of the caller's that leave it open
	spots  []spot        // the points of the result, in the order of their blocks
	strays []stray       // points of the caller that can't stay where they are

	judged bool // it was decided whether the newest turn gets a point
	drop   int  // points of the caller behind this block or a later one are removed
}

// spot is a block behind which a point will stand.
type spot struct {
	block int
	point int // the caller's, or -1 for a new one
	ttl   time.Duration
	open  bool // the caller has not asked for this lifetime
	moved bool // the caller's point stood behind another block
	dead  bool // the point has no effect: see futile
}

// stray is a point of the caller that can't stay where it is.
type stray struct {
	point int
	block int // behind which it can be moved; -1 if it has to be removed
	ttl   time.Duration
	open  bool
	taken bool // it was moved there
}

// find returns the index in spots of a block's spot, and whether there is one; without one it is the index to insert it at.
func (pl *placer) find(block int) (int, bool) {
	return slices.BinarySearchFunc(pl.spots, block, func(s spot, b int) int { return s.block - b })
}

// sort divides the caller's points into spots, for those that can stay, and strays.
func (pl *placer) sort() {
	for i := range pl.p.Points {
		pt := &pl.p.Points[i]
		ttl := pl.m.nearest(pt.TTL)
		open := pt.Open || ttl != pt.TTL
		if pt.Block >= pl.drop {
			pl.strays = append(pl.strays, stray{point: i, block: -1})
			continue
		}
		if !pt.Nested && pt.Block >= 0 && pl.accepts(pt.Block) {
			if at, taken := pl.find(pt.Block); !taken {
				pl.spots = slices.Insert(pl.spots, at, spot{block: pt.Block, point: i, ttl: ttl, open: open, dead: pl.futile(pt.Block)})
				continue
			}
		}
		pl.strays = append(pl.strays, stray{point: i, block: pl.moveTarget(pt), ttl: ttl, open: open})
	}
}

// thin removes points of the caller until there are no more than the model accepts.
func (pl *placer) thin() {
	quota := [...]int{Tools: 1, System: 1, Messages: 2}
	room := pl.m.MaxPoints
	stay := make([]bool, len(pl.spots))
	for _, section := range [...]Section{Messages, System, Tools} {
		for i := len(pl.spots) - 1; i >= 0 && quota[section] > 0 && room > 0; i-- {
			if pl.p.Blocks[pl.spots[i].block].Section == section {
				stay[i] = true
				quota[section]--
				room--
			}
		}
	}
	kept := pl.spots[:0]
	for i, s := range pl.spots {
		if stay[i] {
			kept = append(kept, s)
		} else {
			pl.strays = append(pl.strays, stray{point: s.point, block: -1})
		}
	}
	pl.spots = kept
}

// fill adds the wanted points, as far as there is room.
func (pl *placer) fill() {
	newest, before := pl.turns()
	if pl.p.Final || !pl.judged && pl.single() {
		newest = -1
	}
	pl.want(newest)
	pl.want(before)
	pl.want(pl.lag(newest, before))
	pl.want(pl.last(pl.starts[System], pl.starts[Messages]-1))
	pl.want(pl.last(0, pl.starts[System]-1))
	for i := range pl.strays {
		if !pl.strays[i].taken {
			pl.want(pl.strays[i].block)
		}
	}
}

// want puts a point behind a block, if there is none yet and there is room.
func (pl *placer) want(block int) {
	if block < 0 {
		return
	}
	if _, taken := pl.find(block); taken || len(pl.spots) >= pl.room && !pl.yield() {
		return
	}
	s := spot{block: block, point: -1, open: true}
	for i := range pl.strays {
		if r := &pl.strays[i]; r.block == block && !r.taken {
			r.taken = true
			s.point, s.ttl, s.open, s.moved = r.point, r.ttl, r.open, true
			break
		}
	}
	at, _ := pl.find(block)
	pl.spots = slices.Insert(pl.spots, at, s)
}

// yield removes a point of the caller that has no effect, to make room, and reports whether there was one.
func (pl *placer) yield() bool {
	i := slices.IndexFunc(pl.spots, func(s spot) bool { return s.dead })
	if i < 0 {
		return false
	}
	pl.strays = append(pl.strays, stray{point: pl.spots[i].point, block: -1})
	pl.spots = slices.Delete(pl.spots, i, i+1)
	return true
}

// lag returns the last block from which the model's lookback reaches the earlier turn's point. It returns -1 if no point is needed there, because the
// newest turn's point is near enough, or another point in between is.
func (pl *placer) lag(newest, before int) int {
	reach := pl.m.lookback()
	if before < 0 || newest-before < reach {
		return -1
	}
	for _, s := range pl.spots {
		if s.block > before && s.block-before < reach {
			return -1
		}
	}
	return pl.last(before+1, before+reach-1)
}

// lifetimes sets the lifetime of each point. No point gets a shorter one than a point that follows it.
func (pl *placer) lifetimes() {
	longest := time.Duration(0)
	for i := len(pl.spots) - 1; i >= 0; i-- {
		s := &pl.spots[i]
		if s.open {
			s.ttl = longest // at least what the caller's next one asks for
			continue
		}
		longest = max(longest, s.ttl)
		s.ttl = longest
	}
	before := pl.fresh
	for i := range pl.spots {
		s := &pl.spots[i]
		if s.open {
			s.ttl = max(s.ttl, min(pl.fresh, before)) // at most what the caller's last one does
		} else {
			before = s.ttl
		}
	}
}

// edits returns the changes that lead from the prompt's points to the spots.
func (pl *placer) edits() []Edit {
	var edits []Edit
	for _, s := range pl.strays {
		if !s.taken {
			edits = append(edits, Edit{Remove: s.point, After: -1})
		}
	}
	for _, s := range pl.spots {
		if s.point < 0 || s.moved || s.ttl != pl.p.Points[s.point].TTL {
			edits = append(edits, Edit{Remove: s.point, After: s.block, TTL: s.ttl})
		}
	}
	return edits
}
