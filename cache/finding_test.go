package cache

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

func TestFindingsRender(t *testing.T) {
	f := Finding{Rule: ruleTail, Where: "messages[0].content[0]", Detail: "the last cache point stands at system[1]", NanoUSD: 43_400_000, NanoUSDPerDay: 12_400_000_000}
	require.Equal(t, "uncached-tail (G3) at messages[0].content[0]: the last cache point stands at system[1]; costs $0.0434 a call, $12.40 a day at the present rate: put a cache point behind the last user turn too, and move it on with each turn", f.String())
	for _, width := range []int{0, 60, 100} {
		for line := range strings.Lines(f.Render(width)) {
			require.LessOrEqual(t, len(strings.TrimRight(line, "\n")), max(width, 40))
		}
	}
	require.Contains(t, f.Render(60), "\n  costs   $0.0434 a call, $12.40 a day at the present rate\n")
	require.Equal(t, "unheard-of: x", Finding{Rule: "unheard-of", Detail: "x"}.String())
	for nano, want := range map[int64]string{1: "$0.000000001", 20_000: "$0.000020", 10_000_000: "$0.0100", 1_500_000_000: "$1.50", 250_000_000_000: "$250"} {
		require.Equal(t, want, estimate.Dollars(nano))
	}
	require.Equal(t, []string{"5m", "1h", "90m", "an unknown lifetime"}, []string{ttlName(prompt.FiveMinutes), ttlName(prompt.OneHour), ttlName(90 * prompt.OneHour / 60), ttlName(0)})
}

func TestEveryRuleIsDescribed(t *testing.T) {
	seen := map[Rule]bool{}
	for _, info := range Rules() {
		require.False(t, seen[info.Rule], info.Rule)
		seen[info.Rule] = true
		require.NotEmpty(t, info.Cause, info.Rule)
		require.NotEmpty(t, info.Advice, info.Rule)
	}
	tested := map[Rule]bool{ruleTripped: true, ruleEvicted: true}
	for _, c := range causes {
		tested[c.rule] = true
	}
	for r := range seen {
		require.True(t, tested[r], "no row of the table of causes shows %s", r)
	}
}
