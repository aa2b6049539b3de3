package jsonbody

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// content reads a list of blocks, or the plain string that some dialects allow in its stead, or null. Anything else is misplaced.
func (w *walk) content(key string) error {
	switch w.Peek() {
	case '"':
		start := w.Pos()
		t, err := w.Text()
		if err == nil {
			w.sink.Block(-1) // the index of a plain string, which stands in no list
			w.sink.String("content", t)
			w.sink.End(Object{Key: key, Plain: true, Span: Span{start, w.Pos()}}) // for a block that is an object, object does that
		}
		return err
	case 'n': // null, which holds nothing
		raw, err := w.Value()
		w.bytes(len(raw))
		return err
	case '[':
		index := 0
		return w.Array(func() error {
			if w.Peek() != '{' {
				return w.misplaced(key, "expected an object")
			}
			w.sink.Block(index)
			index++
			return w.nested(key)
		})
	}
	return w.misplaced(key, "expected an array")
}

// nested reads an object of content that stands under a key, or in the list under it: a block, or anything in one.
func (w *walk) nested(key string) error {
	o := Object{Key: key}
	return w.object(&o, func(k string) error { return w.member(&o, k) })
}

// object reads an object of content: member reads each of its members, and the sink's End is called with what o has gathered.
func (w *walk) object(o *Object, member func(key string) error) error {
	w.Peek() // skips white space, so that start is where the brace is
	start := w.Pos()
	o.Depth = w.depth
	w.depth++
	if err := w.Object(member); err != nil {
		return err // which ends the walk, so that depth need not be put back
	}
	w.depth--
	w.end(o, start)
	return nil
}

// end fills in what only the end of an object shows, and calls the sink's End. start is the offset of its opening brace.
func (w *walk) end(o *Object, start int) {
	o.Span, o.Raw = Span{start, w.Pos()}, w.From(start)
	// alone sets Points.Alone if the object is nothing but a cachePoint.
	w.alone(&o.Points, o.Fields, start, o.Depth)
	w.sink.End(*o)
}

// member reads a member of an object of content, one of those that tell what the object is or anything else. o.Fields counts all but cache points and
// those that only a meter looks at.
func (w *walk) member(o *Object, key string) error {
	switch c := w.Peek(); {
	case key == "citations" && c == '{':
		o.Fields++
		return w.citations(o, key)
	case key == "source" && c == '{':
		o.Fields++
		return w.sourceOf(o)
	case w.meter != nil && key == "format" && c == '{': // the format of the answer, which Responses has inside of "text"
		return w.form()
	case w.meter != nil && key == "id" && o.Name() == "prompt": // the id of a prompt template that the service keeps
		return w.kept("prompt")
	case (key == "type" || key == "format" || key == "media_type") && c == '"':
		o.Fields++
		return w.word(o, key)
	}
	return w.plainMember(o, key)
}

// word reads one of the strings that say what an object is: its type, its format or its media type.
func (w *walk) word(o *Object, key string) error {
	t, err := w.Text()
	if err != nil {
		return err
	}
	switch key {
	case "type":
		o.Type, o.Typed = t.String(), true
		if o.Depth == 0 || w.meter != nil { // the type of an object inside of a block is just a word in WalkPrompt
			w.sink.Type(t)
			return nil
		}
	case "format":
		o.Format = t.String()
	default:
		o.MediaType = t.String()
	}
	w.sink.Word(t)
	return nil
}

// plainMember reads a member that is no type, format, media type, source or citations: a cache point, or content. In WalkPrompt the first key of a
// block that names a kind decides that of the block.
func (w *walk) plainMember(o *Object, key string) error {
	w.bytes(keyBytes(key))
	// A form that can be placed is one that this module edits. Cache points of other forms, of gateways and OpenAI, only matter to the cost.
	form := request.MarkerOf(key)
	isPoint := form.CanBePlaced() || w.meter != nil && form != request.NoMarker
	if isPoint {
		return w.marker(&o.Points, form, key)
	}
	o.Fields++
	if w.meter == nil && o.Depth == 0 && !o.Keyed { // a block, of which no key has told the kind yet
		o.Kind, o.Keyed = request.KindOfKey(key)
	}
	return w.part(key)
}

// part reads a member of content, or a field beside it, that is neither a cache point nor says what its object is. w.meter is set if the cost of
// the request is to be bounded, and nil if only the prompt is read, for its cache points: a meter is also told of what costs more than its
// text. Values that are the caller's own JSON are read as one piece, and all others as content, in which there may be blocks.
func (w *walk) part(key string) error {
	c := w.Peek()
	switch key {
	case "input", "json", "input_schema", "inputSchema":
		// The input of a tool call is an object. A list under "input" is something else, which a meter reads as content.
		isOwn := c == '{' || c == '[' && key != "input"
		if isOwn || w.meter == nil {
			return w.own()
		}
	case "image_url": // in some dialects an object with the address, in others the address itself
		if c == '{' {
			return w.imageURL(key)
		}
	}
	if w.meter != nil {
		if whole, err := w.whole(key, c); whole {
			return err
		}
	}
	return w.memberValue(key)
}

// imageURL reads an object with the address of an image, which stands under a key. The address is read as if it stood under that key itself.
func (w *walk) imageURL(key string) error {
	o := Object{Key: key}
	return w.object(&o, func(k string) error {
		if k == "url" {
			o.Fields++
			return w.memberValue(key)
		}
		return w.plainMember(&o, k)
	})
}

// whole reads a member that a meter is told of in one call, and reports whether it is one; otherwise nothing was read. c is the first byte of the
// value.
func (w *walk) whole(key string, c byte) (bool, error) {
	switch key {
	case "arguments", "parameters", "tool_results": // the last are Cohere's, which the service renders as text
		if c == '{' || c == '[' {
			return true, w.own()
		}
	case "video", "audio", "input_audio", "video_url", "audio_url":
		if c == '{' || c == '"' && strings.HasSuffix(key, "_url") { // an object, or an address; any other string is read as content
			raw, err := w.Value()
			w.meter.Lasting(key, raw)
			return true, err
		}
	case "detailLevel": // Nova's: pictures may be read as pages of documents; its value is then read as any other
		w.meter.Detail()
	case "file_id", "file_url", "s3Location", "s3Uri", "fileUri":
		return true, w.kept(key)
	}
	return false, nil
}

// kept reads a member that names something that is kept elsewhere, such as a file: its size is not in the request.
func (w *walk) kept(key string) error {
	raw, err := w.Value()
	w.meter.Kept(key, raw)
	return err
}

// form reads a field that says which form or schema the answer has to have, and tells the meter of it.
func (w *walk) form() error {
	raw, err := w.Value()
	if err == nil {
		w.meter.Form(raw)
	}
	return err
}

// own reads JSON of the caller's own, such as the input of a tool, in which a cache point has no meaning. The sink gets it as it stands, with its
// length without white space and escapes. It is read by passed: the model wrote some of it and may have used a key twice, which
// a meter accepts, and a prompt (WalkPrompt) does not.
func (w *walk) own() error {
	w.Peek()           // white space before the value is no part of it
	spare := w.Spare() // how many bytes of white space and escapes were read so far
	raw, err := w.passed()
	if err == nil {
		w.sink.JSON(raw, len(raw)-(w.Spare()-spare))
	}
	return err
}

// memberValue reads the value of a member of content. A number, true, false or null is told of with its key.
func (w *walk) memberValue(key string) error {
	_, start := w.Member() // the offset of the key, so that From(start) is the whole member
	switch w.Peek() {
	case '{', '[', '"':
		return w.value(key)
	}
	raw, err := w.Value()
	if err == nil {
		w.sink.Literal(w.From(start), raw)
	}
	return err
}

// value reads content of any kind that stands under a key, or in a list under it.
func (w *walk) value(key string) error {
	switch w.Peek() {
	case '{':
		return w.nested(key)
	case '[':
		return w.Array(func() error { return w.value(key) })
	case '"':
		t, err := w.Text()
		if err == nil {
			w.sink.String(key, t)
		}
		return err
	}
	raw, err := w.Value()
	if err == nil {
		w.sink.Literal("", raw) // mostly an element of a list, because memberValue reads the literals that have a key
	}
	return err
}

// citations reads the object under "citations", which says whether citations are asked for of what its own object o holds.
func (w *walk) citations(o *Object, key string) error {
	w.bytes(keyBytes(key))
	inner := Object{Key: key}
	return w.object(&inner, func(k string) error {
		if k == "enabled" && w.Peek() == 't' { // true
			o.Cited = true
			w.sink.Cited()
		}
		return w.plainMember(&inner, k)
	})
}
