package price

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAmountPrintsExactDollars(t *testing.T) {
	for n, want := range map[Amount]string{
		0: "0 USD", 1: "0.000000001 USD", -1: "-0.000000001 USD", 12_500_000: "0.0125 USD", 200_000_000_000: "200 USD",
		math.MaxInt64: "9223372036.854775807 USD", math.MinInt64: "-9223372036.854775808 USD",
	} {
		require.Equal(t, want, n.String())
	}
}

func TestAddNeverWraps(t *testing.T) {
	_, err := Amount(math.MaxInt64).Add(1)
	require.ErrorIs(t, err, ErrOverflow)
	_, err = Amount(math.MinInt64).Add(-1)
	require.ErrorIs(t, err, ErrOverflow)
	sum, err := Amount(math.MaxInt64).Add(math.MinInt64)
	require.NoError(t, err)
	require.Equal(t, Amount(-1), sum)
}

// opus46 is us.anthropic.claude-opus-4-6-v1 at list price with the ten percent of a geographic profile.
func opus46(t testing.TB) Price {
	return Price{Rates: Rates{
		Input: perMTok(t, "5.5"), Output: perMTok(t, "27.5"), CacheRead: perMTok(t, "0.55"),
		CacheWrite5m: perMTok(t, "6.875"), CacheWrite1h: perMTok(t, "11"),
	}}
}

func perMTok(t testing.TB, usd string) PicoUSD {
	p, err := PerMTok(usd)
	require.NoError(t, err)
	return p
}

func TestCostOfTheIncident(t *testing.T) {
	opus := opus46(t)
	cost, err := opus.Cost(Usage{
		InputTokens:          6_470_000_000 + 1_670_000_000 + 101_000_000,
		CacheReadInputTokens: 1_670_000_000, CacheWrite5mInputTokens: 101_000_000, OutputTokens: 25_400_000,
	}, TierStandard)
	require.NoError(t, err)
	require.Equal(t, "37896.375 USD", cost.String()) // 35585 + 918.5 + 694.375 + 698.5
}

func TestCostRoundsEachClassUp(t *testing.T) {
	p := Price{Rates: Rates{Input: 1, Output: 1, CacheRead: 1, CacheWrite5m: 1, CacheWrite1h: 1}}
	cost, err := p.Cost(Usage{InputTokens: 4, CacheReadInputTokens: 1, CacheWrite5mInputTokens: 1, CacheWrite1hInputTokens: 1, OutputTokens: 1}, 0)
	require.NoError(t, err)
	require.Equal(t, Amount(5), cost)
}

func TestLongContextPricesTheWholeRequest(t *testing.T) {
	p := Price{Rates: Rates{Input: 1000}, LongContext: LongContext{Threshold: 100, Rates: Rates{Input: 5000}}}
	at, err := p.Cost(Usage{InputTokens: 100}, 0)
	require.NoError(t, err)
	above, err := p.Cost(Usage{InputTokens: 101}, 0)
	require.NoError(t, err)
	require.Equal(t, []Amount{100, 505}, []Amount{at, above})
}

func TestTierScalesEveryClass(t *testing.T) {
	p := Price{Rates: Rates{Input: 2000, Output: 4000}}
	for tier, want := range map[Tier]Amount{0: 60, 1000: 60, 500: 30, 1750: 105} {
		got, err := p.Cost(Usage{InputTokens: 10, OutputTokens: 10}, tier)
		require.NoError(t, err)
		require.Equal(t, want, got, "tier %d", tier)
	}
}

func TestHostileCountsAreErrorsAndNeverSmallPrices(t *testing.T) {
	p := opus46(t)
	for _, u := range []Usage{
		{InputTokens: -1},
		{OutputTokens: math.MinInt64},
		{InputTokens: 1, CacheReadInputTokens: 2},
		{InputTokens: math.MaxInt64, CacheReadInputTokens: math.MaxInt64, CacheWrite5mInputTokens: math.MaxInt64},
	} {
		_, err := p.Cost(u, 0)
		require.ErrorIs(t, err, ErrInvalidUsage, "%+v", u)
	}
	for _, n := range []int64{math.MaxInt64, math.MaxInt64 / 2, 1 << 60} {
		_, err := p.Cost(Usage{InputTokens: n}, 0)
		require.ErrorIs(t, err, ErrOverflow)
		_, err = p.WorstCase(n, n, CacheWrites1h, 0)
		require.ErrorIs(t, err, ErrOverflow)
	}
	_, err := p.WorstCase(-1, 0, NoCacheWrites, 0)
	require.ErrorIs(t, err, ErrInvalidUsage)
}

func TestPerMTok(t *testing.T) {
	for text, want := range map[string]PicoUSD{"0": 0, "3": 3_000_000, "0.00875": 8_750, "0.0000001": 1, "27.5": 27_500_000} {
		require.Equal(t, want, perMTok(t, text), text)
	}
	for _, text := range []string{"", "-1", "NaN", "Inf", "1e300", "x", "3 USD"} {
		_, err := PerMTok(text)
		require.Error(t, err, text)
	}
}

// The worst case bounds every split of the same tokens into classes, and the arithmetic agrees with big integers.
func FuzzWorstCaseBoundsCost(f *testing.F) {
	f.Add(int64(5_500_000), int64(27_500_000), int64(1000), uint16(300), uint16(500), uint16(20), int64(50), int64(200))
	f.Fuzz(func(t *testing.T, in, out, tier int64, read, write5, write1 uint16, uncached, threshold int64) {
		if in < 0 || out < 0 || tier < 0 || tier > 10_000 || uncached < 0 || uncached > 1<<40 || in > 1<<40 || out > 1<<40 {
			return
		}
		p := Price{Rates: Rates{Input: PicoUSD(in), Output: PicoUSD(out), CacheRead: PicoUSD(in / 10), CacheWrite5m: PicoUSD(in + in/4), CacheWrite1h: PicoUSD(2 * in)}}
		p.LongContext = LongContext{Threshold: threshold, Rates: Rates{Input: PicoUSD(in * 2), Output: PicoUSD(out), CacheRead: PicoUSD(in), CacheWrite5m: PicoUSD(in * 3), CacheWrite1h: PicoUSD(in * 4)}}
		u := Usage{
			InputTokens:          uncached + int64(read) + int64(write5) + int64(write1),
			CacheReadInputTokens: int64(read), CacheWrite5mInputTokens: int64(write5), CacheWrite1hInputTokens: int64(write1), OutputTokens: int64(read),
		}
		cost, err := p.Cost(u, Tier(tier))
		worst, worstErr := p.WorstCase(u.InputTokens, u.OutputTokens, CacheWrites1h, Tier(tier))
		if worstErr == nil {
			require.NoError(t, err)
			require.GreaterOrEqual(t, worst, cost)
		}
		if err == nil {
			require.GreaterOrEqual(t, cost, Amount(0))
		}
	})
}
