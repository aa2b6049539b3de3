package commandline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

func TestMoments(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-01":                time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		"2026-11-01 15:04":          time.Date(2026, 11, 1, 15, 4, 0, 0, time.UTC),
		"2026-11-01T15:04:05+02:00": time.Date(2026, 11, 1, 13, 4, 5, 0, time.UTC),
		"2026-11-01 15:04:05Z":      time.Date(2026, 11, 1, 15, 4, 5, 0, time.UTC),
		"90m":                       now.Add(-90 * time.Minute),
		"7d":                        now.AddDate(0, 0, -7),
	} {
		at, err := ParseMoment("since", text, now)
		require.NoError(t, err, text)
		require.Equal(t, want, at, text)
	}
	for _, text := range []string{"", "yesterday", "-7d", "7dd", "0d", "99999d", "2026-13-01"} {
		_, err := ParseMoment("since", text, now)
		require.Error(t, err, text)
	}
}

func TestQuantities(t *testing.T) {
	for text, want := range map[string]budget.Quantity{
		"$300": budget.USD(300), "0.25 USD": budget.USD(0.25), "2_000_000 input tokens": budget.InputTokens(2_000_000), "100 calls": budget.Calls(100),
	} {
		q, err := ParseQuantity(text)
		require.NoError(t, err, text)
		require.Equal(t, want, q, text)
	}
	for _, text := range []string{"", "$", "$-1", "300", "1e99 USD", "ten USD", "1 EUR"} {
		_, err := ParseQuantity(text)
		require.Error(t, err, text)
	}
}
