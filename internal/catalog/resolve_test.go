package catalog

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// mtok builds rates from USD per million tokens: input, output, cache read, five-minute and one-hour cache write.
func mtok(t *testing.T, usd ...string) price.Rates {
	t.Helper()
	require.Len(t, usd, 5)
	var c classes
	for i, text := range usd {
		n, err := parseDecimal(text, scalePicoPerMTok)
		require.NoError(t, err)
		c[i] = price.PicoUSD(n)
	}
	return c.rates()
}

func TestResolveLongContext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		id, region string
		threshold  int64
		want       []string
	}{
		{"global.anthropic.claude-haiku-5-5", "us-east-1", 100_000, []string{"0.5", "2.5", "0.05", "0.625", "1"}},
		{"us.anthropic.claude-haiku-5-5", "us-east-1", 100_000, []string{"0.55", "2.75", "0.055", "0.6875", "1.1"}},
		{"us.openai.gpt-5.6-terra", "us-east-1", 272_000, []string{"4.4", "19.8", "0.44", "5.5", "5.5"}},
		{"global.openai.gpt-6.1-sol", "us-east-1", 272_000, []string{"4", "15", "0.2", "5", "5"}},
		{"us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov-west-1", 200_000, []string{"7.2", "27", "0.72", "9", "14.4"}},
		{"us.anthropic.claude-sonnet-4-20250514-v1:0", "us-east-1", 200_000, []string{"6", "22.5", "0.6", "7.5", "12"}},
	}
	for _, tt := range tests {
		r, err := Default().Resolve(tt.id, tt.region)
		require.NoError(t, err)
		assert.Equal(t, price.LongContext{Threshold: tt.threshold, Rates: mtok(t, tt.want...)}, r.Price.LongContext, tt.id)
	}
}

func TestResolveLatencyOptimized(t *testing.T) {
	t.Parallel()
	c := Default()
	for id, want := range map[string][]string{
		"us.amazon.nova-pro-v1:0@us-east-1":         {"1", "4", "1", "1", "2"},
		"meta.llama3-1-70b-instruct-v1:0@us-east-2": {"0.9", "0.9", "0.9", "0.9", "0.9"},
		"eu.amazon.nova-pro-v1:0@eu-west-1":         {"1.15", "4.6", "1.15", "1.15", "2.3"}, // in proportion
	} {
		id, region, _ := strings.Cut(id, "@")
		r, err := c.Resolve(id, region)
		require.NoError(t, err)
		require.NotNil(t, r.LatencyOptimized, id)
		assert.Equal(t, mtok(t, want...), *r.LatencyOptimized, id)
	}
	r, err := c.Resolve("anthropic.claude-opus-5", "us-east-1")
	require.NoError(t, err)
	assert.Nil(t, r.LatencyOptimized)
}

func TestResolveFees(t *testing.T) {
	t.Parallel()
	c := Default()
	for id, want := range map[string]Fees{
		"cohere.rerank-v3-5:0":                     {Query: 2_000_000},
		"amazon.rerank-v1:0":                       {Query: 1_000_000},
		"amazon.titan-embed-image-v1":              {Image: 60_000},
		"amazon.nova-2-multimodal-embeddings-v1:0": {Image: 60_000, DocumentImage: 600_000, VideoSecond: 700_000, AudioSecond: 140_000},
		"amazon.nova-micro-v1:0":                   {},
	} {
		r, err := c.Resolve(id, "us-east-1")
		require.NoError(t, err)
		assert.Equal(t, want, r.Fees, id)
	}
	dearer, err := c.With(Model{ID: "acme.rank", Mode: ModeRerank, Fees: Fees{Query: 3}, GeoPremium: 1100})
	require.NoError(t, err)
	r, err := dearer.Resolve("acme.rank", "us-east-1")
	require.NoError(t, err)
	assert.Equal(t, price.Amount(4), r.Fees.Query, "the premium is on fees too, rounded up")
}

func TestResolveRefuses(t *testing.T) {
	t.Parallel()
	opus := "anthropic.claude-opus-4-6-v1"
	tests := map[string]struct{ id, reason string }{
		"empty":                {"", "empty"},
		"huge":                 {strings.Repeat("x", 1<<20), "longer than 2048 bytes"},
		"control characters":   {"anthropic\x00.claude\n", "control"},
		"escaped control":      {"anthropic%00", "control"},
		"space around":         {" " + opus, "spaces"},
		"not ASCII":            {"anthropic.clаude-opus-4-6-v1", "non-ASCII"},
		"broken escape":        {"anthropic%3", "not well escaped"},
		"escaped twice":        {strings.ReplaceAll("amazon.nova-pro-v1:0", ":", "%253A"), "unknown"},
		"unknown model":        {"acme.large-v1", "add the model"},
		"capitals":             {strings.ToUpper(opus), "unknown"},
		"unknown geography":    {"mars." + opus, "geography"},
		"two geographies":      {"us.eu." + opus, "unknown"},
		"global twice":         {"global.global." + opus, "unknown"},
		"global alone":         {"global.", "unknown"},
		"dot":                  {".", "unknown"},
		"leading dot":          {"." + opus, "unknown"},
		"price not published":  {"us.acme.secret-v1", "not published"},
		"images alone":         {"amazon.nova-canvas-v1:0", "not priced by tokens"},
		"video alone":          {"luma.ray-v2:0", "not priced by tokens"},
		"speech":               {"amazon.nova-2-sonic-v1:0", "not priced by tokens"},
		"embedding by second":  {"twelvelabs.marengo-embed-3-0-v1:0", "not priced by tokens"},
		"too many colons":      {"arn:aws:bedrock:us-east-1::foundation-model/" + opus + ":0:0:0", "unknown"},
		"too few colons":       {"arn:aws:bedrock:us-east-1", "ARN"},
		"bare arn":             {"arn:", "ARN"},
		"no resource":          {"arn:aws:bedrock:us-east-1::foundation-model/", "ARN"},
		"another service":      {"arn:aws:s3:us-east-1::foundation-model/" + opus, "ARN"},
		"another partition":    {"arn:azure:bedrock:us-east-1::foundation-model/" + opus, "ARN"},
		"region of no shape":   {"arn:aws:bedrock:$(id)::foundation-model/" + opus, "ARN"},
		"profile as model":     {"arn:aws:bedrock:us-east-1::foundation-model/us." + opus, "unknown"},
		"application profile":  {"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", "map it"},
		"provisioned":          {"arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123", "map it"},
		"custom":               {"arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-lite-v1:0:300k/abc123", "map it"},
		"custom deployment":    {"arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/abc123", "map it"},
		"imported":             {"arn:aws:bedrock:us-east-1:123456789012:imported-model/abc123", "map it"},
		"prompt":               {"arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:3", "map it"},
		"router":               {"arn:aws:bedrock:us-east-1:123456789012:default-prompt-router/anthropic.claude:1", "map it"},
		"marketplace endpoint": {"arn:aws:sagemaker:us-east-1:123456789012:endpoint/llm", "map it"},
	}
	models := unpricedModel(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := models.Resolve(tt.id, "us-east-1")
			assert.Zero(t, r)
			require.ErrorIs(t, err, ErrUnpriced)
			var e *UnpricedError
			require.ErrorAs(t, err, &e)
			assert.Contains(t, e.Reason, tt.reason)
			assert.Contains(t, err.Error(), "us-east-1")
			assertPrintable(t, err)
		})
	}
}

func assertPrintable(t *testing.T, err error) {
	t.Helper()
	assert.Less(t, len(err.Error()), 600)
	for _, r := range err.Error() {
		assert.True(t, r >= ' ' && r <= '~', "%q in %q", r, err.Error())
	}
}

func TestResolveHostileRegion(t *testing.T) {
	t.Parallel()
	c, err := Default().With()
	require.NoError(t, err)
	for _, region := range []string{"\x00", strings.Repeat("eu-west-2", 1000), "EU-WEST-2", "../..", "--"} {
		r, err := c.Resolve("qwen.qwen3-coder-next", region)
		require.NoError(t, err)
		assert.Equal(t, mtok(t, "0.85", "2.04", "0.85", "0.85", "0.85"), r.Price.Rates, "a region of no shape is unknown: the dearest")
		_, err = c.Resolve("acme.large-v1", region)
		require.ErrorIs(t, err, ErrUnpriced)
		assertPrintable(t, err)
	}
}

// TestResolveBoundsItsMemory sends more ids and regions than a catalog remembers.
func TestResolveBoundsItsMemory(t *testing.T) {
	t.Parallel()
	c, err := Default().With()
	require.NoError(t, err)
	for i := range 5 * maxRecent {
		_, err := c.Resolve("deepseek.v3.2", fmt.Sprintf("eu-nowhere-%d", i))
		require.NoError(t, err)
		_, err = c.Resolve(fmt.Sprintf("acme.model-%d", i), "us-east-1")
		require.Error(t, err)
		require.LessOrEqual(t, len(c.recent.seen), maxRecent)
	}
}

func TestResolveConcurrently(t *testing.T) {
	t.Parallel()
	c, err := Default().With()
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for n := range 2000 {
				region := fmt.Sprintf("eu-west-%d", n%700)
				r, err := c.Resolve("us.anthropic.claude-opus-4-6-v1", region)
				if err != nil || r.Price.Rates.Input != 5_500_000 {
					errs[i] = errors.Join(errs[i], fmt.Errorf("%v: %w", r.Price.Rates, err))
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}

func TestResolveDoesNotAllocateTwice(t *testing.T) {
	c := Default()
	id := "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-6-v1"
	_, err := c.Resolve(id, "us-east-1")
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = c.Resolve(id, "us-east-1") }))
}

func BenchmarkCatalog_ResolveSeen(b *testing.B) {
	b.ReportAllocs()
	c := Default()
	for b.Loop() {
		if _, err := c.Resolve("us.anthropic.claude-opus-4-6-v1", "us-east-1"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCatalog_ResolveNew(b *testing.B) {
	b.ReportAllocs()
	c := Default()
	for b.Loop() {
		if _, err := c.resolve("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "eu-west-1"); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzResolve(f *testing.F) {
	for _, seed := range []string{
		"us.anthropic.claude-opus-4-6-v1", "amazon.nova-pro-v1%3A0", "global.global.x", "us.eu.amazon.nova-pro-v1:0",
		"arn:aws:bedrock:us-east-1:1:prompt/A:1", "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-pro-v1:0", "%", "arn:::::/",
	} {
		f.Add(seed, "us-east-1")
	}
	f.Add("deepseek.v3.2", "eu-\xff")
	mapped, err := Default().Map(map[string]string{"arn:aws:bedrock:us-east-1:1:prompt/A": "us.amazon.nova-pro-v1:0"})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, id, region string) {
		r, err := mapped.Resolve(id, region)
		if err != nil {
			require.ErrorIs(t, err, ErrUnpriced)
			assertPrintable(t, err)
			return
		}
		require.NotNil(t, r.Model)
		require.False(t, r.Model.Unpriced)
		assertBillable(t, id, r)
		again, err := mapped.Resolve(id, region)
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

// A managed prompt is one in every form of its id: its text is not in the request, so its length bounds nothing.
func TestResolve_ManagedPromptHidesItsText(t *testing.T) {
	models, err := Default().Map(map[string]string{"arn:aws:bedrock:us-east-1:1:prompt/A": "us.amazon.nova-pro-v1:0"})
	require.NoError(t, err)
	for _, id := range []string{
		"arn:aws:bedrock:us-east-1:1:prompt/A", "arn:aws:bedrock:us-east-1:1:prompt/A:7",
		"arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprompt%2FA%3A7", "arn%3aaws%3abedrock%3aus-east-1%3a1%3aprompt%2fA", "arn:aws:bedrock:us-east-1:1:prompt%2fA",
	} {
		r, err := models.Resolve(id, "us-east-1")
		require.NoError(t, err, id)
		require.True(t, r.HidesText, id)
	}
	for _, id := range []string{"us.amazon.nova-pro-v1:0", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"} {
		r, err := models.Resolve(id, "us-east-1")
		require.NoError(t, err, id)
		require.False(t, r.HidesText, id)
	}
}
