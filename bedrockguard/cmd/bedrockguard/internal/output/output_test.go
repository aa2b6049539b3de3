package output

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Whatever somebody named, what reaches a terminal prints, is valid and stays in its line.
func FuzzPrintable(f *testing.F) {
	for _, text := range []string{"plain", "ünïcode 漢字 🚀", "\x1b[31mred\x1b[0m", "\x1b]8;;http://x\x1b\\link", "a\rb\nc\td", "\u202egnp.exe", "\u200b\u2066", "\xff\xfe", "\u009b31m", "\u2028"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shown := Printable(text)
		require.True(t, utf8.ValidString(shown))
		for _, r := range shown {
			require.True(t, unicode.IsPrint(r), "%q", r)
		}
		if strings.IndexFunc(text, unprintable) < 0 {
			require.Equal(t, text, shown, "what is harmless is shown as it is")
		}
		require.Equal(t, shown, Printable(shown))
	})
}

// Money is told with the digits that matter, and a small amount is not told as nothing.
func TestMoney(t *testing.T) {
	for want, q := range map[string]budget.Quantity{
		"$0": budget.USD(0), "$12.35": budget.USD(12.345678), "$0.01235": budget.USD(0.0123456), "1200": budget.OutputTokens(1200), "$0.000000001": {N: 1, Unit: budget.UnitUSD},
	} {
		require.Equal(t, want, Money(q))
	}
}
