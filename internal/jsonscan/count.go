package jsonscan

import (
	"errors"
	"strconv"
	"strings"
)

// Count returns the number of a non-negative integer in any spelling that JSON has for one, such as 4096, 4096.0 and 4.096e3, without quotes. It
// fails for anything else.
func Count(s string) (int64, error) {
	n, err := Digits(s)
	if err != nil && len(s) <= maxNumber && strings.ContainsAny(s, ".eE") {
		return decimalCount(s)
	}
	return n, err
}

// Digits returns the number that a text of digits alone stands for, and fails for any other text.
func Digits(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// maxNumber is how many bytes a number with a fraction or an exponent may have, and how large its exponent may be, because decimalCount writes the
// zeros out.
const maxNumber = 24

var errNoCount = errors.New("not a non-negative integer")

// decimalCount reads a number with a fraction or an exponent that is an integer all the same. It joins the digits before and after the point. If the
// exponent moves the point beyond the last digit, it appends zeros; else it cuts off the digits behind the point, which must be zeros.
func decimalCount(s string) (int64, error) {
	digits, power, _ := strings.Cut(strings.ToLower(s), "e")
	exponent := 0
	if power != "" {
		var err error
		if exponent, err = strconv.Atoi(power); err != nil || exponent < -maxNumber || exponent > maxNumber {
			return 0, errNoCount
		}
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	all := whole + fraction
	zeros := exponent - len(fraction) // how many to append; if negative, so many digits are behind the point instead
	if zeros >= 0 {
		all += strings.Repeat("0", zeros)
	} else {
		cut := max(len(all)+zeros, 0)
		if strings.Trim(all[cut:], "0") != "" {
			return 0, errNoCount
		}
		all = "0" + all[:cut] // a digit is left even if all are cut off
	}
	return Digits(all)
}
