package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// resolved resolves an id of the embedded table.
func resolved(t *testing.T, id, region string) *Resolved {
	t.Helper()
	r, err := Default().Resolve(id, region)
	require.NoError(t, err, id)
	return r
}

// Each model has its own factors; one that publishes none for a tier has the dearest of the table.
func TestTiersAreThoseOfTheModel(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]struct{ flex, priority, ultrafast price.Tier }{
		"qwen.qwen3-next-80b-a3b":      {522, 1858, 6000},
		"mistral.voxtral-mini-3b-2507": {600, 1834, 6000},
		"nvidia.nemotron-nano-9b-v2":   {522, 1834, 6000},
		"amazon.nova-pro-v1:0":         {500, 1750, 6000},
		"openai.gpt-5.6-luna":          {500, 2000, 6000},
		"google.gemma-3-12b-it":        {556, 1778, 6000},
		"openai.gpt-6-astra":           {600, 2000, 6000},
		"anthropic.claude-opus-5":      {600, 2000, 6000},
	} {
		r := resolved(t, id, "us-east-1")
		for name, factor := range map[string]price.Tier{
			"": 1000, "default": 1000, "standard": 1000, "reserved": 1000, "flex": want.flex, "priority": want.priority, "ultrafast": want.ultrafast,
		} {
			worst, err := r.WorstTier(name)
			require.NoError(t, err, name)
			assert.Equal(t, max(factor, price.TierStandard), worst, "%s: %s", id, name)
			assert.Equal(t, factor, r.ServedTier(name), "%s: %s", id, name)
		}
		for _, name := range []string{"turbo", "Flex", "flex ", "\x00", "batch"} {
			_, err := r.WorstTier(name)
			require.ErrorIs(t, err, ErrUnpriced, name)
			assertPrintable(t, err)
			assert.Equal(t, price.Tier(6000), r.ServedTier(name), "%s: unknown %q is the dearest", id, name)
		}
	}
}

// Rounding makes a tier dearer in some regions; where a price is assumed, the dearest of them is, too.
func TestTiersFollowTheRegion(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]struct{ flex, priority price.Tier }{
		"us-east-1":     {500, 1750},
		"eu-west-2":     {522, 1783},
		"eu-north-1":    {500, 1750},
		"us-gov-west-1": {500, 1750},
		"af-south-1":    {522, 1783},
		"":              {522, 1783},
	} {
		r := resolved(t, "openai.gpt-oss-120b-1:0", region)
		assert.Equal(t, want.flex, r.ServedTier("flex"), region)
		assert.Equal(t, want.priority, r.ServedTier("priority"), region)
	}
}

// A model that a user adds can raise the dearest factor, and never lowers it.
func TestTiersOfAModelWithoutAnyAreTheDearestOfTheCatalog(t *testing.T) {
	t.Parallel()
	var none Catalog
	dear := acme()
	dear.ID, dear.Tiers = "acme.dear-v1", map[string]price.Tier{"priority": 3000, "flex": 300}
	c, err := none.With(acme(), dear)
	require.NoError(t, err)
	plain, err := c.Resolve("acme.large-v1", "us-east-1")
	require.NoError(t, err)
	assert.Equal(t, price.Tier(3000), plain.ServedTier("priority"))
	assert.Equal(t, price.Tier(600), plain.ServedTier("flex"))
	own, err := c.Resolve(dear.ID, "us-east-1")
	require.NoError(t, err)
	assert.Equal(t, price.Tier(300), own.ServedTier("flex"))
}

func TestTheLeastTiersAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	assert.Equal(t, leastTiers(), Default().tiers, "change leastTiers with the table")
}
