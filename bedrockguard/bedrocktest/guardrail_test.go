package bedrocktest

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

// allPolicies is what one text unit costs under all policies, in nano-USD.
const allPolicies = 670_000

// TestEnforcedGuardrailsAreBilledAndTold in each form that an answer has.
func TestEnforcedGuardrailsAreBilledAndTold(t *testing.T) {
	newServer := func() *Server {
		return New(t, Options{CountTokens: perByte, Reply: sevenTokens, EnforcedGuardrails: []string{"gr-org"}})
	}
	ctx := context.Background()
	p := ask(opus46).user(say(sized("x", 1001)))
	server := newServer()
	out, err := newClient(server).Converse(ctx, &p.in)
	require.NoError(t, err)
	assert.EqualValues(t, (2+1)*allPolicies, server.Bill().Guardrails, "two units of text and one of the answer")
	assert.EqualValues(t, 2, *out.Trace.Guardrail.InputAssessment["gr-org"].InvocationMetrics.Usage.TopicPolicyUnits)
	assert.EqualValues(t, 1, *out.Trace.Guardrail.OutputAssessments["gr-org"][0].InvocationMetrics.Usage.ContentPolicyUnits)

	server = newServer()
	stream, err := newClient(server).ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: p.in.ModelId, Messages: p.in.Messages})
	require.NoError(t, err)
	told := false
	for e := range stream.GetStream().Events() {
		if m, ok := e.(*types.ConverseStreamOutputMemberMetadata); ok {
			told = m.Value.Trace.Guardrail.InputAssessment["gr-org"].InvocationMetrics != nil
		}
	}
	assert.True(t, told)

	server = newServer()
	answer, err := invoke(server, opus46, claudeBody)
	require.NoError(t, err)
	requireHolds(t, `{"amazon-bedrock-trace":{"guardrail":{"actionReason":"No action.","input":{"gr-org":{"appliedGuardrailDetails":{"guardrailId":"gr-org"}}}}}}`, string(answer.Body))
	all := chunks(t, server, opus46, claudeBody)
	assert.Contains(t, string(all[len(all)-1]), `"amazon-bedrock-trace"`)
	assert.EqualValues(t, 2*2*allPolicies, server.Bill().Guardrails)
	assert.Equal(t, server.Bill().NanoUSD, server.Bill().Guardrails+server.Bill().Input.NanoUSD+server.Bill().Output.NanoUSD)
}

// TestNamedGuardrailIsBilledWithAndWithoutATrace: a request that names one pays whether the answer tells or not.
func TestNamedGuardrailIsBilledWithAndWithoutATrace(t *testing.T) {
	for _, trace := range []types.GuardrailTrace{types.GuardrailTraceEnabled, types.GuardrailTraceDisabled} {
		server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
		p := ask(opus46).user(say("q"))
		p.in.GuardrailConfig = &types.GuardrailConfiguration{GuardrailIdentifier: aws.String("own"), GuardrailVersion: aws.String("1"), Trace: trace}
		out, err := newClient(server).Converse(context.Background(), &p.in)
		require.NoError(t, err)
		assert.EqualValues(t, 2*allPolicies, server.Bill().Guardrails)
		assert.Equal(t, trace == types.GuardrailTraceEnabled, out.Trace != nil)
	}
}

// TestApplyGuardrailIsBilledByTheText: each text begins units of its own.
func TestApplyGuardrailIsBilledByTheText(t *testing.T) {
	server := New(t, Options{})
	text := func(n int) types.GuardrailContentBlock {
		return &types.GuardrailContentBlockMemberText{Value: types.GuardrailTextBlock{Text: aws.String(sized("x", n))}}
	}
	out, err := newClient(server).ApplyGuardrail(context.Background(), &bedrockruntime.ApplyGuardrailInput{
		GuardrailIdentifier: aws.String("g"), GuardrailVersion: aws.String("1"), Source: types.GuardrailContentSourceInput,
		Content: []types.GuardrailContentBlock{text(1000), text(1001), text(1)},
	})
	require.NoError(t, err)
	assert.EqualValues(t, 4, *out.Usage.ContentPolicyUnits)
	assert.EqualValues(t, 4*allPolicies, server.Bill().NanoUSD)
	assert.Equal(t, "apply-guardrail", server.Inferences()[0].Operation)
}

// TestAnotherModelAnswersAtItsPrice, named in each dialect that names one.
func TestAnotherModelAnswersAtItsPrice(t *testing.T) {
	const fable = "anthropic.claude-fable-5"
	for name, served := range map[string]string{"an id": fable, "an ARN": "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us." + fable} {
		t.Run(name, func(t *testing.T) {
			server := New(t, Options{CountTokens: perByte, Reply: sevenTokens, Serve: func(r Request) Served {
				assert.NotEmpty(t, r.ModelID)
				return Served{Model: served}
			}})
			out, err := newClient(server).Converse(context.Background(), &ask(sonnet5).user(say("q")).in)
			require.NoError(t, err)
			assert.Equal(t, served, *out.Trace.PromptRouter.InvokedModelId)
			assert.EqualValues(t, 5*11000+7*55000, server.Bill().NanoUSD)
			assert.Equal(t, fable, server.Inferences()[0].ModelID)
			assert.Equal(t, bare(sonnet5), server.Inferences()[0].AskedModelID)
			answer, err := invoke(server, sonnet5, claudeBody)
			require.NoError(t, err)
			var body struct{ Model string }
			require.NoError(t, json.Unmarshal(answer.Body, &body))
			assert.Equal(t, "claude-fable-5", body.Model)
			assert.Contains(t, string(chunks(t, server, sonnet5, claudeBody)[0]), `"model":"claude-fable-5"`)
			_, err = invoke(server, "meta.llama3-8b-instruct-v1:0", `{"prompt":"hello"}`)
			require.NoError(t, err)
			assert.Equal(t, "meta.llama3-8b-instruct-v1:0", server.Inferences()[3].ModelID, "a dialect that names no model answers as asked")
		})
	}
}

// TestAnotherTierAndModeServe, reported and billed.
func TestAnotherTierAndModeServe(t *testing.T) {
	server := New(t, Options{CountTokens: perByte, Reply: sevenTokens, Serve: func(Request) Served {
		return Served{Tier: "priority", Latency: "optimized"}
	}})
	out, err := newClient(server).Converse(context.Background(), &ask(novaPro).user(say("hello")).in)
	require.NoError(t, err)
	assert.Equal(t, types.ServiceTierTypePriority, out.ServiceTier.Type)
	assert.Equal(t, types.PerformanceConfigLatencyOptimized, out.PerformanceConfig.Latency)
	assert.EqualValues(t, 9*1750+7*7000, server.Bill().NanoUSD, "the optimised price of 1.00 and 4.00, times 1.75")
	answer, err := invoke(server, novaPro, novaBody)
	require.NoError(t, err)
	assert.Equal(t, "priority", headers(t, answer).Get("X-Amzn-Bedrock-Service-Tier"))
	assert.Equal(t, "optimized", headers(t, answer).Get("X-Amzn-Bedrock-PerformanceConfig-Latency"))
}

// TestDearerOfTwoTiersCounts: one in the header, one in the body.
func TestDearerOfTwoTiersCounts(t *testing.T) {
	server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
	_, err := newClient(server).InvokeModel(context.Background(), &bedrockruntime.InvokeModelInput{
		ModelId: aws.String(gptOSS), Body: []byte(chatBody[:len(chatBody)-1] + `,"service_tier":"priority"}`), ServiceTier: types.ServiceTierTypeFlex,
	})
	require.NoError(t, err)
	assert.Equal(t, "priority", server.Inferences()[0].Tier)
}

// TestTiersGoByModelAndRegion: published prices are whole cents, so that the ratio differs by region.
func TestTiersGoByModelAndRegion(t *testing.T) {
	m, _, _, _ := modeltable.Lookup(gptOSS, nil)
	assert.EqualValues(t, 1750, m.TierFactor("priority", "us-east-1"))
	assert.EqualValues(t, 1783, m.TierFactor("priority", "eu-west-2"))
	assert.EqualValues(t, 1000, m.TierFactor("", "eu-west-2"))
	none, _, _, _ := modeltable.Lookup("cohere.command-r-v1:0", nil)
	assert.EqualValues(t, 2000, none.TierFactor("priority", "us-east-1"), "the dearest of the table")
}
