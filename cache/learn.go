package cache

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/odds"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// settle records whether a request reads the newest turn that the request before it wrote, if it wrote one: s.unread counts the writes that were not
// read. f compares the request with the one before, and conv is the conversation of that one. Requires s.mu held.
func (s *session) settle(f *follows, conv *conversation) {
	if !f.on || conv.habit.wrote == 0 { // the request before did not write its newest turn, or that write is settled already
		return
	}
	if f.met[ttlClass(conv.habit.wrote)] { // the entry still lives, and the request has the same prefix
		s.unread = max(s.unread-1, 0)
	} else {
		s.unread = min(s.unread+1, maxUnread)
	}
	conv.habit.wrote = 0
}

// maxUnread bounds how many writes that nobody has read count against new ones.
const maxUnread = 8

// learn records what a request that is sent shows about its workflow: whether it reads what the request before it wrote, how conversations go on,
// and what the request itself writes. t.follows compares it with the request before. Requires s.mu held.
func (t *Turn) learn() {
	s, f, conv := t.session, &t.follows, t.conversation
	if conv == nil {
		return
	}
	// The request before was a trial, and this one comes within five minutes (met[0]) and has its whole prefix, so that it can read what that wrote.
	if f.on && f.habit.trial && f.met[0] {
		s.trials--
		s.trialsWon++
	}
	s.costs.add(&t.call.Model, s.scale.Mid(t.size), t.readable(prompt.FiveMinutes), t.readable(prompt.OneHour))
	step := t.addStep()
	if f.on { // another request that follows the same one, a branch, must not count its trial or step again: Follow ignores a step of -1
		t.past.conversation.habit.trial, t.past.conversation.habit.step = false, -1
	}
	conv.habit = f.habit // the habit of the conversation before with this request added, or an empty one for a new conversation
	conv.habit.turns = max(conv.habit.turns, 1)
	conv.habit.trial, conv.habit.step, conv.habit.wrote = t.trial, step, 0
	// The last of the writes is the longest prefix. If it reaches to the end of the newest user turn, that turn is written.
	if n := len(t.writes); n > 0 && t.writes[n-1].block+1 >= conv.userEnd {
		conv.habit.wrote = t.writes[n-1].ttl
	}
	if t.trial {
		s.trials++
	}
	if t.wrote.chain != 0 { // Fix has placed a point behind a prefix that was seen before
		s.wrote(t.wrote)
	}
}

// addStep adds the request to tracker.steps, the last requests of all workflows, under its depth, the rank in its conversation, and records that it
// follows the one before it. It returns the request's number there. The first three requests of a workflow are added once more, under their rank in
// the workflow. Requires s.mu held.
func (t *Turn) addStep() int {
	s, f, at := t.session, &t.follows, t.call.At
	depth := max(f.habit.turns, 1)
	if !f.on && hasHistory(t.prompt) {
		depth = odds.UnknownDepth // its conversation began before anything was seen of it
	}
	s.tracker.mu.Lock()
	defer s.tracker.mu.Unlock()
	steps := &s.tracker.steps
	if f.on { // it follows the last request of its conversation, and may have read it within either lifetime
		steps.Follow(f.habit.step, at, f.met[0] || f.met[1])
	}
	number := steps.Add(s.number, depth, at)
	if rank := s.calls.Count(); rank <= 3 { // in the workflow, from 1
		if rank > 1 { // it follows the last request of its workflow; whether it could read that does not matter
			steps.Follow(s.step, at, true)
		}
		s.step = steps.Add(s.number, odds.WorkflowDepth+rank, at)
	}
	return number
}

// readable returns how many tokens a request could read, if the one before it had written its whole prefix with the given lifetime. It could have
// points at four ends, all of them numbers of its blocks: of each of its two newest user turns, of the system prompt and of the tools.
func (t *Turn) readable(ttl time.Duration) int64 {
	conv := t.past.conversation
	if conv == nil || t.gap >= ttl || !t.sameLocation {
		return 0
	}
	best := 0 // the longest of these prefixes that this request has too, as a number of blocks
	for _, end := range [...]int{t.userEnd, t.before, conv.tools + conv.system, conv.tools} {
		if end <= t.past.shared {
			best = max(best, end)
		}
	}
	if best > conv.tools+conv.system && !t.sameLevel { // a changed setting drops what is cached of the messages
		best = conv.tools + conv.system
	}
	return t.session.scale.Mid(conv.upTo(best))
}

// fewLosses bounds how often the pause after responses that read nothing is doubled.
const fewLosses = 6

// lost records that a response read nothing although the cache should have held its prefix. For a while nothing is written then: for one
// request if the workflow has read anything before, else for sixteen, and twice as many each time.
func (s *session) lost() {
	s.pause = 1 << s.losses
	if !s.everRead {
		s.pause <<= 4 // sixteen times as many
	}
	s.losses = min(s.losses+1, fewLosses)
}

// account records whether the response read what the cache should have held. missed says that it read less. If it read nothing, the workflow pauses
// its writes; if only too little, that counts in its conversation, whose newest turns are no longer written after a few such misses.
func (t *Turn) account(u Usage, missed bool) {
	s := t.session
	if u.CacheReadTokens > 0 {
		s.losses, s.everRead = 0, true
	}
	switch {
	case missed && u.CacheReadTokens == 0:
		s.lost()
	case t.conversation == nil: // an empty request, which belongs to none
	case missed:
		t.conversation.habit.misses++
	case t.expected.tokens > 0: // something was expected, and was read
		t.conversation.habit.misses = 0
	}
}
