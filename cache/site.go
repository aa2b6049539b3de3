package cache

import (
	"cmp"
	"slices"
)

// anthropic is the provider in the ids of Claude models.
const anthropic = "anthropic"

// site knows where in a prompt cache points may stand.
type site struct {
	p      *Prompt
	m      *Model
	scale  scale
	end    int           // no new point stands behind this block or a later one
	bound  int           // nor does one of the caller's that has to move
	starts [3]int        // index of each section's first block
	upTo   []size        // of everything up to each block
	told   countedTokens // what a response has counted of its beginning

	// Whether the message that was looked at last holds reasoning: looking takes a walk over it.
	looked  bool
	message int
	reasons bool
}

func newSite(p *Prompt, m *Model, o PlaceOptions) site {
	tools, system := p.count()
	s := site{p: p, m: m, scale: scale{factor: max(o.Factor, 0)}, end: len(p.Blocks)}
	s.starts = [...]int{Tools: 0, System: tools, Messages: tools + system}
	if o.Before > 0 {
		s.end = min(s.end, o.Before)
	}
	s.bound = s.end
	s.weigh()
	return s
}

// weigh sums up the sizes of the blocks. Unlike record it looks at no text, and it serialises documents only as long as their
// size can matter: behind the model's minimum it does not, if there is no maximum.
func (s *site) weigh() {
	s.upTo = make([]size, len(s.p.Blocks))
	var sum size
	next := 0
	for i := range s.p.Blocks {
		b := &s.p.Blocks[i]
		for ; next < b.leafEnd; next++ {
			l := &s.p.leaves[next]
			if l.doc != nil && !l.sized && (s.m.MaxTokens > 0 || s.scale.low(sum) < s.m.MinTokens) {
				raw, _ := l.doc.MarshalSmithyDocument() // one that can't be is for the SDK to report
				b.Bytes += len(raw)
				l.sized = true
			}
		}
		sum = sum.plus(b.size())
		s.upTo[i] = sum
	}
}

// accepts reports whether the service takes a point behind a block, as far as is known. It certainly refuses what this
// refuses, with one exception: a message of Claude that holds reasoning anywhere is only sometimes refused.
func (s *site) accepts(block int) bool {
	b := &s.p.Blocks[block]
	switch {
	case !s.m.takes(b.Section), b.NoPoint && !s.p.wraps(block), b.Kind == Reasoning, s.p.empty(block):
		return false
	case s.m.Provider == nova:
		return b.Section != Messages || b.Kind == Text
	case s.m.Provider == anthropic && b.Section == Messages && !b.User:
		return !s.holdsReasoning(block)
	default:
		return true
	}
}

// holdsReasoning reports whether the message of a block holds reasoning.
func (s *site) holdsReasoning(block int) bool {
	blocks, message := s.p.Blocks, s.p.Blocks[block].Message
	if s.looked && s.message == message {
		return s.reasons
	}
	same := func(i int) bool {
		return i >= 0 && i < len(blocks) && blocks[i].Section == Messages && blocks[i].Message == message
	}
	s.looked, s.message, s.reasons = true, message, false
	for i := block; same(i) && !s.reasons; i-- {
		s.reasons = blocks[i].Kind == Reasoning
	}
	for i := block; same(i) && !s.reasons; i++ {
		s.reasons = blocks[i].Kind == Reasoning
	}
	return s.reasons
}

// suits reports whether a new point may stand behind a block.
func (s *site) suits(block int) bool {
	kind := s.p.Blocks[block].Kind
	return kind != Document && kind != Other && s.accepts(block) && !s.beyond(block)
}

func (s *site) short(block int) bool {
	low := s.scale.low(s.upTo[block])
	if k := s.told; k.blocks > 0 && block+1 >= k.blocks {
		low = k.tokens + s.scale.low(s.upTo[block].minus(s.upTo[k.blocks-1]))
	}
	return low < s.m.MinTokens
}

func (s *site) beyond(block int) bool {
	return s.m.MaxTokens > 0 && s.scale.high(s.upTo[block]) > s.m.MaxTokens
}

// futile reports whether a point behind a block can neither write nor find anything.
func (s *site) futile(block int) bool {
	prefix := s.upTo[block]
	return s.scale.high(prefix) < s.m.MinTokens || s.m.MaxTokens > 0 && s.scale.low(prefix) > s.m.MaxTokens
}

// last returns the last block of a range behind which a new point may stand, or -1.
func (s *site) last(from, to int) int { return s.lastBefore(from, to, s.end) }

// lastBefore is last for points that stand before a block.
func (s *site) lastBefore(from, to, end int) int {
	for i := min(to, end-1); i >= from && !s.short(i); i-- {
		if s.suits(i) {
			return i
		}
	}
	return -1
}

// turns returns the blocks behind which the newest user turn and the one before it take a point, or -1. A turn is a run of
// user messages with the assistant's messages that it answers. Turns that take none do not count.
func (s *site) turns() (newest, before int) {
	newest, before = -1, -1
	i := len(s.p.Blocks) - 1
	for i = s.skip(i, false); i >= s.starts[Messages] && before < 0; {
		end := i
		i = s.skip(s.skip(i, true), false)
		at := s.last(i+1, end)
		switch {
		case at < 0:
		case newest < 0:
			newest = at
		default:
			before = at
		}
	}
	return newest, before
}

// single reports whether nothing is likely to follow the request. To write its newest turn would cost a quarter more than to
// read it, for nothing. Of a question that starts a conversation all the same, the second turn writes what it repeats.
func (s *site) single() bool {
	return s.p.Final || s.starts[System] == 0 && s.skip(s.skip(len(s.p.Blocks)-1, false), true) < s.starts[Messages]
}

// skip goes back from i over messages of the user, or of anybody else, and returns the last block that is none of them.
func (s *site) skip(i int, user bool) int {
	for i >= s.starts[Messages] && s.p.Blocks[i].User == user {
		i--
	}
	return i
}

// refuge returns the nearest block before a point that takes a new one in its section, or -1.
func (s *site) refuge(pt *Point) int {
	i := pt.Block
	if i < 0 {
		i, _ = slices.BinarySearchFunc(s.p.Blocks, pt.Where, func(b Block, w Where) int { return b.Where.compare(w) })
		i--
	}
	return s.lastBefore(s.starts[min(pt.Section, Messages)], i, s.bound)
}

// compare orders places as the service reads them.
func (w Where) compare(o Where) int {
	if c := cmp.Compare(w.Section, o.Section); c != 0 || w.Section != Messages {
		return cmp.Or(c, cmp.Compare(w.Index, o.Index))
	}
	return cmp.Or(cmp.Compare(w.Message, o.Message), cmp.Compare(w.Index, o.Index))
}
