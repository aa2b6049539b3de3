package bedrockguard

import (
	"cmp"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// askOfInvoke reads a request body in the dialect of its model's provider. A body that can't be understood is refused: it
// could not be bounded.
func askOfInvoke(modelID string, body []byte, guardrail bool, tier types.ServiceTierType, latency types.PerformanceConfigLatency) (ask, error) {
	r, err := wire.ParseRequest(modelID, body)
	if err != nil {
		return ask{}, err
	}
	a := ask{
		media: r.Prompt, maxOutput: r.MaxTokens, choices: r.Choices, writes: r.CacheWrites,
		tier: string(tier), latency: string(latency), unpriced: r.Unpriced, queries: r.Queries, images: r.Images,
		prompt: func() (tokens.Prompt, error) { return r.Prompt, nil },
	}
	if a.tier == "" || a.tier == string(types.ServiceTierTypeDefault) {
		a.tier = cmp.Or(r.ServiceTier, a.tier)
	}
	if guardrail {
		a.unpriced = "the guardrail"
	}
	return a, nil
}

// malformed reports a field of a typed input. The reason must not quote what the field holds.
func malformed(field, reason string) error { return &MalformedError{Field: field, Reason: reason} }
