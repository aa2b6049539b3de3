package catalog

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

func lookup(t *testing.T, id, region string) *Resolved {
	t.Helper()
	r, err := Default().Lookup(id, region)
	require.NoError(t, err, id)
	return r
}

// An image costs what its region's entry says, the dearest entry where a region has none, and never less than at home.
func TestFeesFollowTheRegion(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]price.Amount{
		"us-east-1": 60_000, "us-east-2": 60_000, "eu-west-1": 70_000, "ap-southeast-2": 80_000, "eu-central-1": 100_000,
		"ca-central-1": 100_000, "af-south-1": 102_000, "us-gov-west-1": 100_000, "cn-north-1": 102_000, "": 102_000,
	} {
		assert.Equal(t, want, lookup(t, "amazon.titan-embed-image-v1", region).Fees.Image, region)
	}
	for region, want := range map[string]price.Amount{
		"us-east-1": 60_000_000, "eu-west-1": 60_000_000, "ap-northeast-1": 80_000_000, "sa-east-1": 81_000_000,
	} {
		assert.Equal(t, want, lookup(t, "amazon.nova-canvas-v1:0", region).Fees.OutputImage, region)
	}
	assert.Equal(t, price.Amount(2_700_000), lookup(t, "cohere.rerank-v3-5:0", "eu-central-1").Fees.Query)
	assert.Equal(t, price.Amount(2_400_000), lookup(t, "cohere.rerank-v3-5:0", "us-gov-west-1").Fees.Query)
	assert.Equal(t, price.Amount(490_000), lookup(t, "twelvelabs.pegasus-1-2-v1:0", "eu-west-1").Fees.VideoSecond, "listed at the US price")
	assert.Equal(t, price.Amount(661_500), lookup(t, "twelvelabs.pegasus-1-2-v1:0", "sa-east-1").Fees.VideoSecond)
	assert.Equal(t, Fees{Request: 70_000, Image: 100_000, VideoSecond: 700_000, AudioSecond: 140_000}, lookup(t, "twelvelabs.marengo-embed-3-0-v1:0", "us-east-1").Fees)
	assert.Equal(t, price.Amount(1_500_000_000), lookup(t, "luma.ray-v2:0", "us-west-2").Fees.OutputVideoSecond)
}

// What the service does beside a model has one price in the commercial partition, whatever the model's premium.
func TestServiceFeesBearNoPremium(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]price.Amount{"us-east-1": 10_000_000, "eu-west-1": 10_000_000, "us-gov-west-1": 12_000_000, "eusc-de-east-1": 17_000_000} {
		assert.Equal(t, want, lookup(t, "anthropic.claude-sonnet-5", region).Fees.WebSearch, region)
	}
	assert.Equal(t, price.Amount(14_400_000), lookup(t, "openai.gpt-5.4", "us-gov-west-1").Fees.WebSearch)
	assert.Equal(t, price.Amount(2_500_000), lookup(t, "openai.gpt-5.4", "us-east-1").Fees.FileSearch)
	assert.Equal(t, price.Amount(30_000_000), lookup(t, "us.amazon.nova-2-lite-v1:0", "us-east-1").Fees.Grounding)
}

// An answer counts image tokens among the output tokens, so that a chat model which makes images bills all of them so.
func TestImageTokensAreNotBilledAsText(t *testing.T) {
	t.Parallel()
	r := resolved(t, "global.amazon.nova-2-lite-omni-v1:0", "us-east-1")
	assert.Equal(t, price.PicoUSD(40_000_000), r.Price.Rates.Output)
	assert.Equal(t, MediaRates{ImageOutput: 40_000_000, AudioInput: 1_000_000}, r.Media)
	assert.Equal(t, MediaRates{ImageInput: 470_000}, resolved(t, "cohere.embed-v4:0", "us-east-1").Media)
	assert.Equal(t, MediaRates{AudioInput: 3_000_000, AudioOutput: 12_000_000}, lookup(t, "amazon.nova-2-sonic-v1:0", "us-east-1").Media)
}

// The lists of fields must follow the structs.
func TestFeeListsHoldEveryField(t *testing.T) {
	t.Parallel()
	var fees Fees
	v := reflect.ValueOf(&fees).Elem()
	require.Len(t, fees.list(), v.NumField())
	for i := range v.NumField() {
		v.Field(i).SetInt(int64(i + 1))
	}
	assert.Equal(t, fees, fees.list().fees())
	assert.Equal(t, "WebSearch", v.Type().Field(firstServiceFee).Name)

	var media MediaRates
	m := reflect.ValueOf(&media).Elem()
	require.Len(t, media.list(), m.NumField())
	for i := range m.NumField() {
		m.Field(i).SetInt(int64(i + 1))
	}
	assert.Equal(t, media, media.by(1000))
	assert.Equal(t, media, media.higher(MediaRates{}))
	assert.Equal(t, MediaRates{2, 4, 6, 8}, media.by(2000))
}

func TestEmbeddingLimits(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]EmbeddingLimits{
		"cohere.embed-english-v3":                  {Texts: 96, TokensPerText: 512, CharsPerText: 2048, Images: 1},
		"cohere.embed-v4:0":                        {Texts: 96, TokensPerText: 128_000, Images: 96, ImagePixels: 2_458_624},
		"amazon.titan-embed-text-v2:0":             {Texts: 1, TokensPerText: 8192, CharsPerText: 50_000},
		"amazon.nova-2-multimodal-embeddings-v1:0": {Texts: 1, TokensPerText: 8192, Images: 1, VideoSeconds: 30, AudioSeconds: 30},
		"anthropic.claude-sonnet-5":                {},
	} {
		assert.Equal(t, want, resolved(t, id, "us-east-1").Model.Embedding, id)
	}
	assert.Equal(t, RerankLimits{Documents: 1000, DocumentsPerQuery: 100, TokensPerDocument: 512}, resolved(t, "cohere.rerank-v3-5:0", "us-east-1").Model.Rerank)
	assert.Equal(t, int64(354), resolved(t, "anthropic.claude-sonnet-5", "us-east-1").Model.ToolPromptTokens)
}

// A guardrail's price is per unit of 1,000 characters, not per 1,000 units.
func TestServiceRates(t *testing.T) {
	t.Parallel()
	assert.Equal(t, GuardrailRates{
		Content: 150_000, Topic: 150_000, SensitiveInformation: 100_000, ContextualGrounding: 100_000, AutomatedReasoning: 170_000, ContentImage: 750_000,
	}, Guardrails())
	assert.Equal(t, price.Amount(670_000), DearestGuardrailUnit())
	assert.Equal(t, price.Amount(250_000), DearestCheckUnit())
	assert.Equal(t, Default().Date(), ServiceDate, "read them again with the table")
}
