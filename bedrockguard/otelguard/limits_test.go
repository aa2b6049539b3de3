package otelguard_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// lookedAt is a store that counts how often accounts are read, that takes its time, and that can fail.
type lookedAt struct {
	budget.Store
	looks atomic.Int64
	takes time.Duration
	fails atomic.Bool
}

func (s *lookedAt) Accounts(ctx context.Context, after budget.Key, most int) ([]budget.Account, error) {
	s.looks.Add(1)
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.fails.Load() {
		return nil, errors.New("down")
	}
	return s.Store.Accounts(ctx, after, most)
}

var month = budget.Limit{Name: "month", Max: budget.USD(10), Window: budget.Monthly}

func reserve(t testing.TB, ledger *budget.Ledger, s budget.Scope, worst, actual budget.Charge) {
	t.Helper()
	receipt, err := ledger.Reserve(context.Background(), budget.Request{Scope: s, Worst: worst})
	require.NoError(t, err)
	if actual != (budget.Charge{}) {
		_, err = ledger.Settle(context.Background(), receipt, actual, false)
		require.NoError(t, err)
	}
}

func TestLimitsAreTheLedgers(t *testing.T) {
	calls := budget.Limit{Name: "calls", Max: budget.Calls(20), Window: budget.Daily, Per: budget.PerWorkflow}
	unused := budget.Limit{Name: "unused", Max: budget.OutputTokens(7), Window: budget.Lifetime, Match: budget.Match{Workflow: "nobody"}}
	ledger := openLedger(t, memstore.New(memstore.Options{}), month, calls, unused)
	one := budget.Charge{budget.UnitUSD: 2_000_000_000, budget.UnitCalls: 1}
	reserve(t, ledger, budget.Scope{Workflow: "nightly"}, one, budget.Charge{budget.UnitUSD: 1_500_000_000, budget.UnitCalls: 1})
	reserve(t, ledger, budget.Scope{Workflow: "nightly"}, one, budget.Charge{})
	told := newCollector(t, otelguard.Options{Ledger: ledger}).collect(t)
	for name, want := range map[string][3]float64{"spent": {1.5, 1, 0}, "pending": {2, 1, 0}, "left": {6.5, 18, 7}, "max": {10, 20, 7}} {
		points := told["bedrockguard.limit."+name]
		require.Len(t, points, 3)
		for i, limit := range []string{"month", "calls", "unused"} {
			require.InDelta(t, want[i], total(points, "bedrockguard.limit", limit), 1e-9, "%s of %s", name, limit)
		}
	}
	require.InDelta(t, 18, total(told["bedrockguard.limit.left"], "bedrockguard.account", "workflow=nightly"), 0)
	require.InDelta(t, 10, total(told["bedrockguard.limit.max"], "bedrockguard.unit", "USD"), 0)
}

// However often somebody collects, the store is asked once in a while, and less often when it is slow.
func TestCollectionsShareALook(t *testing.T) {
	for name, tc := range map[string]struct{ takes, every time.Duration }{"a quick store": {time.Millisecond, 10 * time.Second}, "a slow store": {3 * time.Second, 30 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &lookedAt{Store: memstore.New(memstore.Options{}), takes: tc.takes}
				c := newCollector(t, otelguard.Options{Ledger: openLedger(t, store, month)})
				began := time.Now()
				for time.Since(began) < 10*tc.every {
					require.NotEmpty(t, c.collect(t)["bedrockguard.limit.max"])
					time.Sleep(100 * time.Millisecond)
				}
				require.LessOrEqual(t, store.looks.Load(), int64(10))
				require.GreaterOrEqual(t, store.looks.Load(), int64(8))
			})
		})
	}
}

// A store that is down must not be read as one in which nothing was spent.
func TestNothingIsToldOfALedgerThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &lookedAt{Store: memstore.New(memstore.Options{})}
		c := newCollector(t, otelguard.Options{Ledger: openLedger(t, store, month)})
		require.Len(t, c.collect(t)["bedrockguard.limit.left"], 1)
		store.fails.Store(true)
		time.Sleep(11 * time.Second)
		c.collect(t)
		told := c.collect(t)
		require.Empty(t, told["bedrockguard.limit.left"])
		require.InDelta(t, 1, total(told["bedrockguard.ledger.failures"], "", ""), 0)
		store.fails.Store(false)
		store.takes = time.Hour
		time.Sleep(11 * time.Second)
		began := time.Now()
		require.Empty(t, c.collect(t)["bedrockguard.limit.left"], "one that hangs is given up")
		require.LessOrEqual(t, time.Since(began), 6*time.Second)
	})
}

// Of ten thousand accounts the fullest are told by name, and the sums stay right.
func TestTheFullestAccountsAreNamed(t *testing.T) {
	const accounts = 10_000
	limit := budget.Limit{Name: "flow", Max: budget.Calls(100), Window: budget.Daily, Per: budget.PerWorkflow}
	ledger := openLedger(t, memstore.New(memstore.Options{}), limit)
	for i := range accounts {
		n := int64(1)
		if i == accounts/2 {
			n = 99
		}
		reserve(t, ledger, budget.Scope{Workflow: fmt.Sprint("w", i)}, budget.Charge{budget.UnitCalls: n}, budget.Charge{budget.UnitCalls: n})
	}
	points := newCollector(t, otelguard.Options{Ledger: ledger}).collect(t)["bedrockguard.limit.spent"]
	require.Len(t, points, 101)
	require.InDelta(t, 99, total(points, "bedrockguard.workflow", fmt.Sprint("w", accounts/2)), 0)
	require.InDelta(t, accounts-100, total(points, "bedrockguard.account", "other"), 0)
	require.InDelta(t, accounts+98, total(points, "", ""), 0)
}
