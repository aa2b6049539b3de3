package prompt

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// Sink returns the prompt as a request.Sink: package converse walks over a request and calls the sink for each part of it. The prompt has to be
// empty.
func (p *Prompt) Sink() request.Sink { return promptSink{p} }

// promptSink fills a Prompt. A block that it does not understand gets the kind Other, and is left as it is in the request. It ignores what only
// matters to the cost of a request.
type promptSink struct{ p *Prompt }

// kinds are this package's kinds of block, by those of package request.
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
func (s promptSink) Grammar(request.Marshaler)        {} // this and the next matter only to the cost
func (s promptSink) Unpriced(string)                  {}

// Point adds a cache point. open says that it names no lifetime.
func (s promptSink) Point(index int, ttl time.Duration, open bool) {
	if open {
		s.p.OpenPoint(index)
	} else {
		s.p.Point(index, ttl)
	}
}

// Media adds an image, a document or another content that is no text to the block: its bytes for the block's hash, and the tokens that it is likely
// to count. A sealed medium is reasoning that is encrypted.
func (s promptSink) Media(m request.Media) {
	if len(m.Data) > 0 {
		s.p.Binary(m.Data)
	}
	switch tokens := m.Tokens(); { // how many tokens it is likely to count
	case tokens == 0: // video, sound, content of which nothing is known, and media that are missing
	case m.Kind == request.Picture:
		s.p.Media(Image, tokens)
	case m.Kind == request.Sealed:
		s.p.Media(Reasoning, tokens)
	default:
		s.p.Media(Document, tokens)
	}
}

// Flag notes what is known of the block besides its text. All flags but Closed change the block's hash, and citations are a setting as well.
func (s promptSink) Flag(f request.Flag) {
	switch f {
	case request.Closed: // no cache point may follow the block
		s.p.last().NoPoint = true
		return
	case request.Cited:
		s.p.Cited()
	}
	s.p.Flag(string(f))
}

// Fields takes the settings from Converse's additional fields. A cache point among them has no effect, and is a flaw.
func (s promptSink) Fields(d request.Marshaler) {
	request.ReadFields(d, s, func(field string) { s.p.Flaw(WrongDialect, "additionalModelRequestFields."+field) })
}
