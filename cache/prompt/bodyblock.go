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

// The methods of bodySink are called by jsonbody.WalkPrompt while it walks over a body. Their arguments are what it has found.

// Block begins a block. Its kind is only known when it ends, so it is Text until then.
func (s *bodySink) Block(index int) {
	s.p.Block(Text, index)
	s.filled, s.closes = false, false
}

// last returns the block that is being read.
func (s *bodySink) last() *Block { return s.p.last() }

// End ends an object: a plain string, an object inside of a block, an element of a list that is nothing but a cache point, or a block.
func (s *bodySink) End(o jsonbody.Object) {
	switch {
	case o.Plain: // a string in the place of a list of blocks
		b := s.last()
		b.blank, b.NoPoint = !s.filled, true // a string can hold no cache point; FixBody may turn it into a list, which can
		b.plain = Span(o.Span)
	case o.Depth > 0: // inside of a block; at depth 1 it stands directly in it
		s.media(&o)
		if o.Depth == 1 && o.Key == "document" && o.Format != "pdf" {
			s.closes = true // users report a 400 for a point directly behind such a document (2026-03)
		}
		s.keep(&o.Points, s.last().Index, bodyPoint{Point: Point{Nested: true}})
	case o.Points.Alone: // no block at all
		index := s.last().Index
		s.p.Blocks, s.p.open = s.p.Blocks[:len(s.p.Blocks)-1], false // takes back the block that Block has begun
		s.keep(&o.Points, index, bodyPoint{})
	default:
		s.endBlock(&o)
		s.keep(&o.Points, s.last().Index, bodyPoint{})
	}
}

// endBlock sets a block's kind and properties.
func (s *bodySink) endBlock(o *jsonbody.Object) {
	b := s.last()
	// A point can be added if the block has a member besides its points, and no key of a point with a value like null: no key may come twice.
	b.Span, b.room = Span(o.Span), o.Fields > 0 && !o.Points.Null
	b.NoPoint = !b.room || s.closes
	if b.Kind = kinds[s.kindOf(o)]; b.Kind == Other { // kinds has this package's kind for one of package request
		s.p.Unknown++
	}
	b.blank = b.Kind == Text && !s.filled
	s.media(o)
}

// kindOf returns the kind of a block, which a field type tells, as in Anthropic's bodies, or else a key, as in Nova's and Converse. It notes what
// that is a sign of, and adds a type that is not known to the block, so that its hash differs from that of blocks of other types.
func (s *bodySink) kindOf(o *jsonbody.Object) request.Kind {
	switch {
	case o.Typed:
		s.signs |= signOfType(o.Type)
		kind, known := request.KindOfType(o.Type)
		if !known {
			s.leaf(o.Type, leaf{})
		}
		return kind
	case o.Keyed:
		s.signs |= keyedBlock
		return o.Kind
	default:
		return request.Other
	}
}

// keep adds the cache points of an object to s.points. index is the object's in its list. like is a point that has what else is known of them:
// whether they are nested in a block, or stand on a tool that is deferred.
func (s *bodySink) keep(points *jsonbody.Points, index int, like bodyPoint) {
	for _, found := range [...]jsonbody.Point{points.Control, points.Property} {
		switch found.Form {
		case request.NoMarker: // the object has no point with this key
			continue
		case request.Property:
			s.signs |= propertyMarker
		case request.Element:
			s.signs |= elementMarker
		}
		p := like // to which is added what the body tells of this point
		p.form, p.part = found.Form, s.opened
		p.Where, p.TTL, p.Open, p.Span = Where{s.p.section, s.p.message, index}, found.TTL, found.Open, Span(found.Cut)
		// closed returns the index of the block before the point, or -1 if its section or message has none. It is counted from the first block of
		// the part, since the part may move.
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
	case "redactedContent": // encrypted reasoning, which counts no text; Anthropic's bodies name the same by a type
		s.leaf(t.Raw, leaf{binary: true})
		s.last().Bytes -= len(t.Raw) // leaf has added it
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

// string adds the inside of a string to the block. It counts with its escapes resolved.
func (s *bodySink) string(t jsonscan.Text) {
	s.leaf(t.Raw, leaf{quoted: t.Escaped()})
	s.last().Bytes -= len(t.Raw) - t.Len // leaf has added the length with escapes
}

// Word adds a word of the dialect's own, such as the name of a format.
func (s *bodySink) Word(t jsonscan.Text) { s.string(t) }

// Type adds nothing: endBlock reads the type of a block.
func (s *bodySink) Type(jsonscan.Text) {}

// Literal adds a number, true, false or null. A member of an object only says how something else is to be read, so it changes the hash and counts no
// text. Elements of a list, for which member is empty, may be content of a kind that is not known, so they count.
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

// leaf adds a piece of the body to the block's content. l has what else is known of it.
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

// escaped returns the character that the escape sequence at the beginning of raw stands for, and the sequence's length. Callers only want to know
// whether that is white space, so a space is returned for \n, \t, \r and \f, and a backslash for all others but \u.
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
