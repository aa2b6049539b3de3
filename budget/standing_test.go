package budget_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// Standing tells of each account what Balances tells of it, and nothing of accounts that the policy books elsewhere.
func TestStandingIsWhatBalancesTell(t *testing.T) {
	ctx, store := t.Context(), memstore.New(memstore.Options{})
	policy := budget.Policy{Limits: []budget.Limit{
		{Name: "workflow-day", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow, MaxFor: []budget.MaxFor{{Match: budget.Match{Workflow: "reviews"}, Max: budget.USD(3)}}},
		{Name: "all-month", Max: budget.USD(100), Window: budget.Monthly, Observe: true},
		{Name: "moved", Max: budget.Calls(100), Window: budget.Hourly},
	}}
	ledger, err := budget.Open(ctx, store, policy)
	require.NoError(t, err)
	spend(ctx, t, ledger, "nightly", 2, "")
	spend(ctx, t, ledger, "reviews", 1, "")
	_, err = ledger.Override(ctx, "workflow-day", budget.Scope{Workflow: "nightly"}, budget.USD(20), time.Now().Add(time.Hour))
	require.NoError(t, err)

	policy.Limits[2].Window = budget.Daily // its account is another one from now on
	all, err := storetest.Collect(ledger.Standing(ctx, policy, budget.AccountQuery{}))
	require.NoError(t, err)
	require.Len(t, all, 3)
	for _, s := range all {
		balances, err := ledger.Balances(ctx, s.Balance.Scope)
		require.NoError(t, err)
		found := false
		for _, b := range balances {
			if b.Limit == s.Balance.Limit {
				found, b.ResetAfter = true, s.Balance.ResetAfter // time goes on between the two
				require.Equal(t, b, s.Balance)
			}
		}
		require.True(t, found, s.Balance.Limit)
		require.Equal(t, s.Account.Limit, s.Balance.Limit)
	}
	all, err = storetest.Collect(ledger.Standing(ctx, policy, budget.AccountQuery{Scope: budget.Scope{Workflow: "reviews"}}))
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, budget.USD(3), all[0].Balance.Max)

	require.NoError(t, store.Close())
	_, err = storetest.Collect(ledger.Standing(ctx, policy, budget.AccountQuery{}))
	require.ErrorIs(t, err, budget.ErrStore)
}

// balancesFail is a store that knows its accounts and can't add them up.
type balancesFail struct{ budget.Store }

func (balancesFail) Balances(context.Context, []driver.Line) ([]driver.Balance, error) {
	return nil, errors.New("no answer")
}

// Accounts whose balances are not known are an error, not accounts of nothing.
func TestStandingWithoutBalancesIsAnError(t *testing.T) {
	ctx, store := t.Context(), memstore.New(memstore.Options{})
	policy := budget.Policy{Limits: []budget.Limit{{Name: "day", Max: budget.USD(10), Window: budget.Daily}}}
	ledger, err := budget.Open(ctx, store, policy)
	require.NoError(t, err)
	spend(ctx, t, ledger, "nightly", 2, "")
	o, err := budget.Operate(ctx, balancesFail{store})
	require.NoError(t, err)
	all, err := storetest.Collect(o.Standing(ctx, policy, budget.AccountQuery{}))
	require.ErrorIs(t, err, budget.ErrStore)
	require.Empty(t, all)
}

// Every change tells why it was made, those that take no reason of their own, too.
func TestChangesAreMadeForTheReasonOfTheirContext(t *testing.T) {
	store := memstore.New(memstore.Options{})
	ledger, err := budget.Open(t.Context(), store, budget.Policy{Limits: []budget.Limit{{Name: "day", Max: budget.USD(10), Window: budget.Daily}}})
	require.NoError(t, err)
	ctx := budget.WithReason(t.Context(), "ticket 7")
	require.NoError(t, storetest.Done(ledger.Override(ctx, "day", budget.Scope{}, budget.USD(20), time.Now().Add(time.Hour))))
	require.NoError(t, storetest.Done(ledger.Kill(ctx, budget.Scope{Workflow: "nightly"}, "runaway")))
	require.NoError(t, ledger.Revive(ctx, budget.Scope{Workflow: "nightly"}))
	changes, err := storetest.Collect(ledger.Changes(ctx, 0))
	require.NoError(t, err)
	var reasons []string
	for _, c := range changes {
		reasons = append(reasons, c.Kind.String()+": "+c.Reason)
	}
	require.Equal(t, []string{"override: ticket 7", "kill: runaway", "revive: ticket 7"}, reasons)
}

func ExampleOperator_Standing() {
	ctx := context.Background()
	store := memstore.New(memstore.Options{})
	policy := budget.Policy{Limits: []budget.Limit{{Name: "workflow-month", Max: budget.USD(10), Window: budget.Monthly, Per: budget.PerWorkflow}}}
	ledger, _ := budget.Open(ctx, store, policy)
	r, _ := ledger.Reserve(ctx, budget.Request{Scope: budget.Scope{Workflow: "nightly"}, Worst: budget.Charge{budget.UnitUSD: budget.USD(4).N}})
	_, _ = ledger.Settle(ctx, r, budget.Charge{budget.UnitUSD: budget.USD(3).N}, false)

	operator, _ := budget.Operate(ctx, store) // in any process that has the policy
	for s, err := range operator.Standing(ctx, policy, budget.AccountQuery{}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(s.Balance.Limit, s.Balance.Scope, s.Balance.Settled, "of", s.Balance.Max, "left", s.Balance.Left())
	}
	// Output: workflow-month workflow=nightly 3 USD of 10 USD left 7 USD
}
