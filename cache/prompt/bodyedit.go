package prompt

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
)

// EditBody returns a copy of a body with cache points taken away and added; body and p, which was read from it, stay as they
// are. Removing all points of the result gives the same bytes as removing all points of body. Without edits it returns a
// plain copy.
//
// skipped are the additions that were not made, with Remove -1: behind content that is a plain string or an empty object,
// where a point stands already, or with a lifetime that the dialect can't express (Claude's bodies and Converse know five minutes and one
// hour, Nova's five minutes; zero stands for five). A removal is made even if the addition of the same Edit is skipped. A point
// that is nested in a block of a Converse request is left alone.
//
// The error is ErrDialect for a prompt that was read from no body; any other error means that an index is out of range or that p was not
// read from body.
func EditBody(body []byte, p *Prompt, edits []Edit) (edited []byte, skipped []Edit, err error) {
	return editBody(body, p, edits, false)
}

// FixBody is EditBody, except that it also adds points behind content that is a plain string, where the dialect allows a list
// of blocks in its place: in Claude's bodies, for a system prompt or message that is not empty. The string becomes a list of
// one text block, which reads the same to the model and to the cache.
func FixBody(body []byte, p *Prompt, edits []Edit) (fixed []byte, skipped []Edit, err error) {
	return editBody(body, p, edits, true)
}

// editBody is EditBody, or FixBody if wrap is set. It first collects all removals, so that an addition can take the place of a removed point.
func editBody(body []byte, p *Prompt, edits []Edit, wrap bool) (edited []byte, skipped []Edit, err error) {
	if len(edits) > 0 && p.dialect == noDialect {
		return nil, nil, ErrDialect
	}
	if len(body) != p.bodyLen {
		return nil, nil, fmt.Errorf("cache: the prompt was read from a body of %d bytes, this one has %d", p.bodyLen, len(body))
	}
	e := bodyEdit{p: p, wraps: wrap, removed: make([]bool, len(p.Points))}
	for _, edit := range edits {
		if edit.Remove >= len(p.Points) || edit.After >= len(p.Blocks) {
			return nil, nil, fmt.Errorf("cache: edit out of range: point %d, block %d, of %d and %d", edit.Remove, edit.After, len(p.Points), len(p.Blocks))
		}
		// Two edits may remove the same point. A point without a Span is nested in a Converse request, and stays.
		if edit.Remove >= 0 && !e.removed[edit.Remove] && p.Points[edit.Remove].Span != (Span{}) {
			e.removed[edit.Remove] = true
			e.splices = append(e.splices, splice{Span: p.Points[edit.Remove].Span})
		}
	}
	for _, edit := range edits {
		if edit.After >= 0 && !e.add(edit) {
			skipped = append(skipped, Edit{Remove: -1, After: edit.After, TTL: edit.TTL})
		}
	}
	return e.apply(body), skipped, nil
}

// bodyEdit collects the changes to one body.
type bodyEdit struct {
	p       *Prompt
	removed []bool // by index of the point
	splices []splice
	wraps   bool // a plain string may become a list
}

// splice is one change to the body: text takes the place of a range, which may be empty.
type splice struct {
	Span
	text string
}

// add notes the addition of a point, and reports false if it can't be made: see EditBody's skipped.
func (e *bodyEdit) add(edit Edit) bool {
	b := &e.p.Blocks[edit.After]
	// spelt says that the caller has written the same lifetime out. The text is empty for a lifetime that the dialect can't express.
	text := e.p.dialect.pointText(edit.TTL, e.p.spelt(edit))
	switch {
	case text == "":
		return false
	case e.wraps && e.p.wraps(edit.After): // the plain string becomes a list
		return e.wrap(b.plain, text)
	case !b.room: // a plain string, or a block that holds nothing besides cache points
		return false
	case e.pointStays(edit.After):
		return false
	}
	at := Span{b.Span.End - 1, b.Span.End - 1} // before the closing brace, as a property of the block
	if e.p.dialect == converseBody {
		at = Span{b.Span.End, b.Span.End} // an element of its own
	}
	if slices.ContainsFunc(e.splices, func(s splice) bool { return s.Span == at }) {
		return false // another edit has added one there
	}
	e.splices = append(e.splices, splice{at, text})
	return true
}

// pointStays reports whether a point stands after a block that no edit removes.
func (e *bodyEdit) pointStays(block int) bool {
	for i := range e.p.Points {
		if pt := &e.p.Points[i]; pt.Block == block && !pt.Nested && !e.removed[i] {
			return true
		}
	}
	return false
}

// wraps reports whether a block is a plain string in the place of which Claude's bodies allow a list of blocks.
func (p *Prompt) wraps(block int) bool {
	b := &p.Blocks[block]
	return p.dialect == anthropicBody && b.plain != Span{} && !b.blank // blank: it is only white space
}

// wrap turns a plain string, whose range is at, into a list of one text block with a point, which is JSON that begins with a comma. It reports false
// if another edit has done that.
func (e *bodyEdit) wrap(at Span, point string) bool {
	front := Span{at.Start, at.Start}
	if slices.ContainsFunc(e.splices, func(s splice) bool { return s.Span == front }) {
		return false
	}
	e.splices = append(e.splices, splice{front, `[{"type":"text","text":`}, splice{Span{at.End, at.End}, point + `}]`})
	return true
}

// apply returns a copy of the body with the changes made.
func (e *bodyEdit) apply(body []byte) []byte {
	slices.SortStableFunc(e.splices, func(a, b splice) int { return cmp.Or(a.Start-b.Start, a.End-b.End) })
	size := len(body)
	for _, s := range e.splices {
		size += len(s.text)
	}
	out, from := make([]byte, 0, size), 0 // from is up to where body has been copied or cut
	for _, s := range e.splices {
		if s.Start < from { // it begins with a comma that the removal before has cut already, so it cuts the comma behind it instead
			// PastComma returns the offset of what follows the comma behind s.End, or s.End itself if no comma follows.
			s.Start, s.End = from, jsonbody.PastComma(body, s.End)
		}
		out = append(append(out, body[from:s.Start]...), s.text...)
		from = s.End
	}
	return append(out, body[from:]...)
}

// spelt reports whether an edit moves a point for which the caller has written this same lifetime, so that it is written again.
func (p *Prompt) spelt(e Edit) bool {
	return e.Remove >= 0 && p.Points[e.Remove].TTL == e.TTL && !p.Points[e.Remove].Open
}

// pointText returns the JSON of a cache point, with a comma before it: in Converse an element of the list of blocks, in the other dialects a member
// of a block that has others. It is empty if the dialect has no point with that lifetime. Five minutes are what a point without a lifetime asks for:
// they are spelt only where the caller did so, because a model that knows no other lifetime need not know the field.
func (d dialect) pointText(ttl time.Duration, spelt bool) string {
	switch hour := ttl == OneHour; {
	case !hour && ttl != 0 && ttl != FiveMinutes:
		return ""
	case d == anthropicBody && hour:
		return `,"cache_control":{"type":"ephemeral","ttl":"1h"}`
	case d == anthropicBody && spelt:
		return `,"cache_control":{"type":"ephemeral","ttl":"5m"}`
	case d == anthropicBody:
		return `,"cache_control":{"type":"ephemeral"}`
	case d == converseBody && hour:
		return `,{"cachePoint":{"type":"default","ttl":"1h"}}`
	case d == converseBody && spelt:
		return `,{"cachePoint":{"type":"default","ttl":"5m"}}`
	case d == converseBody:
		return `,{"cachePoint":{"type":"default"}}`
	case d == novaBody && !hour:
		return `,"cachePoint":{"type":"default"}`
	default:
		return ""
	}
}
