// Package checked computes with integers and reports when a result does not fit.
package checked

import (
	"math"
	"math/bits"
)

// Add returns a+b and whether it fits.
func Add(a, b int64) (int64, bool) {
	sum := a + b
	grows := sum > a
	return sum, grows == (b > 0) // a sum that wraps around is smaller for a positive b, and larger for a negative one
}

// Mul returns a*b of non-negative numbers and whether it fits. For negative ones it reports that it does not.
func Mul(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	return int64(lo), a >= 0 && b >= 0 && hi == 0 && lo <= math.MaxInt64
}

// MulDivCeil returns a*b/d, rounded up, for non-negative a and b and positive d, and whether it fits. The product itself may be beyond int64. For
// other numbers it reports that it does not fit.
func MulDivCeil(a, b, d int64) (int64, bool) {
	if a < 0 || b < 0 || d <= 0 {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(d) {
		return 0, false
	}
	quotient, rest := bits.Div64(hi, lo, uint64(d))
	if rest > 0 {
		quotient++
	}
	return int64(quotient), quotient <= math.MaxInt64
}
