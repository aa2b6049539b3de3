package sqlitestore_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// leasing is agents that share one limit, through handles and leases of their own.
type leasing struct {
	t                      *testing.T
	path                   string
	policy                 budget.Policy
	spent, denied, crossed atomic.Int64
}

// agent calls a hundred times.
func (l *leasing) agent(ledger *budget.Ledger, random *rand.Rand) {
	for range 100 {
		worst := driver.ChargeOf(price.Usage{}, 1_000_000)
		r, err := ledger.Reserve(context.Background(), budget.Request{Worst: worst})
		if err != nil {
			assert.ErrorIs(l.t, err, budget.ErrExceeded)
			l.denied.Add(1)
			continue
		}
		actual := worst
		actual[driver.UnitUSD] = random.Int64N(1_000_000)
		l.spent.Add(actual[driver.UnitUSD])
		out, err := ledger.Settle(context.Background(), r, actual, false)
		assert.NoError(l.t, err)
		l.crossed.Add(int64(len(out.Crossed)))
	}
}

// process runs four agents over one handle.
func (l *leasing) process(seed uint64) error {
	store, err := sqlitestore.Open(context.Background(), l.path, sqlitestore.Options{Create: true})
	if err != nil {
		return err
	}
	defer store.Close()
	leased, err := lease.New(store, lease.Options{})
	if err != nil {
		return err
	}
	ledger, err := budget.Open(context.Background(), leased, l.policy)
	if err != nil {
		return err
	}
	var agents sync.WaitGroup
	for a := range uint64(4) {
		agents.Go(func() { l.agent(ledger, rand.New(rand.NewPCG(seed, a))) })
	}
	agents.Wait()
	return leased.Close()
}

// Leases over a ledger on disk: what was spent is what is settled, to the nano-USD, and no threshold is reported twice.
func TestLeasesOverOneFile(t *testing.T) {
	l := &leasing{t: t, path: filepath.Join(t.TempDir(), "spend.db"), policy: budget.Policy{Limits: []budget.Limit{
		{Name: "month", Max: budget.USD(0.1), Window: driver.Monthly, Notify: []float64{0.5, 0.9}},
		{Name: "calls", Max: budget.Calls(1 << 40), Window: driver.Daily},
		{Name: "hour", Max: budget.USD(0.1), Window: driver.Rolling(time.Hour)},
	}}}
	var processes sync.WaitGroup
	for p := range uint64(3) {
		processes.Go(func() { assert.NoError(t, l.process(p)) })
	}
	processes.Wait()
	store, err := sqlitestore.Open(t.Context(), l.path, sqlitestore.Options{Create: true})
	require.NoError(t, err)
	defer store.Close()
	ledger, err := budget.Open(t.Context(), store, l.policy)
	require.NoError(t, err)
	balances, err := ledger.Balances(t.Context(), driver.Scope{})
	require.NoError(t, err)
	require.Equal(t, [2]int64{l.spent.Load(), 0}, [2]int64{balances[0].Settled.N, balances[0].Pending.N})
	require.LessOrEqual(t, l.spent.Load(), l.policy.Limits[0].Max.N)
	require.Positive(t, l.denied.Load())
	require.Positive(t, l.crossed.Load())
	require.LessOrEqual(t, l.crossed.Load(), int64(2))
}
