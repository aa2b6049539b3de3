package bedrocktest

import (
	"encoding/json"
	"strings"
)

// usageJSON is the usage of Converse and its stream.
func usageJSON(in *inference, sv served, output int) map[string]any {
	usage := map[string]any{
		"inputTokens": sv.input, "outputTokens": output, "totalTokens": sv.input + output + sv.read + sv.write5m + sv.write1h,
		"serverToolUsage": map[string]any{},
	}
	// The counters are left out where there is no cache, by streams and by Nova for requests without a point, and by Sonnet 5 where
	// nothing was written (as recorded to 2026-08).
	written := sv.write5m + sv.write1h
	nova := in.model.Provider == "amazon"
	asked := in.marked || sv.read+written > 0
	if in.model.Cache != nil && (asked || in.request.Operation != "converse-stream" && !nova) {
		usage["cacheReadInputTokens"], usage["cacheReadInputTokenCount"] = sv.read, sv.read
		if written > 0 || !strings.Contains(in.model.ID, "sonnet-5") {
			usage["cacheWriteInputTokens"], usage["cacheWriteInputTokenCount"] = written, written
		}
	}
	var details []any
	if sv.write1h > 0 {
		details = append(details, map[string]any{"ttl": "1h", "inputTokens": sv.write1h})
	}
	if sv.write5m > 0 {
		details = append(details, map[string]any{"ttl": "5m", "inputTokens": sv.write5m})
	}
	if details != nil && !nova { // which was recorded without them
		usage["cacheDetails"] = details
	}
	if in.steps != nil {
		usage["iterations"] = iterationsJSON(in.steps)
	}
	return usage
}

func converseAnswer(in *inference, sv served, r Reply) any {
	told := map[string]any{
		"output":     map[string]any{"message": map[string]any{"role": "assistant", "content": converseContent(r)}},
		"stopReason": r.stop(), "usage": usageJSON(in, sv, r.OutputTokens), "metrics": map[string]any{"latencyMs": r.latencyMs()},
	}
	r.addFields(told)
	return in.servedAs(told, r)
}

func converseEvents(in *inference, sv served, r Reply) []event {
	events := []event{{"messageStart", map[string]any{"role": "assistant"}}}
	for i, b := range r.Blocks {
		events = append(events, blockEvents(i, b)...)
	}
	stop := map[string]any{"stopReason": r.stop()}
	r.addFields(stop)
	metadata := map[string]any{"usage": usageJSON(in, sv, r.OutputTokens), "metrics": map[string]any{"latencyMs": r.latencyMs()}}
	return append(events, event{"messageStop", stop}, event{metadataEvent, in.servedAs(metadata, r)})
}

// addFields tells the fields that the model answers beside Converse's own.
func (r Reply) addFields(told map[string]any) {
	if r.Fields != "" {
		told["additionalModelResponseFields"] = json.RawMessage(r.Fields)
	}
}

// latencyMs is what the answer tells of its duration.
func (r Reply) latencyMs() int64 { return max(r.Latency.Milliseconds(), 1) }
