package prompt

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// Sink returns the prompt as what this module's readers write into. The prompt has to be empty.
func (p *Prompt) Sink() request.Sink { return promptSink{p} }

// promptSink is a Prompt that takes a reading. It declines what it does not understand: such a block is Other, and passed through.
type promptSink struct{ p *Prompt }

var kinds = [...]Kind{
	request.Text: Text, request.ToolDefinition: ToolDefinition, request.ToolUse: ToolUse, request.ToolResult: ToolResult, request.Image: Image,
	request.Document: Document, request.Reasoning: Reasoning, request.Other: Other, request.SystemTool: Other,
}

func (s promptSink) Enter(section request.Section)    { s.p.Enter(Section(section)) }
func (s promptSink) Message(index int, user bool)     { s.p.Message(index, user) }
func (s promptSink) Block(k request.Kind, index int)  { s.p.Block(kinds[k], index) }
func (s promptSink) TextBlock(index int, text string) { s.p.textBlock(index, text) }
func (s promptSink) Text(text string)                 { s.p.Text(text) }
func (s promptSink) CitedText(text string)            { s.p.Text(text) }
func (s promptSink) JSON(d request.Marshaler)         { s.p.Document(d) }
func (s promptSink) Setting(name, value string)       { s.p.Setting(name, value) }
func (s promptSink) Grammar(request.Marshaler)        {}
func (s promptSink) Unpriced(string)                  {}

func (s promptSink) Point(index int, ttl time.Duration, open bool) {
	if open {
		s.p.OpenPoint(index)
	} else {
		s.p.Point(index, ttl)
	}
}

func (s promptSink) Media(m request.Media) {
	if len(m.Data) > 0 {
		s.p.Binary(m.Data)
	}
	switch tokens := m.Tokens(); {
	case tokens == 0:
	case m.Kind == request.Picture:
		s.p.Media(Image, tokens)
	case m.Kind == request.Sealed:
		s.p.Media(Reasoning, tokens)
	default:
		s.p.Media(Document, tokens)
	}
}

func (s promptSink) Flag(f request.Flag) {
	switch f {
	case request.Closed:
		s.p.last().NoPoint = true
		return
	case request.Cited:
		s.p.Cited()
	}
	s.p.Flag(string(f))
}

func (s promptSink) Fields(d request.Marshaler) {
	request.ReadFields(d, s, func(field string) { s.p.Flaw(WrongDialect, "additionalModelRequestFields."+field) })
}
