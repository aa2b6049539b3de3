package bedrockguard

import (
	"cmp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
)

// readInvoke reads a request body, in InvokeModel's dialect of its model's provider or in another one. A body that can't be parsed is refused, because its cost has no
// bound.
func (a *demand) readInvoke(d cost.Dialect, modelID string, body []byte, guardrail string, tier types.ServiceTierType, latency types.PerformanceConfigLatency) error {
	r, err := cost.ParseRequestIn(d, modelID, body)
	if err != nil {
		return err
	}
	a.prompt, a.embedded, a.maxOutput, a.thinking, a.choices, a.writes = r.Prompt, r.Embedded, r.MaxTokens, r.Thinking, r.Choices, r.CacheWrites
	if r.NoOutput && r.MaxTokens == 0 && strings.HasPrefix(modelID, "anthropic.") {
		a.maxOutput = 1 // it generates no text: the prompt is only read into the cache
	}
	a.videos, a.audios, a.documentImages = r.Videos, r.Audios, r.DocumentImages
	a.queries, a.images, a.texts, a.compacts = r.Queries, r.Images, r.Texts, r.Compacts
	a.tiers = [3]string{string(tier), r.ServiceTier, r.OtherTier}
	a.extraOutput = r.ExtraTokens
	a.latency = cmp.Or(strings.ToLower(string(latency)), r.Latency)
	if a.latency != latencyOptimized {
		a.latency = cmp.Or(r.Latency, a.latency)
	}
	if a.guardrail = guardrail; r.Guardrail {
		a.guardrail = cmp.Or(a.guardrail, unnamedGuardrail)
	}
	a.unseen, a.toolPoints, a.storedPictures = r.Unseen, r.ToolPoints, r.StoredPictures
	a.features(&r)
	return nil
}

// malformed returns the error for a field of a typed input. The reason must not quote the field's value.
func malformed(field, reason string) error {
	return &request.MalformedError{Field: field, Reason: reason}
}
