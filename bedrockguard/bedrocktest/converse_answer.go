package bedrocktest

import (
	"encoding/json"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

// converseUsage returns the usage of an answer or a stream of Converse.
type converseUsage struct {
	InputTokens     int      `json:"inputTokens"`
	OutputTokens    int      `json:"outputTokens"`
	TotalTokens     int      `json:"totalTokens"`
	ServerToolUsage struct{} `json:"serverToolUsage"`
	Read            *int     `json:"cacheReadInputTokens,omitempty"`
	ReadCount       *int     `json:"cacheReadInputTokenCount,omitempty"`
	Write           *int     `json:"cacheWriteInputTokens,omitempty"`
	WriteCount      *int     `json:"cacheWriteInputTokenCount,omitempty"`
	Details         []any    `json:"cacheDetails,omitempty"`
	Iterations      any      `json:"iterations,omitempty"`
}

func usageJSON(in *inference, sv promptcache.Split, output int) *converseUsage {
	usage := &converseUsage{InputTokens: sv.Input, OutputTokens: output, TotalTokens: sv.Input + output + sv.Read + sv.Write5m + sv.Write1h}
	// The counters are missing if there is no cache, in streams and from Nova for requests without a point, and from Sonnet 5 if nothing was
	// written (as recorded up to 2026-08).
	written := sv.Write5m + sv.Write1h
	nova := in.Model.Provider == "amazon"
	asked := in.Marked || sv.Read+written > 0
	if in.Model.Cache != nil && (asked || in.request.Operation != "converse-stream" && !nova) {
		usage.Read, usage.ReadCount = &sv.Read, &sv.Read
		if written > 0 || !strings.Contains(in.Model.ID, "sonnet-5") {
			usage.Write, usage.WriteCount = &written, &written
		}
	}
	if !nova { // it was recorded without details
		if sv.Write1h > 0 {
			usage.Details = append(usage.Details, map[string]any{"ttl": "1h", "inputTokens": sv.Write1h})
		}
		if sv.Write5m > 0 {
			usage.Details = append(usage.Details, map[string]any{"ttl": "5m", "inputTokens": sv.Write5m})
		}
	}
	if in.steps != nil {
		usage.Iterations = iterationsJSON(in.steps)
	}
	return usage
}

func converseAnswer(in *inference, sv promptcache.Split, r Reply) any {
	told := map[string]any{
		"output":     map[string]any{"message": map[string]any{"role": "assistant", "content": converseContent(r)}},
		"stopReason": r.stop(), "usage": usageJSON(in, sv, r.OutputTokens), "metrics": map[string]any{"latencyMs": r.latencyMs()},
	}
	r.addFields(told)
	return in.servedAs(told, r)
}

func converseEvents(in *inference, sv promptcache.Split, r Reply) []event {
	events := []event{{"messageStart", map[string]any{"role": "assistant"}}}
	for i, b := range r.Blocks {
		events = append(events, blockEvents(i, b)...)
	}
	stop := map[string]any{"stopReason": r.stop()}
	r.addFields(stop)
	metadata := map[string]any{"usage": usageJSON(in, sv, r.OutputTokens), "metrics": map[string]any{"latencyMs": r.latencyMs()}}
	return append(events, event{"messageStop", stop}, event{metadataEvent, in.servedAs(metadata, r)})
}

// addFields adds the fields that the model answers besides Converse's own.
func (r Reply) addFields(told map[string]any) {
	if r.Fields != "" {
		told["additionalModelResponseFields"] = json.RawMessage(r.Fields)
	}
}

// latencyMs returns the duration that the answer reports.
func (r Reply) latencyMs() int64 { return max(r.Latency.Milliseconds(), 1) }
