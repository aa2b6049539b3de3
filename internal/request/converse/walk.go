package converse

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// Walk tells a sink what a request holds. It hands texts over by reference, and serialises nothing.
func Walk(r *Request, s request.Sink) {
	w := walk{sink: s}
	w.all(r)
}

// WalkBeyondText is Walk without texts, flags and JSON, for a sink to which the length of the serialised body tells what they count. Blocks that
// hold nothing else may be left out, and so may messages that have such blocks alone.
func WalkBeyondText(r *Request, s request.Sink) {
	w := walk{sink: s, beyond: true}
	w.all(r)
}

// walk tells a sink of a request: it calls one of the sink's methods for each part. The first text of a tool is its name, because the cache check
// compares tools by it; the order of all others is that of the serialised request.
type walk struct {
	sink   request.Sink
	beyond bool // texts, flags and JSON are left out: see WalkBeyondText
}

// all tells of the whole request.
func (w walk) all(r *Request) {
	w.settings(r)
	if r.Tools != nil { // else the section Tools is not begun, while those of system prompt and messages always are
		w.sink.Enter(request.Tools)
		for i, t := range r.Tools.Tools {
			w.tool(i, t)
		}
	}
	w.sink.Enter(request.System)
	for i, b := range r.System {
		w.system(i, b)
	}
	// Messages begin without Enter: the sink's Message says that this is their section.
	if w.beyond {
		w.messagesBeyondText(r.Messages)
	} else {
		for m := range r.Messages {
			w.message(m, &r.Messages[m])
		}
	}
	if r.Additional != nil {
		w.sink.Fields(r.Additional)
	}
}

// message tells of a message with its blocks.
func (w walk) message(index int, m *types.Message) {
	w.sink.Message(index, m.Role == types.ConversationRoleUser)
	for i, b := range m.Content {
		w.content(i, b)
	}
}

// messagesBeyondText tells of the messages that hold more than text. Most of a long conversation is text, and uses of tools with their results, so
// this passes over those in the fewest instructions: it takes a fifth less of the time of a conversation full of tools than to call content.
func (w walk) messagesBeyondText(messages []types.Message) {
	for m := firstBeyondText(messages, 0); m < len(messages); m = firstBeyondText(messages, m+1) {
		w.sink.Message(m, messages[m].Role == types.ConversationRoleUser)
		for i, b := range messages[m].Content {
			switch b := b.(type) {
			case *types.ContentBlockMemberText, *types.ContentBlockMemberToolUse: // texts and JSON alone, which are left out
			case *types.ContentBlockMemberToolResult:
				w.results(b.Value.Content) // which may hold an image
			default:
				w.content(i, b)
			}
		}
	}
}

// firstBeyondText returns the index of the first message from an index on that holds more than text, or how many messages there are.
func firstBeyondText(messages []types.Message, from int) int {
	for i := from; i < len(messages); i++ {
		for _, b := range messages[i].Content {
			if _, plain := b.(*types.ContentBlockMemberText); !plain {
				return i
			}
		}
	}
	return len(messages)
}

// settings tells of the fields outside of tools, system prompt and messages that change what the model reads or what is cached.
func (w walk) settings(r *Request) {
	if r.Tools != nil { // the tool choice stands with the tools, and is a setting
		w.toolChoice(r.Tools.ToolChoice)
	}
	w.output(r.Output)
	// Values for the gaps of a prompt template that the service keeps. The meter knows the size of a text by the length of the serialised body; of any
	// other value nothing is known.
	for _, v := range r.Variables {
		if _, ok := v.(*types.PromptVariableValuesMemberText); !ok {
			w.opaque()
		}
	}
}

// toolChoice tells of the tool choice as one or two settings: which form it has, spelt as in JSON so that the sink can tell whether it demands one
// tool, and then the name of that tool.
func (w walk) toolChoice(choice types.ToolChoice) {
	switch choice := choice.(type) {
	case nil: // there is none
	case *types.ToolChoiceMemberAuto:
		w.sink.Setting("toolChoice", `{"auto":{}}`)
	case *types.ToolChoiceMemberAny:
		w.sink.Setting("toolChoice", `{"any":{}}`)
	case *types.ToolChoiceMemberTool:
		w.sink.Setting("toolChoice", `{"tool":{}}`)
		w.setting("toolChoice.name", choice.Value.Name)
	default: // a form that this version of the SDK does not know
		w.sink.Setting("toolChoice", "other")
	}
}

// output tells of the form that the answer has to have. Its schema becomes part of what the model reads.
func (w walk) output(o *types.OutputConfig) {
	if o == nil {
		return
	}
	w.sink.Setting("outputConfig", "") // that there is one; its parts follow as settings of their own
	if o.TextFormat == nil {
		return
	}
	w.sink.Setting("outputConfig.type", string(o.TextFormat.Type))
	s, ok := o.TextFormat.Structure.(*types.OutputFormatStructureMemberJsonSchema)
	if !ok {
		w.opaque()
		return
	}
	w.setting("outputConfig.schema", s.Value.Schema)
	w.setting("outputConfig.name", s.Value.Name)
	w.setting("outputConfig.description", s.Value.Description)
	w.sink.Grammar(schemaText(aws.ToString(s.Value.Schema)))
}

// schemaText is a schema that is given as a text.
type schemaText string

// MarshalSmithyDocument implements request.Marshaler.
func (s schemaText) MarshalSmithyDocument() ([]byte, error) { return []byte(s), nil }

// setting tells of a setting, if it has a value.
func (w walk) setting(name string, value *string) {
	if value != nil {
		w.sink.Setting(name, *value)
	}
}

// tool tells of an element of the list of tools: a definition, a cache point, or a tool that runs at the service and is not billed by tokens.
func (w walk) tool(i int, t types.Tool) {
	switch t := t.(type) {
	// Unlike blocks of messages, tools are told of even if texts are left out: a meter counts them.
	case *types.ToolMemberToolSpec:
		w.sink.Block(request.ToolDefinition, i)
		w.optionalTexts(t.Value.Name, t.Value.Description)
		w.toolSchema(t.Value.InputSchema, aws.ToBool(t.Value.Strict))
	case *types.ToolMemberCachePoint:
		w.point(i, t.Value)
	case *types.ToolMemberSystemTool:
		w.sink.Block(request.SystemTool, i)
		w.optionalTexts(t.Value.Name)
		w.sink.Unpriced("system_tool")
	default:
		w.sink.Block(request.Other, i)
		w.unknown(t)
	}
}

// toolSchema tells of the schema of a tool's input. A strict tool's schema is written into the prompt once more, as a grammar.
func (w walk) toolSchema(input types.ToolInputSchema, strict bool) {
	schema, ok := input.(*types.ToolInputSchemaMemberJson)
	if ok {
		w.json(schema.Value)
	} else if input != nil {
		w.opaque()
	}
	if !strict {
		return
	}
	w.flag(request.Strict)
	if ok && schema.Value != nil {
		w.sink.Grammar(schema.Value)
	}
}

// system tells of a block of the system prompt.
func (w walk) system(i int, b types.SystemContentBlock) {
	switch b := b.(type) {
	case *types.SystemContentBlockMemberText:
		w.textBlock(i, b.Value)
	case *types.SystemContentBlockMemberCachePoint:
		w.point(i, b.Value)
	// These blocks are begun even if texts are left out: a sink that asks for that ignores blocks other than tools.
	case *types.SystemContentBlockMemberGuardContent:
		w.sink.Block(request.Other, i)
		w.guarded(b.Value)
	default:
		w.sink.Block(request.Other, i)
		w.unknown(b)
	}
}

// textBlock tells of a block of text.
func (w walk) textBlock(i int, s string) {
	if !w.beyond {
		w.sink.TextBlock(i, s)
	}
}

// block begins a block, unless texts are left out: a block of those kinds may have no more than texts.
func (w walk) block(k request.Kind, i int) {
	if !w.beyond {
		w.sink.Block(k, i)
	}
}

// text tells of a text, unless texts are left out.
func (w walk) text(s string) {
	if !w.beyond {
		w.sink.Text(s)
	}
}

// optionalTexts tells of those of the texts that are set.
func (w walk) optionalTexts(texts ...*string) {
	if w.beyond {
		return
	}
	for _, t := range texts {
		if t != nil {
			w.sink.Text(*t)
		}
	}
}

// nonEmptyText tells of a text, unless it is empty.
func (w walk) nonEmptyText(s string) {
	if s != "" {
		w.text(s)
	}
}

// json tells of a value that serialises itself, unless texts are left out.
func (w walk) json(d request.Marshaler) {
	if d != nil && !w.beyond {
		w.sink.JSON(d)
	}
}

// flag tells of a flag, unless texts are left out.
func (w walk) flag(f request.Flag) {
	if !w.beyond {
		w.sink.Flag(f)
	}
}

// opaque tells of content of which nothing is known.
func (w walk) opaque() { w.sink.Media(request.Media{}) }

// unknown tells of a member of a union that this version of the SDK does not know: of its name and its bytes. Any other value that comes here, such
// as a missing one, is opaque.
func (w walk) unknown(member any) {
	m, ok := member.(*types.UnknownUnionMember)
	if !ok || m == nil {
		w.opaque()
		return
	}
	w.text(m.Tag)
	w.sink.Media(request.Media{Data: m.Value})
}

// point tells of a cache point.
func (w walk) point(i int, b types.CachePointBlock) {
	w.sink.Point(i, request.Lifetime(string(b.Ttl)), b.Ttl == "")
}
