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
	// The input.
	a.prompt, a.embedded, a.unseen = r.Prompt, r.Embedded, r.Unseen
	a.texts, a.images, a.documentImages, a.videos, a.audios, a.Queries = r.Texts, r.Images, r.DocumentImages, r.Videos, r.Audios, r.Queries
	a.toolPoints, a.storedPictures = r.ToolPoints, r.StoredPictures
	// The output.
	a.MaxOutput, a.ExtraOutput, a.Thinking, a.choices, a.compacts = r.MaxTokens, r.ExtraTokens, r.Thinking, r.Choices, r.Compacts
	// NoOutput: the body has a limit of zero, by which Anthropic's models only read the prompt into their cache. A MaxOutput of zero says that there
	// is no limit, and stays for models of other makers, which may ignore such a limit.
	if r.NoOutput && r.MaxTokens == 0 && strings.HasPrefix(modelID, "anthropic.") {
		a.MaxOutput = 1
	}
	// What changes the price.
	a.Writes = r.CacheWrites
	a.Tiers = [3]string{string(tier), r.ServiceTier, r.OtherTier}
	a.latency = dearerLatency(strings.ToLower(string(latency)), r.Latency)
	a.Guardrail = guardrail
	if r.Guardrail { // the body itself names a guardrail, whose id is not read
		a.Guardrail = cmp.Or(guardrail, unnamedGuardrail)
	}
	a.features(&r)
	return nil
}

// dearerLatency returns the dearer one of the latency modes that the header and the body of a request name; empty if neither names one.
func dearerLatency(header, body string) string {
	if header == LatencyOptimized {
		return header
	}
	return cmp.Or(body, header)
}
