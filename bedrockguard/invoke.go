package bedrockguard

import (
	"cmp"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// readInvoke reads a request body in the dialect of its model's provider. A body that can't be understood is refused: it
// could not be bounded.
func (a *ask) readInvoke(modelID string, body []byte, guardrail string, tier types.ServiceTierType, latency types.PerformanceConfigLatency) error {
	r, err := wire.ParseRequest(modelID, body)
	if err != nil {
		return err
	}
	a.media, a.embedded, a.maxOutput, a.choices, a.writes = r.Prompt, r.Embedded, r.MaxTokens, r.Choices, r.CacheWrites
	a.tier, a.latency, a.unpriced, a.queries, a.images = string(tier), string(latency), r.Unpriced, r.Queries, r.Images
	if a.tier == "" || a.tier == string(types.ServiceTierTypeDefault) {
		a.tier = cmp.Or(r.ServiceTier, a.tier)
	}
	if guardrail != "" {
		a.unpriced = "the guardrail"
	}
	return nil
}

// malformed reports a field of a typed input. The reason must not quote what the field holds.
func malformed(field, reason string) error { return &MalformedError{Field: field, Reason: reason} }
