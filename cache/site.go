package cache

import (
	"slices"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// anthropic is the provider in the ids of Claude models.
const anthropic = "anthropic"

// site decides where in a prompt cache points may be: after which of its blocks. Blocks are numbered through the whole prompt: first those of the
// tools, then those of the system prompt, then those of the messages.
type site struct {
	p      *prompt.Prompt
	m      *Model
	scale  estimate.Scale   // estimates tokens: Low and High are bounds that the actual number is very unlikely to pass
	end    int              // new points are only put after blocks before this one
	bound  int              // the same for the caller's points that have to be moved
	starts [3]int           // by section: the index of its first block
	upTo   []prompt.Size    // size of the prompt up to and including each block
	told   estimate.Counted // how many tokens a response has reported for a beginning of the prompt; zero if none has

	// holdsReasoning keeps its last answer in these fields, because it has to read all blocks of a message.
	looked  bool // the next two are set
	message int  // the index of the message that was looked at
	reasons bool // that message holds reasoning
}

// newSite returns the site of a prompt for one model, with the sizes of its blocks. A Factor of 0 says that no response has been seen.
func newSite(p *prompt.Prompt, m *Model, o PlaceOptions) site {
	tools, system := heads(p) // how many blocks each of them has
	s := site{p: p, m: m, scale: estimate.Scale{Factor: max(o.Factor, 0)}, end: len(p.Blocks)}
	s.starts = [...]int{prompt.Tools: 0, prompt.System: tools, prompt.Messages: tools + system}
	if o.Before > 0 {
		s.end = min(s.end, o.Before)
	}
	s.bound = s.end // Tracker.Fix may lower end later, for new points alone
	s.weigh()
	return s
}

// weigh sums up the sizes of the blocks. Unlike Prompt.Record it reads no text. A document counts nothing until Measure has serialised it, which is
// only done while sizes matter: if the model has no maximum, that is until its minimum is reached.
func (s *site) weigh() {
	s.upTo = make([]prompt.Size, len(s.p.Blocks))
	var sum prompt.Size
	matters := true
	for i := range s.p.Blocks {
		if matters = matters && (s.m.MaxTokens > 0 || s.scale.Low(sum) < s.m.MinTokens); matters {
			s.p.Measure(i)
		}
		sum = sum.Plus(s.p.Blocks[i].Size())
		s.upTo[i] = sum
	}
}

// accepts reports whether the service accepts a point after a block, as far as is known. If it returns false, the service is known to reject
// the point, with one exception: a Claude message that has reasoning anywhere is only sometimes rejected.
func (s *site) accepts(block int) bool {
	b := &s.p.Blocks[block]
	switch {
	// TakesPoint says no if the request has no place for a point there or a rejection is known. Empty is a text of white space alone.
	case !s.m.takes(b.Section), !s.p.TakesPoint(block), b.Kind == prompt.Reasoning, s.p.Empty(block):
		return false
	case s.m.Provider == nova: // Amazon's own models: in messages they take points after text only
		return b.Section != prompt.Messages || b.Kind == prompt.Text
	case s.m.Provider == anthropic && b.Section == prompt.Messages && !b.User:
		return !s.holdsReasoning(block)
	default:
		return true
	}
}

// holdsReasoning reports whether the message of a block holds reasoning, in that block or in any other.
func (s *site) holdsReasoning(block int) bool {
	blocks, message := s.p.Blocks, s.p.Blocks[block].Message
	if s.looked && s.message == message {
		return s.reasons
	}
	same := func(i int) bool {
		return i >= 0 && i < len(blocks) && blocks[i].Section == prompt.Messages && blocks[i].Message == message
	}
	s.looked, s.message, s.reasons = true, message, false
	for i := block; same(i) && !s.reasons; i-- {
		s.reasons = blocks[i].Kind == prompt.Reasoning
	}
	for i := block; same(i) && !s.reasons; i++ {
		s.reasons = blocks[i].Kind == prompt.Reasoning
	}
	return s.reasons
}

// suits reports whether a new point may follow a block: the service accepts it, the prefix is not too long to be cached, and the block is no
// document or content of unknown kind, after which the service rejects some points.
func (s *site) suits(block int) bool {
	kind := s.p.Blocks[block].Kind
	return kind != prompt.Document && kind != prompt.Other && s.accepts(block) && !s.beyond(block)
}

// short reports whether the prefix up to a block may be below the model's minimum. If a response has counted a beginning of that prefix, only the
// rest is estimated.
func (s *site) short(block int) bool {
	low := s.scale.Low(s.upTo[block])
	if k := s.told; k.Blocks > 0 && block+1 >= k.Blocks {
		low = k.Tokens + s.scale.Low(s.upTo[block].Minus(s.upTo[k.Blocks-1]))
	}
	return low < s.m.MinTokens
}

// beyond reports whether the prefix up to a block may be above the model's maximum.
func (s *site) beyond(block int) bool {
	return s.m.MaxTokens > 0 && s.scale.High(s.upTo[block]) > s.m.MaxTokens
}

// futile reports whether a point after a block certainly has no effect, because its prefix is too short or too long to be cached.
func (s *site) futile(block int) bool {
	prefix := s.upTo[block]
	return s.scale.High(prefix) < s.m.MinTokens || s.m.MaxTokens > 0 && s.scale.Low(prefix) > s.m.MaxTokens
}

// last returns the last block from one to another, both included, that a new point may follow and whose prefix is long enough; or -1.
func (s *site) last(from, to int) int { return s.lastBefore(from, to, s.end) }

// lastBefore is like last, but the block also has to come before end.
func (s *site) lastBefore(from, to, end int) int {
	for i := min(to, end-1); i >= from && !s.short(i); i-- { // if one prefix is too short, all before it are
		if s.suits(i) {
			return i
		}
	}
	return -1
}

// turns returns the blocks that a point can follow at the end of the newest user turn and of the one before it, or -1. A turn is a run of
// user messages together with the assistant's messages before it. Turns without such a block are skipped.
func (s *site) turns() (newest, before int) {
	newest, before = -1, -1
	i := s.skip(len(s.p.Blocks)-1, false) // past an assistant's message at the end
	for i >= s.starts[prompt.Messages] && before < 0 {
		end := i                           // the last block of the turn's user messages
		i = s.skip(s.skip(i, true), false) // past these and the assistant's messages before them
		at := s.last(i+1, end)             // the last block of the turn that a point can follow, or -1
		switch {
		case at < 0: // the turn is skipped
		case newest < 0:
			newest = at
		default:
			before = at
		}
	}
	return newest, before
}

// single reports whether the request is likely to be the only one of its conversation: it is Final, which means that it demands a call of a single
// tool, or has no tools and a single user turn. Then writing its newest turn to the cache costs a quarter more than plain input and saves nothing. If
// another request follows after all, that one writes the turn.
func (s *site) single() bool {
	hasNoTools := s.starts[prompt.System] == 0
	beforeTurn := s.skip(s.skip(len(s.p.Blocks)-1, false), true) // the block before the newest user turn
	return s.p.Final || hasNoTools && beforeTurn < s.starts[prompt.Messages]
}

// skip goes back from block i over user messages, or over all others if user is false, and returns the block before them.
func (s *site) skip(i int, user bool) int {
	for i >= s.starts[prompt.Messages] && s.p.Blocks[i].User == user {
		i--
	}
	return i
}

// moveTarget returns the block after which a misplaced point of the caller can be moved: the last one in its section that is not after the
// point and that a point may follow, or -1. A point with Block -1 stands before any block of its section or message; the block before it is found by
// its Where.
func (s *site) moveTarget(pt *prompt.Point) int {
	block := pt.Block
	if block < 0 { // the first block that is not before the point has the index next
		next, _ := slices.BinarySearchFunc(s.p.Blocks, pt.Where, func(b prompt.Block, w prompt.Where) int { return b.Where.Compare(w) })
		block = next - 1
	}
	section := min(pt.Section, prompt.Messages) // a caller's Point may have a section that does not exist
	return s.lastBefore(s.starts[section], block, s.bound)
}
