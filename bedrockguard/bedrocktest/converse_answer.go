package bedrocktest

import (
	"encoding/json"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

// converseUsage is the usage of an answer or a stream of Converse. The service reports the tokens that were read from the cache, and those
// written to it, under two names each; nil leaves a counter out. What server tools used is always reported as {}.
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

// usageJSON returns the usage of an input that was split between the cache and the rest, and of the output.
func usageJSON(in *inference, split promptcache.Split, output int) *converseUsage {
	usage := &converseUsage{InputTokens: split.Input, OutputTokens: output, TotalTokens: split.Input + output + split.Read + split.Write5m + split.Write1h}
	// Recordings up to 2026-08 show when the counters of the cache are missing: always if the model has no cache; in streams, and in each answer of
	// Nova, if the request has no cache point; and the counters of writes from Sonnet 5 if nothing was written.
	written := split.Write5m + split.Write1h
	nova := in.Model.Provider == "amazon"
	usesCache := in.Marked || split.Read+written > 0
	onlyIfUsed := nova || in.request.Operation == "converse-stream"
	if in.Model.Cache != nil && (usesCache || !onlyIfUsed) {
		usage.Read, usage.ReadCount = &split.Read, &split.Read
		if written > 0 || !strings.Contains(in.Model.ID, "sonnet-5") {
			usage.Write, usage.WriteCount = &written, &written
		}
	}
	if !nova { // Nova was recorded without details
		if split.Write1h > 0 {
			usage.Details = append(usage.Details, map[string]any{"ttl": "1h", "inputTokens": split.Write1h})
		}
		if split.Write5m > 0 {
			usage.Details = append(usage.Details, map[string]any{"ttl": "5m", "inputTokens": split.Write5m})
		}
	}
	if in.steps != nil { // the history was compacted
		usage.Iterations = iterationsJSON(in.steps)
	}
	return usage
}

// converseAnswer returns the body of an answer of Converse.
func converseAnswer(in *inference, split promptcache.Split, r Reply) any {
	out := map[string]any{
		"output":     map[string]any{"message": map[string]any{"role": "assistant", "content": converseContent(r)}},
		"stopReason": r.stop(), "usage": usageJSON(in, split, r.OutputTokens), "metrics": map[string]any{"latencyMs": r.latencyMs()},
	}
	r.addFields(out)
	return in.servedAs(out, r)
}

// converseEvents returns the events of ConverseStream. What converseAnswer has in one body stands in the last two: the stop reason and the metadata.
func converseEvents(in *inference, split promptcache.Split, r Reply) []event {
	events := []event{{"messageStart", map[string]any{"role": "assistant"}}}
	// blockEvents returns the events of one block: a start of some kinds, deltas and a stop.
	for i, b := range r.Blocks {
		events = append(events, blockEvents(i, b)...)
	}
	stop := map[string]any{"stopReason": r.stop()}
	r.addFields(stop)
	metadata := map[string]any{"usage": usageJSON(in, split, r.OutputTokens), "metrics": map[string]any{"latencyMs": r.latencyMs()}}
	return append(events, event{"messageStop", stop}, event{metadataEvent, in.servedAs(metadata, r)})
}

// addFields adds the fields that the model answers besides Converse's own.
func (r Reply) addFields(out map[string]any) {
	if r.Fields != "" {
		out["additionalModelResponseFields"] = json.RawMessage(r.Fields)
	}
}

// latencyMs returns the duration that the answer reports.
func (r Reply) latencyMs() int64 { return max(r.Latency.Milliseconds(), 1) }
