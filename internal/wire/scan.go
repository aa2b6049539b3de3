package wire

import (
	"errors"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// text is the inside of a string literal.
type text = jsonscan.Text

// plain returns a text without escapes.
func plain(s string) text { return text{Raw: s, Len: len(s)} }

// scanner reads JSON, and the counts in it.
type scanner struct{ jsonscan.Scanner }

// scanObject starts a scan of a body that has to be one JSON object, and calls field at every value of it.
func (p *scanner) scanObject(body []byte, field func(key string) error) error {
	err := p.Document(string(body), field)
	var e *jsonscan.Error
	if errors.As(err, &e) {
		return &MalformedError{Offset: e.Offset, Reason: e.Reason}
	}
	return err
}

// count reads a value that has to be a non-negative integer or null. It reports false for null.
func (p *scanner) count(field string) (int64, bool, error) {
	p.Peek()
	at := p.Pos()
	raw, err := p.Value()
	if err != nil || raw == "null" {
		return 0, false, err
	}
	n, err := plainCount(raw)
	if err != nil {
		return 0, false, &MalformedError{Field: field, Offset: at, Reason: "not a non-negative integer"}
	}
	return n, true, nil
}

// plainCount accepts an integer in any spelling that JSON has for one, such as 4096, 4096.0 and 4.096e3: no sign and no quotes.
func plainCount(s string) (int64, error) {
	n, err := digitCount(s)
	if err != nil && len(s) <= maxNumber && strings.ContainsAny(s, ".eE") {
		return decimalCount(s)
	}
	return n, err
}

// digitCount accepts digits only.
func digitCount(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// maxNumber bounds the spelling of a number, so that its exponent stays small.
const maxNumber = 24

var errNoCount = errors.New("not a non-negative integer")

// decimalCount reads a number with a fraction or an exponent that is an integer all the same.
func decimalCount(s string) (int64, error) {
	digits, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	shift := 0
	if exponent != "" {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift < -maxNumber || shift > maxNumber {
			return 0, errNoCount
		}
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	shift -= len(fraction)
	all := whole + fraction
	if shift >= 0 {
		all += strings.Repeat("0", shift)
	} else {
		cut := max(len(all)+shift, 0)
		if strings.Trim(all[cut:], "0") != "" {
			return 0, errNoCount
		}
		all = "0" + all[:cut]
	}
	return digitCount(all)
}
