package cache

import (
	"cmp"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/hash"
	"github.com/bedrockguard/bedrockguard-go/cache/internal/odds"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// Fix is Check for a request whose cache points the policy lets the tracker place. If there are changes to make, it calls apply with them;
// apply makes them and returns the prompt of the changed request, or nil if it could not. Apart from cache points that prompt must be the
// same, and apply must not call the tracker, which would wait for the lock that Fix holds. The turn is that of the changed request.
//
// As far as the workflow's own history shows, Fix never costs more than it saves. A new point is placed if
//
//   - the cache has the prefix already, or writing costs no more than sending (Nova);
//   - it is after tools, a system prompt or a common beginning of two requests that was seen before, within the lifetime of an entry;
//   - it is after the newest turn of a conversation whose earlier turns were each read by the next request. If the newest of these was not, because
//     of a change in an earlier block, a pause or a rewritten history, nothing is written until it is likely to be read again;
//   - it is after the newest turn of a first request that has a history, or of the first turn of a workflow whose conversations usually
//     continue, as long as such trials succeed.
//
// So a workflow's first request gets no point unless it has a history, and each of these changes costs at most one write that is not read. The
// caller's own points stay, until two requests in a row could not read what the ones before them wrote, or one could not because a time or an id
// before the points had changed.
func (t *Tracker) Fix(c Call, p *prompt.Prompt, apply func([]prompt.Edit) *prompt.Prompt) *Turn {
	s := t.session(c.Workflow)
	s.mu.Lock()
	defer s.mu.Unlock()
	var buf [maxConversations]prompt.Memory
	known := s.knownTexts(buf[:0])
	p.Record(known)
	prev := s.findPredecessor(p) // the earlier request that p most likely continues
	v := verdict{session: s, call: &c, p: p, past: &prev}
	v.follows = s.follow(&c, p, &prev)
	s.settle(&v.follows, prev.conversation) // counts what prev wrote as read or unread, before decide asks how many writes are unread
	edits := place(p, &c.Model, PlaceOptions{Factor: s.scale.Factor, Gaps: s.gaps}, v.decide)
	if len(edits) > 0 {
		if q := apply(edits); q != nil {
			q.Adopt(p, known) // takes over p's hashes
			p = q
		} else {
			v.trial, v.wrote = false, knownPrefix{} // nothing is written: the points that decide allowed are not in the request
		}
	}
	// What decide has found is kept in the turn: learn records it once the request is sent, and stopRunning once it is answered.
	const placed = true
	turn := s.checkRecorded(c, p, prev, placed)
	turn.trial, turn.wrote, turn.saw = v.trial, v.wrote, v.saw
	return turn
}

// follows says whether a request continues a conversation, and what it could read from the cache.
type follows struct {
	on     bool                  // it continues one, and habit is set
	habit  habit                 // how often requests of the conversation could read what the ones before them wrote
	met    [len(ttlClasses)]bool // by lifetime: it could read the prefix up to the predecessor's newest user turn, if that was written
	lapsed bool                  // at least five minutes have passed since the predecessor
}

// follow compares a request with its predecessor, the earlier request that it most likely continues, and adds the comparison to a copy of the
// conversation's habit: Turn.learn stores that once the request is sent. Requires s.mu held.
func (s *session) follow(c *Call, p *prompt.Prompt, prev *predecessor) follows {
	conv := prev.conversation
	if conv == nil {
		return follows{}
	}
	tools, system := heads(p) // how many blocks each of them has
	if prev.shared <= tools+system && !prev.continues(p.Records()[tools+system:]) {
		return follows{} // another conversation that has at most tools and system prompt in common
	}
	f := follows{on: true, habit: conv.habit}
	f.habit.turns++
	gap := c.At.Sub(conv.lastAt)
	f.lapsed = gap >= prompt.FiveMinutes
	// The ends of the predecessor's newest user turn and of the one before, as numbers of blocks. Without one before, which is 0, both are the same.
	newest, before := conv.userEnd, cmp.Or(conv.before, conv.userEnd)
	sharesMessages := conv.sharesMessages(c, p)
	for class, life := range ttlClasses {
		alive := sharesMessages && gap < life // an entry that the predecessor wrote can be read
		f.met[class] = alive && newest <= prev.shared
		f.habit.tail[class].Add(f.met[class])
		f.habit.before[class].Add(alive && before <= prev.shared)
	}
	return f
}

// verdict decides where the new points of one request save more than they cost. A new point makes the request write the prefix before it to the
// cache, which pays only if a later request reads it.
type verdict struct {
	session *session
	call    *Call
	p       *prompt.Prompt
	past    *predecessor // the earlier request that it most likely continues, and how many blocks they share
	follows follows

	trial bool          // the newest turn is written before anything is known of the conversation
	wrote knownPrefix   // the prefix that is written because it was seen before
	saw   []knownPrefix // the prefixes that seenBefore has recorded, which count as answered once the response begins
}

// decide restricts where the placer may put new points: only after blocks before pl.end. That is the prefix that is cached already, extended to a
// block whose prefix is likely to be read. pl.fresh is the lifetime of new points, which it may shorten. It also decides which of the caller's points
// are removed: those from block pl.drop on. Requires the session's lock held.
func (v *verdict) decide(pl *placer) {
	s := v.session
	pl.judged, pl.told = true, v.past.counted() // the placer need not guess whether the newest turn pays, and has the last response's token count
	// place has chosen an hour by the pauses between requests. The sums of what the requests would have cost have to agree.
	if pl.fresh > prompt.FiveMinutes && !s.costs.hourPays(pl.m, s.scale.Mid(v.p.Total())) {
		pl.fresh = pl.m.nearest(prompt.FiveMinutes)
	}
	if m := pl.m; m.CacheWrite5mPrice > 0 && m.CacheWrite5mPrice <= m.InputPrice && pl.fresh <= prompt.FiveMinutes {
		return // writing costs no more than sending, as on Nova, so that points may be anywhere: pl.end stays as it is
	}
	// Both before pl.end is lowered, up to which they look for blocks. seenBefore is asked even during a pause, because it records what it sees.
	newest, before := pl.turns()
	seen := v.seenBefore(pl)
	if s.pause > 0 { // the last responses read nothing although they should have: no point is placed
		s.pause--
		pl.end = 0
	} else {
		held := v.held(pl)
		pl.end = max(held, v.likelyRead(pl, held, newest, before, seen)+1)
	}
	if pl.end < len(pl.p.Blocks) && v.refuted() { // the caller's own points behind pl.end have only cost money
		pl.drop = pl.end
		if !v.follows.lapsed { // what was written less than five minutes ago can still be read, so points in the common blocks stay
			pl.drop = max(pl.end, v.past.shared)
		}
	}
}

// likelyRead returns the last block of a prefix that a later request is likely to read if this one writes it, or -1. newest and before are the last
// blocks of the newest user turn and of the one before it that points may follow, and seen is the last block of a beginning that earlier requests
// had; each may be -1. held is how many blocks the cache holds.
func (v *verdict) likelyRead(pl *placer, held, newest, before, seen int) int {
	s, at := v.session, v.call.At
	requests := s.calls.Count()           // that the workflow has sent before this one
	switch class := ttlClass(pl.fresh); { // outcomes are counted by lifetime: class is that of the new points
	case newest >= 0 && !v.p.Final && v.newestPays(class): // no turn follows a Final request
		return newest
	case before >= 0 && v.follows.on && v.goesOn(&v.follows.habit.before[class]): // later requests usually still have that turn
		return before
	// The second request writes the beginning unless a third one is unlikely, and later ones always.
	case seen >= held && (requests > 1 || !s.rarelyGoesOn(odds.WorkflowDepth+requests+1, at)):
		// learn counts the prefix as written once the request is sent, and as unread until another one reads it.
		v.wrote = knownPrefix{chain: v.p.Records()[seen].Chain, place: v.placeOf(seen), ttl: pl.fresh}
		return seen
	}
	return -1
}

// goesOn reports whether a conversation that is known is likely to go on with what it has written: the outcomes in a Trend of its habit say so, its
// last responses read what they should, and another request is likely.
func (v *verdict) goesOn(outcomes *odds.Trend) bool {
	h := &v.follows.habit
	return outcomes.Likely() && h.misses < fewMisses && !v.session.rarelyGoesOn(h.turns, v.call.At)
}

// held returns the length, in blocks, of the longest prefix that the cache holds. A point at its end only reads, and so costs nothing.
func (v *verdict) held(pl *placer) int {
	location := locationHash(v.call.Model.ID, v.call.Place)
	longest := -1
	for i := range v.session.cached {
		prefix := &v.session.cached[i]
		isLonger := prefix.block > longest
		if isLonger && v.canRead(prefix, location) && pl.suits(prefix.block) { // suits: a point may follow its last block
			longest = prefix.block
		}
	}
	return longest + 1
}

// canRead reports whether the request, at a location, can read an entry: it begins with the entry, has its level, which is the hash of the settings
// that the entry depends on, and the entry has not expired.
func (v *verdict) canRead(prefix *cachedPrefix, location uint64) bool {
	return prefix.begins(v.p) && prefix.location == location && prefix.level == v.call.levelAt(v.p, prefix.block) && v.call.At.Before(prefix.expires)
}

// placeOf returns the hash of what a cache entry for the prefix up to a block depends on besides the blocks.
func (v *verdict) placeOf(block int) uint64 {
	return hash.Mix(locationHash(v.call.Model.ID, v.call.Place), v.call.levelAt(v.p, block))
}

// seenBefore returns the last block of the longest prefix that earlier requests had often enough, or -1. Once is enough, plus twice for each
// write of the workflow that was not read yet. It tries the tools, the tools with the system prompt, and what the request has in common with the
// previous one, and records that the request has them.
func (v *verdict) seenBefore(pl *placer) int {
	// pl.last returns the last block of a range after which a point may be, or -1; pl.starts has each section's first block.
	tools, system := pl.last(0, pl.starts[prompt.System]-1), pl.last(pl.starts[prompt.System], pl.starts[prompt.Messages]-1)
	common, first := v.common(pl)
	if common == tools || common == system {
		common = -1 // this prefix is counted already, as the tools or as the tools with the system prompt
	}
	blocks, class := [...]int{tools, system, common}, ttlClass(pl.fresh)
	// By index of blocks: how many earlier requests had that prefix, in time for an entry of the new points' lifetime.
	seen := [...]int{v.sighted(tools, timesSeen{})[class], v.sighted(system, timesSeen{})[class], v.sighted(common, first)[class]}
	enough := 1 + 2*v.session.unread // asked only now: a prefix that this request reads is no longer unread
	longest := -1
	for n, block := range blocks {
		if block >= 0 && seen[n] >= enough && !v.session.writes(v.p.Records()[block].Chain) { // no running request is about to write it
			longest = max(longest, block)
		}
	}
	return longest
}

// sighted records that the request has the prefix up to a block, and returns how many earlier requests had it: none as long as no request with it
// has its answer, because nothing is written yet. v.saw is for that. first is the result for a prefix that is not known. A block of -1 stands for no prefix.
func (v *verdict) sighted(block int, first timesSeen) timesSeen {
	if block < 0 {
		return timesSeen{}
	}
	k := knownPrefix{chain: v.p.Records()[block].Chain, place: v.placeOf(block)}
	v.saw = append(v.saw, k)
	return v.session.sight(k.chain, k.place, v.call.At, first)
}

// common returns the last block that a request has in common with the previous one and that a point may follow, or -1. first is how often that prefix
// was seen if it is not known yet: once for each lifetime in which an entry that the previous request wrote would still live.
func (v *verdict) common(pl *placer) (block int, first timesSeen) {
	conv := v.past.conversation
	if conv == nil || !conv.sharesMessages(v.call, v.p) {
		return -1, first // there is no previous request, or what it wrote of the messages can't be read
	}
	for class, life := range ttlClasses {
		if v.call.At.Sub(conv.lastAt) < life {
			first[class] = 1
		}
	}
	return pl.last(0, v.past.shared-1), first
}

// writes reports whether a running request is writing the prefix with this chain hash, so that this one need not. It says no if the policy has a
// HoldFanOut, because this request then waits until the other one has written, and reads.
func (s *session) writes(chain uint64) bool {
	if s.tracker.policy.HoldFanOut > 0 {
		return false
	}
	for _, r := range s.running {
		for i := range r.writes {
			if r.writes[i].chain == chain {
				return true
			}
		}
	}
	return false
}

// fewMisses is after how many responses in a row that read too little the newest turn is no longer written.
const fewMisses = 2

// newestPays reports whether the prefix up to the newest user turn is likely to be read by the next request. In a conversation that is known, its
// earlier turns tell. For a first request it may be a trial, a write before anything is known of the conversation: then v.trial is set. class is the
// index in ttlClasses of the lifetime.
func (v *verdict) newestPays(class int) bool {
	s, at := v.session, v.call.At
	switch {
	case v.follows.on:
		return v.goesOn(&v.follows.habit.tail[class])
	case !v.mayTry():
		return false
	case hasHistory(v.p): // its rank in its conversation, the depth, is not known: such requests are counted apart, under UnknownDepth
		v.trial = !s.rarelyGoesOn(odds.UnknownDepth, at)
	default: // the first turn of a conversation
		v.trial = s.conversationsGoOn(at)
	}
	return v.trial
}

// mayTry reports whether another newest turn may be written as a trial: one at a time, and one more for every four that have been read.
func (v *verdict) mayTry() bool { return 4*v.session.trials <= v.session.trialsWon }

// hasHistory reports whether there is a message that is not the user's, so that the prompt may continue a conversation that was not seen.
func hasHistory(p *prompt.Prompt) bool {
	for i := len(p.Blocks) - 1; i >= 0 && p.Blocks[i].Section == prompt.Messages; i-- {
		if !p.Blocks[i].User {
			return true
		}
	}
	return false
}

// conversationsGoOn is odds.Steps.MostlyGoOn for the session's workflow: more than half of its conversations had a second request that could read the
// first.
func (s *session) conversationsGoOn(now time.Time) bool {
	s.tracker.mu.Lock()
	defer s.tracker.mu.Unlock()
	return s.tracker.steps.MostlyGoOn(s.number, now)
}

// rarelyGoesOn is odds.Steps.RarelyGoOn for the session's workflow: less than a third of the requests at this depth, their rank in their
// conversation, were followed by one that could read them.
func (s *session) rarelyGoesOn(depth int, now time.Time) bool {
	s.tracker.mu.Lock()
	defer s.tracker.mu.Unlock()
	return s.tracker.steps.RarelyGoOn(s.number, depth, now)
}

// refuted reports whether the caller's points have only cost money: in two requests in a row what they wrote was not read, or in one because a time
// or an id in tools or system prompt had changed.
func (v *verdict) refuted() bool {
	h := &v.follows.habit
	// It continues no conversation, so the workflow's last responses tell: written is how many in a row wrote to the cache and read nothing.
	if !v.follows.on {
		return v.session.streak.written >= 2
	}
	// The outcomes within five minutes count, the first of the lifetimes: broken says that the last prefix was not met again and the next one is not
	// likely to be, and again that this has happened before.
	broken, again := h.tail[0].Broken()
	return broken && (again || v.volatileHead())
}

// volatileHead reports whether the first block that differs from the predecessor's is in tools or system prompt and contains a time or an id.
func (v *verdict) volatileHead() bool {
	at := v.past.shared
	return at < len(v.p.Blocks) && v.p.Blocks[at].Section != prompt.Messages && v.p.Volatile(at).Suspicious()
}
