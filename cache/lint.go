package cache

import (
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// Lint returns what a single request shows about its caching; what the service would reject comes first. It is pure, but serialises the
// prompt's documents if that has not been done. A finding that the service's answer could still refute is only a warning: see
// RuleInfo.Rejected.
func Lint(p *prompt.Prompt, m Model) []Finding {
	p.Record(nil)
	l := linter{p: p, m: &m}
	l.all()
	return l.found
}

// linter checks one request.
type linter struct {
	p       *prompt.Prompt
	m       *Model
	scale   estimate.Scale   // estimates tokens: Low and High are bounds, Mid is the most likely number
	known   int              // blocks that stand in the request before, so that what is in them did not change
	earlier []*conversation  // of the same workflow; nil for Lint
	counted estimate.Counted // what a response has reported for a beginning of the prompt; zero for Lint
	found   []Finding
}

// all runs all checks. For a model without cache points it only checks that the request has none, after the flaws that were found while it was
// parsed.
func (l *linter) all() {
	for _, f := range l.p.Flaws {
		l.add(Finding{Rule: Rule(f.Rule), Where: f.Where, Detail: flawDetail(Rule(f.Rule))})
	}
	if len(l.p.Points) > 0 && !l.m.Explicit { // doubtful: that the model takes none was learned from a single rejection
		l.add(Finding{
			Rule: ruleUnsupported, Where: l.p.Points[0].String(),
			Detail: fmt.Sprintf("%d cache points for a model that takes none", len(l.p.Points)), Suspected: l.m.doubtful,
		})
		return
	}
	if !l.m.Explicit {
		return
	}
	l.points()
	l.sizes()
	if len(l.p.Points) == 0 {
		l.noPoint()
	} else {
		l.tail()
		l.longTurn()
	}
	l.volatileText()
}

// add adds a finding of a single request.
func (l *linter) add(f Finding) {
	f.Repeated = 1
	l.found = append(l.found, f)
}

// flawDetail returns the text of a finding about a flaw, a mistake in the request's form that was found while it was parsed.
func flawDetail(r Rule) string {
	switch r {
	case ruleTopLevel:
		return "a cache_control stands at the top level of the request"
	case ruleDialect:
		return "a cache marker is written in the dialect of another API"
	case ruleDeferred:
		return "a cache_control stands on a tool with defer_loading"
	default: // no other rule is found while a request is parsed
		return "the request says so"
	}
}

// paidAgain returns what tokens cost too much when they are sent at full price although they could be read from the cache.
func (m *Model) paidAgain(tokens int64) int64 {
	if m.CacheReadPrice <= 0 {
		return 0
	}
	return estimate.NanoUSD(tokens, m.InputPrice-m.CacheReadPrice)
}

// writtenAgain returns what tokens cost too much when they are written again although they could be read.
func (m *Model) writtenAgain(tokens int64) int64 {
	if m.CacheReadPrice <= 0 {
		return 0
	}
	return estimate.NanoUSD(tokens, m.CacheWrite5mPrice-m.CacheReadPrice)
}

// newest returns the index of the first block of a request's last user message, and of the last block before the assistant message that precedes it,
// which is where the previous request ended. previous is -1 in a first turn.
func newest(p *prompt.Prompt) (first, previous int) {
	i := len(p.Blocks) - 1
	for i >= 0 && p.Blocks[i].Section == prompt.Messages && p.Blocks[i].User {
		i--
	}
	first = i + 1
	for i >= 0 && p.Blocks[i].Section == prompt.Messages && !p.Blocks[i].User {
		i--
	}
	if i < 0 || p.Blocks[i].Section != prompt.Messages {
		return first, -1
	}
	return first, i
}

// turnEnds returns how many blocks there are up to the end of the newest user turn, and up to the end of the one before it; 0 if there is no
// such turn.
func turnEnds(p *prompt.Prompt) (newest, before int) {
	i := len(p.Records()) - 1
	back := func(user bool) {
		for i >= 0 && p.Records()[i].Section == prompt.Messages && p.Records()[i].User == user {
			i--
		}
	}
	back(false) // an assistant's message at the end belongs to no user turn
	newest = i + 1
	back(true)
	if newest == i+1 || i < 0 || p.Records()[i].Section != prompt.Messages {
		return newest, 0 // there is no user turn, or nothing before it
	}
	back(false)
	if i < 0 || p.Records()[i].Section != prompt.Messages {
		return newest, 0
	}
	return newest, i + 1
}

// noPoint finds a prefix that the next request will have too and that is long enough, but has no cache point: all before the newest user message.
func (l *linter) noPoint() {
	first, _ := newest(l.p)
	end := first - 1 // the last block of that prefix; -1 if it is empty, which has no tokens
	// Bounded is the estimate, corrected by the token count of a response; Low is its lower bound. certain counts what can't be less.
	if l.m.MinTokens <= 0 || l.counted.Bounded(l.p, end, l.scale.Low) < l.m.MinTokens || !l.certain(-1, end, l.m.MinTokens) {
		return
	}
	// The finding tells the lower of two likely numbers: the estimate alone, and the estimate corrected by the count.
	tokens := min(l.scale.Mid(l.p.UpTo(end)), l.counted.Bounded(l.p, end, l.scale.Mid))
	l.add(Finding{
		Rule: ruleNoPoint, Tokens: tokens, NanoUSD: l.m.paidAgain(tokens),
		Detail: fmt.Sprintf("about %d tokens of tools, system prompt and history come back in the next request, and no cache point marks them", tokens),
	})
}

// certain reports whether the blocks behind one block, up to and including another, certainly have enough tokens. Tokens that a response has counted
// are certain; in other blocks CountsAtLeast counts words and numbers, each at least one token. behind is -1 for the prompt's beginning.
func (l *linter) certain(behind, block int, enough int64) bool {
	from := behind + 1
	// The count is of the first k.Blocks blocks, so it is of use only if the range begins with the prompt and has them all.
	if k := l.counted; behind < 0 && k.Blocks > 0 && k.Blocks <= block+1 {
		from, enough = k.Blocks, enough-k.Tokens
	}
	return enough <= 0 || l.p.CountsAtLeast(from, block, enough)
}

// tail finds a conversation in which only the beginning has cache points: the rest is paid in full with every turn. Less than 1024 tokens, or than
// the model's minimum, are no finding.
func (l *linter) tail() {
	last := l.lastPoint()
	if last == nil || len(l.p.Blocks) == 0 || l.needsNoMore(last) {
		return
	}
	if l.m.MaxTokens > 0 && l.scale.High(l.p.UpTo(last.Block)) >= l.m.MaxTokens*3/4 {
		return // the prefix may be so near the model's maximum that no more can be cached: three quarters, because it is an estimate
	}
	final := len(l.p.Blocks) - 1
	behind, enough := l.p.Total().Minus(l.p.UpTo(last.Block)), max(l.m.MinTokens, 1024)
	if l.scale.Low(behind) < enough || !l.certain(last.Block, final, enough) {
		return // Low is a lower bound of an estimate, and certain counts what can't be less
	}
	tokens := min(l.scale.Mid(behind), l.counted.Bounded(l.p, final, l.scale.Mid))
	l.add(Finding{
		Rule: ruleTail, Where: l.p.Blocks[final].Where.String(), Tokens: tokens, NanoUSD: l.m.paidAgain(tokens),
		Detail: fmt.Sprintf("the last cache point stands at %s, and about %d tokens behind it are paid for in full in each following turn, more with every one", last.Where, tokens),
	})
}

// needsNoMore reports whether what follows the last point rightly has no point: it is no more than the newest turn, or no turn may follow it.
func (l *linter) needsNoMore(last *prompt.Point) bool {
	final := &l.p.Blocks[len(l.p.Blocks)-1]
	switch {
	case final.Section != prompt.Messages || l.p.Final: // there are no messages, or the request demands a call of a single tool
		return true
	case last.Section == prompt.Messages: // the rest of the point's message and the next message at most are the newest turn
		return final.Message-last.Message < 2
	default: // a single message to a model without tools is a question after which none may follow
		return final.Message == 0 && l.p.Blocks[0].Section != prompt.Tools
	}
}

// lastPoint returns the last point that comes after a block, or nil.
func (l *linter) lastPoint() *prompt.Point {
	var last *prompt.Point
	for i := range l.p.Points {
		if pt := &l.p.Points[i]; pt.Block >= 0 && !pt.Nested && (last == nil || pt.Block >= last.Block) {
			last = pt
		}
	}
	return last
}

// longTurn finds a newest turn with so many blocks that its point is too far from the end of the previous request: the service searches only so many
// blocks back from a point, the lookback, and does not find there what that request wrote.
func (l *linter) longTurn() {
	last := l.lastPoint()
	_, previous := newest(l.p)
	if last == nil || previous < 0 || last.Block-previous < l.m.lookback() {
		return
	}
	for _, pt := range l.p.Points {
		if behind := pt.Block - previous; behind >= 0 && behind < l.m.lookback() {
			return // this point is at the end of the previous request, or near enough behind its end
		}
	}
	tokens := l.scale.Mid(l.p.UpTo(previous))
	l.add(Finding{
		Rule: ruleLookback, Where: last.String(), Tokens: tokens, NanoUSD: l.m.writtenAgain(tokens),
		Detail: fmt.Sprintf("%d blocks lie between the end of the previous request and the cache point, and %d are searched", last.Block-previous, l.m.lookback()),
	})
}

// volatileText finds, before the last point, text that is likely to differ in the next request.
func (l *linter) volatileText() {
	last := l.lastPoint()
	if last == nil {
		return
	}
	for i := l.known; i < len(l.p.Blocks) && i <= last.Block; i++ {
		b := &l.p.Blocks[i]
		if b.Section == prompt.Messages {
			return // history is sent again as it was
		}
		if l.stood(i) {
			continue // what an earlier request had too does not change
		}
		v := l.p.Volatile(i)
		if !v.Suspicious() {
			continue
		}
		tokens := l.scale.Mid(l.p.UpTo(last.Block).Minus(l.p.UpTo(i - 1)))
		l.add(Finding{
			Rule: ruleVolatileText, Where: b.Where.String(), Tokens: tokens, NanoUSD: l.m.writtenAgain(tokens), Suspected: true, // only a second request proves it
			Detail: fmt.Sprintf("%s stands before a cache point: if it changes, about %d tokens are written again with each request and never read", v, tokens),
		})
		return // everything after it has to be written again too
	}
}

// stood reports whether an earlier request had the same block at the same place, whatever stood before it: then what is in the block did
// not change, and what was found in it is taken over.
func (l *linter) stood(i int) bool {
	r := &l.p.Records()[i]
	for _, conv := range l.earlier {
		if i < len(conv.blocks) && conv.blocks[i].Hash == r.Hash {
			r.Volatile = conv.blocks[i].Volatile
			return true
		}
	}
	return false
}
