package prompt

import (
	"strconv"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
)

// Block begins a block. What it is, is told when it ends.
func (s *bodySink) Block(index int) {
	s.p.Block(Text, index)
	s.filled, s.closes = false, false
}

func (s *bodySink) last() *Block { return s.p.last() }

// End takes what only the whole of an object tells.
func (s *bodySink) End(o jsonbody.Object) {
	switch {
	case o.Plain:
		b := s.last()
		b.blank, b.NoPoint = !s.filled, true // a string can hold no cache point; FixBody may turn it into a list, which can
		b.plain = Span(o.Span)
	case o.Depth > 0:
		s.media(&o)
		if o.Depth == 1 && o.Key == "document" && o.Format != "pdf" {
			s.closes = true // users report a 400 for a point directly behind such a document (2026-03)
		}
		s.keep(&o.Points, s.last().Index, bodyPoint{Point: Point{Nested: true}})
	case o.Points.Alone: // no block at all
		index := s.last().Index
		s.p.Blocks, s.p.open = s.p.Blocks[:len(s.p.Blocks)-1], false
		s.keep(&o.Points, index, bodyPoint{})
	default:
		s.endBlock(&o)
		s.keep(&o.Points, s.last().Index, bodyPoint{})
	}
}

// endBlock sets a block's kind and properties.
func (s *bodySink) endBlock(o *jsonbody.Object) {
	b := s.last()
	b.Span, b.room = Span(o.Span), o.Fields > 0 && !o.Points.Null
	b.NoPoint = !b.room || s.closes
	kind := o.Kind
	switch {
	case o.Typed:
		s.signs |= signOfType(o.Type)
		known := false
		if kind, known = request.KindOfType(o.Type); !known {
			s.leaf(o.Type, leaf{})
		}
	case o.Keyed:
		s.signs |= keyedBlock
	default:
		kind = request.Other
	}
	b = s.last()
	if b.Kind = kinds[kind]; b.Kind == Other {
		s.p.Unknown++
	}
	b.blank = b.Kind == Text && !s.filled
	s.media(o)
}

// keep adds the cache points of an object at an index of its list to the list of points, in the order of the prompt. like has what else is known
// of them.
func (s *bodySink) keep(points *jsonbody.Points, index int, like bodyPoint) {
	for _, told := range [...]jsonbody.Point{points.Control, points.Property} {
		switch told.Form {
		case request.NoMarker:
			continue
		case request.Property:
			s.signs |= propertyMarker
		case request.Element:
			s.signs |= elementMarker
		}
		p := like
		p.form, p.part = told.Form, s.opened
		p.Where, p.TTL, p.Open, p.Span = Where{s.p.section, s.p.message, index}, told.TTL, told.Open, Span(told.Cut)
		if p.Block = s.p.closed(); p.Block >= 0 {
			p.Block -= s.parts[s.opened].start
		}
		s.points = append(s.points, p)
	}
}

// String adds a string to the block: what the model reads as text, encrypted reasoning, or anything else.
func (s *bodySink) String(key string, t jsonscan.Text) {
	switch key {
	case "text", "content", "thinking":
		s.text(t)
	case "redactedContent": // Anthropic's bodies name the same by a type
		s.leaf(t.Raw, leaf{binary: true})
		s.last().Bytes -= len(t.Raw)
		s.p.Media(Reasoning, request.RedactedTokens(request.Base64{Text: t}.Bytes()))
	default:
		s.string(t)
	}
}

// text adds the inside of a string to the block that the model reads as text.
func (s *bodySink) text(t jsonscan.Text) {
	s.filled = s.filled || !blank(t.Raw)
	s.string(t)
}

// string adds the inside of a string to the block.
func (s *bodySink) string(t jsonscan.Text) {
	s.leaf(t.Raw, leaf{quoted: t.Escaped()})
	s.last().Bytes -= len(t.Raw) - t.Len
}

// Word adds a word of the dialect's.
func (s *bodySink) Word(t jsonscan.Text) { s.string(t) }

// Type adds nothing: what the type of a block tells is its kind.
func (s *bodySink) Type(jsonscan.Text) {}

// Literal adds a member that is no text: whether something is on, or where something else stands. A list of numbers may be content of a kind that
// nobody knows, so that they count.
func (s *bodySink) Literal(member, raw string) {
	if member != "" {
		s.p.Flag(member)
	} else {
		s.leaf(raw, leaf{})
	}
}

// JSON adds JSON of the caller's own.
func (s *bodySink) JSON(raw string, length int) { s.p.sizedJSON(raw, length) }

// Cited notes that citations are asked for, which is a setting that changes what is cached.
func (s *bodySink) Cited() { s.citations = true }

// Point adds nothing: a point is kept when the object that it stands in ends.
func (s *bodySink) Point(jsonbody.Point) {}

// leaf adds a piece of the body to the block.
func (s *bodySink) leaf(text string, l leaf) {
	l.at, l.n = unsafe.Pointer(unsafe.StringData(text)), len(text)
	s.p.add(l)
}

// blank reports whether the inside of a JSON string is white space throughout.
func blank(raw string) bool {
	for raw != "" {
		c, n := utf8.DecodeRuneInString(raw)
		if c == '\\' {
			c, n = escaped(raw)
		}
		if !unicode.IsSpace(c) {
			return false
		}
		raw = raw[n:]
	}
	return true
}

// escaped returns the length of an escape sequence and the character that it stands for. Callers only want to know whether that is white space,
// so that one space stands for \n, \t, \r and \f, and a backslash for all others but \u.
func escaped(raw string) (rune, int) {
	switch raw[1] {
	case 'n', 't', 'r', 'f':
		return ' ', 2
	case 'u':
		c, _ := strconv.ParseUint(raw[2:6], 16, 16)
		return rune(c), 6
	default:
		return '\\', 2
	}
}
