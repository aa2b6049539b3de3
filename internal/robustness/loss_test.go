package robustness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// TestALostPartAdmitsNothing removes one drawn part of a drawn ledger, under a store that is open and before another process
// opens one. What the ledger refused it must refuse, as long as it answers at all. ROBUSTNESS_LOSSES says how many parts.
func TestALostPartAdmitsNothing(t *testing.T) {
	losses := size(t, "ROBUSTNESS_LOSSES", 25)
	backend.Each(t, backend.Loses, func(t *testing.T, _ backend.Backend, s backend.Server) {
		told, harmless := 0, 0
		for seed := range uint64(losses) {
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 77))
				address := s.NewLedger(t)
				d := &drawnLedger{random: random, store: backend.MustOpen(t, address, relaxed)}
				require.NoError(t, d.fill(t.Context()))
				lost, err := s.(backend.Loser).Lose(t.Context(), address, random)
				require.NoError(t, err)
				stores := []budget.Store{d.store}
				if fresh, err := backend.Open(t.Context(), address, backend.Patient, relaxed); err == nil {
					defer fresh.Close()
					stores = append(stores, fresh)
				}
				random.Shuffle(len(stores), func(i, j int) { stores[i], stores[j] = stores[j], stores[i] })
				refused, err := d.refuses(t.Context(), stores)
				require.NoError(t, err, "after the loss of %s", lost)
				if refused {
					told++
				} else {
					harmless++
				}
				require.NoError(t, d.store.AcceptLoss(t.Context(), storetest.NewChange()), "after the loss of %s", lost)
				_, err = d.store.Balances(t.Context(), d.lines)
				require.NoError(t, err, "after the loss of %s was accepted", lost)
			})
		}
		t.Logf("%d parts lost: %d refused as losses, %d without effect, 0 admissions", losses, told, harmless)
	})
}

func relaxed(o *backend.Options) { o.Relaxed = true }

// evictions is how often Redis is made to evict.
const evictions = 24

// TestEvictedKeysAdmitNothing switches eviction on under an open store, which would refuse to open on such a server.
func TestEvictedKeysAdmitNothing(t *testing.T) {
	backend.Each(t, backend.Named("redis"), func(t *testing.T, _ backend.Backend, s backend.Server) {
		rdb := redis.NewClient(&redis.Options{Addr: s.(backend.Networked).HostPort()})
		defer rdb.Close()
		told := 0
		for round := range uint64(evictions) {
			t.Run(fmt.Sprintf("round=%d", round), func(t *testing.T) {
				ctx, random := t.Context(), rand.New(rand.NewPCG(round, 78))
				d := &drawnLedger{random: random, store: backend.MustOpen(t, s.NewLedger(t))}
				require.NoError(t, d.fill(ctx))
				evicted := evict(ctx, t, rdb, 1+random.IntN(4))
				refused, err := d.refuses(ctx, []budget.Store{d.store})
				require.NoError(t, err, "%d keys were evicted", evicted)
				if refused {
					told++
				}
				for name, value := range map[string]string{"maxmemory": "0", "maxmemory-policy": "noeviction"} {
					require.NoError(t, rdb.ConfigSet(ctx, name, value).Err())
				}
				require.NoError(t, rdb.FlushAll(ctx).Err())
			})
		}
		require.Positive(t, told, "nothing of a ledger was evicted")
		t.Logf("%d rounds: %d refused as losses, 0 admissions", evictions, told)
	})
}

// evict fills the server's memory until it has thrown keys away.
func evict(ctx context.Context, t *testing.T, rdb *redis.Client, atLeast int) (evicted int) {
	var used int64
	info := rdb.InfoMap(ctx, "memory").Item("Memory", "used_memory")
	_, err := fmt.Sscan(info, &used)
	require.NoError(t, err)
	before, err := rdb.DBSize(ctx).Result()
	require.NoError(t, err)
	require.NoError(t, rdb.ConfigSet(ctx, "maxmemory-policy", "allkeys-random").Err())
	require.NoError(t, rdb.ConfigSet(ctx, "maxmemory", fmt.Sprint(used+64<<10)).Err())
	value := make([]byte, 16<<10)
	for n := 0; evicted < atLeast; n++ {
		require.Less(t, n, 10_000, "nothing is evicted")
		require.NoError(t, rdb.Set(ctx, fmt.Sprintf("filler %d", n), value, 0).Err())
		now, err := rdb.DBSize(ctx).Result()
		require.NoError(t, err)
		evicted = int(before) + n + 1 - int(now)
	}
	return evicted
}

// drawnLedger is a ledger with content that was drawn, and what it refuses.
type drawnLedger struct {
	random  *rand.Rand
	store   budget.Store
	lines   []driver.Line
	flags   []budget.Scope
	pending []driver.Reservation
	refusal []driver.Reservation
}

var drawnWindows = []budget.Window{budget.Daily, budget.Monthly, budget.Lifetime, budget.Rolling(time.Hour), budget.Rolling(24 * time.Hour)}

// fill spends, settles, voids, kills, overrides, latches and corrects, and notes what has no room then.
func (d *drawnLedger) fill(ctx context.Context) error {
	for i := range 2 + d.random.IntN(5) {
		d.lines = append(d.lines, driver.Line{
			Account: budget.Key{byte(i + 1), byte(d.random.IntN(256))}, Unit: budget.UnitUSD, Notify: []float64{0.5},
			Window: drawnWindows[d.random.IntN(len(drawnWindows))], Max: 20 + d.random.Int64N(80), Latch: d.random.IntN(4) == 0,
		})
	}
	for range 5 + d.random.IntN(40) {
		if err := d.step(ctx); err != nil {
			return err
		}
	}
	balances, err := d.store.Balances(ctx, d.lines)
	for i, b := range balances {
		amount := max(0, b.Max-b.Settled-b.Pending) + 1
		if b.Latched {
			amount = 0
		}
		d.refusal = append(d.refusal, d.hold(amount, d.lines[i:i+1]))
	}
	for _, scope := range d.flags {
		r := d.hold(0, nil)
		r.Dims = scope.Dims()
		d.refusal = append(d.refusal, r)
	}
	return err
}

func (d *drawnLedger) hold(amount int64, lines []driver.Line) driver.Reservation {
	r := driver.Reservation{ID: driver.NewID(), Owner: budget.Key{1}, Lines: lines, TTL: 24 * time.Hour}
	r.Charge[budget.UnitUSD] = amount
	return r
}

func (d *drawnLedger) step(ctx context.Context) error {
	account := d.lines[d.random.IntN(len(d.lines))].Account
	switch d.random.IntN(12) {
	case 0:
		scope := budget.Scope{Workflow: fmt.Sprintf("w%d", d.random.IntN(4))}
		d.flags = append(d.flags, scope)
		return d.store.Kill(ctx, budget.Kill{Scope: scope, Reason: "stop"}, storetest.NewChange())
	case 1:
		o := &budget.Override{Max: d.random.Int64N(60), Until: time.Now().Add(100 * time.Hour)}
		return d.store.Override(ctx, account, o, storetest.NewChange())
	case 2:
		return d.store.Unlatch(ctx, []budget.Key{account}, storetest.NewChange())
	}
	first := d.random.IntN(len(d.lines))
	r := d.hold(1+d.random.Int64N(12), d.lines[first:first+1+d.random.IntN(len(d.lines)-first)])
	decision, err := d.store.Reserve(ctx, r)
	if err != nil || !decision.Admitted {
		return err
	}
	switch d.random.IntN(5) {
	case 0:
		return d.store.Void(ctx, r.ID, r.Owner)
	case 1:
		d.pending = append(d.pending, r)
		return nil
	case 2:
		if err := d.settle(ctx, d.store, r); err != nil {
			return err
		}
		actual := r.Charge
		actual[budget.UnitUSD]++
		_, err := d.store.Correct(ctx, driver.Correction{ID: r.ID, Actual: actual, Change: storetest.NewChange()})
		return err
	default:
		return d.settle(ctx, d.store, r)
	}
}

func (d *drawnLedger) settle(ctx context.Context, s budget.Store, r driver.Reservation) error {
	_, err := s.Settle(ctx, driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: r.Charge, Lines: r.Lines})
	return err
}

// refuses asks stores for what was refused, before and after what was pending is settled, and tells whether a step was refused
// because of a loss.
func (d *drawnLedger) refuses(ctx context.Context, stores []budget.Store) (lost bool, err error) {
	look := func() error {
		for _, s := range stores {
			for _, r := range d.refusal {
				r.ID = driver.NewID()
				decision, err := s.Reserve(ctx, r)
				lost = lost || errors.Is(err, budget.ErrLost)
				if lostOr(err) != nil {
					return err
				}
				if err == nil && decision.Admitted {
					return fmt.Errorf("%d were admitted that were refused, in %d lines", r.Charge[budget.UnitUSD], len(r.Lines))
				}
			}
		}
		return nil
	}
	if err := look(); err != nil {
		return lost, err
	}
	for i, r := range d.pending {
		err := d.settle(ctx, stores[i%len(stores)], r)
		lost = lost || errors.Is(err, budget.ErrLost)
		if lostOr(err) != nil {
			return lost, err
		}
	}
	return lost, look()
}
