package bedrocktest

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

// r.stop returns the stop reason of a reply, in Converse's words, which Anthropic's dialect shares. usageChunk makes an event of a stream with token
// counts, which the fault MissingUsage takes out. bodyName is the model's name in an answer, and tracedAs adds to the last event what guardrails
// report.

// anthropicUsage returns the usage of an answer: how its input was split, the output tokens, and what newer models report besides. in.steps are
// the compactions of the history and the message after them, if the request was compacted.
func anthropicUsage(in *inference, split promptcache.Split, output int) map[string]any {
	usage := modelSplitJSON(in.Model, split, output)
	// Only the models of 2026, which also accept inserted system messages, report the tier and the thinking, and only of an answer with output: a
	// request that only fills the cache gets none.
	if in.Model.TakesInsertedSystem() && output > 0 {
		tier := in.by.tier
		if tier == "" || tier == "default" {
			tier = "standard"
		}
		usage["service_tier"], usage["output_tokens_details"] = tier, map[string]any{"thinking_tokens": 0}
	}
	if in.steps != nil {
		usage["iterations"] = iterationsJSON(in.steps)
	}
	return usage
}

// splitJSON reports how an input was split into the classes that are billed separately, with Anthropic's field names.
func splitJSON(split promptcache.Split, output int) map[string]any {
	return map[string]any{
		"input_tokens": split.Input, "output_tokens": output, "cache_read_input_tokens": split.Read,
		"cache_creation_input_tokens": split.Write5m + split.Write1h,
		"cache_creation":              map[string]any{"ephemeral_5m_input_tokens": split.Write5m, "ephemeral_1h_input_tokens": split.Write1h},
	}
}

// anthropicAnswer returns the body of an answer. The models of 2026, which also accept inserted system messages, report stop_details.
func anthropicAnswer(in *inference, split promptcache.Split, r Reply) any {
	content := []any{}
	for _, b := range r.Blocks {
		content = append(content, b.anthropic())
	}
	out := map[string]any{
		"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": in.bodyName(), "content": content,
		"stop_reason": r.stop(), "stop_sequence": r.stopSequence(), "usage": anthropicUsage(in, split, r.OutputTokens),
	}
	if in.Model.TakesInsertedSystem() {
		out["stop_details"] = nil
	}
	return out
}

// anthropicEvents streams an answer. Its first event has the input's usage and one token of output, all that there is by then; its last but one has
// the usage of the whole output. On Anthropic's own route the first event also has what newer models report besides.
func anthropicEvents(in *inference, split promptcache.Split, r Reply) []event {
	start := modelSplitJSON(in.Model, split, 1)
	if in.Form != "" { // Anthropic's own route
		start = anthropicUsage(in, split, 1)
	}
	events := []event{
		usageChunk(map[string]any{"type": "message_start", "message": map[string]any{
			"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": in.bodyName(), "content": []any{}, "stop_reason": nil, "stop_sequence": nil, "usage": start,
		}}),
	}
	for i, b := range r.Blocks {
		events = append(events, anthropicBlock(i, b)...)
	}
	usage := map[string]any{"output_tokens": r.OutputTokens}
	if in.steps != nil {
		usage["iterations"] = iterationsJSON(in.steps)
	}
	return append(events,
		usageChunk(map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": r.stop(), "stop_sequence": r.stopSequence()}, "usage": usage}),
		usageChunk(in.tracedAs(map[string]any{"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics(in.Model, split, r.OutputTokens)}, r)))
}

// modelSplitJSON is splitJSON without the fields of the cache, if the model has none.
func modelSplitJSON(m *modeltable.Model, split promptcache.Split, output int) map[string]any {
	usage := splitJSON(split, output)
	if m.Cache == nil {
		for _, key := range []string{"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"} {
			delete(usage, key)
		}
	}
	return usage
}

// metrics is what Bedrock itself adds to the last chunk of every dialect. The latencies are made up.
func metrics(m *modeltable.Model, split promptcache.Split, output int) map[string]any {
	out := map[string]any{
		"inputTokenCount": split.Input, "outputTokenCount": output, "invocationLatency": 2, "firstByteLatency": 1,
	}
	if m.Cache != nil {
		out["cacheReadInputTokenCount"], out["cacheWriteInputTokenCount"] = split.Read, split.Write5m+split.Write1h
	}
	return out
}
