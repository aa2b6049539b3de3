package cache

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// ErrDialect says that a request body is in none of the dialects that ParseBody reads, or not in one that EditBody can edit.
// Such a request goes without the cache check.
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

func parseBody(p *Prompt, body []byte, tell func(signs) dialect) error {
	p.Reset()
	r := bodyReader{p: p, body: unsafe.String(unsafe.SliceData(body), len(body))}
	r.points = r.pointBuffer[:0]
	err := r.Document(r.body, r.topField)
	if err == nil {
		if p.dialect = tell(r.signs); p.dialect == noDialect {
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
	r.arrange()
	r.sortPoints()
	return nil
}

// bodyReader reads one body. Which dialect it is in is known only at its end, so cache points in the forms of all dialects are recorded, and
// those of other dialects become flaws then.
type bodyReader struct {
	jsonscan.Scanner
	p     *Prompt
	body  string
	signs signs

	parts  [4]part // what was read at the top level, in the order of the body
	opened int     // how many of them

	points      []bodyPoint
	pointBuffer [8]bodyPoint

	settings  [request.NumSettings]string
	citations bool // they are enabled for a document
	filled    bool // the block being read has text that is not white space
}

// part is what one member of the body holds: a section, or a piece of one.
type part struct {
	section        Section
	blocks, leaves int // how many it has
	start          int // index of its first block
}

// markForm is the form of a cache point in a body. Each dialect has one of its own.
type markForm uint8

const (
	control   markForm = iota // cache_control, a property of a block
	property                  // cachePoint, a property of a block
	element                   // cachePoint, in the place of a block
	misplaced                 // cache_control beside an element: no dialect has that
)

// bodyPoint is a cache point in any form. Its Block counts from the first block of its part.
type bodyPoint struct {
	Point
	form     markForm
	deferred bool // it stands on a tool that is loaded when it is needed
	listed   bool // it is an element of a list of blocks or tools
	part     int
}

// setting reads a field if it is a setting, and reports whether it is one.
func (r *bodyReader) setting(key string) (bool, error) {
	i := request.SettingOf(key)
	if i < 0 {
		return false, nil
	}
	raw, err := r.Value()
	if raw != "null" {
		r.settings[i] += raw // in one more place
	}
	return true, err
}

func (r *bodyReader) topField(key string) error {
	c := r.Peek()
	switch key {
	case "tools":
		return r.inPart(Tools, r.tools)
	case "system":
		return r.inPart(System, r.content)
	case "messages":
		r.signs |= hasMessages
		return r.inPart(Messages, r.messages)
	case "toolConfig":
		r.signs |= bedrockShape
		if c == '{' {
			return r.Object(r.toolConfig)
		}
	case "inferenceConfig", "additionalModelRequestFields":
		r.signs |= signOfField(key)
		if c == '{' {
			return r.Object(func(k string) error { return r.extraField(key, k) })
		}
	case "cache_control":
		if c != 'n' {
			r.signs |= topMarker
		}
	default:
		r.signs |= signOfField(key)
		if isSetting, err := r.setting(key); isSetting {
			return err
		}
	}
	return r.Skip()
}

// inPart reads a member of the body that holds a section, or a piece of one.
func (r *bodyReader) inPart(s Section, read func() error) error {
	p := r.p
	p.Enter(s)
	r.parts[r.opened] = part{section: s, start: len(p.Blocks)}
	leaves := len(p.leaves)
	err := read()
	now := &r.parts[r.opened]
	now.blocks, now.leaves = len(p.Blocks)-now.start, len(p.leaves)-leaves
	r.opened++
	return err
}

func (r *bodyReader) toolConfig(key string) error {
	if key == "tools" {
		return r.inPart(Tools, r.tools)
	}
	if isSetting, err := r.setting(key); isSetting {
		return err
	}
	return r.Skip()
}

// extraField reads a field of an object that may hold settings.
func (r *bodyReader) extraField(object, key string) error {
	if request.IsMarker(key) {
		r.p.Flaw(ruleDialect, object+"."+key)
	}
	if isSetting, err := r.setting(key); isSetting {
		return err
	}
	return r.Skip()
}

func (r *bodyReader) messages() error {
	index := 0
	return r.Array(func() error {
		err := r.message(index)
		index++
		return err
	})
}

// message reads a message. Its role may come last.
func (r *bodyReader) message(index int) error {
	p := r.p
	p.Message(index, false)
	first, role := len(p.Blocks), ""
	err := r.Object(func(key string) error {
		switch {
		case key == "content":
			return r.content()
		case key == "role" && r.Peek() == '"':
			t, err := r.Text()
			role = t.String()
			return err
		}
		r.signs |= signOfMessageField(key)
		return r.Skip()
	})
	r.signs |= signOfRole(role)
	if role == "user" {
		for i := first; i < len(p.Blocks); i++ {
			p.Blocks[i].User = true
		}
	}
	return err
}

// sortPoints turns the cache points that were found into points of the dialect, and what is left over into flaws.
func (r *bodyReader) sortPoints() {
	p := r.p
	for i, value := range r.settings {
		if value == "" {
			continue
		}
		p.Setting(request.SettingName(i), value)
	}
	if r.citations {
		p.Cited()
	}
	if r.signs&topMarker != 0 {
		rule := ruleTopLevel
		if p.dialect != anthropicBody {
			rule = ruleDialect
		}
		p.Flaw(rule, "")
	}
	for i := range r.points {
		point := &r.points[i]
		if point.form != p.dialect.form() {
			p.Flaw(ruleDialect, point.Where.String())
			continue
		}
		if point.Block >= 0 {
			point.Block += r.parts[point.part].start
		}
		if point.deferred {
			p.Flaw(ruleDeferred, point.Where.String())
		}
		if p.dialect == converseBody && !point.listed {
			point.Span = Span{} // its removal would leave an empty block
		}
		p.Points = append(p.Points, point.Point)
	}
	slices.SortStableFunc(p.Points, func(a, b Point) int { return int(a.Section) - int(b.Section) })
}
