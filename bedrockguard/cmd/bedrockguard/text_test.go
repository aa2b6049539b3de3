package main

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// No error about a store's address repeats its password, whatever is wrong with the rest.
func FuzzStoreAddressKeepsItsSecret(f *testing.F) {
	const secret = "hunter2hunter2"
	for _, rest := range []string{"host:6379/0", "host:notaport/0", "host/db?sslmode=perhaps", "%zz", "[::1", "host/0?retention=x", "host:1,other:2/db", "host?addr=h:1", "host/0?dial_timeout=x", "\x7f", "a b"} {
		for _, scheme := range []string{"redis", "rediss", "postgres", "dynamodb", "sqlite", "mysql", "unix"} {
			f.Add(scheme, rest)
		}
	}
	f.Fuzz(func(t *testing.T, scheme, rest string) {
		if strings.Contains(scheme, "hunter2") || strings.Contains(rest, "hunter2") {
			return
		}
		u, err := parseStoreURL(scheme + "://user:" + secret + "@" + rest)
		if err == nil && u.kind == "redis" {
			client, clientErr := u.redisClient()
			if err = clientErr; client != nil {
				require.NoError(t, client.Close())
			}
		}
		if err == nil && u.kind == "postgres" {
			_, err = u.poolConfig()
		}
		if err != nil {
			require.NotContains(t, err.Error(), "hunter2")
		}
	})
}

// Whatever somebody named, what reaches a terminal prints, is valid and stays in its line.
func FuzzPrintable(f *testing.F) {
	for _, text := range []string{"plain", "ünïcode 漢字 🚀", "\x1b[31mred\x1b[0m", "\x1b]8;;http://x\x1b\\link", "a\rb\nc\td", "\u202egnp.exe", "\u200b\u2066", "\xff\xfe", "\u009b31m", "\u2028"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shown := printable(text)
		require.True(t, utf8.ValidString(shown))
		for _, r := range shown {
			require.True(t, unicode.IsPrint(r), "%q", r)
		}
		if strings.IndexFunc(text, unprintable) < 0 {
			require.Equal(t, text, shown, "what is harmless is shown as it is")
		}
		require.Equal(t, shown, printable(shown))
	})
}

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
		at, err := parseMoment("since", text, now)
		require.NoError(t, err, text)
		require.Equal(t, want, at, text)
	}
	for _, text := range []string{"", "yesterday", "-7d", "7dd", "0d", "99999d", "2026-13-01"} {
		_, err := parseMoment("since", text, now)
		require.Error(t, err, text)
	}
}

func TestQuantities(t *testing.T) {
	for text, want := range map[string]budget.Quantity{
		"$300": budget.USD(300), "0.25 USD": budget.USD(0.25), "2_000_000 input tokens": budget.InputTokens(2_000_000), "100 calls": budget.Calls(100),
	} {
		q, err := parseQuantity(text)
		require.NoError(t, err, text)
		require.Equal(t, want, q, text)
	}
	for _, text := range []string{"", "$", "$-1", "300", "1e99 USD", "ten USD", "1 EUR"} {
		_, err := parseQuantity(text)
		require.Error(t, err, text)
	}
}

// Money is told with the digits that matter, and a small amount is not told as nothing.
func TestMoney(t *testing.T) {
	for want, q := range map[string]budget.Quantity{
		"$0": budget.USD(0), "$12.35": budget.USD(12.345678), "$0.01235": budget.USD(0.0123456), "1200": budget.OutputTokens(1200), "$0.000000001": {N: 1, Unit: budget.UnitUSD},
	} {
		require.Equal(t, want, money(q))
	}
}
