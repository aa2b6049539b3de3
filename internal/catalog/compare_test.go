package catalog

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// What is said to be no dearer costs no more, whatever a call uses, at any tier that both know.
func TestWhatIsNoDearerCostsNoMore(t *testing.T) {
	c := Default()
	models := slices.Collect(c.Models())
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		resolve := func(name string) *Resolved {
			r, err := c.Resolve(rapid.SampledFrom(models).Draw(rt, name).ID, "us-east-1")
			if err != nil {
				rt.Skip("no price")
			}
			return r
		}
		a, b := resolve("a"), resolve("b")
		if a.DearerIn(b) != "" {
			return
		}
		found++
		count := func(name string) int64 { return rapid.Int64Range(0, 400_000).Draw(rt, name) }
		u := price.Usage{CacheReadInputTokens: count("read"), CacheWrite5mInputTokens: count("write 5m"), CacheWrite1hInputTokens: count("write 1h"), OutputTokens: count("output")}
		u.InputTokens = u.CacheReadInputTokens + u.CacheWrite5mInputTokens + u.CacheWrite1hInputTokens + count("input")
		uncached := price.Usage{InputTokens: u.InputTokens, OutputTokens: u.OutputTokens}
		for _, name := range []string{"", "flex", "priority"} {
			mine, known := a.tier(name)
			theirs, alsoKnown := b.tier(name)
			if name != "" && (!known || !alsoKnown) {
				continue
			}
			if name == "" {
				mine, theirs = price.TierStandard, price.TierStandard
			}
			spent := u
			if a.Price.Rates.CacheRead == 0 { // what it does not cache is input
				spent = uncached
			}
			cost, err := a.Price.Cost(spent, mine)
			require.NoError(rt, err)
			other, err := b.Price.Cost(u, theirs)
			require.NoError(rt, err)
			if b.Price.Rates.CacheRead == 0 {
				other, err = b.Price.Cost(uncached, theirs)
				require.NoError(rt, err)
			}
			require.LessOrEqual(rt, cost, other+5, "%s instead of %s, tier %q", a.ModelID, b.ModelID, name) // each class is rounded up
		}
	})
	require.Positive(t, found)
}

func TestDearerIn(t *testing.T) {
	c := Default()
	for _, tc := range []struct{ a, b, in string }{
		{"anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-opus-4-6-v1", ""},
		{"anthropic.claude-opus-4-6-v1", "anthropic.claude-haiku-4-5-20251001-v1:0", "input"},
		{"us.anthropic.claude-sonnet-4-5-20250929-v1:0", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "input"},
		{"global.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", ""},
		{"meta.llama3-3-70b-instruct-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0", "cache reads"},
	} {
		a, err := c.Resolve(tc.a, "us-east-1")
		require.NoError(t, err)
		b, err := c.Resolve(tc.b, "us-east-1")
		require.NoError(t, err)
		require.Equal(t, tc.in, a.DearerIn(b), "%s instead of %s", tc.a, tc.b)
	}
}
