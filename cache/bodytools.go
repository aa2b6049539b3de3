package cache

import (
	"cmp"
	"slices"
	"strings"
)

// tools reads a list of tool definitions.
func (r *bodyReader) tools() error {
	if r.Peek() == 'n' {
		return r.Skip()
	}
	index := 0
	return r.Array(func() error {
		err := r.tool(index)
		index++
		return err
	})
}

// tool reads one definition. It is a single piece of JSON, so that the order of its keys can be told from its content.
func (r *bodyReader) tool(index int) error {
	var outer, inner frame
	r.Peek()
	start := r.Pos()
	r.p.Block(ToolDefinition, index)
	err := r.Object(func(key string) error {
		if key == "toolSpec" && r.Peek() == '{' {
			outer.fields++
			r.signs |= keyedBlock
			return r.Object(func(k string) error { return r.toolField(&inner, k) })
		}
		return r.toolField(&outer, key)
	})
	if err != nil {
		return err
	}
	r.pointsOnly(&outer)
	if outer.hasPoint[property] && outer.points[property].form == element { // no tool at all
		r.p.Blocks, r.p.open = r.p.Blocks[:len(r.p.Blocks)-1], false
		r.elementPoint(&outer, start)
	} else {
		r.endTool(&outer, &inner, Span{start, r.Pos()})
	}
	r.keep(&inner, index, true)
	r.keep(&outer, index, false)
	return nil
}

// endTool puts together what is known of a tool. Its first part is its name, by which tools are told apart.
func (r *bodyReader) endTool(outer, inner *frame, at Span) {
	b := r.last()
	b.Span, b.room = at, outer.fields > 0 && !outer.null
	b.NoPoint = !b.room || outer.deferred
	if outer.keyed { // a tool of the provider's own, of which no more than the name is known
		b.Kind = Other
		r.p.Unknown++
	}
	name := cmp.Or(outer.name, inner.name)
	r.leaf(name, leaf{})
	r.last().Bytes -= len(name)
	r.leaf(r.withoutPoints(at, outer, inner), leaf{json: true})
}

func (r *bodyReader) toolField(f *frame, key string) error {
	if isMarker, err := r.marker(f, key); isMarker {
		return err
	}
	f.fields++
	switch key {
	case "function":
		r.signs |= openAIShape
	case "systemTool":
		f.keyed = true
		r.signs |= keyedBlock
	case "name":
		if r.Peek() == '"' {
			t, err := r.Text()
			f.name = t.Raw
			return err
		}
	case "defer_loading":
		raw, err := r.Value()
		f.deferred = raw == "true"
		return err
	}
	return r.Skip()
}

// withoutPoints returns a tool's definition without its cache points. One that has any is copied.
func (r *bodyReader) withoutPoints(at Span, frames ...*frame) string {
	var cuts []Span
	for _, f := range frames {
		for i, has := range f.hasPoint {
			if has {
				cuts = append(cuts, f.points[i].Span)
			}
		}
	}
	if cuts == nil {
		return r.body[at.Start:at.End]
	}
	slices.SortFunc(cuts, func(a, b Span) int { return a.Start - b.Start })
	var s strings.Builder
	s.Grow(at.End - at.Start)
	from := at.Start
	for _, cut := range cuts {
		if cut.Start < from { // the comma before it went with a first member: take the one behind it
			cut = Span{from, r.pastComma(cut.End)}
		}
		s.WriteString(r.body[from:cut.Start])
		from = cut.End
	}
	s.WriteString(r.body[from:at.End])
	return s.String()
}
