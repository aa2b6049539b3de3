package bedrocktest

import "github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"

// frameOf returns the framing of a request. If a test has its own CountTokens, texts have the length that it returns, and a message adds
// four tokens, so that the bill can be calculated by hand; tools and hidden text cost as usual.
func (s *Server) frameOf(m *modeltable.Model) modeltable.Framing {
	f := modeltable.FramingOf(m)
	if s.opts.CountTokens != nil {
		f.Scale, f.Request, f.Message = 1000, 0, 4
	}
	return f
}

// scaled converts a plain count into the tokens of the model's tokenizer, at most one for each byte.
func (s *Server) scaled(m *modeltable.Model, plain, length int) int {
	return max(plain, min((plain*s.frameOf(m).Scale+999)/1000, length))
}

// count counts a text for a model.
func (s *Server) count(m *modeltable.Model, text string) int {
	return s.scaled(m, s.opts.count(text), len(text))
}
