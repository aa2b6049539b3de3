package bedrocktest

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

// In answers, r.chosen and r.stop return the stop reason: in the family's words, or in Converse's. chunk makes an event of a stream, and usageChunk
// one with token counts, which the fault MissingUsage takes out. metrics are the counts that Bedrock itself adds to the last event.

// isEndpoint reports whether an id is that of a SageMaker endpoint, which Bedrock calls for models of its marketplace.
func isEndpoint(id string) bool { return strings.HasPrefix(id, "arn:aws:sagemaker:") }

// endpointDialect is the dialect of the servers on such endpoints: a prompt or messages with the server's own settings, and a text completion (as
// recorded, 2025). Such an endpoint has no price by token; the bill uses the price of the model that Options.Models names in Like.
func endpointDialect() dialect {
	return dialect{(*dialects.Reader).ParseEndpoint, endpointAnswer, endpointEvents}
}

// completion returns a text completion. finish is the finish reason, nil in all chunks of a stream but the last; the model's name is the last
// part of the endpoint's ARN.
func completion(in *inference, text string, finish any) map[string]any {
	return map[string]any{
		"id": "", "object": "text_completion", "created": epoch, "model": in.request.AskedID[strings.LastIndexByte(in.request.AskedID, '/')+1:],
		"choices": []any{map[string]any{"index": 0, "text": text, "logprobs": nil, "finish_reason": finish}},
	}
}

// endpointAnswer returns a text completion with its usage.
func endpointAnswer(in *inference, split promptcache.Split, r Reply) any {
	out := completion(in, r.Text, r.chosen(chatWords))
	out["usage"] = chatUsage(split, r.OutputTokens)
	return out
}

// endpointEvents streams an answer: the pieces of its text, and a last chunk with the usage and Bedrock's metrics. Guardrails are not reported in it.
func endpointEvents(in *inference, split promptcache.Split, r Reply) []event {
	events := r.chunks(func(piece string) map[string]any { return completion(in, piece, nil) })
	last := completion(in, "", r.chosen(chatWords))
	last["usage"], last["amazon-bedrock-invocationMetrics"] = chatUsage(split, r.OutputTokens), metrics(in.Model, split, r.OutputTokens)
	return append(events, usageChunk(last))
}
