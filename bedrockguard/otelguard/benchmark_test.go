package otelguard_test

import (
	"testing"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"
)

// What the events of one call cost, next to the guard's own work: BenchmarkOverhead in package bedrockguard.
func BenchmarkTelemetry_Call(b *testing.B) {
	c := newCollector(b, otelguard.Options{Tags: []string{"team"}})
	events := everyEvent()
	call := []bedrockguard.Event{events[0], events[10]}
	b.ReportAllocs()
	for b.Loop() {
		for i := range call {
			c.Listen(b.Context(), call[i])
		}
	}
}
