package dialects

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// ParseEndpoint parses the bodies of InvokeModel for a model of the Bedrock Marketplace, whose id is the ARN of a SageMaker endpoint: a prompt, or
// messages as in chat completions. A prompt has no template around it (Hidden.raw).
func (r *Reader) ParseEndpoint(n *jsonnode.Node, in *Prompt) *refusal.Error {
	if n.Get("messages") != nil {
		return r.ParseChat(n, in)
	}
	text := n.Get("prompt")
	if text == nil {
		text = n.Get("inputs")
	}
	if text.Text() == "" {
		return refusal.ModelError("prompt, inputs or messages are required")
	}
	in.MessageCount, in.LastText, in.Hidden.raw = 1, text.Text(), true
	in.addText(r, Messages, text, text) // the value that identifies the block, and the text in it, which are the same here
	limit := n.Get("max_tokens")
	if limit == nil {
		limit = n.Get("parameters").Get("max_new_tokens")
	}
	return in.limit(limit) // nil if the request has none
}
