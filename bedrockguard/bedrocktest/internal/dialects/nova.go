package dialects

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// ParseNova parses the bodies of Nova in InvokeModel. n is the body, in the Prompt that is filled: in.open begins a message, and addText or addJSON
// appends a block, as text or as JSON; addText takes two nodes: the one that identifies the block in the cache, and the text in it, which may be the
// same. in.Hidden collects why the service adds text that is not in the request, and in.tool adds the reasons that a tool gives. in.limit sets the
// output limit from a field of the request; nil means that the request has none.
func (r *Reader) ParseNova(n *jsonnode.Node, in *Prompt) *refusal.Error {
	if err := n.Only("the request", "schemaVersion", "messages", "system", "inferenceConfig", "toolConfig"); err != nil {
		return err
	}
	config := n.Get("inferenceConfig")
	limit := config.Get("maxTokens")
	if limit == nil {
		limit = config.Get("max_new_tokens")
	}
	if err := in.limit(limit); err != nil {
		return err
	}
	choice := n.Get("toolConfig").Get("toolChoice")
	in.Hidden.forced = choice.Get("any") != nil || choice.Get("tool") != nil
	for _, t := range n.Get("toolConfig").Get("tools").List() {
		in.addJSON(r, tools, t.Raw)
		in.tool(r, t)
	}
	for _, b := range n.Get("system").List() {
		if err := r.novaText(System, b, in); err != nil {
			return err
		}
	}
	return r.novaMessages(n.Get("messages").List(), in)
}

// novaMessages reads the messages, of which there must be one, and in which user and assistant alternate.
func (r *Reader) novaMessages(list []*jsonnode.Node, in *Prompt) *refusal.Error {
	if len(list) == 0 {
		return refusal.Invalid("messages must not be empty")
	}
	in.MessageCount = len(list)
	want := "user"
	for i, m := range list {
		if m.Get("role").Text() != want {
			return refusal.Invalid("Malformed input request: #/messages/%d/role: roles alternate between user and assistant, please reformat your input and try again.", i)
		}
		content := m.Get("content").List()
		if len(content) == 0 {
			return refusal.Invalid("Malformed input request: #/messages/%d/content: expected minimum item count: 1, found: 0, please reformat your input and try again.", i)
		}
		in.open(want)
		want = map[string]string{"user": Assistant, Assistant: "user"}[want]
		for j, b := range content {
			in.message, in.block = i, j // only for the texts of refusals
			if err := r.novaBlock(b, in); err != nil {
				return err
			}
		}
	}
	return nil
}

// novaBlock reads a block of a message.
func (r *Reader) novaBlock(b *jsonnode.Node, in *Prompt) *refusal.Error {
	switch {
	case b.Get("image") != nil:
		in.image(r, b.Raw, b.Get("image").Get("source").Get("bytes"))
	case b.Get("document") != nil:
		in.document(r, b, b.Get("document"))
	case b.Get("toolUse") != nil, b.Get("toolResult") != nil:
		in.addJSON(r, Messages, b.Raw)
	default:
		return r.novaText(Messages, b, in)
	}
	return nil
}

// novaText reads a block of text, which in Nova's own bodies may also hold the cache point after it. in.message and in.block are its numbers, for
// errors.
func (r *Reader) novaText(section string, b *jsonnode.Node, in *Prompt) *refusal.Error {
	text := b.Get("text")
	if text.Text() == "" {
		what := "required key [text] not found"
		for _, key := range b.KeyNames() {
			if key != "text" && key != "cachePoint" {
				what = "extraneous key [" + key[:min(len(key), 40)] + "] is not permitted"
			}
		}
		return refusal.Invalid("Malformed input request: #/%s/%d/content/%d: %s, please reformat your input and try again.", section, in.message, in.block, what)
	}
	in.LastText = text.Text()
	in.addText(r, section, text, text)
	if point := b.Get("cachePoint"); point != nil {
		return in.conversePoint(section, point)
	}
	return nil
}
