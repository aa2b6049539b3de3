package otelguard_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

var scope = budget.Scope{Principal: "ci", Workflow: "nightly", Tags: map[string]string{"team": "search", "ticket": "T-1"}}

// everyEvent is one event of each kind, and of each shape that is counted differently.
func everyEvent() []bedrockguard.Event {
	call := func(kind bedrockguard.EventKind) bedrockguard.Event {
		return bedrockguard.Event{Kind: kind, Time: time.Now(), Operation: "Converse", Model: "anthropic.claude-haiku-4-5-20251001-v1:0", Region: "us-east-1", Scope: scope}
	}
	var all []bedrockguard.Event
	for _, kind := range []bedrockguard.EventKind{
		bedrockguard.EventReserved, bedrockguard.EventUnsettled, bedrockguard.EventEstimateViolated, bedrockguard.EventAnswerDiffers, bedrockguard.EventPriceAssumed,
		bedrockguard.EventCatalogOld, bedrockguard.EventOutputLimited, bedrockguard.EventPointsRemoved, bedrockguard.EventInShadow, bedrockguard.EventListenerFailed, bedrockguard.EventKilled,
	} {
		all = append(all, call(kind))
	}
	settled := call(bedrockguard.EventSettled)
	settled.Outcome, settled.Duration = bedrockguard.OutcomeUsage, 2*time.Second
	settled.Usage = price.Usage{InputTokens: 1000, CacheReadInputTokens: 600, CacheWrite5mInputTokens: 200, CacheWrite1hInputTokens: 100, OutputTokens: 50}
	settled.Actual[budget.UnitUSD] = 1_000_000
	estimated := settled
	estimated.Estimated, estimated.Outcome = true, bedrockguard.OutcomeBroken
	voided := call(bedrockguard.EventVoided)
	voided.Outcome = bedrockguard.OutcomeStatus(429)
	denied := call(bedrockguard.EventDenied)
	denied.Err = fmt.Errorf("operation error: %w", &budget.ExceededError{Limit: "month"})
	observed := denied
	observed.Kind = bedrockguard.EventObserved
	crossed := call(bedrockguard.EventThresholdCrossed)
	crossed.Crossed = budget.Crossed{Limit: "month", Fraction: 0.8}
	found := call(bedrockguard.EventCacheFinding)
	found.Finding, found.Dropped = cache.Finding{Rule: "no-point"}, 3
	return append(all, settled, estimated, voided, denied, observed, crossed, found)
}

// What the documents and dashboards rest on is what is told: each metric with its kind, its unit and its attributes, and nothing else.
func TestMetricsAreThoseOfTheTable(t *testing.T) {
	ledger := openLedger(t, memstore.New(memstore.Options{}), budget.Limit{Name: "month", Max: budget.USD(1), Window: budget.Monthly, Per: budget.PerWorkflow | budget.PerPrincipal})
	receipt, err := ledger.Reserve(t.Context(), budget.Request{Scope: scope, Worst: budget.Charge{budget.UnitUSD: 1000}})
	require.NoError(t, err)
	require.NoError(t, ledger.Void(t.Context(), receipt))
	c := newCollector(t, otelguard.Options{Ledger: ledger, Tags: []string{"team"}})
	c.Watch(draining(3))
	for _, e := range everyEvent() {
		c.Listen(t.Context(), e)
	}
	want := make(map[string]otelguard.Described)
	for _, d := range otelguard.Descriptions() {
		want[d.Name] = d
	}
	for _, m := range c.metrics(t) {
		d, ok := want[m.Name]
		require.True(t, ok, "%s is not in the table", m.Name)
		delete(want, m.Name)
		require.Equal(t, d.Unit, m.Unit, m.Name)
		require.Equal(t, d.Kind, kindOf(m), m.Name)
		keys := make(map[string]bool)
		for _, p := range pointsOf(t, m) {
			for _, a := range p.attrs.ToSlice() {
				keys[strings.Replace(string(a.Key), "tag.team", "tag.*", 1)] = true
			}
		}
		require.ElementsMatch(t, d.Keys, slices.Collect(maps.Keys(keys)), m.Name)
	}
	require.Empty(t, want, "metrics of the table that nobody tells")
}

type draining int

func (d draining) Draining() int { return int(d) }

func kindOf(m metricdata.Metrics) string {
	switch m.Data.(type) {
	case metricdata.Histogram[int64], metricdata.Histogram[float64]:
		return "histogram"
	case metricdata.Gauge[int64], metricdata.Gauge[float64]:
		return "gauge"
	default:
		return "counter"
	}
}

// A metric that is renamed is renamed in the document, too.
func TestDocumentListsTheMetrics(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	var rows []string
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) == 7 && strings.HasPrefix(cells[1], " `") {
			rows = append(rows, strings.Join(cells[1:5], "|"))
		}
	}
	var want []string
	for _, d := range otelguard.Descriptions() {
		keys := ""
		for i, key := range d.Keys {
			if i > 0 {
				keys += ", "
			}
			keys += "`" + key + "`"
		}
		want = append(want, fmt.Sprintf(" `%s` | %s | %s | %s ", d.Name, d.Kind, d.Unit, keys))
	}
	require.Equal(t, strings.Join(want, "\n"), strings.Join(rows, "\n"))
}

func TestEventsAreCountedWhereTheyBelong(t *testing.T) {
	c := newCollector(t, otelguard.Options{})
	for _, e := range everyEvent() {
		c.Listen(t.Context(), e)
	}
	told := c.collect(t)
	require.InDelta(t, 0.002, total(told["bedrockguard.spend"], "", ""), 1e-12)
	require.InDelta(t, 0.001, total(told["bedrockguard.spend"], "bedrockguard.token.class", "estimated"), 1e-12)
	for class, tokens := range map[string]float64{"uncached_input": 100, "cache_read": 600, "cache_write_5m": 200, "cache_write_1h": 100, "output": 50} {
		require.InDelta(t, tokens, total(told["bedrockguard.tokens"], "bedrockguard.token.class", class), 0, class)
	}
	require.InDelta(t, 1000, total(told["gen_ai.client.token.usage"], "gen_ai.token.type", "input"), 0, "with what was read from the cache and written to it")
	require.InDelta(t, 1, total(told["bedrockguard.refusals"], "bedrockguard.enforced", "true"), 0)
	require.InDelta(t, 1, total(told["bedrockguard.refusals"], "bedrockguard.enforced", "false"), 0, "an observe-only limit refuses nothing")
	require.InDelta(t, 2, total(told["bedrockguard.refusals"], "bedrockguard.reason", "limit"), 0)
	require.InDelta(t, 3, total(told["bedrockguard.events.dropped"], "", ""), 0)
	require.Len(t, told["gen_ai.client.operation.duration"], 3, "usage, broken and http-429")
}

func TestRefusalsTellTheirReason(t *testing.T) {
	for reason, err := range map[string]error{
		"limit": &budget.ExceededError{}, "store": &budget.StoreError{Cause: errors.New("down")}, "rate": &bedrockguard.RateLimitedError{}, "cache": &cache.RefusedError{},
		"unpriced": bedrockguard.ErrUnpriced, "unsupported": &bedrockguard.UnsupportedOperationError{}, "malformed": bedrockguard.ErrMalformedRequest,
		"identity": bedrockguard.ErrIdentity, "scope": budget.ErrInvalidScope, "other": errors.New("something else"),
	} {
		c := newCollector(t, otelguard.Options{})
		c.Listen(t.Context(), bedrockguard.Event{Kind: bedrockguard.EventDenied, Err: fmt.Errorf("wrapped: %w", err)})
		require.InDelta(t, 1, total(c.collect(t)["bedrockguard.refusals"], "bedrockguard.reason", reason), 0, reason)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, o := range []otelguard.Options{{Every: -1}, {MaxValues: -1}, {MaxSeries: -1}} {
		_, err := otelguard.New(o)
		require.ErrorIs(t, err, otelguard.ErrInvalidOptions)
	}
}

func TestNilProviderIsTheGlobalOne(t *testing.T) {
	telemetry, err := otelguard.New(otelguard.Options{})
	require.NoError(t, err)
	telemetry.Listen(context.Background(), bedrockguard.Event{Kind: bedrockguard.EventKilled})
	require.NoError(t, telemetry.Close())
}
