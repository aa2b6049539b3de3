package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// parseQuantity parses an amount as people write it: "300 USD", "$300", "2000000 input tokens", "100 calls".
func parseQuantity(text string) (q budget.Quantity, err error) {
	if dollars, ok := strings.CutPrefix(text, "$"); ok {
		text = dollars + " USD"
	}
	if err := q.UnmarshalText([]byte(text)); err != nil {
		return q, usageError("the amount %q: %s", text, strings.TrimPrefix(err.Error(), budget.ErrInvalidPolicy.Error()+": "))
	}
	return q, nil
}

// moments are the accepted forms of a moment.
var moments = [...]string{time.RFC3339, "2006-01-02 15:04:05Z", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// parseMoment parses a moment, in UTC unless it has a zone, or how long ago it was, such as 24h or 7d.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	for _, form := range moments {
		if at, err := time.Parse(form, text); err == nil {
			return at.UTC(), nil
		}
	}
	if ago, err := parseSpan(text); err == nil && ago > 0 {
		return now.Add(-ago).UTC(), nil
	}
	return time.Time{}, usageError("--%s %q: want a day such as 2026-11-01, a moment such as 2026-11-01T15:04:05Z, or how long ago, such as 24h or 7d", flag, text)
}

// parseSpan parses a duration, which may be in days.
func parseSpan(text string) (time.Duration, error) {
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); n == 1 && err == nil && text == fmt.Sprintf("%dd", days) && days < 10_000 {
		return time.Duration(days) * 24 * time.Hour, nil
	}
	return time.ParseDuration(text)
}

// unitsTold are the units of a charge, in the order in which they are printed.
var unitsTold = [...]struct {
	unit budget.Unit
	name string
}{
	{budget.UnitUSD, "nano_usd"},
	{budget.UnitCalls, "calls"},
	{budget.UnitInputTokens, "input_tokens"},
	{budget.UnitUncachedInputTokens, "uncached_input_tokens"},
	{budget.UnitCacheReadInputTokens, "cache_read_input_tokens"},
	{budget.UnitCacheWriteInputTokens, "cache_write_input_tokens"},
	{budget.UnitOutputTokens, "output_tokens"},
}

// jsonCharge is a charge for JSON, by unit.
func jsonCharge(c budget.Charge) map[string]int64 {
	told := make(map[string]int64)
	for _, u := range unitsTold {
		if c[u.unit] != 0 {
			told[u.name] = c[u.unit]
		}
	}
	return told
}
