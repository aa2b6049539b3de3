package otelguard_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

const model = "us.anthropic.claude-haiku-4-5-20251001-v1:0"

// collector is a Telemetry with a reader of what it tells.
type collector struct {
	*otelguard.Telemetry
	reader *sdkmetric.ManualReader
}

func newCollector(t testing.TB, o otelguard.Options) *collector {
	t.Helper()
	c := &collector{reader: sdkmetric.NewManualReader()}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(c.reader))
	o.MeterProvider = provider
	var err error
	c.Telemetry, err = otelguard.New(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		require.NoError(t, provider.Shutdown(context.Background()))
	})
	return c
}

// point is one value of a metric; of a histogram, its sum and count.
type point struct {
	attrs attribute.Set
	value float64
	count uint64
}

func (p *point) attr(key string) string {
	value, _ := p.attrs.Value(attribute.Key(key))
	return value.String()
}

// collect returns all that is told, by the name of the metric.
func (c *collector) collect(t testing.TB) map[string][]point {
	t.Helper()
	all := make(map[string][]point)
	for _, m := range c.metrics(t) {
		all[m.Name] = pointsOf(t, m)
	}
	return all
}

func (c *collector) metrics(t testing.TB) (all []metricdata.Metrics) {
	t.Helper()
	var told metricdata.ResourceMetrics
	require.NoError(t, c.reader.Collect(t.Context(), &told))
	for _, scope := range told.ScopeMetrics {
		require.Equal(t, otelguard.Name, scope.Scope.Name)
		all = append(all, scope.Metrics...)
	}
	return all
}

func pointsOf(t testing.TB, m metricdata.Metrics) (points []point) {
	t.Helper()
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, float64(p.Value), 0})
		}
	case metricdata.Sum[float64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, p.Value, 0})
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, float64(p.Value), 0})
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, p.Value, 0})
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, float64(p.Sum), p.Count})
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, p.Sum, p.Count})
		}
	default:
		require.Fail(t, "unknown kind", "%s is a %T", m.Name, data)
	}
	return points
}

// total adds up a metric over the points that have an attribute of that value; an empty key is all.
func total(points []point, key, value string) (sum float64) {
	for i := range points {
		if key == "" || points[i].attr(key) == value {
			sum += points[i].value
		}
	}
	return sum
}

func openLedger(t testing.TB, store budget.Store, limits ...budget.Limit) *budget.Ledger {
	t.Helper()
	ledger, err := budget.Open(context.Background(), store, budget.Policy{Limits: limits})
	require.NoError(t, err)
	return ledger
}

// agent is a guarded client in front of a simulated service.
type agent struct {
	*collector
	server *bedrocktest.Server
	ledger *budget.Ledger
	guard  *bedrockguard.Guard
	client *bedrockruntime.Client
}

func newAgent(t testing.TB, server bedrocktest.Options, limits ...budget.Limit) *agent {
	t.Helper()
	a := &agent{server: bedrocktest.New(t, server), ledger: openLedger(t, memstore.New(memstore.Options{}), limits...)}
	a.collector = newCollector(t, otelguard.Options{Ledger: a.ledger, Tags: []string{"team"}})
	var err error
	a.guard, err = bedrockguard.New(a.ledger, bedrockguard.Options{
		OnEvent: otelguard.Annotate, Listeners: []func(context.Context, bedrockguard.Event){a.Listen},
	})
	require.NoError(t, err)
	a.Watch(a.guard)
	a.client = a.guard.NewFromConfig(a.server.Config())
	return a
}

func (a *agent) converse(ctx context.Context, content ...types.ContentBlock) error {
	_, err := a.client.Converse(ctx, &bedrockruntime.ConverseInput{
		ModelId: aws.String(model), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(500)},
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: content}},
	})
	return err
}

func text(s string) types.ContentBlock { return &types.ContentBlockMemberText{Value: s} }

func cachePoint() types.ContentBlock {
	return &types.ContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}}
}
