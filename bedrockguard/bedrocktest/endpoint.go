package bedrocktest

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// isEndpoint reports whether an id is that of a SageMaker endpoint, which Bedrock calls for models of its marketplace.
func isEndpoint(id string) bool { return strings.HasPrefix(id, "arn:aws:sagemaker:") }

// endpointDialect is the dialect of the servers on such endpoints: a prompt or messages with the server's own settings, and a text
// completion (as recorded, 2025). There is no price by token; the bill uses that of the model in Options.Models.
func endpointDialect() dialect {
	return dialect{(*Server).parseEndpoint, endpointAnswer, endpointEvents}
}

func (s *Server) parseEndpoint(n *jsonnode.Node, in *inference) *refusal.Error {
	if n.Get("messages") != nil {
		return s.parseChat(n, in)
	}
	text := n.Get("prompt")
	if text == nil {
		text = n.Get("inputs")
	}
	if text.Text() == "" {
		return refusal.ModelError("prompt, inputs or messages are required")
	}
	in.request.Messages, in.request.LastText, in.hidden.raw = 1, text.Text(), true
	in.addText(s, messages, text, text)
	limit := n.Get("max_tokens")
	if limit == nil {
		limit = n.Get("parameters").Get("max_new_tokens")
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
	last["usage"], last["amazon-bedrock-invocationMetrics"] = chatUsage(sv, r.OutputTokens), metrics(in.model, sv, r.OutputTokens)
	return append(events, usageChunk(last))
}
