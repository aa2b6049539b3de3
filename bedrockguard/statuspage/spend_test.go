package statuspage

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// However money is divided among classes of token, no nano-USD is lost or made.
func TestClassesAddUpToTheCharge(t *testing.T) {
	var known prices
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(0, math.MaxInt64))
		s := spent{model: rapid.SampledFrom([]string{"anthropic.claude-sonnet-4-6", "amazon.nova-lite-v1:0", "nobody.knows", ""}).Draw(t, "model"), region: "us-east-1"}
		for u := budget.UnitUSD; u <= budget.UnitCalls; u++ {
			s.charge[u] = count.Draw(t, u.String())
		}
		total := int64(0)
		for class, part := range known.split(&s) {
			require.GreaterOrEqual(t, part, int64(0), class)
			total += part
		}
		require.Equal(t, s.charge[budget.UnitUSD], total)
	})
}

// The columns of a chart add up to its total, none is higher than the chart, and what is not shown by name is shown as others.
func TestChartsAddUp(t *testing.T) {
	columns := make([]time.Time, historyDays)
	rapid.Check(t, func(t *rapid.T) {
		var all []spent
		whole := int64(0)
		for range rapid.IntRange(0, 60).Draw(t, "charges") {
			s := spent{column: rapid.IntRange(0, len(columns)-1).Draw(t, "column"), workflow: rapid.StringMatching(`[a-n]?`).Draw(t, "workflow"), other: rapid.Bool().Draw(t, "other")}
			s.charge[budget.UnitUSD] = rapid.Int64Range(0, math.MaxInt64/64).Draw(t, "amount")
			whole += s.charge[budget.UnitUSD]
			all = append(all, s)
		}
		b := breakdownBy(columns, all, workflowOf)
		require.Equal(t, whole, b.Total)
		require.LessOrEqual(t, len(b.Series), maxSeries+1)
		total := int64(0)
		for _, s := range b.Series {
			for _, n := range s.Values {
				total += n
			}
		}
		require.Equal(t, whole, total)
		c := chartOf("x", "x", dayForm, b)
		for _, column := range c.Columns {
			height := 0
			for _, part := range column.Parts {
				require.GreaterOrEqual(t, part.Y, 0)
				height += part.Height
			}
			require.LessOrEqual(t, height, chartHeight)
		}
	})
}

// Whatever text is shown is valid, bounded and without control characters.
func TestShownTextIsHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := clip(string(rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "text")), shortText)
		require.True(t, utf8.ValidString(text))
		require.LessOrEqual(t, utf8.RuneCountInString(text), shortText+1)
		require.Equal(t, -1, strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x202a && r <= 0x202e }))
	})
}

// A target comes back from its form byte by byte.
func TestTargetsComeBack(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 512).Draw(t, "bytes")) })
	rapid.Check(t, func(t *rapid.T) {
		sent := target{text.Draw(t, "limit"), budget.Scope{Principal: text.Draw(t, "principal"), Workflow: text.Draw(t, "workflow"), Model: text.Draw(t, "model"), Region: text.Draw(t, "region")}}
		if name := text.Draw(t, "tag"); name != "" {
			sent.Scope.Tags = map[string]string{name: text.Draw(t, "value")}
		}
		got, err := parseTarget(sent.token())
		require.NoError(t, err)
		require.Equal(t, sent, got)
		_, _ = parseTarget(rapid.String().Draw(t, "nonsense"))
	})
}

// The pace is measured over the window at first, and over the last minutes once they were looked at; it foretells what arithmetic does.
func TestPaceForetells(t *testing.T) {
	var p paces
	midnight := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	at := func(since time.Duration, settled int64) pace {
		now := midnight.Add(since)
		a := account{balance: budget.AccountBalance{Max: budget.USD(10), Settled: budget.Quantity{N: settled, Unit: budget.UnitUSD}, ResetAfter: 24*time.Hour - since}}
		return p.of(&a, budget.Daily, now)
	}
	first := at(2*time.Hour, 4e9)
	require.InDelta(t, 2e9, first.perHour, 1)
	require.False(t, first.recent)
	require.Equal(t, 3*time.Hour, first.full.Round(time.Second))
	require.False(t, first.resets)
	next := at(2*time.Hour+6*time.Minute, 5e9)
	require.True(t, next.recent)
	require.InDelta(t, 10e9, next.perHour, 1)
	require.Equal(t, 30*time.Minute, next.full.Round(time.Second))
	slow := at(2*time.Hour+12*time.Minute, 5e9+1000)
	require.True(t, slow.resets || slow.full == 0)
	full := at(2*time.Hour+13*time.Minute, 11e9)
	require.Zero(t, full.full)
	anew := at(24*time.Hour+30*time.Second, 1e9) // a new window
	require.Zero(t, anew.over)
	p.forget(midnight.Add(48 * time.Hour))
	require.Empty(t, p.tracks)
}
