package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// inOut checks the input and the output rate, in USD per million tokens.
func inOut(t *testing.T, id, region, input, output string) {
	t.Helper()
	t.Run(id+"@"+region, func(t *testing.T) {
		r, err := Default().Resolve(id, region)
		require.NoError(t, err)
		in, err := parseDecimal(input, scalePicoPerMTok)
		require.NoError(t, err)
		out, err := parseDecimal(output, scalePicoPerMTok)
		require.NoError(t, err)
		assert.Equal(t, price.PicoUSD(in), r.Price.Rates.Input, "input")
		assert.Equal(t, price.PicoUSD(out), r.Price.Rates.Output, "output")
	})
}

// These models were charged the price of us-east-1 in every region.
func TestNoRegionIsChargedTheUSPriceWhereItsOwnIsDearer(t *testing.T) {
	inOut(t, "openai.gpt-oss-120b-1:0", "eu-west-2", "0.23", "0.93")
	inOut(t, "openai.gpt-oss-120b-1:0", "eu-central-1", "0.2", "0.79")
	inOut(t, "openai.gpt-oss-120b-1:0", "sa-east-1", "0.18", "0.73")
	inOut(t, "deepseek.v3-v1:0", "eu-west-2", "0.9", "2.6069")
	inOut(t, "qwen.qwen3-32b-v1:0", "ap-northeast-1", "0.18", "0.73")
	inOut(t, "qwen.qwen3-next-80b-a3b", "eu-west-1", "0.18", "1.41")
}

// The table of this model listed US regions alone, and so the dearest entry was the US price.
func TestATableOfUSRegionsAloneDoesNotPriceOthers(t *testing.T) {
	inOut(t, "zai.glm-5", "eu-west-2", "1.55", "4.96")
	r, err := Default().Resolve("zai.glm-5", "eu-west-2")
	require.NoError(t, err)
	cost, err := r.Price.Cost(price.Usage{InputTokens: 1_000_000, OutputTokens: 1_000}, price.TierStandard)
	require.NoError(t, err)
	assert.Equal(t, price.Amount(1_554_960_000), cost)
}

// A geography had one price, and a global profile the same one wherever it was called from.
func TestAGeographyIsNotOnePrice(t *testing.T) {
	inOut(t, "amazon.nova-2-lite-v1:0", "eu-central-1", "0.429", "3.597")
	inOut(t, "eu.amazon.nova-2-lite-v1:0", "eu-central-1", "0.429", "3.597")
	inOut(t, "global.amazon.nova-2-lite-v1:0", "ap-northeast-1", "0.36", "3.01")
}

// GovCloud had one factor, 1.2, for every maker.
func TestGovCloudIsNotOneFactor(t *testing.T) {
	inOut(t, "openai.gpt-5.4", "us-gov-west-1", "3.3", "19.8")
	inOut(t, "openai.gpt-5.6-terra", "us-gov-west-1", "2.64", "15.84")
	inOut(t, "openai.gpt-5.6-luna", "us-gov-west-1", "0.264", "1.584")
	inOut(t, "xai.grok-4.6", "us-gov-west-1", "2.64", "7.92")
	inOut(t, "xai.grok-4.7", "us-gov-east-1", "2.64", "7.92")
	inOut(t, "moonshotai.kimi-k3", "us-gov-west-1", "3.96", "19.8")
}

// Each tier had one factor for every model, 1.75 and 0.5.
func TestAServiceTierIsNotOneFactor(t *testing.T) {
	for id, want := range map[string]struct{ priority, flex price.Tier }{
		"qwen.qwen3-next-80b-a3b":      {1858, 522},
		"nvidia.nemotron-nano-9b-v2":   {1834, 522},
		"nvidia.nemotron-nano-3-30b":   {1834, 500},
		"mistral.voxtral-mini-3b-2507": {1834, 600},
		"openai.gpt-5.6-luna":          {2000, 500},
		"openai.gpt-oss-20b-1:0":       {1819, 546}, // rounded to whole cents a million tokens in this region
		"openai.gpt-oss-120b-1:0":      {1783, 522},
		"google.gemma-3-27b-it":        {1764, 522},
		"google.gemma-3-12b-it":        {1778, 556},
	} {
		t.Run(id, func(t *testing.T) {
			r := resolved(t, id, "eu-west-2")
			assert.Equal(t, want.priority, r.ServedTier("priority"), "priority")
			assert.Equal(t, want.flex, r.ServedTier("flex"), "flex")
		})
	}
}

// A call without a limit of its own reserves the model's maximum, and these were too small.
func TestNoMaximumOutputIsTooSmall(t *testing.T) {
	for id, want := range map[string]int64{
		"anthropic.claude-sonnet-4-6":           128_000,
		"amazon.nova-2-lite-v1:0":               131_072,
		"mistral.mistral-large-3-675b-instruct": 32_768,
		"zai.glm-5":                             131_072,
		"meta.llama3-1-70b-instruct-v1:0":       4_096,
		"moonshotai.kimi-k3":                    131_072,
		"mistral.devstral-2-123b":               32_768,
		"openai.gpt-oss-120b-1:0":               131_072,
		"deepseek.v3.2":                         163_840,
	} {
		t.Run(id, func(t *testing.T) { assert.Equal(t, want, resolved(t, id, "us-east-1").Model.MaxOutputTokens) })
	}
}

// A context window cuts the bound on a prompt, and these were too small.
func TestNoContextWindowIsTooSmall(t *testing.T) {
	for id, want := range map[string]int64{
		"meta.llama4-scout-17b-instruct-v1:0": 10_000_000,
		"qwen.qwen3-coder-480b-a35b-v1:0":     262_144,
		"writer.palmyra-x4-v1:0":              128_000,
		"mistral.devstral-2-123b":             262_144,
	} {
		t.Run(id, func(t *testing.T) { assert.Equal(t, want, resolved(t, id, "us-east-1").Model.MaxInputTokens) })
	}
}

// These prices were those of another tier or of an earlier year, and refused calls that there was money for.
func TestNoPriceIsStaleAndTooDear(t *testing.T) {
	inOut(t, "amazon.nova-2-pro-v1:0", "us-east-1", "1.375", "11")
	inOut(t, "mistral.mistral-large-2407-v1:0", "us-west-2", "2", "6")
	inOut(t, "meta.llama3-1-405b-instruct-v1:0", "us-west-2", "2.4", "2.4")
}

// These models and spellings were unknown, and their calls refused.
func TestNoModelIsMissing(t *testing.T) {
	inOut(t, "global.anthropic.claude-fable-5-2", "us-east-1", "8", "40")
	inOut(t, "global.openai.gpt-6.1-terra", "us-east-1", "1", "5")
	inOut(t, "global.openai.gpt-6.2-sol", "us-east-1", "2", "10")
	inOut(t, "global.openai.gpt-6.2-astra", "us-east-1", "8", "40")
	inOut(t, "global.moonshotai.kimi-k3.1", "us-east-1", "4", "20")
	inOut(t, "writer.palmyra-vision-7b", "us-east-1", "0.15", "0.6")
	inOut(t, "us.anthropic.claude-sonnet-4-6-v1", "us-east-1", "3.3", "16.5")
	inOut(t, "us.anthropic.claude-mythos-preview", "us-east-1", "27.5", "137.5")
}
