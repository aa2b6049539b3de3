package httpdoor

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A client that looks for a status in the text of a refusal finds none in its figures, whose values stay what they are.
func TestFiguresOfRefusalsAreNoStatusCodes(t *testing.T) {
	for told, want := range map[string]string{
		"need 0.602860504 USD, 0.5 USD of 500 USD left": "need 0.60286051 USD, 0.5 USD of 5 hundred USD left",
		"(429 USD settled, 1,500 USD pending)":          "(4.29 hundred USD settled, 15 hundred USD pending)",
		"up to 500,000 input tokens, which":             "up to 0.5 million input tokens, which",
		"need 5000000 input tokens":                     "need 5 million input tokens",
		"at most 503 calls; 10502":                      "at most 5.03 hundred calls; 105.02 hundred",
		`limit "500" exceeded for workflow=agent-429`:   `limit "500" exceeded for workflow=agent-429`,
		"resets in 500h0m0s at 2026-11-29T05:00:00Z":    "resets in 500h0m0s at 2026-11-29T05:00:00Z",
		"250 USD of 499 USD left":                       "250 USD of 499 USD left",
	} {
		require.Equal(t, want, withoutStatusCodes(told))
	}
	units := map[string]int64{"hundred": 100, "thousand": 1000, "million": 1_000_000, "times 10,000": 10_000}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.Int64Range(0, 20_000_000), rapid.Map(rapid.Int64Range(0, 99_999), func(n int64) int64 { return n * 100 })).Draw(t, "n")
		told := withoutStatusCodes(fmt.Sprintf("of %d USD left", n))
		told = strings.TrimSuffix(strings.TrimPrefix(told, "of "), " USD left")
		value, unit, _ := strings.Cut(told, " ")
		amount, ok := new(big.Rat).SetString(value)
		require.True(t, ok, told)
		if unit != "" {
			require.NotRegexp(t, looksLikeStatus, value)
			amount.Mul(amount, new(big.Rat).SetInt64(units[unit]))
		}
		require.Zero(t, amount.Cmp(new(big.Rat).SetInt64(n)), told)
	})
}
