package budget_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// Stop one workflow in every process, and let it go on.
func ExampleLedger_Revive() {
	ctx := context.Background()
	ledger := exampleLedger(budget.Limit{Name: "month", Max: budget.USD(500), Window: budget.Monthly})
	scope := budget.Scope{Workflow: "nightly"}
	_, _ = ledger.Kill(ctx, scope, "runaway loop")
	_, err := exampleSpend(ledger, scope, 1)
	fmt.Println(errors.Is(err, budget.ErrKilled))

	err = ledger.Revive(ctx, scope)
	fmt.Println(err)
	_, err = exampleSpend(ledger, scope, 1)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
	// <nil>
}

// Those who are refused are told why.
func ExampleOperator_Kill() {
	ledger := exampleLedger(budget.Limit{Name: "workflow-day", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow})
	scope := budget.Scope{Workflow: "nightly"}
	_, _ = exampleSpend(ledger, scope, 1)

	accounts, err := ledger.Kill(context.Background(), scope, "runaway loop")
	fmt.Println(accounts, "account,", err)
	_, err = exampleSpend(ledger, scope, 1)
	var killed *budget.KilledError
	if errors.As(err, &killed) {
		fmt.Println(killed.Scope, "was stopped:", killed.Reason)
	}
	// Output:
	// 1 account, <nil>
	// workflow=nightly was stopped: runaway loop
}

// Everything, at once.
func ExampleOperator_KillAll() {
	ctx := context.Background()
	ledger := exampleLedger(budget.Limit{Name: "month", Max: budget.USD(500), Window: budget.Monthly})
	_, err := ledger.KillAll(ctx, "stop everything")
	fmt.Println(err)
	_, err = exampleSpend(ledger, budget.Scope{Workflow: "nightly"}, 1)
	fmt.Println(errors.Is(err, budget.ErrKilled))
	fmt.Println(ledger.Revive(ctx, budget.Scope{}))
	// Output:
	// <nil>
	// true
	// <nil>
}

// The flags that hold now, one of them with patterns, and the way to take that one back.
func ExampleLedger_ReviveFlag() {
	ctx := context.Background()
	ledger := exampleLedger(budget.Limit{Name: "month", Max: budget.USD(500), Window: budget.Monthly})
	_, _ = ledger.KillAs(ctx, budget.Kill{Scope: budget.Scope{Workflow: "nightly-*"}, Patterns: true, Reason: "runaway loops"})
	kills, err := ledger.Kills(ctx)
	if err != nil {
		panic(err)
	}
	for _, kill := range kills {
		fmt.Println(kill.Scope, kill.Reason)
		fmt.Println(ledger.ReviveFlag(ctx, kill.Flag()))
	}
	_, err = exampleSpend(ledger, budget.Scope{Workflow: "nightly-refactor"}, 1)
	fmt.Println(err)
	// Output:
	// workflow=nightly-* runaway loops
	// <nil>
	// <nil>
}

// A call that told no usage was charged its worst case. The invoice says what it cost.
func ExampleOperator_Correct() {
	ctx := context.Background()
	ledger := exampleLedger(budget.Limit{Name: "month", Max: budget.USD(500), Window: budget.Monthly})
	receipt, _ := ledger.Reserve(ctx, budget.Request{Worst: dollars(3)})
	_, _ = ledger.SettleAs(ctx, receipt, dollars(3), true, "0f3e-request-id-of-aws")

	for entry, err := range ledger.Entries(ctx, budget.Query{Reference: "0f3e-request-id-of-aws"}) {
		if err != nil {
			panic(err)
		}
		if err := ledger.Correct(ctx, entry.ID, dollars(0.25)); err != nil {
			panic(err)
		}
	}
	balances, _ := ledger.Balances(ctx, budget.Scope{})
	fmt.Println(balances[0].Settled)
	// Output: 0.25 USD
}

// The calls that were charged their worst case, because nobody knows what they cost.
func ExampleOperator_Entries() {
	ctx := context.Background()
	ledger := exampleLedger(budget.Limit{Name: "month", Max: budget.USD(500), Window: budget.Monthly})
	_, _ = exampleSpend(ledger, budget.Scope{Workflow: "review"}, 1)
	receipt, _ := ledger.Reserve(ctx, budget.Request{Scope: budget.Scope{Workflow: "nightly"}, Worst: dollars(3)})
	_, _ = ledger.Settle(ctx, receipt, dollars(3), true)

	for entry, err := range ledger.Entries(ctx, budget.Query{Estimated: true, Since: exampleTime.AddDate(0, 0, -1)}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(entry.State, entry.Scope, entry.Actual.In(budget.UnitUSD))
	}
	// Output: settled workflow=nightly 3 USD
}

// All accounts of a limit, by name.
func ExampleOperator_Accounts() {
	ctx := context.Background()
	ledger := exampleLedger(budget.Limit{Name: "workflow-day", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow})
	_, _ = exampleSpend(ledger, budget.Scope{Workflow: "nightly"}, 4)
	_, _ = exampleSpend(ledger, budget.Scope{Workflow: "review"}, 1)

	for account, err := range ledger.Accounts(ctx, budget.AccountQuery{Limit: "workflow-day"}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(account.Scope)
	}
	// Unordered output:
	// workflow=nightly
	// workflow=review
}

// What an account settled in each of its windows.
func ExampleOperator_Periods() {
	ctx, now := context.Background(), exampleTime
	ledger := exampleLedgerAt(func() time.Time { return now }, budget.Limit{Name: "all-day", Max: budget.USD(10), Window: budget.Daily})
	for day, usd := range []float64{4, 1.5} {
		now = exampleTime.AddDate(0, 0, day)
		_, _ = exampleSpend(ledger, budget.Scope{}, usd)
	}
	for account, err := range ledger.Accounts(ctx, budget.AccountQuery{}) {
		if err != nil {
			panic(err)
		}
		for period, err := range ledger.Periods(ctx, account.Key, exampleTime.AddDate(0, -1, 0)) {
			fmt.Println(period.Start.UTC().Format(time.DateOnly), price.Amount(period.Settled), err)
		}
	}
	// Output:
	// 2026-11-24 4 USD <nil>
	// 2026-11-25 1.5 USD <nil>
}

// Who stopped what, when and why.
func ExampleOperator_Changes() {
	ctx := budget.WithOperator(context.Background(), "ada")
	ledger := exampleLedger(budget.Limit{Name: "month", Max: budget.USD(500), Window: budget.Monthly})
	_, _ = ledger.Kill(ctx, budget.Scope{Workflow: "nightly"}, "runaway loop")
	_ = ledger.Revive(ctx, budget.Scope{Workflow: "nightly"})

	for change, err := range ledger.Changes(ctx, 0) {
		if err != nil {
			panic(err)
		}
		fmt.Println(change.Revision, change.Operator, change.Kind, change.Scope, change.Reason)
	}
	// Output:
	// 1 ada kill workflow=nightly runaway loop
	// 2 ada revive workflow=nightly
}

// A policy that lives in the store. Of two people who edit it at once, the second is told that it has changed.
func ExampleOperator_SetPolicyDocument() {
	ctx := context.Background()
	operator, err := budget.Operate(ctx, memstore.New(memstore.Options{}))
	if err != nil {
		panic(err)
	}
	before, _ := operator.PolicyDocument(ctx)
	fmt.Println(operator.SetPolicyDocument(ctx, []byte("max: 200 USD"), before.Version, "first policy"))
	err = operator.SetPolicyDocument(ctx, []byte("max: 900 USD"), before.Version, "made from the same version")
	fmt.Println(errors.Is(err, budget.ErrSuperseded))

	now, err := operator.PolicyDocument(ctx)
	fmt.Println(string(now.Text), now.Reason, err)
	// Output:
	// <nil>
	// true
	// max: 200 USD first policy <nil>
}
