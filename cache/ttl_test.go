package cache

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// TestLifetime_IsTheCheaperOne adds up what each pause costs under either lifetime, and compares.
func TestLifetime_IsTheCheaperOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<40)
		few := rapid.IntRange(0, 12)
		price := rapid.Int64Range(1, 1<<40)
		m := claude()
		m.CacheReadPrice = price.Draw(t, "read")
		m.CacheWrite5mPrice = m.CacheReadPrice + price.Draw(t, "write 5m")
		m.CacheWrite1hPrice = m.CacheWrite5mPrice + price.Draw(t, "write 1h")
		g := Gaps{few.Draw(t, "short"), few.Draw(t, "medium"), few.Draw(t, "long"), n.Draw(t, "prefix"), n.Draw(t, "new")}
		if g.Short+g.Medium+g.Long < fewGaps {
			require.Equal(t, prompt.FiveMinutes, m.lifetime(g))
			return
		}
		five := pauses(g.Short, turnCost(g, m.CacheReadPrice, m.CacheWrite5mPrice))
		five.Add(five, pauses(g.Medium+g.Long, turnCost(g, m.CacheWrite5mPrice, m.CacheWrite5mPrice)))
		hour := pauses(g.Short+g.Medium, turnCost(g, m.CacheReadPrice, m.CacheWrite1hPrice))
		hour.Add(hour, pauses(g.Long, turnCost(g, m.CacheWrite1hPrice, m.CacheWrite1hPrice)))
		want := prompt.FiveMinutes
		if hour.Cmp(five) < 0 {
			want = prompt.OneHour
		}
		require.Equal(t, want, m.lifetime(g), "five minutes %s, an hour %s", five, hour)
	})
}

// turnCost is what a request costs that gets its prefix at one price and what it adds at another.
func turnCost(g Gaps, prefix, added int64) *big.Int {
	cost := new(big.Int).Mul(big.NewInt(g.PrefixTokens), big.NewInt(prefix))
	return cost.Add(cost, new(big.Int).Mul(big.NewInt(g.NewTokens), big.NewInt(added)))
}

func pauses(n int, cost *big.Int) *big.Int { return new(big.Int).Mul(big.NewInt(int64(n)), cost) }

func TestLifetime(t *testing.T) {
	chat := Gaps{Short: 75, Medium: 1, PrefixTokens: 50_000, NewTokens: 1000}
	for name, tc := range map[string]struct {
		change func(*Model)
		gaps   Gaps
		want   time.Duration
	}{
		"nothing known":              {nil, Gaps{}, prompt.FiveMinutes},
		"one medium pause in 76":     {nil, chat, prompt.OneHour},
		"one in 77":                  {nil, Gaps{Short: 76, Medium: 1, PrefixTokens: 50_000, NewTokens: 1000}, prompt.FiveMinutes},
		"two pauses are few":         {nil, Gaps{Medium: 2, PrefixTokens: 50_000}, prompt.FiveMinutes},
		"long pauses alone":          {nil, Gaps{Long: 50, PrefixTokens: 50_000, NewTokens: 1000}, prompt.FiveMinutes},
		"negative counts":            {nil, Gaps{Short: -1, Medium: -9, Long: -1, PrefixTokens: -5, NewTokens: -5}, prompt.FiveMinutes},
		"no hour on offer":           {func(m *Model) { m.TTLs = nil }, chat, prompt.FiveMinutes},
		"price of reading unknown":   {func(m *Model) { m.CacheReadPrice = 0 }, chat, prompt.FiveMinutes},
		"price of an hour unknown":   {func(m *Model) { m.CacheWrite1hPrice = 0 }, chat, prompt.FiveMinutes},
		"an hour is no dearer":       {func(m *Model) { m.CacheWrite1hPrice = m.CacheWrite5mPrice }, chat, prompt.OneHour},
		"an hour is no dearer, idly": {func(m *Model) { m.CacheWrite1hPrice = m.CacheWrite5mPrice }, Gaps{Short: 9, Long: 9}, prompt.FiveMinutes},
		"figures of any size":        {nil, Gaps{Short: 1, Medium: math.MaxInt, PrefixTokens: math.MaxInt64, NewTokens: 1}, prompt.OneHour},
		"sums of any size":           {nil, Gaps{Short: math.MaxInt, Medium: math.MaxInt, Long: math.MaxInt, PrefixTokens: math.MaxInt64, NewTokens: math.MaxInt64}, prompt.FiveMinutes},
	} {
		t.Run(name, func(t *testing.T) {
			m := claude()
			if tc.change != nil {
				tc.change(&m)
			}
			require.Equal(t, tc.want, m.lifetime(tc.gaps))
		})
	}
}
