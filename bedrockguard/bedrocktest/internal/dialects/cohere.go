package dialects

import (
	"encoding/json"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// DocumentFrame is how many tokens the prompt template of Cohere's chat models adds to each document: a heading, its number and the names of its
// fields. Measured on the public template of Command R (2026-11): 2,000 documents of 32 bytes each are rendered to some 40,000 tokens.
const DocumentFrame = 20

// ParseCohereChat parses the bodies of Command R: a message, the history before it, and documents on which to base the answer. n is the body, in the
// Prompt that is filled with blocks of text (addText, which takes two nodes: the one that identifies the block in the cache, and the text in it,
// which may be the same) and JSON (addJSON). in.limit sets the output limit from a field of the request; nil means that the request has none.
func (r *Reader) ParseCohereChat(n *jsonnode.Node, in *Prompt) *refusal.Error {
	err := n.Only("the request", "message", "chat_history", "documents", "preamble", "max_tokens", "temperature", "p", "k", "tools", "tool_results",
		"stop_sequences", "seed", "search_queries_only", "prompt_truncation", "citation_quality", "return_prompt", "raw_prompting")
	if err != nil {
		return err
	}
	message := n.Get("message")
	if message.Text() == "" {
		return refusal.Invalid("message: a non-empty string is required")
	}
	if err := in.limit(n.Get("max_tokens")); err != nil {
		return err
	}
	if preamble := n.Get("preamble"); preamble.Text() != "" {
		in.addText(r, System, preamble, preamble)
	}
	// The model has no prompt cache, for whose order tools would have a section of their own.
	for _, t := range n.Get("tools").List() {
		in.addJSON(r, Messages, t.Raw)
		in.tool(r, t)
	}
	for _, d := range n.Get("documents").List() {
		in.addJSON(r, Messages, d.Raw).Tokens += DocumentFrame
	}
	r.cohereTurns(n.Get("chat_history").List(), message, in)
	return nil
}

// cohereTurns reads the history, which the answer repeats (in.History), and the message after it. in.open begins a message.
func (r *Reader) cohereTurns(history []*jsonnode.Node, message *jsonnode.Node, in *Prompt) {
	for _, m := range history {
		in.open(m.Get("role").Text())
		in.addText(r, Messages, m, m.Get("message"))
		in.History = append(in.History, json.RawMessage(m.Raw))
	}
	in.open("USER")
	in.MessageCount, in.LastText = len(history)+1, message.Text()
	in.addText(r, Messages, message, message)
}

// ParseCohereText parses the bodies of Command. Recordings of 2024 show that the prompt is billed once for each generation that is asked for
// (in.repeats).
func (r *Reader) ParseCohereText(n *jsonnode.Node, in *Prompt) *refusal.Error {
	members := []string{"prompt", "max_tokens", "temperature", "p", "k", "stop_sequences", "return_likelihoods", "stream", "num_generations", "truncate"}
	if err := Plain(members, "max_tokens")(r, n, in); err != nil {
		return err
	}
	if generations, ok := n.Get("num_generations").Number(); ok {
		if generations < 1 || generations > maxGenerations {
			return refusal.Invalid("num_generations must be between 1 and %d", maxGenerations)
		}
		in.Choices, in.repeats = generations, generations
	}
	return nil
}

// maxGenerations is the most that num_generations may ask for.
const maxGenerations = 5
