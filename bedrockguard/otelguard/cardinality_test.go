package otelguard_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// Whoever puts an id of a request into the workflow must not fill the memory of this process, or of Prometheus.
func TestAHundredThousandWorkflowsAreAFewSeries(t *testing.T) {
	const calls = 100_000
	c := newCollector(t, otelguard.Options{Tags: []string{"team"}})
	e := bedrockguard.Event{Kind: bedrockguard.EventSettled, Outcome: bedrockguard.OutcomeUsage, Model: "amazon.nova-lite-v1:0", Region: "us-east-1", Usage: price.Usage{InputTokens: 100, OutputTokens: 10}}
	e.Actual[budget.UnitUSD] = 1000
	refused := bedrockguard.Event{Kind: bedrockguard.EventDenied}
	for i := range calls {
		s := budget.Scope{Workflow: fmt.Sprint("workflow-", i), Principal: fmt.Sprint("principal-", i%1000), Tags: map[string]string{"team": fmt.Sprint("team-", i%7), "request": fmt.Sprint(i)}}
		e.Scope, refused.Scope = s, s
		refused.Err = &budget.ExceededError{Limit: fmt.Sprint("limit-", i)}
		c.Listen(t.Context(), e)
		c.Listen(t.Context(), refused)
	}
	told := c.collect(t)
	values := make(map[string]map[string]bool)
	for name, points := range told {
		require.LessOrEqual(t, len(points), 1200, name)
		for i := range points {
			require.Empty(t, points[i].attr("otel.metric.overflow"), "%s: the SDK had to step in", name)
			for _, a := range points[i].attrs.ToSlice() {
				if values[string(a.Key)] == nil {
					values[string(a.Key)] = make(map[string]bool)
				}
				values[string(a.Key)][a.Value.String()] = true
			}
		}
	}
	for key, seen := range values {
		require.LessOrEqual(t, len(seen), 101, key)
	}
	require.True(t, values["bedrockguard.workflow"]["other"])
	require.Len(t, values["bedrockguard.limit"], 101)
	require.InDelta(t, calls*1e-6, total(told["bedrockguard.spend"], "", ""), 1e-9, "nothing is lost in it")
	require.InDelta(t, calls*100, total(told["bedrockguard.tokens"], "bedrockguard.token.class", "uncached_input"), 0)
	require.InDelta(t, calls, total(told["bedrockguard.refusals"], "", ""), 0)
}

// Whatever callers name, no more series are made than were asked for, each value is one that backends take, and nothing goes uncounted.
func TestSeriesAreBoundedWhateverScopesHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		maxValues, maxSeries := rapid.IntRange(1, 5).Draw(rt, "values"), rapid.IntRange(1, 8).Draw(rt, "series")
		c := newCollector(t, otelguard.Options{MaxValues: maxValues, MaxSeries: maxSeries})
		text := rapid.OneOf(rapid.StringN(0, 8, -1), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 600), func(b []byte) string { return string(b) }))
		events := rapid.IntRange(1, 40).Draw(rt, "events")
		for range events {
			c.Listen(t.Context(), bedrockguard.Event{Kind: bedrockguard.EventKilled, Scope: budget.Scope{Workflow: text.Draw(rt, "workflow"), Principal: text.Draw(rt, "principal")}})
		}
		points := c.collect(t)["bedrockguard.kills"]
		require.InDelta(rt, events, total(points, "", ""), 0)
		seen := make(map[string]bool)
		for i := range points {
			for _, a := range points[i].attrs.ToSlice() {
				require.True(rt, utf8.ValidString(a.Value.String()))
				require.LessOrEqual(rt, len(a.Value.String()), 128)
			}
			seen[points[i].attr("bedrockguard.workflow")] = true
		}
		require.LessOrEqual(rt, len(seen), maxValues+2, "the first ones, other and none")
		require.LessOrEqual(rt, len(points), maxSeries+4, "the first ones, and other with or without each of two values")
	})
}

func TestSplitAddsUpToTheCharge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tokens := func(name string) int64 { return rapid.Int64Range(0, 3_000_000).Draw(rt, name) }
		u := price.Usage{CacheReadInputTokens: tokens("read"), CacheWrite5mInputTokens: tokens("5m"), CacheWrite1hInputTokens: tokens("1h"), OutputTokens: tokens("output")}
		u.InputTokens = tokens("uncached") + u.CacheReadInputTokens + u.CacheWrite5mInputTokens + u.CacheWrite1hInputTokens
		e := bedrockguard.Event{Usage: u, Estimated: rapid.Bool().Draw(rt, "estimated"), Region: "us-east-1", Model: rapid.SampledFrom([]string{"anthropic.claude-sonnet-4-6", "amazon.nova-lite-v1:0", "unknown"}).Draw(rt, "model")}
		e.Actual[budget.UnitUSD] = rapid.Int64Min(0).Draw(rt, "money")
		var sum int64
		for class, part := range otelguard.Split(&e) {
			require.GreaterOrEqual(rt, part, int64(0), class)
			sum += part
		}
		require.Equal(rt, e.Actual[budget.UnitUSD], sum)
	})
}

func TestLongNamesAreCutBetweenCharacters(t *testing.T) {
	c := newCollector(t, otelguard.Options{})
	c.Listen(t.Context(), bedrockguard.Event{Kind: bedrockguard.EventKilled, Scope: budget.Scope{Workflow: strings.Repeat("é", 256)}})
	points := c.collect(t)["bedrockguard.kills"]
	require.Equal(t, strings.Repeat("é", 62)+"…", points[0].attr("bedrockguard.workflow"))
}
