package catalog

import (
	"fmt"
	"strings"
)

// Scales of decimal prices: a pico-USD per token is 1e-6 USD per million tokens, and an Amount counts nano-USD.
const (
	scalePicoPerMTok = 6
	scaleNano        = 9
)

// maxDecimalDigits bounds the whole digits of a price, so that scaling it cannot overflow.
const maxDecimalDigits = 8

// parseDecimal parses a plain decimal ("5", "0.00875") as an integer number of 10^-scale, rounded up. Signs, exponents and white space are
// refused.
func parseDecimal(s string, scale int) (int64, error) {
	whole, frac, point := strings.Cut(s, ".")
	missing := whole == "" || point && frac == "" // no digit before the point, or none behind one
	tooLong := len(whole) > maxDecimalDigits || len(frac) > 32
	if missing || tooLong || !digits(whole) || !digits(frac) {
		return 0, fmt.Errorf("price %q is not a plain decimal below 100000000", printable(s, 32))
	}
	var n int64
	for _, c := range whole {
		n = n*10 + int64(c-'0')
	}
	for i := range scale { // as many digits behind the point, with zeros for those that are missing
		n *= 10
		if i < len(frac) {
			n += int64(frac[i] - '0')
		}
	}
	if len(frac) > scale && strings.Trim(frac[scale:], "0") != "" { // any digit behind the scale rounds up
		n++
	}
	return n, nil
}

// digits reports whether s has nothing but decimal digits; it may be empty.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
