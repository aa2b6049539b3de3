package statuspage_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/statuspage"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// settledEvent is a call of a workflow that cost a third of a cent, and read four fifths of its input from the cache.
func settledEvent(workflow string, at time.Time) bedrockguard.Event {
	usage := price.Usage{InputTokens: 1000, CacheReadInputTokens: 800, OutputTokens: 10}
	return bedrockguard.Event{
		Kind: bedrockguard.EventSettled, Time: at, Scope: budget.Scope{Workflow: workflow}, Model: "anthropic.claude-sonnet-4-6", Region: "us-east-1",
		Usage: usage, Actual: driver.ChargeOf(usage, 3_333_333),
	}
}

// What a guard tells is shown by the minute, and what is more than an hour old is not.
func TestTheLastHour(t *testing.T) {
	h := newHouse(t, policy, nil)
	now := time.Now()
	for i := range 3 {
		h.page.Listen(t.Context(), settledEvent("nightly", now.Add(-time.Duration(i)*10*time.Minute)))
	}
	h.page.Listen(t.Context(), settledEvent("nightly", now.Add(-61*time.Minute)))
	h.page.Listen(t.Context(), settledEvent("nightly", now.Add(-1000*time.Hour)))
	body := h.get(t, "/")
	require.Contains(t, textOf(body), "Spent in the last hour $0.010000 by the guards")
	require.Contains(t, body, `<data value="0.009999999 USD"`)
	require.Contains(t, textOf(body), "80.0 %")
	require.NotContains(t, newHouse(t, policy, nil).get(t, "/"), "hour-workflow", "nobody has told anything")
}

// Findings are shown with their price; who makes up many of them takes no more than a bounded memory.
func TestFindingsAndRefusalsAreBounded(t *testing.T) {
	h := newHouse(t, policy, nil)
	at := time.Now()
	for i := range 2000 {
		finding := cache.Finding{Rule: "idle-expiry", Where: fmt.Sprintf("messages[%d]", i), Detail: "<b>5 minutes</b> passed", NanoUSD: int64(i + 1), NanoUSDPerDay: 1_000_000_000}
		h.page.Listen(t.Context(), bedrockguard.Event{Kind: bedrockguard.EventCacheFinding, Time: at.Add(time.Duration(i)), Scope: budget.Scope{Workflow: "nightly"}, Finding: finding})
		h.page.Listen(t.Context(), bedrockguard.Event{Kind: bedrockguard.EventDenied, Time: at, Err: fmt.Errorf("refusal %d: <script>", i), Dropped: 1})
	}
	for range 3 {
		h.page.Listen(t.Context(), bedrockguard.Event{Kind: bedrockguard.EventCacheFinding, Time: at, Finding: cache.Finding{Rule: "short-prefix", NanoUSD: 5_000_000}})
	}
	h.page.Listen(t.Context(), bedrockguard.Event{Kind: bedrockguard.EventThresholdCrossed, Time: at, Crossed: budget.Crossed{Limit: "month", Settled: budget.USD(160), Max: budget.USD(200)}})
	h.page.Listen(t.Context(), bedrockguard.Event{Kind: bedrockguard.EventKilled, Time: at, Err: errors.New("killed")})
	body := h.get(t, "/")
	require.Contains(t, body, "messages[1999]")
	require.NotContains(t, body, "messages[1]<")
	require.NotContains(t, body, "<b>5 minutes")
	require.Equal(t, statuspage.DefaultMaxRows, strings.Count(body, "idle-expiry")+strings.Count(body, "short-prefix"))
	require.Contains(t, body, `<data value="0.015 USD"`, "what a finding has cost so far")
	require.Contains(t, body, "refusal 1999")
	require.NotContains(t, body, "refusal 1899")
	require.Contains(t, body, "month: 160 USD of 200 USD")
	require.Contains(t, body, "2000 events were dropped")
}

func TestWorkflowsThatAreMadeUpAreBounded(t *testing.T) {
	h := newHouse(t, policy, nil)
	at := time.Now()
	for i := range 1000 {
		h.page.Listen(t.Context(), settledEvent(fmt.Sprint("flow", i), at))
	}
	require.Contains(t, textOf(h.get(t, "/")), "(not told apart)")
}
