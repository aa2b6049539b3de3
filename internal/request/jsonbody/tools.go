package jsonbody

import "github.com/bedrockguard/bedrockguard-go/internal/request"

// toolConfig reads the object in which Converse and Nova have their tools. Under its other name, tool_config, the list of tools is read but is no
// section of the request.
func (w *walk) toolConfig(key string) error {
	if w.Peek() != '{' {
		return w.beside(key)
	}
	return w.Object(func(k string) error {
		switch {
		case k == "tools" && key == "toolConfig":
			return w.section(request.Tools, k, w.tools)
		case k == "tools": // of tool_config
			return w.tools(k)
		}
		return w.fieldOf(key, k, w.beside)
	})
}

// beside reads a field that is no part of the prompt. A meter counts it as content; WalkPrompt passes over it.
func (w *walk) beside(key string) error {
	if w.meter == nil {
		return w.Skip()
	}
	var o Object
	return w.plainMember(&o, key)
}

// tools reads a list of tool definitions. Anything else in its place, or in the list, is told of as JSON.
func (w *walk) tools(string) error {
	switch w.Peek() {
	case '[': // read below
	case 'n': // null, which is no tools
		_, err := w.Value()
		return err
	default:
		w.sink.Misshapen(w.Pos(), "expected an array")
		return w.own()
	}
	index := 0
	return w.Array(func() error {
		if w.Peek() != '{' {
			w.sink.Misshapen(w.Pos(), "expected an object")
			return w.own()
		}
		err := w.definition(index)
		index++
		return err
	})
}

// definition reads a tool, or what stands in the place of one, into w.tool, and tells of it. Length here is without white space and escapes, which
// Spare counts.
func (w *walk) definition(index int) error {
	t := &w.tool
	*t = Tool{Index: index, Spec: Spec{Others: t.Spec.Others[:0]}} // empty; only the memory of the list Others is used again
	start, spare := w.Pos(), w.Spare()
	if err := w.Object(w.toolField); err != nil {
		return err
	}
	t.Span, t.Raw = Span{start, w.Pos()}, w.From(start)
	t.Len = len(t.Raw) - (w.Spare() - spare)
	w.alone(&t.Points, t.Fields, start, 0) // it sets Points.Alone if the object is nothing but a cachePoint
	w.sink.Tool(*t)
	return nil
}

// toolField reads a member of a tool's definition.
func (w *walk) toolField(key string) error {
	t := &w.tool
	// MarkerOf tells whether the key is that of a cache point, which counts as no field. One that can't be placed, a gateway's or OpenAI's, does.
	if form := request.MarkerOf(key); form.CanBePlaced() {
		return w.marker(&t.Points, form, key)
	}
	t.Fields++
	switch c := w.Peek(); { // a case that does not return has only looked at the value, which is read at the end
	case key == "type" && c == '"':
		text, err := w.Text()
		t.Type = text.String()
		return err
	case key == "name" && c == '"':
		text, err := w.Text()
		t.Name = text.Raw // a name is only hashed, so its escapes stay; a type is compared with known ones
		return err
	case key == "strict": // c is the first byte of true
		t.Strict = t.Strict || c == 't'
	case key == "format" && c == '{': // a custom tool's is a grammar, which constrains its input as a strict schema does
		t.Strict = true
	case key == "defer_loading":
		t.Deferred = c == 't'
	case key == "toolSpec" && c == '{':
		t.HasSpec = true
		return w.Object(w.specField)
	case key == "systemTool":
		return w.systemTool(t, c)
	case key == "function":
		t.Function = true
		if c == '{' {
			return w.Object(w.functionField)
		}
	}
	_, err := w.passed()
	return err
}

// functionField reads a member of the object in which OpenAI's form has the definition of a tool. Only strict is looked at, whether it is true.
func (w *walk) functionField(key string) error {
	c := w.Peek()
	w.tool.Strict = w.tool.Strict || key == "strict" && c == 't'
	_, err := w.passed()
	return err
}

// systemTool reads a tool that runs at the service. WalkPrompt reads its object as a definition in Converse's form, of which no more than the name is
// known. c is the first byte of the value.
func (w *walk) systemTool(t *Tool, c byte) (err error) {
	start := w.Pos()
	if w.meter == nil && c == '{' {
		t.HasSpec = true
		err = w.Object(w.specField)
	} else {
		err = w.Skip()
	}
	t.System = w.From(start)
	return err
}

// specField reads a field of a toolSpec or a systemTool into w.tool.Spec. A field that is not known is kept as it stands in WalkPrompt, because it
// changes what the cache holds; a meter counts the whole definition anyway.
func (w *walk) specField(key string) (err error) {
	s := &w.tool.Spec
	_, start := w.Member() // the offset of the key
	// A point in here is nested, where the service accepts none: a meter is not told of it.
	if form := request.MarkerOf(key); w.meter == nil && form.CanBePlaced() {
		return w.marker(&s.Points, form, key)
	}
	switch c := w.Peek(); {
	case key == "name" && c == '"':
		s.Name, err = w.Text()
		return err
	case key == "description" && c == '"':
		s.Description, err = w.Text()
		return err
	case key == "strict":
		s.Strict = c == 't'
		return w.Skip()
	case key == "inputSchema" && c == '{':
		return w.Object(w.schemaField)
	}
	if _, err = w.passed(); err == nil && w.meter == nil { // a field that is not known
		s.Others = append(s.Others, w.From(start))
	}
	return err
}

// schemaField reads a field of an inputSchema. A schema is only passed on, as text: it is not looked into.
func (w *walk) schemaField(key string) (err error) {
	s := &w.tool.Spec
	w.Peek()
	spare := w.Spare() // how many bytes of white space and escapes were read so far
	raw, err := w.passed()
	switch {
	case key == "json":
		s.Schema, s.SchemaLen = raw, len(raw)-(w.Spare()-spare)
	case w.meter == nil:
		s.Others = append(s.Others, raw)
	}
	return err
}
