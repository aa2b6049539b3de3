package chain

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// settleConverse settles an answer to Converse from the SDK's decoded output: parsing its bytes again would cost as much as the rest of the
// guard's work. A test compares it with wire.ParseUsage.
func (g *Guard) settleConverse(ctx context.Context, a *attempt, out *bedrockruntime.ConverseOutput) {
	reported, ok := decodedUsage(a.call, out)
	if !ok {
		g.finish(ctx, a, event.OutcomeNoUsage)
		return
	}
	g.settleUsage(ctx, a, &reported)
}

// decodedUsage returns what the answer reports of its cost, and false if it lacks a count of tokens or the counts can't be true. The provider
// decides how the counts are read. Demand.Writes, the cache points that the request has asked for, decides the lifetime of those cache writes for
// which CacheDetails tells none.
func decodedUsage(c *Call, out *bedrockruntime.ConverseOutput) (wire.Reported, bool) {
	u := out.Usage
	if u == nil || u.InputTokens == nil || u.OutputTokens == nil {
		return wire.Reported{}, false
	}
	counts := decodedCounts(u)
	// The error is that of counts that are negative or too high to be true.
	reported, err := wire.FromConverse(c.Provider, c.Demand.Writes, &counts)
	if err != nil {
		return wire.Reported{}, false
	}
	if out.ServiceTier != nil {
		reported.ServiceTier = strings.ToLower(string(out.ServiceTier.Type))
	}
	if out.PerformanceConfig != nil {
		reported.Latency = strings.ToLower(string(out.PerformanceConfig.Latency))
	}
	if out.Trace != nil {
		decodedTrace(&reported, out.Trace)
	}
	return reported, true
}

// decodedCounts returns the counts of an answer, zero for those that are missing. The total shows whether the input count includes the cached tokens,
// and whether the counts fit together.
func decodedCounts(u *types.TokenUsage) wire.ConverseUsage {
	counts := wire.ConverseUsage{
		InputTokens: tokenCount(u.InputTokens), OutputTokens: tokenCount(u.OutputTokens), TotalTokens: tokenCount(u.TotalTokens),
		CacheReadInputTokens: tokenCount(u.CacheReadInputTokens), CacheWriteInputTokens: tokenCount(u.CacheWriteInputTokens),
	}
	for _, d := range u.CacheDetails {
		if d.Ttl == types.CacheTTLFiveMinutes {
			counts.CacheWrite5mTokens += tokenCount(d.InputTokens)
		} else { // an hour, or a lifetime that is not known yet: the dearer price
			counts.CacheWrite1hTokens += tokenCount(d.InputTokens)
		}
	}
	return counts
}

// decodedTrace adds what a trace shows: the model that a prompt router chose, and what guardrails have evaluated.
func decodedTrace(r *wire.Reported, trace *types.ConverseTrace) {
	if trace.PromptRouter != nil && trace.PromptRouter.InvokedModelId != nil {
		// Name is empty for a name that can't be printed safely.
		r.Model, r.Routed = wire.Name(*trace.PromptRouter.InvokedModelId), true
	}
	if trace.Guardrail == nil {
		return
	}
	// By guardrail: one assessment of the input, and several of the output, which is evaluated in parts.
	for id, assessment := range trace.Guardrail.InputAssessment {
		decodedAssessment(r, id, &assessment)
	}
	for id, all := range trace.Guardrail.OutputAssessments {
		for i := range all {
			decodedAssessment(r, id, &all[i])
		}
	}
}

// decodedAssessment adds the units that one guardrail's assessment reports.
func decodedAssessment(r *wire.Reported, id string, a *types.GuardrailAssessment) {
	if a.InvocationMetrics == nil || a.InvocationMetrics.Usage == nil {
		return
	}
	u := a.InvocationMetrics.Usage
	r.AddGuardrail(id, [wire.NumGuardrailUnits]int64{
		wire.GuardrailContent:                  tokenCount(u.ContentPolicyUnits),
		wire.GuardrailTopic:                    tokenCount(u.TopicPolicyUnits),
		wire.GuardrailWord:                     tokenCount(u.WordPolicyUnits),
		wire.GuardrailSensitiveInformation:     tokenCount(u.SensitiveInformationPolicyUnits),
		wire.GuardrailSensitiveInformationFree: tokenCount(u.SensitiveInformationPolicyFreeUnits),
		wire.GuardrailContextualGrounding:      tokenCount(u.ContextualGroundingPolicyUnits),
		wire.GuardrailAutomatedReasoning:       tokenCount(u.AutomatedReasoningPolicyUnits),
		wire.GuardrailContentImage:             tokenCount(u.ContentPolicyImageUnits),
	})
}

// tokenCount returns an optional count of the SDK's, of tokens or of units; nil is zero.
func tokenCount(n *int32) int64 {
	if n == nil {
		return 0
	}
	return int64(*n)
}
