package backend

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// BenchmarkReserveSettle is what one call costs in each store, one caller at a time, in three limits: the time of a
// reservation and its settlement together. Run it with -benchtime=2000x. The servers run on this machine, so that the way
// to yours comes on top.
func BenchmarkReserveSettle(b *testing.B) {
	for _, kind := range Selected() {
		b.Run(kind.Name, func(b *testing.B) {
			store := MustOpen(b, kind.Start(b).NewLedger(b))
			lines := []driver.Line{
				{Account: budget.Key{1}, Unit: budget.UnitUSD, Window: budget.Monthly, Max: 1 << 50},
				{Account: budget.Key{2}, Unit: budget.UnitCalls, Window: budget.Daily, Max: 1 << 50},
				{Account: budget.Key{3}, Unit: budget.UnitUncachedInputTokens, Window: budget.Rolling(time.Hour), Max: 1 << 50},
			}
			var charge budget.Charge
			for u := budget.UnitUSD; u <= budget.UnitCalls; u++ {
				charge[u] = 1
			}
			pair := func() time.Duration {
				ctx, begun := context.Background(), time.Now()
				r := driver.Reservation{ID: driver.NewID(), Charge: charge, Lines: lines, TTL: time.Hour}
				d, err := store.Reserve(ctx, r)
				if err == nil {
					_, err = store.Settle(ctx, driver.Settlement{ID: r.ID, Actual: charge, Lines: lines})
				}
				if err != nil || !d.Admitted {
					b.Fatalf("admitted %t: %v", d.Admitted, err)
				}
				return time.Since(begun)
			}
			for range 50 { // connections, plans and caches
				pair()
			}
			var each []time.Duration
			for b.Loop() {
				each = append(each, pair())
			}
			slices.Sort(each)
			b.ReportMetric(float64(each[len(each)/2].Nanoseconds())/1e3, "p50-µs")
			b.ReportMetric(float64(each[len(each)*99/100].Nanoseconds())/1e3, "p99-µs")
			b.ReportMetric(0, "ns/op")
		})
	}
}
