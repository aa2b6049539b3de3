package catalog

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// An answer that names a dearer model than the one asked for must be recognised in whatever way it is spelled.
func TestAnsweredKnowsTheSpellings(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"claude-fable-5-1":                   "anthropic.claude-fable-5-1",
		"claude-fable-5":                     "anthropic.claude-fable-5",
		"Claude-Fable-5-1":                   "anthropic.claude-fable-5-1",
		"claude-fable-5-1-20261001":          "anthropic.claude-fable-5-1",
		"claude-fable-5.1":                   "anthropic.claude-fable-5-1",
		"anthropic/claude-fable-5.1":         "anthropic.claude-fable-5-1",
		"claude-sonnet-4-5-20250929":         "anthropic.claude-sonnet-4-5-20250929-v1:0",
		"claude-sonnet-4-5":                  "anthropic.claude-sonnet-4-5-20250929-v1:0",
		"anthropic.claude-sonnet-4-5":        "anthropic.claude-sonnet-4-5-20250929-v1:0",
		"claude-sonnet-4-5-latest":           "anthropic.claude-sonnet-4-5-20250929-v1:0",
		"claude-sonnet-4-5-20250929-v1":      "anthropic.claude-sonnet-4-5-20250929-v1:0",
		"global.anthropic.claude-sonnet-4-5": "anthropic.claude-sonnet-4-5-20250929-v1:0",
		"claude-opus-4-1":                    "anthropic.claude-opus-4-1-20250805-v1:0",
		"claude-opus-4":                      "anthropic.claude-opus-4-20250514-v1:0",
		"claude-opus-4-6":                    "anthropic.claude-opus-4-6-v1",
		"claude-haiku-4-5":                   "anthropic.claude-haiku-4-5-20251001-v1:0",
		"claude-3-5-sonnet-20240620":         "anthropic.claude-3-5-sonnet-20240620-v1:0",
		"claude-3-5-sonnet-20241022":         "anthropic.claude-3-5-sonnet-20241022-v2:0",
		"claude-3-5-haiku":                   "anthropic.claude-3-5-haiku-20241022-v1:0",
		"claude-v2":                          "anthropic.claude-v2:1",
		"gpt-oss-120b":                       "openai.gpt-oss-120b-1:0",
		"gpt-oss-120b-1":                     "openai.gpt-oss-120b-1:0",
		"openai.gpt-oss-120b-1:0":            "openai.gpt-oss-120b-1:0",
		"openai/gpt-oss-20b":                 "openai.gpt-oss-20b-1:0",
		"gpt-5.6-luna":                       "openai.gpt-5.6-luna",
		"gpt-5.6-luna-2026-08-21":            "openai.gpt-5.6-luna",
		"openai.gpt-6.1-sol":                 "openai.gpt-6.1-sol",
		"in.openai.gpt-5.6-luna":             "openai.gpt-5.6-luna",
		"mistral-large-2407":                 "mistral.mistral-large-2407-v1:0",
		"mistral-large-2402-v1:0":            "mistral.mistral-large-2402-v1:0",
		"pixtral-large-2502":                 "mistral.pixtral-large-2502-v1:0",
		"voxtral-mini-3b":                    "mistral.voxtral-mini-3b-2507",
		"deepseek-r1":                        "deepseek.r1-v1:0",
		"DeepSeek-V3.2":                      "deepseek.v3.2",
		"deepseek-ai/DeepSeek-V3.2":          "deepseek.v3.2",
		"qwen3-32b":                          "qwen.qwen3-32b-v1:0",
		"Qwen/Qwen3-32B":                     "qwen.qwen3-32b-v1:0",
		"Qwen3-Next-80B-A3B-Instruct":        "qwen.qwen3-next-80b-a3b",
		"kimi-k2-thinking":                   "moonshot.kimi-k2-thinking",
		"moonshotai.kimi-k2-thinking":        "moonshot.kimi-k2-thinking",
		"kimi-k3":                            "moonshotai.kimi-k3",
		"glm-4.7-flash":                      "zai.glm-4.7-flash",
		"nova-pro":                           "amazon.nova-pro-v1:0",
		"amazon.nova-pro":                    "amazon.nova-pro-v1:0",
		"us.amazon.nova-pro-v1:0":            "amazon.nova-pro-v1:0",
		"amazon.nova-pro-v1:0:300k":          "amazon.nova-pro-v1:0",
		"nova-2-pro-preview":                 "amazon.nova-2-pro-preview-20251202-v1:0",
		"llama-3.1-70b-instruct":             "meta.llama3-1-70b-instruct-v1:0",
		"meta-llama/Llama-3.1-8B-Instruct":   "meta.llama3-1-8b-instruct-v1:0",
		"command-r-plus":                     "cohere.command-r-plus-v1:0",
		"embed-english-v3":                   "cohere.embed-english-v3",
		"jamba-1.5-large":                    "ai21.jamba-1-5-large-v1:0",
		"us%2Eamazon.nova-pro-v1%3A0":        "amazon.nova-pro-v1:0",
		"arn:aws:bedrock:us-west-2::foundation-model/amazon.nova-pro-v1":                                        "amazon.nova-pro-v1:0",
		"arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-3-5-sonnet-20240620-v1:0": "anthropic.claude-3-5-sonnet-20240620-v1:0",
		"arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-3-5-sonnet-20240620":      "anthropic.claude-3-5-sonnet-20240620-v1:0",
	}
	c := Default()
	for name, want := range tests {
		r, ok := c.Answered(name, "us-west-2")
		if assert.True(t, ok, name) {
			assert.Equal(t, want, r.ModelID, name)
			assert.True(t, c.SameModel(resolved(t, want, "us-west-2"), name), name)
		}
	}
	assert.GreaterOrEqual(t, len(tests), 40)
	for _, name := range []string{
		"", "unknown", "claude-fable-6", "gpt-9", "acme.large-v1", "claude", "anthropic.", "...", "-", "claude\x00", "nova-canvas",
		strings.Repeat("claude-fable-5-1", 1000), "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123", "arn:", "v1:0", "cl\u0430ude-fable-5-1",
	} {
		r, ok := c.Answered(name, "us-east-1")
		if name == "claude" { // the first generations are called so
			assert.Equal(t, "anthropic.claude-v2:1", r.ModelID)
			continue
		}
		assert.False(t, ok, name)
		assert.Nil(t, r, name)
	}
}

// A name that several models fit costs what the dearest of them does, class by class.
func TestAnsweredTakesTheDearestOfAnAmbiguousName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"mistral-large":           "mistral.mistral-large-2402-v1:0", // 4/12 against 2/6
		"titan-embed-text":        "amazon.titan-embed-text-v1",      // 0.1 against 0.02
		"amazon.titan-embed-text": "amazon.titan-embed-text-v1",
	} {
		r, ok := Default().Answered(name, "us-east-1")
		require.True(t, ok, name)
		assert.Equal(t, want, r.ModelID, name)
	}
	c, err := Default().With(
		Model{ID: "acme.sage-20260101-v1:0", MaxOutputTokens: 1, Price: price.Price{Rates: price.Rates{Input: 9, Output: 1}}},
		Model{ID: "acme.sage-20260201-v1:0", MaxOutputTokens: 1, Price: price.Price{Rates: price.Rates{Input: 1, Output: 20}}},
	)
	require.NoError(t, err)
	r, ok := c.Answered("sage", "us-east-1")
	require.True(t, ok)
	assert.Equal(t, "acme.sage-20260201-v1:0", r.ModelID)
	assert.Equal(t, price.Rates{Input: 9, Output: 20, CacheRead: 9, CacheWrite5m: 9, CacheWrite1h: 9}, r.Price.Rates)
}

// Every model is recognised without its provider and without its version, or taken for one that is as dear.
func TestEveryModelIsRecognisedByItsShortNames(t *testing.T) {
	t.Parallel()
	c := Default()
	for m := range c.Models() {
		if !m.metered() {
			continue
		}
		_, bare, _ := strings.Cut(m.ID, ".")
		unversioned := levelsOf(m.ID)[2]
		for _, name := range []string{m.ID, bare, unversioned, withoutProvider(unversioned), strings.ToUpper(bare)} {
			r, ok := c.Answered(name, "us-east-1")
			if !assert.True(t, ok, name) {
				continue
			}
			own := resolved(t, m.ID, "us-east-1")
			for class, rate := range classesOf(own.Price.Rates) {
				assert.GreaterOrEqual(t, classesOf(r.Price.Rates)[class], rate, "%s: %s", name, classNames()[class])
			}
			assert.True(t, c.SameModel(own, name), name)
		}
	}
}

func TestSameModel(t *testing.T) {
	t.Parallel()
	const app = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123"
	c, err := Default().Map(map[string]string{app: "eu.anthropic.claude-sonnet-5"})
	require.NoError(t, err)
	for _, tt := range []struct {
		asked, name string
		want        bool
	}{
		{"us.anthropic.claude-sonnet-5", "claude-sonnet-5", true},
		{"us.anthropic.claude-sonnet-5", "global.anthropic.claude-sonnet-5", true},
		{"us.anthropic.claude-sonnet-5", app, true},
		{app, "claude-sonnet-5", true},
		{"us.anthropic.claude-sonnet-5", "claude-fable-5", false},
		{"us.anthropic.claude-sonnet-5", "claude-sonnet-5-5", false},
		{"us.anthropic.claude-sonnet-5", "claude-sonnet-4-5-20250929", false},
		{"us.anthropic.claude-sonnet-5", "", false},
		{"us.anthropic.claude-sonnet-5", "unknown", false},
		{"anthropic.claude-3-5-sonnet-20240620-v1:0", "claude-3-5-sonnet", true},
		{"anthropic.claude-3-5-sonnet-20240620-v1:0", "claude-3-5-sonnet-20240620", true},
		{"anthropic.claude-3-5-sonnet-20240620-v1:0", "claude-3-5-sonnet-20241022", false},
		{"mistral.mistral-large-2407-v1:0", "mistral-large-2407", true},
		{"mistral.mistral-large-2407-v1:0", "mistral-large-2402", false},
		{"amazon.nova-pro-v1:0", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0", true},
		{"amazon.nova-pro-v1:0", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-premier-v1:0", false},
		{"openai.gpt-oss-120b-1:0", "gpt-oss-20b", false},
	} {
		r, err := c.Resolve(tt.asked, "us-east-1")
		require.NoError(t, err)
		assert.Equal(t, tt.want, c.SameModel(r, tt.name), "%s answered by %q", tt.asked, tt.name)
	}
}

func TestAnsweredAndSameModelDoNotAllocateTwice(t *testing.T) {
	c := Default()
	asked := resolved(t, "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-east-1")
	_, ok := c.Answered("claude-sonnet-4-5", "us-east-1")
	require.True(t, ok)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = c.Answered("claude-sonnet-4-5", "us-east-1") }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = c.SameModel(asked, "claude-sonnet-4-5") }))
}

// Globs over model ids must match the model behind every form of its id, whether it has a price or not.
func TestFoundationID(t *testing.T) {
	t.Parallel()
	const app = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123"
	c, err := Default().Map(map[string]string{app: "eu.anthropic.claude-sonnet-5"})
	require.NoError(t, err)
	for id, want := range map[string]string{
		"anthropic.claude-sonnet-5":           "anthropic.claude-sonnet-5",
		"us.anthropic.claude-sonnet-5":        "anthropic.claude-sonnet-5",
		"us.anthropic.claude-sonnet-5-v1":     "anthropic.claude-sonnet-5",
		app:                                   "anthropic.claude-sonnet-5",
		"openai.gpt-oss-120b":                 "openai.gpt-oss-120b-1:0",
		"amazon.nova-canvas-v1:0":             "amazon.nova-canvas-v1:0",
		"us.stability.stable-image-core-v1:0": "stability.stable-image-core-v1:1",
		"amazon.nova-pro-v1%3A0":              "amazon.nova-pro-v1:0",
		"acme.large-v1":                       "acme.large-v1",
		"us.acme.large-v1":                    "acme.large-v1",
		"global.acme.large-v1":                "acme.large-v1",
		"us-gov.acme.large-v1":                "acme.large-v1",
		"mars.acme.large-v1":                  "mars.acme.large-v1",
		"mars.anthropic.claude-sonnet-5":      "anthropic.claude-sonnet-5",
		"us.":                                 "us.",
		"":                                    "",
		"a b":                                 "a b",
		"arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-canvas-v1:0":       "amazon.nova-canvas-v1:0",
		"arn:aws:bedrock:us-east-1::foundation-model/acme.large-v1":                 "acme.large-v1",
		"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.acme.large-v1": "acme.large-v1",
		"arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123":           "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123",
		"arn:aws:sagemaker:us-east-1:123456789012:endpoint/llm":                     "arn:aws:sagemaker:us-east-1:123456789012:endpoint/llm",
	} {
		assert.Equal(t, want, c.FoundationID(id), id)
	}
}

func FuzzAnswered(f *testing.F) {
	for _, seed := range []string{"claude-sonnet-4-5-20250929", "us.amazon.nova-pro", "a/b.c-v1:0", "-2407", "-v", ":", "x-20"} {
		f.Add(seed, "us-east-1")
	}
	c := Default()
	f.Fuzz(func(t *testing.T, name, region string) {
		r, ok := c.Answered(name, region)
		require.Equal(t, ok, r != nil)
		if !ok {
			return
		}
		require.True(t, r.Model.metered())
		again, _ := c.Answered(name, region)
		require.Equal(t, r, again)
		_, models := c.means(name)
		require.True(t, slices.ContainsFunc(models, func(f found) bool { return f.model.ID == r.ModelID }))
		require.True(t, c.SameModel(r, name), "%q is not its own answer", name)
	})
}
