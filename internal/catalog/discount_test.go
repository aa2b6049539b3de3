package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

func TestDiscounted(t *testing.T) {
	t.Parallel()
	c, err := Default().Discounted(map[string]int64{"anthropic.*": 100, "anthropic.claude-opus-*": 50, "cohere.rerank-*": 250, "amazon.nova-pro-v1:0": 1})
	require.NoError(t, err)
	resolve := func(id, region string) *Resolved {
		r, err := c.Resolve(id, region)
		require.NoError(t, err)
		return r
	}
	assert.Equal(t, mtok(t, "1.98", "9.9", "0.198", "2.475", "3.96"), resolve("us.anthropic.claude-sonnet-5", "us-east-1").Price.Rates)
	assert.Equal(t, mtok(t, "5.225", "26.125", "0.5225", "6.53125", "10.45"), resolve("us.anthropic.claude-opus-5", "us-east-1").Price.Rates, "of two globs the smaller discount")
	assert.Equal(t, mtok(t, "5.4", "20.25", "0.54", "6.75", "10.8"), resolve("us.anthropic.claude-sonnet-4-20250514-v1:0", "us-east-1").Price.LongContext.Rates)
	assert.Equal(t, price.Amount(1_500_000), resolve("cohere.rerank-v3-5:0", "us-east-1").Fees.Query)
	assert.Equal(t, mtok(t, "0.999", "3.996", "0.999", "0.999", "1.998"), *resolve("amazon.nova-pro-v1:0", "us-east-1").LatencyOptimized)
	assert.Equal(t, resolved(t, "openai.gpt-5.4", "us-east-1").Price, resolve("openai.gpt-5.4", "us-east-1").Price, "no glob, no discount")
	listed, ok := c.Model("anthropic.claude-opus-5")
	require.True(t, ok)
	assert.Equal(t, price.PicoUSD(5_000_000), listed.Price.Rates.Input, "a model shows its list price")

	r, ok := c.Answered("claude-sonnet-5", "us-east-1")
	require.True(t, ok)
	assert.Equal(t, price.PicoUSD(1_980_000), r.Price.Rates.Input, "an answer has the discount, too")
	kept, err := c.With(acme())
	require.NoError(t, err)
	kept, err = kept.Map(map[string]string{"arn:aws:bedrock:eu-west-1:123456789012:imported-model/abc": "anthropic.claude-sonnet-5"})
	require.NoError(t, err)
	again, err := kept.Resolve("arn:aws:bedrock:eu-west-1:123456789012:imported-model/abc", "eu-west-1")
	require.NoError(t, err)
	assert.Equal(t, price.PicoUSD(1_980_000), again.Price.Rates.Input, "discounts outlive With and Map")
	newer, err := c.Discounted(map[string]int64{"anthropic.*": 10, "anthropic.claude-opus-*": 20})
	require.NoError(t, err)
	replaced, err := newer.Resolve("us.anthropic.claude-opus-5", "us-east-1")
	require.NoError(t, err)
	assert.Equal(t, price.PicoUSD(5_445_000), replaced.Price.Rates.Input)
}

func TestDiscountedRefuses(t *testing.T) {
	t.Parallel()
	for name, discounts := range map[string]map[string]int64{
		"nothing off":    {"anthropic.*": 0},
		"all off":        {"anthropic.*": 1000},
		"a surcharge":    {"anthropic.*": -100},
		"no model":       {"acme.*": 100},
		"a profile":      {"us.anthropic.*": 100},
		"an empty glob":  {"": 100},
		"one of several": {"anthropic.*": 100, "acme.*": 100},
	} {
		c, err := Default().Discounted(discounts)
		assert.True(t, c == nil, name)
		require.ErrorIs(t, err, ErrInvalidModel, name)
	}
	c, err := Default().Discounted(nil)
	require.NoError(t, err)
	r, err := c.Resolve("us.anthropic.claude-opus-5", "us-east-1")
	require.NoError(t, err)
	assert.Equal(t, price.PicoUSD(5_500_000), r.Price.Rates.Input)
}

// A discounted price is never below the exact one, and never more than a unit above it.
func TestDiscountsRoundUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.Int64Range(1, 999).Draw(t, "off")
		m := acme()
		m.Price.Rates.Input = price.PicoUSD(rapid.Int64Range(1, 1e9).Draw(t, "rate"))
		m.Fees.Request = price.Amount(rapid.Int64Range(1, 1e9).Draw(t, "fee"))
		var none Catalog
		c, err := none.With(m)
		require.NoError(t, err)
		c, err = c.Discounted(map[string]int64{"*": off})
		require.NoError(t, err)
		r, err := c.Resolve(m.ID, "us-east-1")
		require.NoError(t, err)
		for list, paid := range map[int64]int64{int64(m.Price.Rates.Input): int64(r.Price.Rates.Input), int64(m.Fees.Request): int64(r.Fees.Request)} {
			require.GreaterOrEqual(t, paid*1000, list*(1000-off))
			require.Less(t, (paid-1)*1000, list*(1000-off))
		}
	})
}
