package dialects

import (
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// ParseChat reads bodies in the shape of OpenAI's chat completions, which many families share. n is the body, in the Prompt that is filled: in.open
// begins a message, and addText or addJSON appends a block of it, as text or as JSON; addText takes two nodes: the one that identifies the block in
// the cache, and the text in it, which may be the same. in.tool and in.outputSchema add what tools and schemas cost in addition. Methods of a nil
// node, which stands for an absent field, return nothing. in.limit sets the output limit from a field of the request; nil means that the request has
// none. tierOf reads the name of a service tier, and askTier keeps the more expensive one if there are two.
func (r *Reader) ParseChat(n *jsonnode.Node, in *Prompt) *refusal.Error {
	limit := n.Get("max_completion_tokens")
	if limit == nil {
		limit = n.Get("max_tokens")
	}
	if err := in.limit(limit); err != nil {
		return err
	}
	list := n.Get("messages").List()
	if len(list) == 0 {
		return refusal.Invalid("messages must not be empty")
	}
	in.MessageCount = len(list)
	in.askTier(tierOf(n.Get("service_tier")))
	if err := in.askChoices(n); err != nil {
		return err
	}
	in.outputSchema(r, n.Get("response_format"))
	for _, m := range list {
		if err := r.chatMessage(m, in); err != nil {
			return err
		}
	}
	// In the price table no model of this dialect has a prompt cache, so that the tools may come last.
	for _, t := range n.Get("tools").List() {
		in.addJSON(r, tools, t.Raw)
		in.tool(r, t)
	}
	return nil
}

// askChoices sets how many answers the request asks for (n), if it says so.
func (in *Prompt) askChoices(n *jsonnode.Node) *refusal.Error {
	choices, ok := n.Get("n").Number()
	if !ok {
		return nil
	}
	if choices < 1 || choices > maxChoices {
		return refusal.Invalid("n must be between 1 and %d", maxChoices)
	}
	in.Choices = choices
	return nil
}

// chatMessage reads one message: its content is a text, beside which there may be tool uses, or a list of parts.
func (r *Reader) chatMessage(m *jsonnode.Node, in *Prompt) *refusal.Error {
	role := m.Get("role").Text()
	if !slices.Contains([]string{System, "developer", "user", Assistant, "tool"}, role) {
		return refusal.Invalid("messages: roles are system, developer, user, assistant and tool")
	}
	in.open(role)
	content := m.Get("content")
	if content.Kind() == '"' {
		in.LastText = content.Text()
		in.addText(r, Messages, content, content)
		if calls := m.Get("tool_calls"); calls != nil {
			in.addJSON(r, Messages, calls.Raw)
		}
		return nil
	}
	// A message without content, such as one that only uses tools, counts as JSON as a whole.
	if len(content.List()) == 0 {
		in.addJSON(r, Messages, m.Raw)
	}
	for _, part := range content.List() {
		r.chatPart(part, in)
	}
	return nil
}

// maxChoices bounds the answers that one request can ask for.
const maxChoices = 8

// chatPart reads one part of a message: text, an image as a data URL, audio, or anything else as JSON.
func (r *Reader) chatPart(part *jsonnode.Node, in *Prompt) {
	if text := part.Get("text"); text.Text() != "" {
		in.LastText = text.Text()
		in.addText(r, Messages, part, text) // the part identifies the block, and its text is counted
		return
	}
	// The field is a text, or an object with the text in url.
	url := part.Get("image_url")
	if url.Kind() == '{' {
		url = url.Get("url")
	}
	// An image at any other address than a data URL counts as JSON, below.
	if data, ok := dataOf(url.Text()); ok {
		in.Images++
		in.seeImages()
		in.add(r, Messages, part.Raw, modeltable.ImageTokens(in.Model, data))
		return
	}
	if sounds := part.Get("input_audio").Get("data"); sounds != nil {
		in.add(r, Messages, part.Raw, modeltable.SoundTokens(sounds.Text()))
		return
	}
	in.addJSON(r, Messages, part.Raw)
}

// dataOf returns the base64 data of a data URL.
func dataOf(url string) (string, bool) {
	_, data, ok := strings.Cut(url, ";base64,")
	return data, ok && strings.HasPrefix(url, "data:")
}
