package bedrocktest

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

func anthropicUsage(in *inference, sv promptcache.Split, output int) map[string]any {
	usage := modelSplitJSON(in.Model, sv, output)
	if in.Model.TakesInsertedSystem() && output > 0 { // only the models of 2026 report these
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
func splitJSON(sv promptcache.Split, output int) map[string]any {
	return map[string]any{
		"input_tokens": sv.Input, "output_tokens": output, "cache_read_input_tokens": sv.Read,
		"cache_creation_input_tokens": sv.Write5m + sv.Write1h,
		"cache_creation":              map[string]any{"ephemeral_5m_input_tokens": sv.Write5m, "ephemeral_1h_input_tokens": sv.Write1h},
	}
}

func anthropicAnswer(in *inference, sv promptcache.Split, r Reply) any {
	content := []any{}
	for _, b := range r.Blocks {
		content = append(content, b.anthropic())
	}
	told := map[string]any{
		"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": in.bodyName(), "content": content,
		"stop_reason": r.stop(), "stop_sequence": r.stopSequence(), "usage": anthropicUsage(in, sv, r.OutputTokens),
	}
	if in.Model.TakesInsertedSystem() {
		told["stop_details"] = nil
	}
	return told
}

func anthropicEvents(in *inference, sv promptcache.Split, r Reply) []event {
	start := modelSplitJSON(in.Model, sv, 1)
	if in.Form != "" {
		start = anthropicUsage(in, sv, 1)
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
		usageChunk(in.tracedAs(map[string]any{"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics(in.Model, sv, r.OutputTokens)}, r)))
}

// modelSplitJSON is splitJSON without the fields of the cache, if the model has none.
func modelSplitJSON(m *modeltable.Model, sv promptcache.Split, output int) map[string]any {
	usage := splitJSON(sv, output)
	if m.Cache == nil {
		for _, key := range []string{"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"} {
			delete(usage, key)
		}
	}
	return usage
}

// metrics is what Bedrock itself adds to the last chunk of every dialect.
func metrics(m *modeltable.Model, sv promptcache.Split, output int) map[string]any {
	told := map[string]any{
		"inputTokenCount": sv.Input, "outputTokenCount": output, "invocationLatency": 2, "firstByteLatency": 1,
	}
	if m.Cache != nil {
		told["cacheReadInputTokenCount"], told["cacheWriteInputTokenCount"] = sv.Read, sv.Write5m+sv.Write1h
	}
	return told
}
