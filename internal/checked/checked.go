// Package checked computes with integers and reports when a result does not fit.
package checked

import (
	"math"
	"math/bits"
)

// Add returns a+b and whether it fits. If it does, the sum is larger than a only if b is positive; if it wraps around, it is the other way round.
func Add(a, b int64) (int64, bool) {
	c := a + b
	return c, (c > a) == (b > 0)
}

// Mul returns a*b of non-negative numbers and whether it fits.
func Mul(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	return int64(lo), a >= 0 && b >= 0 && hi == 0 && lo <= math.MaxInt64
}

// MulDivCeil returns ceil(a*b/d) for non-negative a and b and positive d, and whether it fits. The product itself may be beyond int64.
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
