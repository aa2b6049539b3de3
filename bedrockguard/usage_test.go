package bedrockguard_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

const (
	novaPro  = "us.amazon.nova-pro-v1:0"
	gptOSS   = "openai.gpt-oss-120b-1:0"
	longText = 3000 // repetitions: beyond the least that any model caches
)

func longPrompt() string {
	return strings.Repeat("The ledger holds what the service bills. ", longText/4)
}

// requireMetered checks one call without faults: billed to the nano-USD, within its bound, and not estimated.
func (r *rig) requireMetered(t *testing.T, calls int) {
	t.Helper()
	r.requireExact(t)
	require.Positive(t, r.server.Bill().NanoUSD)
	settled := r.events.of(bedrockguard.EventSettled)
	require.Len(t, settled, calls)
	for i, e := range settled {
		in := r.server.Inferences()[i]
		unit, exceeds := e.Actual.Exceeds(&e.Worst)
		assert.False(t, exceeds, "%s exceed the worst case", unit)
		assert.False(t, e.Estimated)
		assert.Equal(t, in.ModelID, e.Model)
		assert.Equal(t, in.NanoUSD, e.Actual[1], "nano-USD of one call")
	}
	assert.Empty(t, r.events.of(bedrockguard.EventEstimateViolated))
}

// invokeBodies holds a request in each dialect of InvokeModel.
func invokeBodies() []struct {
	model, body string
	streams     bool
} {
	return []struct {
		model, body string
		streams     bool
	}{
		{sonnet, anthropicBody("hello"), true},
		{"us.anthropic.claude-opus-4-6-v1", anthropicBody("hello"), true},
		{"global.anthropic.claude-haiku-4-5-20251001-v1:0", anthropicBody("hello"), true},
		{novaPro, `{"schemaVersion":"messages-v1","inferenceConfig":{"maxTokens":50},"messages":[{"role":"user","content":[{"text":"hello"}]}]}`, true},
		{"us.amazon.nova-lite-v1:0", `{"inferenceConfig":{"max_new_tokens":50},"messages":[{"role":"user","content":[{"text":"hello"}]}]}`, true},
		{"amazon.titan-embed-text-v2:0", `{"inputText":"a text to embed"}`, false},
		{"amazon.titan-text-express-v1", `{"inputText":"a text to go on with","textGenerationConfig":{"maxTokenCount":60}}`, false},
		{"cohere.embed-english-v3", `{"texts":["one text","another text"],"input_type":"search_document"}`, false},
		{"us.meta.llama3-3-70b-instruct-v1:0", `{"prompt":"hello there","max_gen_len":64}`, true},
		{"mistral.mistral-large-2402-v1:0", `{"prompt":"<s>[INST] hello [/INST]","max_tokens":64}`, false},
		{gptOSS, `{"max_completion_tokens":64,"messages":[{"role":"user","content":"hello"}]}`, true},
		{"qwen.qwen3-32b-v1:0", `{"max_tokens":64,"messages":[{"role":"user","content":"hello"}]}`, true},
	}
}

func TestInvokeModelIsMetered(t *testing.T) {
	ctx := context.Background()
	for _, tt := range invokeBodies() {
		t.Run(tt.model, func(t *testing.T) {
			r := newRig(t, settings{})
			require.NoError(t, invoke(ctx, r.client, tt.model, tt.body))
			r.requireMetered(t, 1)
			if tt.streams {
				require.NoError(t, invokeStream(ctx, r.client, tt.model, tt.body))
				r.requireMetered(t, 2)
			}
		})
	}
}

func TestConverseIsMetered(t *testing.T) {
	ctx := context.Background()
	models := []string{
		sonnet, "us.anthropic.claude-opus-4-6-v1", "global.anthropic.claude-sonnet-4-6", novaPro, "us.meta.llama3-3-70b-instruct-v1:0",
		"mistral.mistral-large-2402-v1:0", gptOSS, "us-gov." + gptOSS, "deepseek.v3.2", "arn:aws:bedrock:us-east-1::foundation-model/" + bareSonnet,
	}
	for _, model := range models {
		t.Run(model, func(t *testing.T) {
			r := newRig(t, settings{server: bedrocktest.Options{Without: []bedrocktest.Rule{bedrocktest.RuleProfileOnly, bedrocktest.RuleRegionOfProfile}}})
			in, stream := converseInput("hello"), streamInput("hello")
			in.ModelId, stream.ModelId = aws.String(model), aws.String(model)
			_, err := r.client.Converse(ctx, in)
			require.NoError(t, err)
			require.NoError(t, converseStream(ctx, r.client, stream))
			r.requireMetered(t, 2)
		})
	}
}

// TestCacheClassesAreMetered writes a prefix to the prompt cache and reads it back.
func TestCacheClassesAreMetered(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		model string
		ttl   types.CacheTTL
	}{{sonnet, ""}, {sonnet, types.CacheTTLFiveMinutes}, {"us.anthropic.claude-opus-4-6-v1", types.CacheTTLOneHour}, {novaPro, ""}} {
		t.Run(tt.model+"/"+string(tt.ttl), func(t *testing.T) {
			r := newRig(t, settings{})
			system := []types.SystemContentBlock{
				&types.SystemContentBlockMemberText{Value: longPrompt()},
				&types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: tt.ttl}},
			}
			for range 2 {
				in, stream := converseInput("hello"), streamInput("hello")
				in.ModelId, in.System, stream.ModelId, stream.System = aws.String(tt.model), system, aws.String(tt.model), system
				_, err := r.client.Converse(ctx, in)
				require.NoError(t, err)
				require.NoError(t, converseStream(ctx, r.client, stream))
			}
			r.requireMetered(t, 4)
			bill := r.server.Bill()
			assert.Positive(t, bill.CacheWrite.Tokens)
			assert.Greater(t, bill.CacheRead.Tokens, bill.CacheWrite.Tokens)
		})
	}
	for _, ttl := range []string{``, `,"ttl":"5m"`, `,"ttl":"1h"`} {
		t.Run("InvokeModel"+ttl, func(t *testing.T) {
			r := newRig(t, settings{})
			model := "us.anthropic.claude-haiku-4-5-20251001-v1:0"
			body := fmt.Sprintf(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"system":[{"type":"text","text":%q,"cache_control":{"type":"ephemeral"%s}}],"messages":[{"role":"user","content":"hello"}]}`, longPrompt(), ttl)
			for range 2 {
				require.NoError(t, invoke(ctx, r.client, model, body))
				require.NoError(t, invokeStream(ctx, r.client, model, body))
			}
			r.requireMetered(t, 4)
			assert.Positive(t, r.server.Bill().CacheRead.Tokens)
		})
	}
}

func TestTiersAreMetered(t *testing.T) {
	ctx := context.Background()
	body := `{"max_completion_tokens":64,"messages":[{"role":"user","content":"hello"}]}`
	for _, tier := range []types.ServiceTierType{types.ServiceTierTypeDefault, types.ServiceTierTypeFlex, types.ServiceTierTypePriority} {
		t.Run(string(tier), func(t *testing.T) {
			r := newRig(t, settings{})
			in, stream := converseInput("hello"), streamInput("hello")
			in.ModelId, stream.ModelId = aws.String(gptOSS), aws.String(gptOSS)
			in.ServiceTier = &types.ServiceTier{Type: tier}
			stream.ServiceTier = in.ServiceTier
			_, err := r.client.Converse(ctx, in)
			require.NoError(t, err)
			require.NoError(t, converseStream(ctx, r.client, stream))
			_, err = r.client.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: in.ModelId, Body: []byte(body), ServiceTier: tier})
			require.NoError(t, err)
			r.requireMetered(t, 3)
		})
	}
}

// TestLatencyOptimizedFallsBack: the simulator never has optimised capacity, says so, and bills the standard rates.
func TestLatencyOptimizedFallsBack(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, settings{})
	in, stream := converseInput("hello"), streamInput("hello")
	in.ModelId, stream.ModelId = aws.String(novaPro), aws.String(novaPro)
	in.PerformanceConfig = &types.PerformanceConfiguration{Latency: types.PerformanceConfigLatencyOptimized}
	stream.PerformanceConfig = in.PerformanceConfig
	_, err := r.client.Converse(ctx, in)
	require.NoError(t, err)
	require.NoError(t, converseStream(ctx, r.client, stream))
	r.requireMetered(t, 2)
	optimized, standard := r.events.of(bedrockguard.EventReserved)[0], newRig(t, settings{})
	in.PerformanceConfig = nil
	_, err = standard.client.Converse(ctx, in)
	require.NoError(t, err)
	assert.Greater(t, optimized.Worst[1], standard.events.of(bedrockguard.EventReserved)[0].Worst[1], "the dearer mode is set aside")
}

// TestRandomFaultsAreCovered runs every operation through every fault, retries on, and compares the two books.
func TestRandomFaultsAreCovered(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newRig(t, settings{server: bedrocktest.Options{Faults: bedrocktest.RandomFaults(seed, 0.4), StallLimit: 1}})
			for range 8 {
				for _, op := range operations() {
					_ = op.call(context.Background(), r.client)
				}
			}
			r.requireCovered(t)
			assert.Equal(t, len(r.events.of(bedrockguard.EventReserved)), len(r.resolutions()))
		})
	}
}
