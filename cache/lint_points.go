package cache

import (
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// points checks each cache point, their number and their order, for what the service certainly rejects.
func (l *linter) points() {
	shortest := time.Duration(1<<63 - 1) // the shortest lifetime so far: no later point may have a longer one
	var shortestAt prompt.Where
	for i := range l.p.Points {
		pt := &l.p.Points[i]
		l.position(pt, i)
		ttl := pt.TTL
		switch {
		case !l.m.offers(ttl):
			l.add(Finding{Rule: ruleTTLUnsupported, Where: pt.String(), Detail: "the cache point asks for " + ttlName(ttl) + ", which this model does not offer"})
		case ttl > shortest:
			l.add(Finding{
				Rule: ruleTTLOrder, Where: pt.String(),
				Detail: fmt.Sprintf("a cache point of %s stands behind one of %s at %s", ttlName(ttl), ttlName(shortest), shortestAt),
			})
		case ttl < shortest:
			shortest, shortestAt = ttl, pt.Where
		}
	}
	if n := len(l.p.Points); l.m.MaxPoints > 0 && n > l.m.MaxPoints {
		l.add(Finding{
			Rule: ruleTooMany, Where: l.p.Points[l.m.MaxPoints].String(),
			Detail: fmt.Sprintf("%d cache points, at most %d are accepted", n, l.m.MaxPoints),
		})
	}
}

// position checks the place of a point, and reports at most one mistake: the first that applies. index is that of the point, for a look at the point
// before it.
func (l *linter) position(pt *prompt.Point, index int) {
	switch {
	case pt.Nested:
		l.illegal(pt, "inside of a block")
	case !l.m.takes(pt.Section):
		l.add(Finding{Rule: ruleSection, Where: pt.String(), Detail: "this model takes no cache point in " + pt.Section.String()})
	case pt.Block < 0:
		l.illegal(pt, "before any content of its section or message")
	case index > 0 && l.p.Points[index-1].Block == pt.Block && !l.p.Points[index-1].Nested:
		l.illegal(pt, "behind the same block as another one")
	default:
		l.behind(pt, &l.p.Blocks[pt.Block])
	}
}

// illegal adds a finding about a point at a place where the service accepts none.
func (l *linter) illegal(pt *prompt.Point, where string) {
	l.add(Finding{Rule: rulePosition, Where: pt.String(), Detail: "a cache point stands " + where})
}

// behind checks a point by the block behind which it stands. Empty reports a text of nothing but white space, or of nothing at all.
func (l *linter) behind(pt *prompt.Point, b *prompt.Block) {
	switch {
	case b.Kind == prompt.Reasoning:
		l.illegal(pt, "behind a reasoning block")
	case b.Kind == prompt.Text && b.Bytes == 0 && l.p.Empty(pt.Block):
		l.illegal(pt, "behind an empty text")
	case l.p.InClaudeBody() && l.p.Empty(pt.Block):
		// Converse has been seen to accept white space as text (2026-11). For Claude's own body format users report a rejection.
		l.add(Finding{Rule: rulePosition, Where: pt.String(), Suspected: true, Detail: "a cache point stands behind white space, which the service refuses in some requests"})
	case l.m.Provider == nova && pt.Section == prompt.Messages && b.Kind != prompt.Text:
		l.illegal(pt, "behind a "+b.Kind.String()+", and this model takes it behind text alone")
	case b.Kind == prompt.Document: // NoPoint is set for the formats after which a rejection is reported
		l.add(Finding{
			Rule: ruleAfterDocument, Where: pt.String(), Suspected: !b.NoPoint,
			Detail: "a cache point stands directly behind a document, which the service refuses for some formats",
		})
	}
}

// nova is the provider in the ids of Amazon's own models.
const nova = "amazon"

// sizes compares the lengths of the prefixes before the points with the model's bounds. Too short is a finding only for a last point in tools or
// system prompt, because messages may grow long enough.
func (l *linter) sizes() {
	last := l.lastPoint()
	if last == nil {
		return
	}
	enclosed := l.p.UpTo(last.Block)
	// high and low are bounds of the estimate, so that only what is surely too short or too long is a finding.
	if high := l.scale.High(enclosed); last.Section != prompt.Messages && high < l.m.MinTokens {
		l.add(Finding{
			Rule: ruleBelowMinimum, Where: last.String(), Tokens: l.scale.Mid(enclosed),
			Detail: fmt.Sprintf("at most %d tokens precede the last cache point, and nothing shorter than %d is cached", high, l.m.MinTokens),
		})
	}
	if l.m.MaxTokens <= 0 {
		return
	}
	for i := range l.p.Points {
		pt := &l.p.Points[i]
		if low := l.scale.Low(l.p.UpTo(pt.Block)); low > l.m.MaxTokens {
			l.add(Finding{
				Rule: ruleAboveMaximum, Where: pt.String(), Tokens: low,
				Detail: fmt.Sprintf("at least %d tokens precede the cache point, and nothing longer than %d is cached", low, l.m.MaxTokens),
			})
			return
		}
	}
}
