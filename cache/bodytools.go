package cache

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
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

// toolParts are the parts of a definition in Converse's form, which Nova shares.
type toolParts struct {
	told              bool
	name, description jsonscan.Text
	schema            string
	schemaLen         int // whatever its spelling
	strict            string
	others            []string // members that are not known
}

// tool reads one definition. In Anthropic's form it is a single piece of JSON, so that the order of its keys can be told from its content.
func (r *bodyReader) tool(index int) error {
	var outer, inner frame
	var parts toolParts
	r.Peek()
	start, spare := r.Pos(), r.Spare()
	r.p.Block(ToolDefinition, index)
	err := r.Object(func(key string) error {
		if (key == "toolSpec" || key == "systemTool") && r.Peek() == '{' {
			outer.fields++
			outer.keyed = outer.keyed || key == "systemTool"
			r.signs |= keyedBlock
			parts.told = true
			return r.Object(func(k string) error { return r.specField(&inner, &parts, k) })
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
		r.endTool(&outer, &inner, &parts, Span{start, r.Pos()}, r.Pos()-start-(r.Spare()-spare))
	}
	r.keep(&inner, index, true)
	r.keep(&outer, index, false)
	return nil
}

// endTool puts together what is known of a tool. Its first part is its name, by which tools are told apart.
func (r *bodyReader) endTool(outer, inner *frame, parts *toolParts, at Span, length int) {
	b := r.last()
	b.Span, b.room = at, outer.fields > 0 && !outer.null
	b.NoPoint = !b.room || outer.deferred
	if outer.keyed { // a tool of the provider's own, of which no more than the name is known
		b.Kind = Other
		r.p.Unknown++
	}
	if parts.told && outer.fields == 1 {
		r.endSpec(parts)
		return
	}
	name := cmp.Or(outer.name, parts.name.Raw)
	r.leaf(name, leaf{})
	r.last().Bytes -= len(name)
	whole := r.withoutPoints(at, outer, inner)
	if len(whole) != at.End-at.Start {
		length = jsonscan.Len(whole)
	}
	r.p.sizedJSON(whole, length)
}

// endSpec adds the parts of a definition in the order in which they are told of a value of the SDK's.
func (r *bodyReader) endSpec(parts *toolParts) {
	r.string(parts.name)
	if parts.description.Raw != "" {
		r.string(parts.description)
	}
	if parts.schema != "" {
		r.p.sizedJSON(parts.schema, parts.schemaLen)
	}
	if parts.strict == "true" {
		r.p.Flag("strict")
	}
	for _, member := range parts.others {
		r.p.JSON(member)
	}
}

// specField reads a field of a toolSpec or a systemTool.
func (r *bodyReader) specField(f *frame, parts *toolParts, key string) (err error) {
	_, start := r.Member()
	if isMarker, err := r.marker(f, key); isMarker {
		return err
	}
	switch c := r.Peek(); {
	case key == "name" && c == '"':
		parts.name, err = r.Text()
		return err
	case key == "description" && c == '"':
		parts.description, err = r.Text()
		return err
	case key == "strict":
		parts.strict, err = r.Value()
		return err
	case key == "inputSchema" && c == '{':
		return r.Object(func(k string) error {
			if k != "json" {
				return r.other(parts)
			}
			r.Peek()
			spare := r.Spare()
			parts.schema, err = r.Value()
			parts.schemaLen = len(parts.schema) - (r.Spare() - spare)
			return err
		})
	}
	if err = r.Skip(); err == nil {
		parts.others = append(parts.others, r.From(start))
	}
	return err
}

// other reads a member that is not known of a definition.
func (r *bodyReader) other(parts *toolParts) error {
	raw, err := r.Value()
	parts.others = append(parts.others, raw)
	return err
}

func (r *bodyReader) toolField(f *frame, key string) error {
	if isMarker, err := r.marker(f, key); isMarker {
		return err
	}
	f.fields++
	switch key {
	case "function":
		r.signs |= openAIShape
	case "systemTool": // not even an object
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
