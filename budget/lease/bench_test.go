package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// BenchmarkLease_ReserveSettle is one call's whole bookkeeping with three limits: in the store itself, and inside leases
// of it, draws and returns included. Both forget a second later, by a clock on which a call comes every 10 ms.
func BenchmarkLease_ReserveSettle(b *testing.B) {
	clock := storetest.NewClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	direct := func() driver.Store {
		return memstore.New(memstore.Options{Clock: clock.Now, Retention: time.Second})
	}
	b.Run("memstore", func(b *testing.B) { reserveSettle(b, direct(), clock) })
	b.Run("leased", func(b *testing.B) {
		leased, err := lease.NewWithClock(direct(), lease.Options{Retention: time.Second}, clock.Now)
		if err != nil {
			b.Fatal(err)
		}
		reserveSettle(b, leased, clock)
		if err := leased.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

func reserveSettle(b *testing.B, store driver.Store, clock *storetest.Clock) {
	ctx := context.Background()
	windows := []driver.Window{driver.Monthly, driver.Daily, driver.Rolling(time.Hour)}
	units := []driver.Unit{driver.UnitUSD, driver.UnitCalls, driver.UnitUncachedInputTokens}
	lines := make([]driver.Line, len(windows))
	for i := range lines {
		lines[i] = driver.Line{Account: driver.Key{0: byte(i)}, Unit: units[i], Window: windows[i], Max: 1 << 60}
	}
	charge := driver.ChargeOf(price.Usage{InputTokens: 1000, OutputTokens: 100}, 12_345)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		clock.Advance(10 * time.Millisecond)
		r := driver.Reservation{ID: driver.NewID(), Charge: charge, Lines: lines, TTL: time.Second}
		if d, err := store.Reserve(ctx, r); err != nil || !d.Admitted {
			b.Fatal(d, err)
		}
		if _, err := store.Settle(ctx, driver.Settlement{ID: r.ID, Actual: charge, Lines: lines}); err != nil {
			b.Fatal(err)
		}
		if i%1024 == 0 {
			if _, err := store.Expire(ctx, 256); err != nil {
				b.Fatal(err)
			}
		}
	}
}
