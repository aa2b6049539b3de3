package dialects

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// insertedSystem parses a system message between the other messages, and the tools that it adds and removes. It is not a turn: the message after it
// must be the one that would have followed without it. in.open begins a message, addText and addJSON append a block, as text or as JSON, and
// conversePoint puts a cache point after the last block. addText takes two nodes: the one that identifies the block in the cache, and the text in it,
// which may be the same.
func (r *Reader) insertedSystem(m *jsonnode.Node, in *Prompt) *refusal.Error {
	content := m.Get("content").List()
	if len(content) == 0 {
		return refusal.Invalid("the content of a message must not be empty")
	}
	in.open(System)
	for _, b := range content {
		switch text, point := b.Get("text"), b.Get("cachePoint"); {
		case text != nil && text.Text() == "":
			return refusal.Invalid("messages: text content blocks must be non-empty")
		case text != nil:
			in.addText(r, Messages, b, text)
		case point != nil:
			if err := in.conversePoint(Messages, point); err != nil {
				return err
			}
		case b.Get("toolAddition") != nil, b.Get("toolRemoval") != nil:
			in.addJSON(r, Messages, b.Raw)
		default:
			return refusal.Invalid("a system message between the others holds texts, and additions and removals of tools")
		}
	}
	return nil
}
