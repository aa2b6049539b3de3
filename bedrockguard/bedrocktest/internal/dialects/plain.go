package dialects

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Plain returns a parser of bodies whose prompt is one string, as those of Titan, Llama and the first of Mistral are. members are the names that a
// body may have, the prompt's first; limit is the path of names to the output limit. Such a prompt has no template around it (Hidden.raw). addText
// appends the prompt as a block of text: it takes the node that identifies the block, and the text in it, here the same. in.limit sets the output
// limit from a field of the request; nil means that the request has none.
func Plain(members []string, limit ...string) func(*Reader, *jsonnode.Node, *Prompt) *refusal.Error {
	return func(r *Reader, n *jsonnode.Node, in *Prompt) *refusal.Error {
		if err := n.Only("the request", members...); err != nil {
			return err
		}
		prompt := members[0]
		text := n.Get(prompt)
		if text.Text() == "" {
			return refusal.Invalid("%s: a non-empty string is required", prompt)
		}
		in.MessageCount, in.LastText, in.Hidden.raw = 1, text.Text(), true
		in.addText(r, Messages, text, text)
		if len(limit) == 0 {
			return nil
		}
		at := n
		for _, key := range limit {
			at = at.Get(key)
		}
		return in.limit(at)
	}
}
