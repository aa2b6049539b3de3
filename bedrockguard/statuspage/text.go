package statuspage

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// How many characters of a text from elsewhere are shown.
const (
	shortText = 60
	longText  = 300
)

// functions are the functions for templates.
var functions = template.FuncMap{"when": when, "clock": clock, "lasting": lasting}

// clip makes text from elsewhere safe to show: invisible characters, and those that would reorder the text around them, are shown as
// escapes, and text that is too long is cut. Templates escape it like any other text.
func clip(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		shown := string(r)
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			shown = fmt.Sprintf(`\u%04x`, r)
		}
		if n += utf8.RuneCountInString(shown); n > most {
			b.WriteRune('…')
			break
		}
		b.WriteString(shown)
	}
	return b.String()
}

// named is clip for a value of a scope, which may be empty.
func named(s string) string {
	if s == "" {
		return "(none)"
	}
	return clip(s, shortText)
}

// scopeText shows a scope, and the text empty for one without values.
func scopeText(s budget.Scope, empty string) string {
	if len(s.Dims()) == 0 {
		return empty
	}
	return clip(s.String(), 2*shortText)
}

// figure is a number, rounded for reading and exact.
type figure struct{ Text, Exact string }

// figureOf shows a quantity; one with the zero Unit is a plain number.
func figureOf(q budget.Quantity) figure {
	if !q.Unit.Valid() {
		exact := strconv.FormatInt(q.N, 10)
		return figure{grouped(exact), exact}
	}
	if q.Unit == budget.UnitUSD {
		return figure{dollars(q.N), q.String()}
	}
	return figure{grouped(strconv.FormatInt(q.N, 10)), q.String()}
}

// usd shows nano-USD.
func usd(n int64) figure { return figureOf(budget.Quantity{N: n, Unit: budget.UnitUSD}) }

// dollars shows nano-USD as dollars with two decimals, and smaller amounts than a dollar with more of them.
func dollars(n int64) string {
	value := math.Abs(float64(n) / 1e9)
	sign := ""
	if n < 0 {
		sign = "-"
	}
	digits := 6 // from 0.000001 on and below 0.01
	switch {
	case n == 0:
		return "$0"
	case value >= 1:
		digits = 2
	case value >= 0.01:
		digits = 4
	case value < 0.000001:
		digits = 9
	}
	whole, decimals, _ := strings.Cut(strconv.FormatFloat(value, 'f', digits, 64), ".")
	return sign + "$" + grouped(whole) + "." + decimals
}

// grouped adds thousands separators to a decimal number.
func grouped(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// rounded shows a number of a chart's axis in a short form, such as 999, 2.5k or 12M: from 1,000 on with a suffix.
func rounded(n int64, unit budget.Unit) string {
	value, prefix := float64(n), ""
	if unit == budget.UnitUSD {
		value, prefix = value/1e9, "$"
	}
	suffix := ""
	for _, s := range []string{"k", "M", "G", "T"} {
		// A number without a suffix has three digits at most, and one with a suffix four: 1,500 is 1.5k, and 2,500,000 is 2500k.
		isShort := math.Abs(value) < 10_000 && (suffix != "" || value < 1000)
		if isShort {
			break
		}
		value, suffix = value/1000, s
	}
	return prefix + strconv.FormatFloat(value, 'g', 4, 64) + suffix
}

// percent shows a share; empty if the whole is zero.
func percent(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
}

// when shows a moment, and nothing for the zero one.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// clock shows the time of day.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// lasting shows a duration with its two largest units, and nothing for zero.
func lasting(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d <= 0:
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(1, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d < 60*day:
		return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
	default:
		return grouped(strconv.Itoa(int(d/day))) + " d"
	}
}

// sum adds; if the sum is too large for an int64, it is the largest one.
func sum(a, b int64) int64 {
	if c := a + b; (c > a) == (b > 0) { // false after an overflow, which wraps around
		return c
	}
	return math.MaxInt64
}
