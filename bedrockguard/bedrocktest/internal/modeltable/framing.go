package modeltable

import "strings"

// Framing is what a family's template and tokenizer add to the plain count of a request. The figures come from recorded usage in 15 public
// repositories, 2024-01 to 2026-08 (`make recordings`), each a little above the largest that was seen, so that a test's bill is not below
// AWS's. Those for Anthropic's tools are in addition to what Anthropic publishes for each model (tool use overview, read 2026-11). A family
// without recordings has the largest figures of its maker.
type Framing struct {
	Scale    int // the tokens that its tokenizer makes of a text, in thousandths of the plain count
	Request  int // once, after everything else: never read from the cache
	Message  int // for each message
	Tools    int // once if tools are offered
	Forced   int // instead of tools if one has to be used
	Thinking int // once if extended thinking has a budget
	Page     int // for each page of a PDF
	Leading  int // once if the conversation begins with the assistant
}

// ToolsOfClaude is the most that was recorded of tools on Claude 4.5 and 4.6.
const ToolsOfClaude = 500

// framings are indexed by the beginning of the model's id; the longest one that fits applies, and the empty one fits each id. What a row does not
// name is 0.
var framings = map[string]Framing{
	"":                           {Scale: 1100, Request: 7, Message: 4},
	"anthropic.":                 {Scale: 1150, Request: 6, Message: 4, Tools: ToolsOfClaude, Forced: 600, Thinking: 40, Page: 180, Leading: 14},
	"anthropic.claude-v2":        {Scale: 1150, Request: 6, Message: 4, Tools: ToolsOfClaude, Forced: 600, Page: 180, Leading: 14},
	"anthropic.claude-3-haiku":   {Scale: 1150, Request: 6, Message: 4, Tools: 270, Forced: 345, Page: 180, Leading: 14},
	"anthropic.claude-3-sonnet":  {Scale: 1150, Request: 6, Message: 4, Tools: 180, Forced: 250, Page: 180, Leading: 14},
	"anthropic.claude-3-5":       {Scale: 1150, Request: 6, Message: 4, Tools: 310, Forced: 345, Page: 180, Leading: 14},
	"anthropic.claude-3-7":       {Scale: 1150, Request: 6, Message: 4, Tools: 350, Forced: 350, Thinking: 40, Page: 180, Leading: 14},
	"anthropic.claude-sonnet-4":  {Scale: 1150, Request: 6, Message: 4, Tools: ToolsOfClaude, Forced: 600, Thinking: 40, Page: 180, Leading: 14},
	"anthropic.claude-haiku-4-5": {Scale: 1150, Request: 6, Message: 4, Tools: ToolsOfClaude, Forced: 600, Thinking: 40, Page: 180, Leading: 14},
	"anthropic.claude-opus-4":    {Scale: 1150, Request: 6, Message: 4, Tools: ToolsOfClaude, Forced: 600, Thinking: 40, Page: 180, Leading: 14},
	// Since Opus 4.7 another tokenizer makes up to a third more tokens of a text (Anthropic, 2026). The plain count is high enough for it:
	// Sonnet 5 was recorded with 0.95 to 1.04 times the plain count.
	"anthropic.claude-opus-4-7": {Scale: 1150, Request: 6, Message: 4, Tools: ToolsOfClaude, Forced: 600, Thinking: 40, Page: 180, Leading: 14},
	"anthropic.claude-opus-4-8": {Scale: 1150, Request: 6, Message: 4, Tools: ToolsOfClaude, Forced: 600, Thinking: 40, Page: 180, Leading: 14},
	"anthropic.claude-sonnet-5": {Scale: 1150, Request: 6, Message: 4, Tools: 380, Forced: 600, Thinking: 40, Page: 180, Leading: 14},

	"amazon.nova":                    {Scale: 1120, Message: 2, Tools: 340, Forced: 340},
	"amazon.nova-2":                  {Scale: 1120, Message: 2, Tools: 831, Forced: 900, Thinking: 60},
	"amazon.nova-2-multimodal-embed": {Scale: 1100, Request: 18},
	"amazon.titan-text":              {Scale: 1100, Message: 4},
	"amazon.titan-embed":             {Scale: 1000, Request: 1},
	"cohere.embed":                   {Scale: 1100},
	"cohere.command":                 {Scale: 1100, Message: 4, Tools: 340, Forced: 340},
	"minimax.":                       {Scale: 1100, Request: 14, Message: 4},
	"meta.":                          {Scale: 1100, Message: 4, Tools: 60, Forced: 60},
}

// FramingOf returns the framing of a model.
func FramingOf(m *Model) Framing {
	m.frame.Do(func() {
		longest := ""
		for prefix := range framings {
			if strings.HasPrefix(m.ID, prefix) && len(prefix) > len(longest) {
				longest = prefix
			}
		}
		m.framed = framings[longest]
	})
	return m.framed
}
