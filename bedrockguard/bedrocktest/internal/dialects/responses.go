package dialects

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Each item of a request is a message of its own for the model: in.open begins it, and addText, addJSON or add append its content to the Prompt
// as a block: as text, as JSON, or with tokens that are counted already.

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
	var items []*jsonnode.Node
	if previous := n.Get("previous_response_id").Text(); previous != "" {
		before, ok := r.Previous(previous)
		if !ok {
			return refusal.NoResponse(previous)
		}
		items = append(items, before...)
	}
	switch input := n.Get("input"); {
	case input.Text() != "":
		// A string is short for a message of the user.
		items = append(items, &jsonnode.Node{Raw: `{"role":"user","content":` + input.Raw + `}`, Keys: []string{"role", "content"}, Items: []*jsonnode.Node{{Raw: `"user"`}, input}})
	case len(input.List()) > 0:
		items = append(items, input.List()...)
	default:
		return refusal.Invalid("input: a non-empty string or list is required")
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

// responseItem reads one item of an input: a message, or a tool use, a tool's result or reasoning, which are items of their own. It also counts
// the assistant's turns, and keeps the tool results since the last message.
func (r *Reader) responseItem(item *jsonnode.Node, in *Prompt) {
	kind := item.Get("type").Text()
	// Items without a role are the assistant's, except for the results of tools, and for references, of which it is not known whose they are.
	speaks := kind != "function_call_output" && kind != "item_reference"
	if kind == "" || kind == "message" {
		speaks = item.Get("role").Text() == Assistant
	}
	if speaks && !in.speaking { // several items in a row are one turn
		in.Turns++
	}
	in.speaking = speaks
	switch kind {
	case "function_call_output":
		in.open("tool")
		in.Results = append(in.Results, Result{ID: item.Get("call_id").Text(), Content: TextsOf(item.Get("output"))})
		in.add(r, Messages, item.Raw, r.count(in.Model, TextsOf(item.Get("output"))))
		return
	case "function_call":
		in.open(Assistant)
		in.add(r, Messages, item.Raw, r.count(in.Model, item.Get("name").Text()+" "+item.Get("arguments").Text())+callTokens)
		return
	case "reasoning":
		in.open(Assistant)
		n := r.count(in.Model, jsonnode.RawOf(item.Get("content"))+jsonnode.RawOf(item.Get("summary")))
		in.add(r, Messages, item.Raw, n+len(item.Get("encrypted_content").Text())/BytesOfHiddenToken)
		return
	case "", "message":
	default: // references, and uses of tools that the service runs
		in.open(Assistant)
		in.addJSON(r, Messages, item.Raw)
		return
	}
	role := item.Get("role").Text()
	in.Results = nil // those before this message are not the conversation's last
	in.open(role)
	content := item.Get("content")
	if content.Kind() == '"' {
		in.LastText = content.Text()
		in.addText(r, Messages, item, content)
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
