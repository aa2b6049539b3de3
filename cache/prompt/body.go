package prompt

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
)

// ErrDialect says that a request body is in none of the dialects that ParseBody reads, or not in one that EditBody can edit.
// Such a request is not checked for its caching.
var ErrDialect = errors.New("cache: request body is in no dialect whose cache points are known")

// BodyError tells why a request body can't be read. It never holds content.
type BodyError struct {
	Offset int // in bytes
	Reason string
}

// Error returns the reason and the offset.
func (e *BodyError) Error() string {
	return fmt.Sprintf("cache: malformed request body at byte %d: %s", e.Offset, e.Reason)
}

// ParseBody resets a prompt and reads a request body into it: an InvokeModel body for Claude (cache_control on blocks) or
// for Nova (a cachePoint property in a block), or a Converse request as JSON, as it stands in invocation logs. What the body
// holds tells which; provider, the model's maker as it is spelled in model ids, decides where it does not. Sections come in
// the order in which the cache reads them, whatever their order in the body.
//
// The prompt borrows the body: it must not be changed while the prompt is in use. Blocks have the range of their object as
// their Span, those that are a plain string have none; points have a Span whose removal leaves the body as if they had never
// been there, except nested ones of Converse requests, which have none.
//
// The error is a *BodyError for a body that readers may disagree about (malformed JSON, duplicate keys, invalid UTF-8,
// nesting beyond 200 levels) or whose fields have the wrong types, and ErrDialect for any other dialect. The prompt is empty
// then.
func ParseBody(p *Prompt, provider string, body []byte) error {
	return parseBody(p, body, func(s signs) dialect { return s.dialect(provider) })
}

// ParseConverse is ParseBody for a body that is known to be a Converse request, whatever it looks like.
func ParseConverse(p *Prompt, body []byte) error {
	return parseBody(p, body, func(signs) dialect { return converseBody })
}

// parseBody reads a body into a prompt. tell decides which dialect the body is in, from the signs of it that the body has shown.
func parseBody(p *Prompt, body []byte, tell func(signs) dialect) error {
	p.Reset()
	s := bodySink{p: p, body: unsafe.String(unsafe.SliceData(body), len(body))}
	s.points = s.pointBuffer[:0]
	err := jsonbody.WalkPrompt(s.body, &s) // it calls the methods of s, which set s.err for a value of the wrong form
	if s.err != nil {
		err = s.err // the error of the sink came first
	}
	if err == nil {
		if p.dialect = tell(s.signs); p.dialect == noDialect {
			err = ErrDialect
		}
	}
	if err != nil {
		p.Reset()
		if e := (*jsonscan.Error)(nil); errors.As(err, &e) {
			return &BodyError{e.Offset, e.Reason}
		}
		return err
	}
	p.bodyLen = len(body)
	// arrange comes first: it sets where each part begins, from which finish computes the blocks of the points.
	s.arrange()
	s.finish()
	return nil
}

// bodySink fills a Prompt from one body: jsonbody.WalkPrompt walks over the body and calls it for each part. Which dialect the body is in is known
// only at its end, so cache points in the forms of all dialects are recorded, and those of other dialects become flaws then.
type bodySink struct {
	p     *Prompt
	body  string
	signs signs // what the body has shown of its dialect
	err   error // the first error about a value that is not of the form that it has in every dialect

	parts  [4]part // what was read at the top level, in the order of the body: tools (twice at most), system prompt, messages
	opened int     // how many of them were read to their end
	first  int     // index of the first block of the message that is being read

	points      []bodyPoint
	pointBuffer [8]bodyPoint // where the first points are kept without an allocation

	settings  [request.NumSettings]string // by the number of the setting: its values as they stand, one after the other
	citations bool                        // citations are enabled for a document
	filled    bool                        // the block being read has text that is not white space
	closes    bool                        // no cache point may follow the block being read
}

// part is what one member of the body holds: a section, or a piece of one.
type part struct {
	section Section
	start   int // index of its first block
	blocks  int // how many it has
	leaves  int // how many leaves, the pieces of its blocks' content, it has; until Leave: how many there were before it
}

// bodyPoint is a cache point in any form. Its Block counts from the first block of its part.
type bodyPoint struct {
	Point
	form     request.Marker // in which it is written, which tells the dialect
	deferred bool           // it stands on a tool that is loaded when it is needed
	part     int            // index of its part in bodySink.parts
}

// Field reads a field outside of the prompt: it may be a sign of the dialect, a setting, or a cache point that has no effect. object is the field of
// the body in which it stands; it is empty for the body itself.
func (s *bodySink) Field(object, key, raw string) {
	switch object {
	case "":
		s.signs |= signOfField(key)
		if key == "cache_control" && raw != "null" {
			s.signs |= topMarker
		}
	case "inferenceConfig", "additionalModelRequestFields":
		if request.IsMarker(key) { // a cache point among settings, where it has no effect
			s.p.Flaw(WrongDialect, object+"."+key)
		}
	}
	if i := request.SettingOf(key); i >= 0 && raw != "null" { // it is -1 for a field that is no setting
		s.settings[i] += raw // a body may have it in several places
	}
}

// Misshapen makes parseBody fail: a value does not have the form that it has in every dialect.
func (s *bodySink) Misshapen(offset int, reason string) {
	if s.err == nil {
		s.err = &BodyError{offset, reason}
	}
}

// Enter begins a member of the body that holds a section, or a piece of one.
func (s *bodySink) Enter(section request.Section) {
	s.p.Enter(Section(section))
	s.parts[s.opened] = part{section: Section(section), start: len(s.p.Blocks), leaves: len(s.p.leaves)}
}

// Leave ends what Enter began, and notes how many blocks and leaves it has.
func (s *bodySink) Leave() {
	now := &s.parts[s.opened]
	now.blocks, now.leaves = len(s.p.Blocks)-now.start, len(s.p.leaves)-now.leaves
	s.opened++
}

// Message begins a message. Whether it is the user's is known when it ends, because its role may come last.
func (s *bodySink) Message(index int) {
	s.p.Message(index, false)
	s.first = len(s.p.Blocks)
}

// MessageField notes what a field of a message shows of the dialect.
func (s *bodySink) MessageField(key string) { s.signs |= signOfMessageField(key) }

// EndMessage ends a message.
func (s *bodySink) EndMessage(role string) {
	s.signs |= signOfRole(role)
	if role == "user" { // the blocks since Message were begun as those of another role
		for i := s.first; i < len(s.p.Blocks); i++ {
			s.p.Blocks[i].User = true
		}
	}
}

// finish sets the prompt's settings and cache points, now that the dialect is known. Points in the form of another dialect become flaws.
func (s *bodySink) finish() {
	p := s.p
	s.finishSettings()
	if s.signs&topMarker != 0 { // in Claude's bodies the marker stands in the wrong place, in others it is of another dialect
		rule := TopLevelMarker
		if p.dialect != anthropicBody {
			rule = WrongDialect
		}
		p.Flaw(rule, "")
	}
	for i := range s.points {
		s.finishPoint(&s.points[i])
	}
	// The sections come in the order of the cache; within one, points stay in the order of the body.
	slices.SortStableFunc(p.Points, func(a, b Point) int { return int(a.Section) - int(b.Section) })
}

// finishSettings sets the settings in the order of package request, so that their order in the body makes no difference.
func (s *bodySink) finishSettings() {
	for i, value := range s.settings {
		if value != "" {
			s.p.Setting(request.SettingName(i), value)
		}
	}
	if s.citations {
		s.p.Cited()
	}
}

// finishPoint adds a point to the prompt's, or a flaw if it is in the form of another dialect. One on a deferred tool is both a point and a flaw.
func (s *bodySink) finishPoint(point *bodyPoint) {
	p := s.p
	if point.form != p.dialect.form() {
		p.Flaw(WrongDialect, point.Where.String())
		return
	}
	if point.Block >= 0 { // it was counted from the first block of its part
		point.Block += s.parts[point.part].start
	}
	if point.deferred {
		p.Flaw(DeferredMarker, point.Where.String())
	}
	if p.dialect == converseBody && point.Nested {
		point.Span = Span{} // its removal would leave an empty block
	}
	p.Points = append(p.Points, point.Point)
}
