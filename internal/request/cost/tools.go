package cost

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// Tool counts a definition of a tool as it stands, and once more the schema of a strict one, because the service writes that into the prompt as a
// grammar. A tool that runs at the service has no price per token.
func (m *meter) Tool(t jsonbody.Tool) {
	r := &m.req
	r.Prompt.Tools++
	// Alone: the object holds nothing but a cachePoint. It is counted, because in a body of Converse it is no tool. One with the key of another point
	// beside it, whose value is an object (Control) or is none, such as null (Null), has a form of no dialect.
	if t.Points.Alone && t.Points.Control.Form == request.NoMarker && !t.Points.Null {
		r.ToolPoints++
	}
	switch { // HasSpec says that the definition is in Converse's form, in which the schema's place is known
	case !t.HasSpec && t.Strict: // which of its fields is the schema depends on the dialect, so all count
		m.schema(int64(len(t.Raw)))
	case t.HasSpec && (t.Strict || t.Spec.Strict) && t.Spec.Schema != "":
		m.schema(tokens.WideText(t.Spec.Schema)) // its bytes, or more if the normalisation of Unicode can lengthen it
	}
	if t.System != "" { // a systemTool, which runs at the service; the whole definition, below, counts its value again
		m.Other(len(t.System))
		m.unpricedField("system_tool", t.System)
	}
	if feature, builtin := toolFeature(t.Type); builtin {
		r.Prompt.BuiltinTools++ // the provider adds its own definition of the tool, which the body only names
	} else if feature != "" {
		m.unpriced(feature)
	}
	m.add(tokens.Block{Kind: tokens.JSON, Text: t.Raw})
}

// toolFeature sorts tools by their type. Those that the caller defines cost tokens only. So do those that the provider defines and the caller runs:
// for them builtin is true. Any other runs at the provider and is billed in another way: feature is its name.
func toolFeature(kind string) (feature string, builtin bool) {
	switch kind {
	case "", "function", "custom":
		return "", false
	}
	if strings.HasPrefix(kind, "computer_use") { // before "computer_", which it begins with too
		return "computer_use", false // OpenAI's, which comes with text of its own that nobody has published
	}
	for _, prefix := range [...]string{"bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_"} {
		if strings.HasPrefix(kind, prefix) {
			return "", true
		}
	}
	for _, name := range [...]string{
		"web_search", "web_fetch", "code_execution", "code_interpreter", "file_search",
		"image_generation", "mcp", "advisor",
	} {
		if strings.HasPrefix(kind, name) {
			return name, false
		}
	}
	return "unknown tool type", false
}

// schema notes that the service writes a schema of so many bytes into the prompt as a grammar, which costs tokens beside the definition's own.
func (m *meter) schema(bytes int64) {
	m.req.Prompt.Hidden.Add(tokens.Hidden{Schemas: 1, SchemaBytes: bytes})
}
