package bedrocktest

// documentFrame is what the template of Cohere's chat models writes around each document, in tokens: a heading, its number and the
// names of its fields. Measured on the public template of Command R (2026-11): 2,000 documents of 32 bytes each are rendered to some
// 40,000 tokens.
const documentFrame = 20

// parseCohereChat reads the bodies of Command R: a message, the history before it, and documents to answer from.
func (s *Server) parseCohereChat(n *node, in *inference) *refusal {
	err := n.only("the request", "message", "chat_history", "documents", "preamble", "max_tokens", "temperature", "p", "k", "tools", "tool_results",
		"stop_sequences", "seed", "search_queries_only", "prompt_truncation", "citation_quality", "return_prompt", "raw_prompting")
	if err != nil {
		return err
	}
	message := n.get("message")
	if message.text() == "" {
		return invalid("message: a non-empty string is required")
	}
	if err := in.limit(n.get("max_tokens")); err != nil {
		return err
	}
	if preamble := n.get("preamble"); preamble.text() != "" {
		in.addText(s, system, preamble, preamble)
	}
	for _, t := range n.get("tools").list() {
		in.addJSON(s, messages, t.raw)
		in.tool(s, t)
	}
	for _, d := range n.get("documents").list() {
		in.addJSON(s, messages, d.raw).tokens += documentFrame
	}
	history := n.get("chat_history").list()
	for _, m := range history {
		in.open(m.get("role").text())
		in.addText(s, messages, m, m.get("message"))
	}
	in.open("USER")
	in.request.Messages, in.request.LastText = len(history)+1, message.text()
	in.addText(s, messages, message, message)
	return nil
}

// cohereChatAnswer tells no tokens: the header is the only source.
func cohereChatAnswer(_ *inference, _ served, r Reply) any {
	return map[string]any{"response_id": "1", "generation_id": "1", "text": r.Text, "finish_reason": r.chosen(cohereWords)}
}

func cohereChatEvents(in *inference, sv served, r Reply) []event {
	var events []event
	for _, piece := range r.pieces() {
		events = append(events, chunk(map[string]any{"event_type": "text-generation", "is_finished": false, "text": piece}))
	}
	return append(events, chunkMeta(in.tracedAs(map[string]any{
		"event_type": "stream-end", "is_finished": true, "finish_reason": r.chosen(cohereWords), "amazon-bedrock-invocationMetrics": in.model.metrics(sv, r.OutputTokens),
	}, r)))
}

func cohereTextAnswer(_ *inference, _ served, r Reply) any {
	return map[string]any{"id": "1", "generations": []any{map[string]any{"id": "1", "text": r.Text, "finish_reason": r.chosen(cohereWords)}}}
}
