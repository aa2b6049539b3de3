package cache

import (
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// PlaceOptions is what is known of a request's workflow. In the zero value nothing is known, as before the first response.
type PlaceOptions struct {
	// Factor is how many tokens the workflow's responses counted for 1000 tokens of the average estimate. Zero is unknown: then a prefix
	// gets a point only if the lowest estimate is long enough.
	Factor int64
	// Gaps decide whether new points ask for an hour instead of five minutes.
	Gaps Gaps
	// Before restricts new points to the gaps after the first so many blocks. It is for a prompt whose next block is known to differ in each
	// request, so that later points would only cost money. Zero means no bound.
	Before int
}

// usualPoints is how many points a request gets if the model's maximum is not known: every known model accepts four.
const usualPoints = 4

// Place returns the edits to a prompt's cache points after which the service accepts them, and the next request of the conversation can read
// from the cache what this one wrote. A prompt that is fine gets no edits, nor does one to which the edits were applied. It is pure; it
// serialises documents only until it is clear whether the prefix is long enough.
//
// Points are wanted at these places, the most valuable first:
//
//   - after the newest user turn, unless no other turn is likely to follow: after a Final request, which demands a call of a single tool, and
//     after a first question to a model without tools;
//   - after the turn before it, where the previous request had its newest turn: so what that request wrote is found exactly;
//   - between the two, if they are at least as far apart as the model's lookback, which is how many blocks back from a point the service
//     searches: after the last block from which the lookback reaches the earlier turn;
//   - after the system prompt;
//   - after the tools.
//
// Each of them comes after the last block of its part that may be followed by a point; if a turn has no such block, the assistant's message
// before it is tried. That place depends on the turn alone, so it is the same in each request. No new point is placed before the model's
// minimum by the lowest estimate, beyond its maximum by the highest, or directly after a document or content of unknown kind.
//
// The caller's points come first: each that the service accepts stays where it is and counts. One that it does not accept is moved to the
// nearest earlier place in its section, if there is room after all of the above, or is removed. If there are too many, the last of the
// tools, the last of the system prompt and the newest two of the messages stay. A point that has no effect, because its prefix is too short
// or too long by any estimate, is replaced with a wanted one.
//
// If a shorter lifetime precedes a longer one, the shorter one is raised: the caller has asked for the longer one, and it costs nothing,
// because all tokens before a point with a longer lifetime are billed as written for that one. New points, and the caller's points that have
// no lifetime or one that is not offered, ask for five minutes or an hour, as Gaps says, within the bounds of the caller's other points
// before and after them.
func Place(p *prompt.Prompt, m Model, o PlaceOptions) []prompt.Edit {
	return place(p, &m, o, nil)
}

// place is Place with a function that may first restrict where the placer puts points: Tracker.Fix passes verdict.decide, which knows what pays. For
// Place it is nil.
func place(p *prompt.Prompt, m *Model, o PlaceOptions, judge func(*placer)) []prompt.Edit {
	if !m.Explicit {
		return withoutPoints(p)
	}
	pl := placer{site: newSite(p, m, o), room: m.MaxPoints, fresh: m.lifetime(o.Gaps), drop: len(p.Blocks)}
	if judge != nil {
		judge(&pl) // it may lower pl.end and pl.drop, and shorten pl.fresh
	}
	if pl.room <= 0 {
		pl.room = usualPoints
	}
	pl.sort()
	// The caller may have sent more points than are accepted. If the maximum is not known, none is taken away here.
	if m.MaxPoints > 0 && len(pl.spots) > m.MaxPoints {
		pl.thin()
	}
	pl.fill()
	pl.lifetimes()
	return pl.edits()
}

// withoutPoints returns the edits that remove every point.
func withoutPoints(p *prompt.Prompt) []prompt.Edit {
	var edits []prompt.Edit
	for i := range p.Points {
		edits = append(edits, prompt.Edit{Remove: i, After: -1})
	}
	return edits
}

// placer holds a prompt's points while they are being placed.
type placer struct {
	site                 // after which blocks points may be; its method last returns the last such block of a range
	room   int           // how many points the model accepts
	fresh  time.Duration // the lifetime of new points, and of the caller's points without one
	spots  []spot        // the points of the result, in the order of their blocks
	strays []stray       // points of the caller that can't stay where they are

	judged bool // judge, the function that place was called with, has decided whether the newest turn gets a point
	drop   int  // points of the caller after this block or a later one have only cost money, and are removed; len(p.Blocks) removes none
}

// spot is a block that will be followed by a point.
type spot struct {
	block int
	point int           // index of the caller's point, or -1 for a new one
	ttl   time.Duration // of the point
	open  bool          // the caller has not asked for this lifetime, so lifetimes may set another one
	moved bool          // the caller's point was after another block
	dead  bool          // the point has no effect: the prefix before it is too short or too long to be cached
}

// stray is a point of the caller that can't stay where it is.
type stray struct {
	point int           // index of the caller's point
	block int           // after which it can be moved; -1 if it has to be removed
	ttl   time.Duration // as in spot
	open  bool          // as in spot
	taken bool          // it was moved there
}

// find returns the index in spots of a block's spot, and whether there is one; without one it is the index to insert it at.
func (pl *placer) find(block int) (int, bool) {
	return slices.BinarySearchFunc(pl.spots, block, func(s spot, b int) int { return s.block - b })
}

// sort divides the caller's points into spots, for those that can stay, and strays.
func (pl *placer) sort() {
	for i := range pl.p.Points {
		pt := &pl.p.Points[i]
		if pt.Block >= pl.drop { // it is removed: a stray with a block of -1
			pl.strays = append(pl.strays, stray{point: i, block: -1})
			continue
		}
		ttl := pl.m.nearest(pt.TTL)      // the longest on offer that is not longer, or else the shortest
		open := pt.Open || ttl != pt.TTL // it named no lifetime, or one that the model does not offer
		at, taken := pl.find(pt.Block)   // taken: another point stands after the same block
		if canStay := !pt.Nested && pt.Block >= 0 && pl.accepts(pt.Block) && !taken; canStay {
			pl.spots = slices.Insert(pl.spots, at, spot{block: pt.Block, point: i, ttl: ttl, open: open, dead: pl.futile(pt.Block)})
		} else { // moveTarget returns the nearest earlier block after which it may be, or -1
			pl.strays = append(pl.strays, stray{point: i, block: pl.moveTarget(pt), ttl: ttl, open: open})
		}
	}
}

// thin removes points of the caller until there are no more than the model accepts. The newest two of the messages stay, then the last of the system
// prompt and the last of the tools, as far as there is room.
func (pl *placer) thin() {
	quota := [...]int{prompt.Tools: 1, prompt.System: 1, prompt.Messages: 2}
	room := pl.m.MaxPoints
	stay := make([]bool, len(pl.spots))
	for _, section := range [...]prompt.Section{prompt.Messages, prompt.System, prompt.Tools} {
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
			pl.strays = append(pl.strays, stray{point: s.point, block: -1}) // it is removed
		}
	}
	pl.spots = kept
}

// fill adds the points that Place lists, the most valuable first, and then moves the caller's misplaced points, as far as there is room. A block of
// -1 means that the point has no place or is not wanted; want ignores it.
func (pl *placer) fill() {
	newest, before := pl.turns() // the ends of the newest user turn and of the one before it
	if pl.p.Final || !pl.judged && pl.single() {
		newest = -1 // no request is likely to follow that could read it
	}
	pl.want(newest)
	pl.want(before)
	pl.want(pl.lag(newest, before))                                          // between the two, if they are far apart
	pl.want(pl.last(pl.starts[prompt.System], pl.starts[prompt.Messages]-1)) // after the system prompt
	pl.want(pl.last(0, pl.starts[prompt.System]-1))                          // after the tools
	for i := range pl.strays {
		if !pl.strays[i].taken {
			pl.want(pl.strays[i].block)
		}
	}
}

// want puts a point after a block, if there is none yet and there is room. If a misplaced point of the caller can be moved there, it is used.
func (pl *placer) want(block int) {
	if block < 0 {
		return
	}
	if _, taken := pl.find(block); taken {
		return
	}
	if len(pl.spots) >= pl.room && !pl.yield() { // yield makes room if a point has no effect
		return
	}
	s := spot{block: block, point: -1, open: true} // lifetimes sets the lifetime of an open one
	if i := slices.IndexFunc(pl.strays, func(r stray) bool { return r.block == block && !r.taken }); i >= 0 {
		r := &pl.strays[i]
		r.taken = true
		s.point, s.ttl, s.open, s.moved = r.point, r.ttl, r.open, true
	}
	at, _ := pl.find(block) // only now, because yield may have removed a spot before it
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

// lag returns the last block from which the model's lookback reaches before, the block of the earlier turn's point; the lookback is how many blocks
// back from a point the service searches for what was written. It returns -1 if no point is needed there, because the newest turn's point is near
// enough, or another point in between is.
func (pl *placer) lag(newest, before int) int {
	reach := pl.m.lookback()
	if before < 0 || newest-before < reach { // also if newest is -1, which stands for no point
		return -1
	}
	for _, s := range pl.spots {
		if s.block > before && s.block-before < reach {
			return -1
		}
	}
	return pl.last(before+1, before+reach-1)
}

// lifetimes sets the lifetime of each point, so that no point has a shorter one than a point that follows it.
func (pl *placer) lifetimes() {
	// Backwards: each point gets the longest lifetime that the caller asked for at it or behind it.
	longest := time.Duration(0)
	for i := len(pl.spots) - 1; i >= 0; i-- {
		s := &pl.spots[i]
		if !s.open { // the caller has asked for its lifetime
			longest = max(longest, s.ttl)
		}
		s.ttl = longest
	}
	// Forwards: the open points get the lifetime of new ones, or that of the caller's point before them if it is shorter; but never less than above.
	before := pl.fresh
	for i := range pl.spots {
		s := &pl.spots[i]
		if s.open {
			s.ttl = max(s.ttl, min(pl.fresh, before))
		} else {
			before = s.ttl
		}
	}
}

// edits returns the changes that turn the prompt's points into the spots.
func (pl *placer) edits() []prompt.Edit {
	var edits []prompt.Edit
	for _, s := range pl.strays {
		if !s.taken {
			edits = append(edits, prompt.Edit{Remove: s.point, After: -1})
		}
	}
	for _, s := range pl.spots { // a new point removes none: its index is -1
		if s.point < 0 || s.moved || s.ttl != pl.p.Points[s.point].TTL {
			edits = append(edits, prompt.Edit{Remove: s.point, After: s.block, TTL: s.ttl})
		}
	}
	return edits
}
