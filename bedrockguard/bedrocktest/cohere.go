package bedrocktest

import (
	"encoding/json"
	"strconv"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// documentFrame is how many tokens the prompt template of Cohere's chat models adds to each document: a heading, its number and the names of its
// fields. Measured on the public template of Command R (2026-11): 2,000 documents of 32 bytes each are rendered to some 40,000 tokens.
const documentFrame = 20

// parseCohereChat parses the bodies of Command R: a message, the history before it, and documents on which to base the answer.
func (s *Server) parseCohereChat(n *jsonnode.Node, in *inference) *refusal.Error {
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
		in.addText(s, system, preamble, preamble)
	}
	for _, t := range n.Get("tools").List() {
		in.addJSON(s, messages, t.Raw)
		in.tool(s, t)
	}
	for _, d := range n.Get("documents").List() {
		in.addJSON(s, messages, d.Raw).tokens += documentFrame
	}
	history := n.Get("chat_history").List()
	for _, m := range history {
		in.open(m.Get("role").Text())
		in.addText(s, messages, m, m.Get("message"))
		in.history = append(in.history, json.RawMessage(m.Raw))
	}
	in.open("USER")
	in.request.Messages, in.request.LastText = len(history)+1, message.Text()
	in.addText(s, messages, message, message)
	return nil
}

// cohereFinish returns the reply's stop reason in Cohere's words. Unlike other families, Cohere has a word for a stop sequence.
func (r Reply) cohereFinish() string {
	if r.stop() == "stop_sequence" {
		return "STOP_SEQUENCE"
	}
	return r.chosen(cohereWords)
}

// cohereChatAnswer returns an answer, which has no token counts: only the response headers have them. Tool uses are in a field of their own.
func cohereChatAnswer(in *inference, _ served, r Reply) any {
	id := "cohere-" + strconv.Itoa(r.seq)
	history := append(in.history[:len(in.history):len(in.history)],
		map[string]any{"role": "USER", "message": in.request.LastText}, map[string]any{"role": "CHATBOT", "message": r.Text})
	body := map[string]any{"response_id": id, "generation_id": id, "text": r.Text, "finish_reason": r.cohereFinish(), "chat_history": history}
	if calls := cohereCalls(r); calls != nil {
		body["tool_calls"] = calls
	}
	return body
}

// cohereCalls returns the reply's uses of tools, or nil.
func cohereCalls(r Reply) (calls []any) {
	for _, b := range r.Blocks {
		if b.Tool != nil {
			calls = append(calls, map[string]any{"name": b.Tool.Name, "parameters": json.RawMessage(b.Tool.Input)})
		}
	}
	return calls
}

// cohereChatEvents streams an answer: the pieces of its text, its uses of tools, and a last event with the whole answer and Bedrock's metrics.
func cohereChatEvents(in *inference, sv served, r Reply) []event {
	var events []event
	for _, piece := range r.pieces() {
		events = append(events, chunk(map[string]any{"event_type": "text-generation", "is_finished": false, "text": piece}))
	}
	if calls := cohereCalls(r); calls != nil {
		events = append(events, chunk(map[string]any{"event_type": "tool-calls-generation", "is_finished": false, "tool_calls": calls}))
	}
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"event_type": "stream-end", "is_finished": true, "finish_reason": r.cohereFinish(), "response": cohereChatAnswer(in, sv, r),
		"amazon-bedrock-invocationMetrics": metrics(in.model, sv, r.OutputTokens),
	}, r)))
}

// parseCohereText parses the bodies of Command. Its prompt is billed once for each generation (as recorded, 2024).
func (s *Server) parseCohereText(n *jsonnode.Node, in *inference) *refusal.Error {
	members := []string{"prompt", "max_tokens", "temperature", "p", "k", "stop_sequences", "return_likelihoods", "stream", "num_generations", "truncate"}
	if err := plain(members, "max_tokens")(s, n, in); err != nil {
		return err
	}
	if generations, ok := n.Get("num_generations").Number(); ok {
		if generations < 1 || generations > maxGenerations {
			return refusal.Invalid("num_generations must be between 1 and %d", maxGenerations)
		}
		in.choices, in.repeats = generations, generations
	}
	return nil
}

// maxGenerations is the most that num_generations may ask for.
const maxGenerations = 5

func cohereTextAnswer(in *inference, _ served, r Reply) any {
	id := "cohere-" + strconv.Itoa(r.seq)
	generations := []any{}
	for i := range max(in.choices, 1) {
		generations = append(generations, map[string]any{"id": id + "-" + strconv.Itoa(i), "text": r.Text, "finish_reason": r.cohereFinish()})
	}
	return map[string]any{"id": id, "prompt": in.request.LastText, "generations": generations}
}

// cohereTextEvents streams one generation: the pieces of its text, then an event with the finish reason and Bedrock's metrics. Unlike
// cohereTextAnswer it does not repeat the text for num_generations.
func cohereTextEvents(in *inference, sv served, r Reply) []event {
	var events []event
	for _, piece := range r.pieces() {
		events = append(events, chunk(map[string]any{"is_finished": false, "text": piece}))
	}
	return append(events, usageChunk(in.tracedAs(map[string]any{
		"is_finished": true, "finish_reason": r.cohereFinish(), "amazon-bedrock-invocationMetrics": metrics(in.model, sv, r.OutputTokens),
	}, r)))
}
