package otelguard_test

import (
	"context"
	"fmt"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// Metrics of the ledger's limits and of what the guard does go to whatever reads the MeterProvider.
func ExampleNew() {
	ctx := context.Background()
	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "month", Max: budget.USD(200), Window: budget.Monthly}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	reader := sdkmetric.NewManualReader() // or the exporter for Prometheus, or OTLP
	telemetry, err := otelguard.New(otelguard.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), Ledger: ledger})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer telemetry.Close()
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{
		Listeners: []func(context.Context, bedrockguard.Event){telemetry.Listen},
		OnEvent:   otelguard.Annotate, // attributes of the span in the call's context
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	telemetry.Watch(guard)

	var told metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &told); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range told.ScopeMetrics[0].Metrics {
		if limits, ok := m.Data.(metricdata.Gauge[float64]); ok && m.Name == "bedrockguard.limit.left" {
			fmt.Println(m.Name, limits.DataPoints[0].Value)
		}
	}
	// Output: bedrockguard.limit.left 200
}
