package bedrocktest

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

// isEndpoint reports whether an id is that of a SageMaker endpoint, which Bedrock calls for models of its marketplace.
func isEndpoint(id string) bool { return strings.HasPrefix(id, "arn:aws:sagemaker:") }

// endpointDialect is the dialect of the servers on such endpoints: a prompt or messages with the server's own settings, and a text
// completion (as recorded, 2025). There is no price by token; the bill uses that of the model in Options.Models.
func endpointDialect() dialect {
	return dialect{(*dialects.Reader).ParseEndpoint, endpointAnswer, endpointEvents}
}

func completion(in *inference, text string, finish any) map[string]any {
	return map[string]any{
		"id": "", "object": "text_completion", "created": epoch, "model": in.request.AskedID[strings.LastIndexByte(in.request.AskedID, '/')+1:],
		"choices": []any{map[string]any{"index": 0, "text": text, "logprobs": nil, "finish_reason": finish}},
	}
}

func endpointAnswer(in *inference, sv promptcache.Split, r Reply) any {
	told := completion(in, r.Text, r.chosen(chatWords))
	told["usage"] = chatUsage(sv, r.OutputTokens)
	return told
}

func endpointEvents(in *inference, sv promptcache.Split, r Reply) []event {
	var events []event
	for _, piece := range r.pieces() {
		events = append(events, chunk(completion(in, piece, nil)))
	}
	last := completion(in, "", r.chosen(chatWords))
	last["usage"], last["amazon-bedrock-invocationMetrics"] = chatUsage(sv, r.OutputTokens), metrics(in.Model, sv, r.OutputTokens)
	return append(events, usageChunk(last))
}
