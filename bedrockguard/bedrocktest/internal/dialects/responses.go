package dialects

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Each item of a request is a message of its own for the model: in.open begins it, and addText, addJSON or add append its content to the Prompt as a
// block: as text, as JSON, or with tokens that are counted already. addText takes two nodes: the one that identifies the block in the cache, and the
// text in it, which may be the same.

// ParseResponses parses a request of OpenAI's Responses API. n is the body, in the Prompt that is filled. The API is stateful unless a request says
// otherwise: the input and the output of a previous response are input again, and are billed again. in.limit sets the output limit from a field of
// the request; nil means that the request has none. tierOf reads the name of a service tier, which askTier sets.
func (r *Reader) ParseResponses(n *jsonnode.Node, in *Prompt) *refusal.Error {
	if n.Get("background").Is("true") {
		return refusal.Invalid("background: only synchronous responses are served")
	}
	in.Sent = n
	if err := in.limit(n.Get("max_output_tokens")); err != nil {
		return err
	}
	in.askTier(tierOf(n.Get("service_tier")))
	in.outputSchema(r, n.Get("text").Get("format"))
	for _, t := range n.Get("tools").List() {
		in.addJSON(r, tools, t.Raw)
		in.tool(r, t)
	}
	if instructions := n.Get("instructions"); instructions.Text() != "" {
		in.addText(r, System, instructions, instructions)
	}
	items, err := r.inputItems(n)
	if err != nil {
		return err
	}
	in.MessageCount = len(items)
	for _, item := range items {
		r.responseItem(item, in)
	}
	if !n.Get("store").Is("false") {
		in.Stores, in.StoredItems = true, items
	}
	return nil
}

// inputItems returns the items that a request has as its input: those of the previous response, if it names one, and its own.
func (r *Reader) inputItems(n *jsonnode.Node) ([]*jsonnode.Node, *refusal.Error) {
	var items []*jsonnode.Node
	if previous := n.Get("previous_response_id").Text(); previous != "" {
		before, ok := r.Previous(previous)
		if !ok {
			return nil, refusal.NoResponse(previous)
		}
		items = append(items, before...)
	}
	switch input := n.Get("input"); {
	case input.Text() != "":
		return append(items, userMessage(input)), nil
	case len(input.List()) > 0:
		return append(items, input.List()...), nil
	default:
		return nil, refusal.Invalid("input: a non-empty string or list is required")
	}
}

// userMessage returns the message for which an input that is a string is short.
func userMessage(text *jsonnode.Node) *jsonnode.Node {
	return &jsonnode.Node{
		Raw:  `{"role":"user","content":` + text.Raw + `}`,
		Keys: []string{"role", "content"}, Items: []*jsonnode.Node{{Raw: `"user"`}, text},
	}
}

// responseItem reads one item of an input: a message, or a tool use, a tool's result or reasoning, which are items of their own. It also counts
// the assistant's turns, and keeps the tool results since the last message.
func (r *Reader) responseItem(item *jsonnode.Node, in *Prompt) {
	in.countTurn(item)
	switch item.Get("type").Text() {
	case "", "message":
		in.Results = nil // those before this message are not the conversation's last
		r.responseMessage(item, in)
	case "function_call_output":
		in.open("tool")
		in.Results = append(in.Results, Result{ID: item.Get("call_id").Text(), Content: TextsOf(item.Get("output"))})
		in.add(r, Messages, item.Raw, r.count(in.Model, TextsOf(item.Get("output"))))
	case "function_call":
		in.open(Assistant)
		in.add(r, Messages, item.Raw, r.count(in.Model, item.Get("name").Text()+" "+item.Get("arguments").Text())+callTokens)
	case "reasoning":
		in.open(Assistant)
		n := r.count(in.Model, jsonnode.RawOf(item.Get("content"))+jsonnode.RawOf(item.Get("summary")))
		in.add(r, Messages, item.Raw, n+len(item.Get("encrypted_content").Text())/BytesOfHiddenToken)
	default: // references, and uses of tools that the service runs
		in.open(Assistant)
		in.addJSON(r, Messages, item.Raw)
	}
}

// countTurn counts one more turn if an item is the assistant's and the item before it was not: several items of the assistant in a row are one turn.
// Items without a role are the assistant's, except for the results of tools, and for references, of which it is not known whose they are.
func (in *Prompt) countTurn(item *jsonnode.Node) {
	kind := item.Get("type").Text()
	speaks := kind != "function_call_output" && kind != "item_reference"
	if kind == "" || kind == "message" {
		speaks = item.Get("role").Text() == Assistant
	}
	if speaks && !in.speaking {
		in.Turns++
	}
	in.speaking = speaks
}

// responseMessage reads a message: its content is a text or a list of parts, which have the form of those of chat completions. A message without
// content counts as JSON.
func (r *Reader) responseMessage(item *jsonnode.Node, in *Prompt) {
	in.open(item.Get("role").Text())
	content := item.Get("content")
	if content.Kind() == '"' {
		in.LastText = content.Text()
		in.addText(r, Messages, item, content) // the item identifies the block, and its text is counted
		return
	}
	for _, part := range content.List() {
		r.chatPart(part, in)
	}
	if len(content.List()) == 0 {
		in.addJSON(r, Messages, item.Raw)
	}
}

const (
	// Assistant is the role of the model in a conversation.
	Assistant = "assistant"
	// callTokens are the tokens around a tool use, besides those of its message (recorded on GPT-5.5: 27 for a use and its result)
	callTokens = 4
)

// BytesOfHiddenToken is how many bytes of encrypted reasoning count as one token: 700 to 800 bytes were recorded for 10 to 14 tokens on
// GPT-5.5 and 5.6 (2026-08).
const BytesOfHiddenToken = 16
