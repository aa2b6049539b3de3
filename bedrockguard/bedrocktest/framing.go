package bedrocktest

import "strings"

// framing is what a family's template and tokenizer add to the plain count of a request. The figures come from recorded usage in 15 public
// repositories, 2024-01 to 2026-08 (`make recordings`), each a little above the largest that was seen, so that a test's bill is not below
// AWS's. Those for Anthropic's tools are in addition to what Anthropic publishes for each model (tool use overview, read 2026-11). A family
// without recordings has the largest figures of its maker.
type framing struct {
	scale    int // the tokens that its tokenizer makes of a text, in thousandths of the plain count
	request  int // once, after everything else: never read from the cache
	message  int // for each message
	tools    int // once if tools are offered
	forced   int // instead of tools if one has to be used
	thinking int // once if extended thinking has a budget
	page     int // for each page of a PDF
	leading  int // once if the conversation begins with the assistant
}

// toolsOfClaude is the most that was recorded of tools on Claude 4.5 and 4.6.
const toolsOfClaude = 500

// framings are indexed by the beginning of the model's id; the longest one that fits applies.
var framings = map[string]framing{
	"":                           {scale: 1100, request: 7, message: 4},
	"anthropic.":                 {scale: 1150, request: 6, message: 4, tools: toolsOfClaude, forced: 600, thinking: 40, page: 180, leading: 14},
	"anthropic.claude-v2":        {scale: 1150, request: 6, message: 4, tools: toolsOfClaude, forced: 600, page: 180, leading: 14},
	"anthropic.claude-3-haiku":   {scale: 1150, request: 6, message: 4, tools: 270, forced: 345, page: 180, leading: 14},
	"anthropic.claude-3-sonnet":  {scale: 1150, request: 6, message: 4, tools: 180, forced: 250, page: 180, leading: 14},
	"anthropic.claude-3-5":       {scale: 1150, request: 6, message: 4, tools: 310, forced: 345, page: 180, leading: 14},
	"anthropic.claude-3-7":       {scale: 1150, request: 6, message: 4, tools: 350, forced: 350, thinking: 40, page: 180, leading: 14},
	"anthropic.claude-sonnet-4":  {scale: 1150, request: 6, message: 4, tools: toolsOfClaude, forced: 600, thinking: 40, page: 180, leading: 14},
	"anthropic.claude-haiku-4-5": {scale: 1150, request: 6, message: 4, tools: toolsOfClaude, forced: 600, thinking: 40, page: 180, leading: 14},
	"anthropic.claude-opus-4":    {scale: 1150, request: 6, message: 4, tools: toolsOfClaude, forced: 600, thinking: 40, page: 180, leading: 14},
	// Since Opus 4.7 another tokenizer makes up to a third more tokens of a text (Anthropic, 2026). The plain count is high enough for it:
	// Sonnet 5 was recorded with 0.95 to 1.04 times the plain count.
	"anthropic.claude-opus-4-7": {scale: 1150, request: 6, message: 4, tools: toolsOfClaude, forced: 600, thinking: 40, page: 180, leading: 14},
	"anthropic.claude-opus-4-8": {scale: 1150, request: 6, message: 4, tools: toolsOfClaude, forced: 600, thinking: 40, page: 180, leading: 14},
	"anthropic.claude-sonnet-5": {scale: 1150, request: 6, message: 4, tools: 380, forced: 600, thinking: 40, page: 180, leading: 14},

	"amazon.nova":                    {scale: 1120, message: 2, tools: 340, forced: 340},
	"amazon.nova-2":                  {scale: 1120, message: 2, tools: 831, forced: 900, thinking: 60},
	"amazon.nova-2-multimodal-embed": {scale: 1100, request: 18},
	"amazon.titan-text":              {scale: 1100, message: 4},
	"amazon.titan-embed":             {scale: 1000, request: 1},
	"cohere.embed":                   {scale: 1100},
	"cohere.command":                 {scale: 1100, message: 4, tools: 340, forced: 340},
	"minimax.":                       {scale: 1100, request: 14, message: 4},
	"meta.":                          {scale: 1100, message: 4, tools: 60, forced: 60},
}

// framingOf returns the framing of a model.
func framingOf(m *model) framing {
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

// frameOf returns the framing of a request. If a test has its own CountTokens, texts have the length that it returns, and a message adds
// four tokens, so that the bill can be calculated by hand; tools and hidden text cost as usual.
func (s *Server) frameOf(m *model) framing {
	f := framingOf(m)
	if s.opts.CountTokens != nil {
		f.scale, f.request, f.message = 1000, 0, 4
	}
	return f
}

// scaled converts a plain count into the tokens of the model's tokenizer, at most one for each byte.
func (s *Server) scaled(m *model, plain, length int) int {
	return max(plain, min((plain*s.frameOf(m).scale+999)/1000, length))
}

// count counts a text for a model.
func (s *Server) count(m *model, text string) int { return s.scaled(m, s.opts.count(text), len(text)) }
