package pricing

import (
	"cmp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
)

// ReadInvoke fills in what a request body asks for: a body in InvokeModel's dialect, which is that of the model's maker, or in another one.
// guardrail, tier and latency are what the request's headers name. Where a body asks for the same in another place, the dearer may count, and so
// either is kept. A body that can't be parsed is refused, because its cost has no bound.
func (a *Demand) ReadInvoke(d cost.Dialect, modelID string, body []byte, guardrail string, tier types.ServiceTierType, latency types.PerformanceConfigLatency) error {
	r, err := cost.ParseRequestIn(d, modelID, body)
	if err != nil {
		return err
	}
	a.prompt, a.embedded, a.MaxOutput, a.Thinking, a.choices, a.Writes = r.Prompt, r.Embedded, r.MaxTokens, r.Thinking, r.Choices, r.CacheWrites
	// NoOutput: the body asks for no tokens at all, which Anthropic's models allow. A limit of zero would say that none was set.
	if r.NoOutput && r.MaxTokens == 0 && strings.HasPrefix(modelID, "anthropic.") {
		a.MaxOutput = 1 // it generates no text: the prompt is only read into the cache
	}
	a.videos, a.audios, a.documentImages = r.Videos, r.Audios, r.DocumentImages
	a.Queries, a.images, a.texts, a.compacts = r.Queries, r.Images, r.Texts, r.Compacts
	a.Tiers = [3]string{string(tier), r.ServiceTier, r.OtherTier}
	a.ExtraOutput = r.ExtraTokens
	// The header's mode counts if it is the dearer one. Otherwise the body's counts, if there is one.
	a.latency = cmp.Or(strings.ToLower(string(latency)), r.Latency)
	if a.latency != LatencyOptimized { // the body may ask for that, which is dearer
		a.latency = cmp.Or(r.Latency, a.latency)
	}
	// r.Guardrail says that the body itself names a guardrail, whose id is not read.
	if a.Guardrail = guardrail; r.Guardrail {
		a.Guardrail = cmp.Or(a.Guardrail, unnamedGuardrail)
	}
	a.unseen, a.toolPoints, a.storedPictures = r.Unseen, r.ToolPoints, r.StoredPictures
	a.features(&r)
	return nil
}
