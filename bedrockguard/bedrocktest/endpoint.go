package bedrocktest

import "strings"

// isEndpoint reports whether an id is that of a SageMaker endpoint, which Bedrock calls for models of its marketplace.
func isEndpoint(id string) bool { return strings.HasPrefix(id, "arn:aws:sagemaker:") }

// endpointDialect is the dialect of the servers on such endpoints: a prompt or messages with the server's own settings, and a text
// completion (as recorded, 2025). There is no price by token; the bill uses that of the model in Options.Models.
func endpointDialect() dialect {
	return dialect{(*Server).parseEndpoint, endpointAnswer, endpointEvents}
}

func (s *Server) parseEndpoint(n *node, in *inference) *refusal {
	if n.get("messages") != nil {
		return s.parseChat(n, in)
	}
	text := n.get("prompt")
	if text == nil {
		text = n.get("inputs")
	}
	if text.text() == "" {
		return modelError("prompt, inputs or messages are required")
	}
	in.request.Messages, in.request.LastText, in.hidden.raw = 1, text.text(), true
	in.addText(s, messages, text, text)
	limit := n.get("max_tokens")
	if limit == nil {
		limit = n.get("parameters").get("max_new_tokens")
	}
	return in.limit(limit)
}

func completion(in *inference, text string, finish any) map[string]any {
	return map[string]any{
		"id": "", "object": "text_completion", "created": epoch, "model": in.request.AskedID[strings.LastIndexByte(in.request.AskedID, '/')+1:],
		"choices": []any{map[string]any{"index": 0, "text": text, "logprobs": nil, "finish_reason": finish}},
	}
}

func endpointAnswer(in *inference, sv served, r Reply) any {
	told := completion(in, r.Text, r.chosen(chatWords))
	told["usage"] = chatUsage(sv, r.OutputTokens)
	return told
}

func endpointEvents(in *inference, sv served, r Reply) []event {
	var events []event
	for _, piece := range r.pieces() {
		events = append(events, chunk(completion(in, piece, nil)))
	}
	last := completion(in, "", r.chosen(chatWords))
	last["usage"], last["amazon-bedrock-invocationMetrics"] = chatUsage(sv, r.OutputTokens), in.model.metrics(sv, r.OutputTokens)
	return append(events, usageChunk(last))
}
