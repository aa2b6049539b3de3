package jsonbody

import (
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// marker reads a cache point, of a form that its key tells, and adds it to those of the object in which it stands. A value that is no object is no
// cache point, but its key still takes the place of one.
func (w *walk) marker(points *Points, form request.Marker, key string) error {
	comma, start := w.Member() // the offsets of the comma before the member, or -1, and of its key
	if w.Peek() != '{' {
		points.Null = true
		return w.noPoint()
	}
	p := Point{Form: form, TTL: request.FiveMinutes, Open: true} // until a member names another lifetime
	err := w.Object(func(k string) error {
		raw, err := w.Value()
		w.bytes(len(raw))
		if k == "ttl" && raw != "null" {
			p.TTL, p.Open = lifetime(raw), false
		}
		return err
	})
	if err != nil {
		return err
	}
	w.sink.Point(p)
	p.Cut = w.cut(comma, start)
	switch form { // points of other forms are never edited, so that it is enough that the sink has been told
	case request.Control:
		points.Control = p
	case request.Property:
		points.Property = p
	}
	return nil
}

// noPoint reads a value that is no object in the place of a cache point. null is allowed there. With anything else the body is no prompt that can be
// checked (Misshapen); a meter goes on, because the service will refuse it.
func (w *walk) noPoint() error {
	if w.Peek() != 'n' {
		w.sink.Misshapen(w.Pos(), "expected an object")
	}
	raw, err := w.Value()
	w.bytes(len(raw))
	return err
}

// alone recognises an object that holds nothing but a cachePoint: then the point is an Element, and takes the place of a block or a tool. fields is
// how many other members it has, start the offset of its brace. To remove a point that is an element of a list (depth 0), the whole object is cut
// with a comma.
func (w *walk) alone(points *Points, fields, start, depth int) {
	p := &points.Property // the point with the key cachePoint
	points.Alone = p.Form != request.NoMarker && fields == 0
	if !points.Alone {
		return
	}
	p.Form = request.Element
	if points.Control.Form != request.NoMarker { // a cache_control beside the cachePoint has no block to stand on, so it has a form of no dialect
		points.Control.Form = request.Misplaced
	}
	if depth > 0 {
		return // the object is no element of the list, so that only the point in it is cut
	}
	// With the comma before the object or, if it is the first of its list, the one after it.
	if before := strings.TrimRight(w.body[:start], whiteSpace); strings.HasSuffix(before, ",") {
		p.Cut = Span{len(before) - 1, w.Pos()}
	} else {
		p.Cut = Span{start, PastComma(w.body, w.Pos())}
	}
}

// lifetime reads a lifetime. It is zero if it can't be read.
func lifetime(raw string) time.Duration {
	if len(raw) < 2 || raw[0] != '"' { // no string, or the body ends here
		return 0
	}
	return request.Lifetime(raw[1 : len(raw)-1])
}

// cut returns the range to cut in order to remove the member that was just read. It includes the comma before the member or, if the member is the
// first one, the comma after it and the white space up to the next key.
func (w *walk) cut(comma, start int) Span {
	if comma >= 0 {
		return Span{comma, w.Pos()}
	}
	return Span{start, PastComma(w.body, w.Pos())}
}

// whiteSpace is what JSON allows between tokens.
const whiteSpace = " \t\r\n"

// PastComma returns the offset of the next token if a comma follows end, with white space around it or not, or end itself if none does.
func PastComma[T string | []byte](body T, end int) int {
	at := pastSpace(body, end)
	if at == len(body) || body[at] != ',' {
		return end
	}
	return pastSpace(body, at+1)
}

// pastSpace returns the offset of the first byte from at on that is not white space.
func pastSpace[T string | []byte](body T, at int) int {
	for at < len(body) && strings.IndexByte(whiteSpace, body[at]) >= 0 {
		at++
	}
	return at
}
