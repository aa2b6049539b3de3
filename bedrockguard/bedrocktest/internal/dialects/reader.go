package dialects

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

// Reader reads requests in any dialect. It is safe for concurrent use.
type Reader struct {
	Plain    func(text string) int                    // the plain count of a text, before it is scaled to a model's tokenizer
	Own      bool                                     // Plain is the test's own
	Region   string                                   // from which requests are sent, and whose prices apply
	Previous func(id string) ([]*jsonnode.Node, bool) // returns the input and the output of a response that was stored
	counts   counts                                   // plain counts of blocks, remembered from earlier requests
}

// FrameOf returns the framing of a request. If a test has its own CountTokens, texts have the length that it returns, and a message adds
// four tokens, so that the bill can be calculated by hand; tools and hidden text cost as usual.
func (r *Reader) FrameOf(m *modeltable.Model) modeltable.Framing {
	f := modeltable.FramingOf(m)
	if r.Own {
		f.Scale, f.Request, f.Message = 1000, 0, 4
	}
	return f
}

// scaled converts a plain count into the tokens of the model's tokenizer: at most one for each of the text's length bytes, but never fewer than the
// plain count.
func (r *Reader) scaled(m *modeltable.Model, plain, length int) int {
	return max(plain, min((plain*r.FrameOf(m).Scale+999)/1000, length))
}

// count counts a text in tokens of the model's tokenizer.
func (r *Reader) count(m *modeltable.Model, text string) int {
	return r.scaled(m, r.Plain(text), len(text))
}
