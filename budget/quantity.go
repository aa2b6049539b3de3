package budget

import (
	"math"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// USD returns an amount of money, rounded to the nearest nano-USD. It is meant for configuration; later arithmetic uses no floats. NaN,
// infinities and anything beyond int64 nano-USD give a negative Quantity, which Open refuses.
func USD(dollars float64) Quantity {
	n := math.Round(dollars * float64(price.Dollar))
	if math.IsNaN(n) || n >= math.MaxInt64 || n <= math.MinInt64 {
		return Quantity{N: math.MinInt64, Unit: UnitUSD}
	}
	return Quantity{N: int64(n), Unit: UnitUSD}
}

// UncachedInputTokens returns a number of input tokens that were neither read from the prompt cache nor written to it.
func UncachedInputTokens(n int64) Quantity { return Quantity{N: n, Unit: UnitUncachedInputTokens} }

// InputTokens returns a number of input tokens, cached ones included.
func InputTokens(n int64) Quantity { return Quantity{N: n, Unit: UnitInputTokens} }

// CacheReadInputTokens returns a number of input tokens read from the prompt cache.
func CacheReadInputTokens(n int64) Quantity { return Quantity{N: n, Unit: UnitCacheReadInputTokens} }

// CacheWriteInputTokens returns a number of input tokens written to the prompt cache.
func CacheWriteInputTokens(n int64) Quantity { return Quantity{N: n, Unit: UnitCacheWriteInputTokens} }

// OutputTokens returns a number of output tokens.
func OutputTokens(n int64) Quantity { return Quantity{N: n, Unit: UnitOutputTokens} }

// Calls returns a number of attempts sent to the service. The SDK's retries count one each: each can be billed.
func Calls(n int64) Quantity { return Quantity{N: n, Unit: UnitCalls} }
