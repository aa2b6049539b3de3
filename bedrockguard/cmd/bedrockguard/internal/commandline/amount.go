package commandline

import (
	"fmt"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// ParseQuantity parses an amount as people write it: "300 USD", "$300", "2000000 input tokens", "100 calls".
func ParseQuantity(text string) (q budget.Quantity, err error) {
	if dollars, ok := strings.CutPrefix(text, "$"); ok {
		text = dollars + " USD"
	}
	if err := q.UnmarshalText([]byte(text)); err != nil {
		return q, exit.UsageError("the amount %q: %s", text, strings.TrimPrefix(err.Error(), budget.ErrInvalidPolicy.Error()+": "))
	}
	return q, nil
}

// moments are the accepted forms of a moment.
var moments = [...]string{time.RFC3339, "2006-01-02 15:04:05Z", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// ParseMoment parses a moment, in UTC unless it has a zone, or how long ago it was, such as 24h or 7d.
func ParseMoment(flag, text string, now time.Time) (time.Time, error) {
	for _, form := range moments {
		if at, err := time.Parse(form, text); err == nil {
			return at.UTC(), nil
		}
	}
	if ago, err := ParseSpan(text); err == nil && ago > 0 {
		return now.Add(-ago).UTC(), nil
	}
	return time.Time{}, exit.UsageError("--%s %q: want a day such as 2026-11-01, a moment such as 2026-11-01T15:04:05Z, or how long ago, such as 24h or 7d", flag, text)
}

// ParseSpan parses a duration, which may be in whole days: 7d. Ten thousand days or more are refused, as a unit that ParseDuration does not know.
func ParseSpan(text string) (time.Duration, error) {
	var days int
	_, err := fmt.Sscanf(text, "%dd", &days)
	// Sscanf would ignore what comes after the d, so that the text is compared with the number written anew.
	wholeDays := err == nil && text == fmt.Sprintf("%dd", days)
	if wholeDays && days < 10_000 {
		return time.Duration(days) * 24 * time.Hour, nil
	}
	return time.ParseDuration(text)
}

// ParseMomentToCome parses a future moment, or how far it is from now.
func ParseMomentToCome(flag, text string, now time.Time) (time.Time, error) {
	if span, err := ParseSpan(text); err == nil && span > 0 {
		return now.Add(span).UTC(), nil
	}
	for _, form := range moments {
		if at, err := time.Parse(form, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, exit.UsageError("--%s %q: want a moment such as 2026-11-01T15:04:05Z, or how long from now, such as 2h or 7d", flag, text)
}
