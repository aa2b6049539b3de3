package cache

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// mustParse reads a body that is in a known dialect.
func mustParse(t testing.TB, provider, body string) *prompt.Prompt {
	p := new(prompt.Prompt)
	require.NoError(t, prompt.ParseBody(p, provider, []byte(body)))
	return p
}

// What ParseBody reads is what this package works with.
func TestParseBody_FeedsTheChecks(t *testing.T) {
	tools := func(first, second string) string { return `"tools":[` + first + `,` + second + `]` }
	const f, g = `{"name":"f","description":"does f","input_schema":{"type":"object"}}`, `{"name":"g","input_schema":{}}`
	records := func(fields string) []prompt.Record {
		p := mustParse(t, "anthropic", `{"messages":[],`+fields+`}`)
		p.Record(nil)
		return p.Records()
	}
	old := records(tools(f, g))
	require.Equal(t, toolDiff{sameSet: true}, diffTools(old, records(tools(g, f))))
	require.True(t, diffTools(old, records(tools(`{"input_schema":{"type":"object"},"description":"does f","name":"f","cache_control":{}}`, g))).sameContent)
	require.Equal(t, toolDiff{changed: 1}, diffTools(old, records(tools(strings.Replace(f, "does f", "does more", 1), g))))

	p := mustParse(t, "anthropic", `{"system":[{"type":"text","text":"You help.\nCurrent time: 12:34:56\n","cache_control":{}}],"messages":[]}`)
	p.Record(nil)
	v := p.Volatile(0)
	require.True(t, v.Suspicious())
	require.Equal(t, "a time of day at byte 24 (line 2)", v.String())
}

func TestTurn_Avoidable(t *testing.T) {
	tracker, at := NewTracker(Policy{Mode: Report}), time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	send := func(wait time.Duration, messages string) int64 {
		at = at.Add(wait)
		p := mustParse(t, "anthropic", `{"system":[{"type":"text","text":"`+strings.Repeat("word ", 5000)+`"}],"messages":[`+messages+`]}`)
		turn := tracker.Check(Call{Workflow: "w", Model: opus(), At: at}, p)
		turn.Send()
		turn.End(Usage{InputTokens: 6000}, at)
		return turn.Avoidable()
	}
	const first, second = `{"role":"user","content":"one"}`, `{"role":"assistant","content":"two"},{"role":"user","content":"three"}`
	require.Zero(t, send(0, first))
	require.InDelta(t, 6000, send(time.Minute, first+","+second), 300, "all that the request before had")
	require.Zero(t, send(time.Hour, first+","+second), "it has expired")
}
