package memstore_test

import (
	"context"
	"crypto/sha256"
	"strconv"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// threeLines is what a call meets under the policy of the README.
func threeLines() []driver.Line {
	windows := []driver.Window{driver.Monthly, driver.Daily, driver.Rolling(time.Hour)}
	units := []driver.Unit{driver.UnitUSD, driver.UnitCalls, driver.UnitUncachedInputTokens}
	lines := make([]driver.Line, len(windows))
	for i := range lines {
		sum := sha256.Sum256([]byte(strconv.Itoa(i)))
		lines[i] = driver.Line{Account: driver.Key(sum[:16]), Unit: units[i], Window: windows[i], Max: 1 << 60}
	}
	return lines
}

// BenchmarkStore_ReserveSettle is one call's whole bookkeeping, in a store that forgets as fast as it learns.
func BenchmarkStore_ReserveSettle(b *testing.B) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	store := memstore.New(memstore.Options{
		Clock:     func() time.Time { return now },
		Retention: time.Second,
	})
	ctx, lines := context.Background(), threeLines()
	charge := driver.ChargeOf(price.Usage{InputTokens: 1000, OutputTokens: 100}, 12_345)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now = now.Add(time.Millisecond)
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

// BenchmarkStore_ReserveDenied is what a loop that ran out of budget costs.
func BenchmarkStore_ReserveDenied(b *testing.B) {
	store, ctx, lines := memstore.New(memstore.Options{}), context.Background(), threeLines()
	for i := range lines {
		lines[i].Max = 0
	}
	charge := driver.ChargeOf(price.Usage{InputTokens: 1000, OutputTokens: 100}, 12_345)
	b.ReportAllocs()
	for b.Loop() {
		d, err := store.Reserve(ctx, driver.Reservation{ID: driver.NewID(), Charge: charge, Lines: lines, TTL: time.Second})
		if err != nil || d.Admitted {
			b.Fatal(d, err)
		}
	}
}
