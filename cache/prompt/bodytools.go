package prompt

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
)

// Tool adds a definition of a tool, and its cache points. An element of the list that is nothing but a cache point is no tool.
func (s *bodySink) Tool(t jsonbody.Tool) {
	if t.Function { // a "function" in the shape of OpenAI's tools
		s.signs |= openAIShape
	}
	if t.HasSpec || t.System != "" { // a toolSpec or systemTool: the key tells the kind, as in Converse's and Nova's blocks
		s.signs |= keyedBlock
	}
	if !t.Points.Alone {
		s.endTool(&t)
	}
	// Points inside of a toolSpec are nested, where the service accepts none; those beside it stand on the tool.
	s.keep(&t.Spec.Points, t.Index, bodyPoint{Point: Point{Nested: true}})
	s.keep(&t.Points, t.Index, bodyPoint{deferred: t.Deferred})
}

// endTool adds the block of a tool. Its first piece of content is its name, by which the cache check recognises a tool that has changed. A definition
// in Converse's form follows in pieces, as it does when the request is a value of the SDK. Any other is one piece of JSON, so that a changed order of
// its keys can be distinguished from a changed content.
func (s *bodySink) endTool(t *jsonbody.Tool) {
	s.p.Block(ToolDefinition, t.Index)
	b := s.last()
	b.Span, b.room = Span(t.Span), t.Fields > 0 && !t.Points.Null
	b.NoPoint = !b.room || t.Deferred
	if t.System != "" { // a tool of the provider's own, of which no more than the name is known
		b.Kind = Other
		s.p.Unknown++
	}
	if t.HasSpec && t.Fields == 1 { // in Converse's form, with nothing beside the definition
		s.endSpec(&t.Spec)
		return
	}
	name := cmp.Or(t.Name, t.Spec.Name.Raw)
	s.leaf(name, leaf{})
	s.last().Bytes -= len(name) // leaf has counted it, but the whole definition below has the name too
	// t.Len is the length without white space and escapes, of the definition with its points.
	whole, length := s.withoutPoints(t), t.Len
	if len(whole) != len(t.Raw) { // it had points
		length = jsonscan.Len(whole)
	}
	s.p.sizedJSON(whole, length)
}

// endSpec adds the pieces of a definition in Converse's form, in the order in which package converse reads them from a value of the SDK: the same
// tool then has the same hashes.
func (s *bodySink) endSpec(spec *jsonbody.Spec) {
	s.string(spec.Name)
	if spec.Description.Raw != "" {
		s.string(spec.Description)
	}
	if spec.Schema != "" {
		s.p.sizedJSON(spec.Schema, spec.SchemaLen)
	}
	if spec.Strict {
		s.p.Flag("strict")
	}
	for _, member := range spec.Others {
		s.p.JSON(member)
	}
}

// withoutPoints returns a tool's definition without its cache points, so that its hash does not depend on them. One that has any is copied.
func (s *bodySink) withoutPoints(t *jsonbody.Tool) string {
	var cuts []jsonbody.Span
	for _, p := range [...]jsonbody.Point{t.Points.Control, t.Points.Property, t.Spec.Points.Control, t.Spec.Points.Property} {
		if p.Form != request.NoMarker {
			cuts = append(cuts, p.Cut)
		}
	}
	if cuts == nil {
		return t.Raw
	}
	slices.SortFunc(cuts, func(a, b jsonbody.Span) int { return a.Start - b.Start })
	var b strings.Builder
	b.Grow(len(t.Raw))
	from := t.Span.Start
	for _, cut := range cuts {
		if cut.Start < from { // it begins with a comma that the cut before has taken already, so it takes the comma behind it instead
			cut = jsonbody.Span{Start: from, End: jsonbody.PastComma(s.body, cut.End)}
		}
		b.WriteString(s.body[from:cut.Start])
		from = cut.End
	}
	b.WriteString(s.body[from:t.Span.End])
	return b.String()
}
