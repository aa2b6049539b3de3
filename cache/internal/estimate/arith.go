package estimate

import (
	"fmt"
	"math"
	"math/bits"
)

// The functions of this file calculate with tokens and money, without overflow.

// Sum adds counts that are not negative. It returns math.MaxInt64 instead of overflowing.
func Sum(counts ...int64) int64 {
	var n int64
	for _, c := range counts {
		if n > math.MaxInt64-max(c, 0) {
			return math.MaxInt64
		}
		n += max(c, 0)
	}
	return n
}

// MulDiv returns a*b/c without overflow of the product: 0 if a number is not positive, and the largest int64 if the result would be larger.
func MulDiv(a, b, c int64) int64 {
	if a <= 0 || b <= 0 || c <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) { // the quotient would not fit, and Div64 would panic
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, 1<<63-1))
}

// NanoUSD returns the price of tokens in nano-USD, rounded up, at so many pico-USD a token. It is 0 without a price, and math.MaxInt64 if the result
// would be larger.
func NanoUSD(tokens, picoPerToken int64) int64 {
	if tokens <= 0 || picoPerToken <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(tokens), uint64(picoPerToken)) // in pico-USD, of which 1000 are a nano-USD
	if hi >= 1000 {
		return math.MaxInt64 // the quotient would not fit, and Div64 would panic
	}
	q, rem := bits.Div64(hi, lo, 1000)
	if rem > 0 {
		q++
	}
	return int64(min(q, math.MaxInt64))
}

// Dollars prints nano-USD with the significant digits.
func Dollars(nano int64) string {
	usd := float64(nano) / 1e9
	switch {
	case usd >= 100:
		return fmt.Sprintf("$%.0f", usd)
	case usd >= 1:
		return fmt.Sprintf("$%.2f", usd)
	case usd >= 0.01:
		return fmt.Sprintf("$%.4f", usd)
	case usd >= 0.00001:
		return fmt.Sprintf("$%.6f", usd)
	default:
		return fmt.Sprintf("$%.9f", usd)
	}
}

// Average moves an average towards a new value by an eighth of the difference. Before the first value the average is 0.
func Average(old, value int64) int64 {
	if old == 0 {
		return value
	}
	return old + (value-old)/8
}
