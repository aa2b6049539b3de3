package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// priceCase is a published price, or what a rule makes of one, in USD per million tokens: input, output, cache read,
// five-minute and one-hour cache write.
type priceCase struct {
	id, region string
	want       []string
	assumed    bool
}

func checkPrices(t *testing.T, tests []priceCase) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.id+"@"+tt.region, func(t *testing.T) {
			t.Parallel()
			r, err := Default().Resolve(tt.id, tt.region)
			require.NoError(t, err)
			assert.Equal(t, mtok(t, tt.want...), r.Price.Rates)
			assert.Equal(t, tt.assumed, r.Assumed, "assumed")
		})
	}
}

// The first rule: a global profile costs what it costs from the region that calls it.
func TestRuleOfGlobalProfiles(t *testing.T) {
	t.Parallel()
	checkPrices(t, []priceCase{
		{"global.amazon.nova-2-lite-v1:0", "ap-northeast-1", []string{"0.36", "3.01", "0.09", "0.36", "0.72"}, false},
		{"global.amazon.nova-2-lite-v1:0", "eu-south-1", []string{"0.481", "4.1", "0.12025", "0.481", "0.962"}, false},
		{"global.amazon.nova-2-lite-v1:0", "us-west-1", []string{"0.39", "3.21", "0.0975", "0.39", "0.78"}, false},
		{"global.amazon.nova-2-lite-v1:0", "us-east-2", []string{"0.3", "2.5", "0.075", "0.3", "0.6"}, false},
		{"global.amazon.nova-2-pro-preview-20251202-v1:0", "eu-west-2", []string{"1.76", "14.07", "0.44", "1.76", "3.52"}, false},
		// Not in the table: the base price at home, the dearest entry elsewhere.
		{"global.amazon.nova-2-pro-preview-20251202-v1:0", "us-east-1", []string{"1.25", "10", "0.3125", "1.25", "2.5"}, false},
		{"global.amazon.nova-2-lite-v1:0", "sa-east-1", []string{"0.481", "4.1", "0.12025", "0.481", "0.962"}, true},
		{"global.amazon.nova-2-lite-v1:0", "", []string{"0.481", "4.1", "0.12025", "0.481", "0.962"}, true},
		// No table: one price from everywhere.
		{"global.anthropic.claude-opus-4-6-v1", "us-east-1", []string{"5", "25", "0.5", "6.25", "10"}, false},
		{"global.anthropic.claude-opus-4-6-v1", "af-south-1", []string{"5", "25", "0.5", "6.25", "10"}, false},
		{"arn:aws:bedrock:us-west-2:123456789012:inference-profile/global.anthropic.claude-opus-4-6-v1", "us-west-2", []string{"5", "25", "0.5", "6.25", "10"}, false},
		{"global.anthropic.claude-fable-5-1", "us-east-1", []string{"10", "50", "0.25", "12.5", "20"}, false},
		{"global.anthropic.claude-sonnet-5-5", "eu-west-1", []string{"2", "10", "0.1", "2.5", "4"}, false},
		{"global.moonshotai.kimi-k3", "us-east-1", []string{"3", "15", "0.3", "3.75", "3.75"}, false},
		// No global profile: billed like a regional call.
		{"global.amazon.nova-pro-v1:0", "eu-west-1", []string{"0.92", "3.68", "0.23", "0.92", "1.84"}, false},
		{"global.anthropic.claude-opus-4-6-v1", "us-gov-west-1", []string{"6", "30", "0.6", "7.5", "12"}, true},
	})
}

// The second rule: a region costs what its entry says, under every profile but the global one.
func TestRuleOfListedRegions(t *testing.T) {
	t.Parallel()
	checkPrices(t, []priceCase{
		{"amazon.nova-pro-v1:0", "eu-south-1", []string{"1.28", "5.21", "0.32", "1.28", "2.56"}, false},
		{"eu.amazon.nova-pro-v1:0", "eu-north-1", []string{"0.87", "3.48", "0.2175", "0.87", "1.74"}, false},
		{"eu.amazon.nova-pro-v1:0", "eu-west-1", []string{"0.92", "3.68", "0.23", "0.92", "1.84"}, false},
		{"us.amazon.nova-pro-v1:0", "us-west-1", []string{"1.03", "4.12", "0.2575", "1.03", "2.06"}, false},
		{"eu.amazon.nova-2-lite-v1:0", "eu-central-1", []string{"0.429", "3.597", "0.10725", "0.429", "0.858"}, false},
		{"apac.amazon.nova-2-lite-v1:0", "ap-northeast-1", []string{"0.396", "3.311", "0.099", "0.396", "0.792"}, false},
		{"apac.amazon.nova-lite-v1:0", "ap-northeast-1", []string{"0.072", "0.288", "0.018", "0.072", "0.144"}, false},
		{"qwen.qwen3-coder-next", "eu-west-2", []string{"0.78", "1.86", "0.78", "0.78", "0.78"}, false},
		{"deepseek.v3.2", "eu-north-1", []string{"0.74", "2.22", "0.74", "0.74", "0.74"}, false},
		{"mistral.mistral-7b-instruct-v0:2", "sa-east-1", []string{"0.25", "0.34", "0.25", "0.25", "0.25"}, false},
		{"anthropic.claude-3-5-haiku-20241022-v1:0", "us-east-1", []string{"1", "5", "0.08", "1", "2"}, false}, // no one-hour write is published
		{"anthropic.claude-v2", "us-east-1", []string{"8", "65.36", "8", "8", "8"}, false},
		// Cache classes that the entry does not state: in proportion to input, at least the input rate.
		{"us.amazon.nova-premier-v1:0", "us-east-1", []string{"2.5", "12.5", "0.625", "2.5", "5"}, false},
		{"xai.grok-4.6", "us-gov-east-1", []string{"2.64", "7.92", "0.66", "2.64", "2.64"}, false},
		{"us-gov.anthropic.claude-3-5-sonnet-20240620-v1:0", "us-gov-west-1", []string{"3.6", "18", "3.6", "4.5", "4.5"}, false},
		// An ARN of one region in a call from another: the dearer of the two.
		{"arn:aws:bedrock:eu-west-2::foundation-model/qwen.qwen3-coder-next", "us-east-1", []string{"0.78", "1.86", "0.78", "0.78", "0.78"}, false},
		{"arn:aws:bedrock:us-east-1::foundation-model/qwen.qwen3-coder-next", "eu-west-2", []string{"0.78", "1.86", "0.78", "0.78", "0.78"}, false},
	})
}

// The third rule: GovCloud costs the model's own factor on the base price where it has no entry, and the other partitions at
// least as much, and at least the dearest factor known.
func TestRuleOfOtherPartitions(t *testing.T) {
	t.Parallel()
	const opus46 = "anthropic.claude-opus-4-6-v1"
	checkPrices(t, []priceCase{
		{"us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov-west-1", []string{"3.6", "18", "0.36", "4.5", "7.2"}, false},
		{"anthropic.claude-haiku-4-5-20251001-v1:0", "us-gov-east-1", []string{"1.2", "6", "0.12", "1.5", "2.4"}, false},
		{"openai.gpt-oss-120b", "us-gov-west-1", []string{"0.18", "0.72", "0.18", "0.18", "0.18"}, false},
		{"meta.llama3-8b-instruct-v1:0", "us-gov-east-1", []string{"0.3", "2.65", "0.3", "0.3", "0.3"}, false},
		{"meta.llama3-8b-instruct-v1:0", "us-gov-west-1", []string{"0.3", "0.6", "0.3", "0.3", "0.3"}, false},
		{"amazon.titan-embed-text-v2:0", "us-gov-west-1", []string{"0.11", "0", "0.11", "0.11", "0.11"}, false},
		{"arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/" + opus46, "us-gov-west-1", []string{"6", "30", "0.6", "7.5", "12"}, true},
		{"us-gov." + opus46, "us-gov-west-1", []string{"6", "30", "0.6", "7.5", "12"}, true},
		{"us-gov." + opus46, "us-east-1", []string{"6", "30", "0.6", "7.5", "12"}, true},
		{"us-gov." + opus46, "", []string{"6", "30", "0.6", "7.5", "12"}, true},
		{"openai.gpt-5.6-sol", "us-gov-west-1", []string{"5.28", "26.4", "0.528", "6.6", "6.6"}, true},
		{"deepseek.v3.2", "us-gov-west-1", []string{"0.744", "2.22", "0.744", "0.744", "0.744"}, true},
		// No price is known at all: the dearest factor on the regional price.
		{opus46, "eusc-de-east-1", []string{"9.35", "46.75", "0.935", "11.6875", "18.7"}, true},
		{"eu." + opus46, "eusc-de-east-1", []string{"9.35", "46.75", "0.935", "11.6875", "18.7"}, true},
		{"global." + opus46, "eusc-de-east-1", []string{"9.35", "46.75", "0.935", "11.6875", "18.7"}, true},
		{"amazon.nova-pro-v1:0", "cn-north-1", []string{"1.36", "5.44", "0.34", "1.36", "2.72"}, true},
		{"openai.gpt-oss-120b-1:0", "us-iso-east-1", []string{"0.255", "1.02", "0.255", "0.255", "0.255"}, true},
		{"meta.llama3-8b-instruct-v1:0", "cn-north-1", []string{"1.3251", "2.6502", "1.3251", "1.3251", "1.3251"}, true}, // its factor of GovCloud
		{"amazon.titan-embed-text-v2:0", "cn-northwest-1", []string{"0.2", "0", "0.2", "0.2", "0.2"}, true},
	})
}

// The fourth rule: the base price times the geo premium in us-east-1, us-east-2 and us-west-2, where no entry differs.
func TestRuleOfHomeRegions(t *testing.T) {
	t.Parallel()
	const opus46 = "anthropic.claude-opus-4-6-v1"
	checkPrices(t, []priceCase{
		{"us." + opus46, "us-east-1", []string{"5.5", "27.5", "0.55", "6.875", "11"}, false},
		{opus46, "us-west-2", []string{"5.5", "27.5", "0.55", "6.875", "11"}, false},
		{"us.anthropic.claude-opus-5-5", "us-east-1", []string{"4.4", "22", "0.22", "5.5", "8.8"}, false},
		{"us.anthropic.claude-opus-4-1-20250805-v1:0", "us-east-1", []string{"15", "75", "1.5", "18.75", "30"}, false},
		{"us.amazon.nova-2-lite-v1:0", "us-east-1", []string{"0.33", "2.75", "0.0825", "0.33", "0.66"}, false},
		{"us.amazon.nova-micro-v1:0", "us-east-1", []string{"0.035", "0.14", "0.00875", "0.035", "0.07"}, false},
		{"deepseek.v3.2", "us-east-1", []string{"0.62", "1.85", "0.62", "0.62", "0.62"}, false},
		{"meta.llama4-scout-17b-instruct-v1:0", "us-east-2", []string{"0.17", "0.66", "0.17", "0.17", "0.17"}, false},
		{"us.openai.gpt-5.6-sol", "us-east-1", []string{"4.4", "22", "0.44", "5.5", "5.5"}, false},
		{"openai.gpt-5.5", "us-east-1", []string{"5.5", "33", "0.55", "5.5", "5.5"}, false},
		{"mistral.mistral-large-3-675b-instruct", "us-east-1", []string{"0.5", "1.5", "0.5", "0.5", "0.5"}, false},
		{"amazon.titan-embed-text-v2:0", "us-east-1", []string{"0.02", "0", "0.02", "0.02", "0.02"}, false},
	})
}

// The fifth rule: a region that nobody lists costs the dearest factor known, unless one price holds everywhere.
func TestRuleOfUnlistedRegions(t *testing.T) {
	t.Parallel()
	const opus46 = "anthropic.claude-opus-4-6-v1"
	checkPrices(t, []priceCase{
		{"meta.llama4-scout-17b-instruct-v1:0", "eu-west-1", []string{"0.289", "1.122", "0.289", "0.289", "0.289"}, true},
		{"meta.llama3-3-70b-instruct-v1:0", "us-west-1", []string{"1.224", "1.224", "1.224", "1.224", "1.224"}, true},
		{"openai.gpt-oss-120b-1:0", "af-south-1", []string{"0.255", "1.02", "0.255", "0.255", "0.255"}, true},
		{"amazon.nova-pro-v1:0", "ca-central-1", []string{"1.36", "5.44", "0.34", "1.36", "2.72"}, true},
		{"eu.amazon.nova-2-lite-v1:0", "eu-central-2", []string{"0.561", "4.675", "0.14025", "0.561", "1.122"}, true},
		{"amazon.titan-embed-text-v2:0", "af-south-1", []string{"0.2", "0", "0.2", "0.2", "0.2"}, true},
		{"mistral.mistral-7b-instruct-v0:2", "mx-central-1", []string{"0.25515", "0.3402", "0.25515", "0.25515", "0.25515"}, true},
		// One price in every region is known, and nothing is assumed.
		{"anthropic.claude-opus-4-6", "eu-west-1", []string{"5.5", "27.5", "0.55", "6.875", "11"}, false},
		{"in." + opus46, "ap-south-1", []string{"5.5", "27.5", "0.55", "6.875", "11"}, false},
		{"anthropic.claude-opus-5", "eu-central-1", []string{"5.5", "27.5", "0.55", "6.875", "11"}, false},
		{"eu.anthropic.claude-haiku-5-5", "eu-west-1", []string{"0.11", "0.55", "0.011", "0.1375", "0.22"}, false},
		{"anthropic.claude-3-haiku-20240307-v1:0", "me-central-1", []string{"0.25", "1.25", "0.25", "0.25", "0.25"}, false},
		// An unknown region can be any: the dearest, GovCloud's included.
		{opus46, "", []string{"6", "30", "0.6", "7.5", "12"}, true},
		{"us." + opus46, "", []string{"5.5", "27.5", "0.55", "6.875", "11"}, false},
		{"mistral.mistral-7b-instruct-v0:2", "", []string{"0.25515", "0.3402", "0.25515", "0.25515", "0.25515"}, true},
		{"eu.amazon.nova-pro-v1:0", "", []string{"1.36", "5.44", "0.34", "1.36", "2.72"}, true},
		{"meta.llama3-8b-instruct-v1:0", "", []string{"1.3251", "2.6502", "1.3251", "1.3251", "1.3251"}, true},
	})
}

// A user's table that does not list a region stands for prices that differ by region; a price alone holds everywhere.
func TestUnlistedRegionOfAModelByHand(t *testing.T) {
	t.Parallel()
	m := acme()
	m.RegionOverrides = map[string]price.Rates{"eu-west-1": {Input: 4_000_000, Output: 20_000_000}, "eu-west-3": {Input: 6_000_000, Output: 20_000_000}}
	resolve := func(region string) *Resolved {
		c, err := Default().With(m)
		require.NoError(t, err)
		r, err := c.Resolve(m.ID, region)
		require.NoError(t, err)
		return r
	}
	assert.Equal(t, mtok(t, "4", "20", "4", "4", "4"), resolve("eu-west-1").Price.Rates)
	assert.Equal(t, mtok(t, "6", "25.5", "6", "6", "6"), resolve("eu-west-2").Price.Rates, "the dearest entry, and the factor where that is more")
	assert.True(t, resolve("eu-west-2").Assumed)
	m.UnlistedRegion = 1000
	assert.Equal(t, mtok(t, "3", "15", "3", "3", "3"), resolve("eu-west-2").Price.Rates, "the user says that one price holds elsewhere")
	assert.False(t, resolve("eu-west-2").Assumed)
	m.UnlistedRegion, m.RegionOverrides = 0, nil
	assert.Equal(t, mtok(t, "3", "15", "3", "3", "3"), resolve("eu-west-2").Price.Rates)
	m.GeoOverrides = map[string]price.Rates{"eu": {Input: 4_000_000, Output: 20_000_000}}
	assert.Equal(t, mtok(t, "4", "20", "4", "4", "4"), resolve("eu-west-2").Price.Rates)
	assert.Equal(t, mtok(t, "5.1", "25.5", "5.1", "5.1", "5.1"), resolve("ap-south-1").Price.Rates)
	assert.Equal(t, mtok(t, "3", "15", "3", "3", "3"), resolve("us-east-1").Price.Rates)
}

// The price for an unknown region bounds that of every region, and no price is below the base price.
func TestNoRegionIsDearerThanAnUnknownOne(t *testing.T) {
	t.Parallel()
	c := Default()
	var regions []string
	seen := map[string]bool{}
	for m := range c.Models() {
		for region := range m.RegionOverrides {
			if !seen[region] {
				seen[region] = true
				regions = append(regions, region)
			}
		}
	}
	regions = append(regions, "af-south-1", "ap-east-1", "us-gov-west-1", "us-gov-east-1", "us-east-1", "zz-somewhere-9")
	models := c.models
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(models).Draw(t, "model")
		region := rapid.SampledFrom(regions).Draw(t, "region")
		profile := rapid.SampledFrom(append([]string{""}, m.Profiles...)).Draw(t, "profile")
		g, _ := knownGeography(profile)
		isFromElsewhere := profile != "" && profile != profileGlobal && !g.contains(region)
		if isFromElsewhere || profile == profileGlobal && isolated(region) {
			return
		}
		known, unknown := m.quoteAt(profile, region), m.quoteAt(profile, "")
		for class, rate := range classesOf(known.price.Rates) {
			require.LessOrEqual(t, rate, classesOf(unknown.price.Rates)[class], "%s", classNames()[class])
			require.LessOrEqual(t, classesOf(m.Price.Rates)[class], rate, "%s: below the base", classNames()[class])
		}
		for i, fee := range known.fees.list() {
			require.LessOrEqual(t, fee, unknown.fees.list()[i], "fee %d", i)
			require.LessOrEqual(t, m.Fees.list()[i], fee, "fee %d: below the base", i)
		}
	})
}
