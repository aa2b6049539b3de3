package cache

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// frame collects what the fields of one JSON object say about it, because they may come in any order.
type frame struct {
	key      string // the key whose value the object is, for objects inside of a block
	name     string // the value of its field type
	typed    bool   // it has a field type
	kind     Kind   // the kind of block that one of its keys stands for
	keyed    bool   // it has such a key
	fields   int    // number of its fields, without cache points
	null     bool   // it has a cache point whose value is null
	deferred bool   // a tool that is loaded when it is needed
	noPoint  bool   // no cache point may follow
	format   string
	source   source
	points   [2]bodyPoint // by the key that they were written with: control or property
	hasPoint [2]bool
}

// content reads a list of blocks, or the plain string that Claude's bodies allow in its stead.
func (r *bodyReader) content() error {
	switch r.Peek() {
	case '"':
		start := r.Pos()
		t, err := r.Text()
		if err == nil {
			r.begin(-1)
			r.text(t)
			b := r.last()
			b.blank, b.NoPoint = !r.filled, true // a string can hold no cache point; FixBody may turn it into a list, which can
			b.plain = Span{start, r.Pos()}
		}
		return err
	case 'n':
		return r.Skip()
	}
	index := 0
	return r.Array(func() error {
		err := r.block(index)
		index++
		return err
	})
}

func (r *bodyReader) begin(index int) {
	r.p.Block(Text, index)
	r.filled = false
}

func (r *bodyReader) last() *Block { return &r.p.Blocks[len(r.p.Blocks)-1] }

// block reads one block of a list.
func (r *bodyReader) block(index int) error {
	var f frame
	r.Peek()
	start := r.Pos()
	r.begin(index)
	if err := r.Object(func(key string) error { return r.blockField(&f, key) }); err != nil {
		return err
	}
	r.pointsOnly(&f)
	if f.hasPoint[property] && f.points[property].form == element { // no block at all
		r.p.Blocks, r.p.open = r.p.Blocks[:len(r.p.Blocks)-1], false
		r.elementPoint(&f, start)
	} else {
		r.endBlock(&f, Span{start, r.Pos()})
	}
	r.keep(&f, index, false)
	return nil
}

// elementPoint records the range of the body to cut in order to remove a list's element that is nothing but a cache point, together with its
// comma. The point is kept under property, because its key is cachePoint.
func (r *bodyReader) elementPoint(f *frame, start int) {
	point, before := &f.points[property], strings.TrimRight(r.body[:start], whiteSpace)
	if strings.HasSuffix(before, ",") {
		point.Span = Span{len(before) - 1, r.Pos()}
	} else {
		point.Span = Span{start, r.pastComma(r.Pos())}
	}
	point.listed = true
}

// endBlock sets a block's kind and properties, now that all of its fields were read.
func (r *bodyReader) endBlock(f *frame, at Span) {
	b := r.last()
	b.Span, b.room = at, f.fields > 0 && !f.null
	b.NoPoint = !b.room || f.noPoint
	switch {
	case f.typed:
		r.signs |= signOfType(f.name)
		known := false
		if b.Kind, known = kindOfType(f.name); !known {
			r.leaf(f.name, leaf{})
		}
	case f.keyed:
		r.signs |= keyedBlock
		b.Kind = f.kind
	default:
		b.Kind = Other
	}
	b = r.last()
	if b.Kind == Other {
		r.p.Unknown++
	}
	b.blank = b.Kind == Text && !r.filled
	r.media(f)
}

// pointsOnly recognises an object without any field besides its cachePoint: such a point stands in the place of a block, and not in one.
func (r *bodyReader) pointsOnly(f *frame) {
	if f.hasPoint[property] && f.fields == 0 {
		f.points[property].form, f.points[control].form = element, misplaced
	}
}

// keep adds the cache points of an object that was read to the list of points, in the order of the prompt.
func (r *bodyReader) keep(f *frame, index int, nested bool) {
	for i, has := range f.hasPoint {
		if !has {
			continue
		}
		point := f.points[i]
		point.Where, point.Nested, point.part, point.Block = Where{r.p.section, r.p.message, index}, nested, r.opened, r.p.closed()
		if point.Block >= 0 {
			point.Block -= r.parts[r.opened].start
		}
		switch point.form {
		case property:
			r.signs |= propertyMarker
		case element:
			r.signs |= elementMarker
		}
		point.deferred = f.deferred
		r.points = append(r.points, point)
	}
}

func (r *bodyReader) blockField(f *frame, key string) error {
	_, start := r.Member()
	if isMarker, err := r.marker(f, key); isMarker {
		return err
	}
	f.fields++
	if key == "type" && r.Peek() == '"' {
		t, err := r.Text()
		f.name, f.typed = t.String(), true
		return err
	}
	if k, known := kindOfKey(key); known && !f.keyed {
		f.kind, f.keyed = k, true
	}
	return r.value(f, key, start)
}

// nestedField reads a field of an object inside of a block. A cache point there is recorded as nested, for a finding: the service does not accept
// it. Enabled citations are recorded because they are a setting that changes what is cached.
func (r *bodyReader) nestedField(f *frame, key string) error {
	_, start := r.Member()
	if isMarker, err := r.marker(f, key); isMarker {
		return err
	}
	f.fields++
	if key == "enabled" && f.key == "citations" {
		raw, err := r.Value()
		r.citations = r.citations || raw == "true"
		r.flag(start)
		return err
	}
	return r.value(f, key, start)
}

// value reads the value of a key; start is the offset of the key. f collects the fields of the object around it.
func (r *bodyReader) value(f *frame, key string, start int) error {
	c := r.Peek()
	switch {
	case isData(key):
		return r.data()
	case c == '"':
		return r.stringValue(f, key)
	case c == '{' && key == "source":
		return r.readSource(f)
	case c == '{':
		inner := frame{key: key}
		if err := r.Object(func(k string) error { return r.nestedField(&inner, k) }); err != nil {
			return err
		}
		r.media(&inner)
		if key == "document" && inner.format != "pdf" {
			f.noPoint = true // users report a 400 for a point directly behind such a document (2026-03)
		}
		r.pointsOnly(&inner)
		r.keep(&inner, r.last().Index, true)
		return nil
	case c == '[':
		return r.Array(func() error { return r.element(f, key) })
	}
	_, err := r.Value()
	r.flag(start)
	return err
}

// element reads an element of a list. A list of numbers may be content of a kind that nobody knows, so that they count.
func (r *bodyReader) element(f *frame, key string) error {
	switch r.Peek() {
	case '"', '{', '[':
		return r.value(f, key, r.Pos())
	}
	raw, err := r.Value()
	r.leaf(raw, leaf{})
	return err
}

// data reads JSON of the caller's own. It is as long as it would be in any spelling.
func (r *bodyReader) data() error {
	r.Peek()
	spare := r.Spare()
	raw, err := r.Value()
	r.p.sizedJSON(raw, len(raw)-(r.Spare()-spare))
	return err
}

// flag adds a member that is no text to the block, from an offset on: whether something is on, or where something else stands.
func (r *bodyReader) flag(start int) { r.p.Flag(r.From(start)) }

// isData reports whether a value under a key is JSON of the caller's own, where a cache point has no meaning.
func isData(key string) bool {
	switch key {
	case "input", "json", "input_schema", "inputSchema":
		return true
	default:
		return false
	}
}

func (r *bodyReader) stringValue(f *frame, key string) error {
	t, err := r.Text()
	if err != nil {
		return err
	}
	switch key {
	case "text", "content", "thinking":
		r.text(t)
		return nil
	case "redactedContent": // Anthropic's bodies name the same by a type
		r.redacted(t)
		return nil
	case "format":
		f.format = t.String()
	case "type":
		f.name = t.String()
	}
	r.string(t)
	return nil
}

// text adds the inside of a string to the block that the model reads as text.
func (r *bodyReader) text(t jsonscan.Text) {
	r.filled = r.filled || !blank(t.Raw)
	r.string(t)
}

// string adds the inside of a string to the block.
func (r *bodyReader) string(t jsonscan.Text) {
	r.leaf(t.Raw, leaf{quoted: t.Escaped()})
	r.last().Bytes -= len(t.Raw) - t.Len
}

// redacted adds encrypted reasoning.
func (r *bodyReader) redacted(t jsonscan.Text) {
	r.leaf(t.Raw, leaf{binary: true})
	r.last().Bytes -= len(t.Raw)
	r.p.Media(Reasoning, request.RedactedTokens(request.Base64{Text: t}.Bytes()))
}

// leaf adds a piece of the body to the block.
func (r *bodyReader) leaf(s string, l leaf) {
	l.at, l.n = unsafe.Pointer(unsafe.StringData(s)), len(s)
	r.p.add(l)
}

// marker reads a field if it is a cache point, and reports whether it is one. Its value may be null, which stands for none.
func (r *bodyReader) marker(f *frame, key string) (bool, error) {
	form := control
	switch key {
	case "cache_control":
	case "cachePoint":
		form = property
	default:
		return false, nil
	}
	comma, start := r.Member()
	if r.Peek() == 'n' {
		f.null = true
		return true, r.Skip()
	}
	point := bodyPoint{Point: Point{TTL: FiveMinutes, Open: true}, form: form}
	err := r.Object(func(key string) error {
		raw, err := r.Value()
		if key == "ttl" && raw != "null" {
			point.TTL, point.Open = ttlOf(raw), false
		}
		return err
	})
	point.Span = r.member(comma, start)
	f.points[form], f.hasPoint[form] = point, true
	return true, err
}

// member returns the range to cut in order to remove the member that was just read. It includes the comma before the member or, if the
// member is the first one, the comma after it and the white space up to the next key.
func (r *bodyReader) member(comma, start int) Span {
	end := r.Pos()
	if comma >= 0 {
		return Span{comma, end}
	}
	return Span{start, r.pastComma(end)}
}

const whiteSpace = " \t\r\n"

// pastComma returns the offset of the key that follows a member, or end when the member is the last.
func (r *bodyReader) pastComma(end int) int {
	return pastComma(r.body, end)
}

func pastComma[T string | []byte](body T, end int) int {
	rest := strings.TrimLeft(string(body[end:]), whiteSpace)
	if !strings.HasPrefix(rest, ",") {
		return end
	}
	return len(body) - len(strings.TrimLeft(rest[1:], whiteSpace))
}

// ttlOf reads a lifetime in a body. It is zero if it can't be read.
func ttlOf(raw string) time.Duration {
	if len(raw) < 2 || raw[0] != '"' { // a body that ends here
		return 0
	}
	return request.Lifetime(raw[1 : len(raw)-1])
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
