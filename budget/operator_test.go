package budget_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// spend makes a call of a workflow that costs so much.
func spend(ctx context.Context, t require.TestingT, ledger *budget.Ledger, workflow string, dollars float64, reference string) {
	charge := budget.Charge{budget.UnitUSD: budget.USD(dollars).N, budget.UnitCalls: 1}
	r, err := ledger.Reserve(ctx, budget.Request{Scope: budget.Scope{Workflow: workflow}, Operation: "Converse", Worst: charge})
	require.NoError(t, err)
	_, err = ledger.SettleAs(ctx, r, charge, false, reference)
	require.NoError(t, err)
}

// An operator sees and steers what others spend without their policy.
func TestAnOperatorNeedsNoPolicy(t *testing.T) {
	ctx, store := t.Context(), memstore.New(memstore.Options{})
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{
		{Name: "workflow-day", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow},
	}})
	require.NoError(t, err)
	spend(ctx, t, ledger, "nightly", 2, "0b1c")
	spend(ctx, t, ledger, "reviews", 1, "0b1d")

	o, err := budget.Operate(ctx, store)
	require.NoError(t, err)
	settled := make(map[string]int64)
	accounts, err := storetest.Collect(o.Accounts(ctx, budget.AccountQuery{}))
	require.NoError(t, err)
	for _, a := range accounts {
		require.Equal(t, "workflow-day", a.Limit)
		periods, err := storetest.Collect(o.Periods(ctx, a.Key, time.Time{}))
		require.NoError(t, err)
		for _, p := range periods {
			settled[a.Scope.Workflow] += p.Settled
		}
	}
	require.Equal(t, map[string]int64{"nightly": budget.USD(2).N, "reviews": budget.USD(1).N}, settled)

	found, err := storetest.Collect(o.Entries(ctx, budget.Query{Reference: "0b1c"}))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, [2]string{"nightly", "Converse"}, [2]string{found[0].Scope.Workflow, found[0].Operation})
	require.NoError(t, o.Correct(ctx, found[0].ID, budget.Charge{budget.UnitUSD: budget.USD(3).N, budget.UnitCalls: 1}))
	balances, err := ledger.Balances(ctx, budget.Scope{Workflow: "nightly"})
	require.NoError(t, err)
	require.Equal(t, budget.USD(3), balances[0].Settled)

	require.ErrorIs(t, storetest.Done(o.Kill(ctx, budget.Scope{}, "stop")), budget.ErrInvalidScope)
	require.NoError(t, storetest.Done(o.Kill(budget.WithOperator(ctx, "ada"), budget.Scope{Workflow: "nightly"}, "runaway")))
	_, err = ledger.Reserve(ctx, budget.Request{Scope: budget.Scope{Workflow: "nightly"}})
	require.ErrorIs(t, err, budget.ErrKilled)
	require.NoError(t, o.Revive(ctx, budget.Scope{Workflow: "nightly"}))
	require.NoError(t, storetest.Done(o.KillAll(ctx, "stop all")))
	_, err = ledger.Reserve(ctx, budget.Request{Scope: budget.Scope{Workflow: "reviews"}})
	require.ErrorIs(t, err, budget.ErrKilled)
	changes, err := storetest.Collect(o.Changes(ctx, 0))
	require.NoError(t, err)
	require.Len(t, changes, 4)
	require.Equal(t, [2]string{"ada", "runaway"}, [2]string{changes[1].Operator, changes[1].Reason})

	_, err = budget.Operate(ctx, nil)
	require.ErrorIs(t, err, budget.ErrInvalidPolicy)
	require.NoError(t, store.Close())
	_, err = budget.Operate(ctx, store)
	require.ErrorIs(t, err, budget.ErrStore)
}

// Accounts that leases keep for themselves are nobody's spend.
func TestAnOperatorIsNotToldOfWishes(t *testing.T) {
	ctx, store := t.Context(), memstore.New(memstore.Options{})
	leased, err := lease.New(store, lease.Options{})
	require.NoError(t, err)
	defer leased.Close()
	ledger, err := budget.Open(ctx, leased, budget.Policy{Limits: []budget.Limit{{Name: "all", Max: budget.USD(1000), Window: budget.Daily}}})
	require.NoError(t, err)
	for range 50 {
		spend(ctx, t, ledger, "nightly", 1, "")
	}
	raw, err := store.Accounts(ctx, budget.Key{}, 100)
	require.NoError(t, err)
	require.Greater(t, len(raw), 1, "leases look for wishes")
	o, err := budget.Operate(ctx, store)
	require.NoError(t, err)
	accounts, err := storetest.Collect(o.Accounts(ctx, budget.AccountQuery{}))
	require.NoError(t, err)
	require.Len(t, accounts, 1)
	require.Equal(t, "all", accounts[0].Limit)
	_, err = budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{{Name: "\x00wanted", Max: budget.USD(1), Window: budget.Daily}}})
	require.ErrorIs(t, err, budget.ErrInvalidPolicy)
}

func ExampleOperate() {
	ctx, store := context.Background(), memstore.New(memstore.Options{})
	ledger, _ := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{
		{Name: "workflow-day", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow},
	}})
	receipt, _ := ledger.Reserve(ctx, budget.Request{Scope: budget.Scope{Workflow: "nightly"}, Worst: budget.Charge{budget.UnitUSD: budget.USD(2).N}})
	_, _ = ledger.Settle(ctx, receipt, budget.Charge{budget.UnitUSD: budget.USD(1.5).N}, false)

	operator, err := budget.Operate(ctx, store) // in another process, over the same ledger
	if err != nil {
		panic(err)
	}
	for account, err := range operator.Accounts(ctx, budget.AccountQuery{Limit: "workflow-day"}) {
		if err != nil {
			panic(err)
		}
		for period, err := range operator.Periods(ctx, account.Key, time.Time{}) {
			fmt.Println(account.Limit, account.Scope, price.Amount(period.Settled), err)
		}
	}
	// Output: workflow-day workflow=nightly 1.5 USD <nil>
}

// Who spends, on what, since when: by team, workflow and model, for each month.
func ExampleOperator_Usage() {
	ctx := context.Background()
	now := time.Date(2026, 10, 31, 12, 0, 0, 0, time.UTC)
	store := memstore.New(memstore.Options{Clock: func() time.Time { return now }})
	ledger, _ := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{{Name: "all", Max: budget.USD(1000), Window: budget.Monthly}}})
	spend := func(team, workflow, model string, dollars float64) {
		scope := budget.Scope{Workflow: workflow, Model: model, Tags: map[string]string{"team": team}}
		charge := budget.Charge{budget.UnitUSD: budget.USD(dollars).N, budget.UnitCalls: 1}
		receipt, _ := ledger.Reserve(ctx, budget.Request{Scope: scope, Worst: charge})
		_, _ = ledger.Settle(ctx, receipt, charge, false)
	}
	spend("core", "nightly", "opus", 1.5)
	spend("web", "review", "haiku", 0.25)
	now = now.AddDate(0, 0, 1)
	spend("core", "nightly", "opus", 2)
	spend("core", "nightly", "opus", 0.000000001)

	operator, _ := budget.Operate(ctx, store)
	query := budget.UsageQuery{By: budget.PerWorkflow | budget.PerModel, ByTags: []string{"team"}, Every: budget.ByMonth}
	for row, err := range operator.Usage(ctx, query) {
		if err != nil {
			panic(err)
		}
		fmt.Println(row.Day.Format("2006-01"), row.Scope.Tags["team"], row.Scope.Workflow, row.Scope.Model, price.Amount(row.Charge[budget.UnitUSD]))
	}
	// Output:
	// 2026-10 core nightly opus 1.5 USD
	// 2026-10 web review haiku 0.25 USD
	// 2026-11 core nightly opus 2.000000001 USD
}

// A flag that ends by itself, on all workflows of a kind.
func ExampleOperator_KillAs() {
	ctx, store := context.Background(), memstore.New(memstore.Options{})
	operator, _ := budget.Operate(ctx, store)
	kill := budget.Kill{Scope: budget.Scope{Workflow: "nightly-*"}, Patterns: true, Until: time.Now().Add(time.Hour), Reason: "runaway loops"}
	accounts, err := operator.KillAs(budget.WithOperator(ctx, "ada"), kill)
	fmt.Println(accounts, "accounts known,", err)

	ledger, _ := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{{Name: "all", Max: budget.USD(1000), Window: budget.Monthly}}})
	_, err = ledger.Reserve(ctx, budget.Request{Scope: budget.Scope{Workflow: "nightly-refactor"}})
	fmt.Println(errors.Is(err, budget.ErrKilled))
	// Output:
	// 0 accounts known, <nil>
	// true
}
