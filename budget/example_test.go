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

// exampleTime is a Tuesday, by which the stores of the examples go.
var exampleTime = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

// exampleLedger opens a ledger in memory whose time does not move.
func exampleLedger(limits ...budget.Limit) *budget.Ledger {
	return exampleLedgerAt(func() time.Time { return exampleTime }, limits...)
}

func exampleLedgerAt(clock func() time.Time, limits ...budget.Limit) *budget.Ledger {
	store := memstore.New(memstore.Options{Clock: clock})
	ledger, err := budget.Open(context.Background(), store, budget.Policy{Limits: limits})
	if err != nil {
		panic(err)
	}
	return ledger
}

func dollars(usd float64) budget.Charge { return budget.Charge{budget.UnitUSD: budget.USD(usd).N} }

// exampleSpend reserves an amount and settles it, as the guard does around each call.
func exampleSpend(ledger *budget.Ledger, scope budget.Scope, usd float64) (budget.Outcome, error) {
	ctx := context.Background()
	receipt, err := ledger.Reserve(ctx, budget.Request{Scope: scope, Worst: dollars(usd)})
	if err != nil {
		return budget.Outcome{}, err
	}
	return ledger.Settle(ctx, receipt, dollars(usd), false)
}

// A policy is checked when the ledger is opened: what can't be enforced as it is written is an error, and not silence.
func ExampleOpen() {
	_, err := budget.Open(context.Background(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "month", Max: budget.USD(200)},
	}})
	fmt.Println(errors.Is(err, budget.ErrInvalidPolicy))
	fmt.Println(err)
	// Output:
	// true
	// budget: invalid policy: limit 0 "month": a limit needs a window
}

// Who spends is said by the context. An inner scope adds to an outer one.
func ExampleWithScope() {
	ctx := budget.WithScope(context.Background(), budget.Scope{Workflow: "nightly"})
	ctx = budget.WithScope(ctx, budget.Scope{Tags: map[string]string{"team": "core"}})
	scope, err := budget.ScopeFrom(ctx)
	fmt.Println(scope, err)
	// Output: workflow=nightly tag:team=core <nil>
}

// The error says which limit refused and by how much, and what helps.
func ExampleExceededError() {
	ledger := exampleLedger(budget.Limit{Name: "workflow-day", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow})
	scope := budget.Scope{Workflow: "nightly"}
	_, _ = exampleSpend(ledger, scope, 9)

	_, err := exampleSpend(ledger, scope, 2)
	var exceeded *budget.ExceededError
	if errors.As(err, &exceeded) {
		fmt.Println(exceeded.Limit, exceeded.Scope, "has settled", exceeded.Settled, "of", exceeded.Max, "and is free in", exceeded.ResetAfter)
	}
	// Output: workflow-day workflow=nightly has settled 9 USD of 10 USD and is free in 14h30m0s
}

// Where each limit stands for one workflow.
func ExampleLedger_Balances() {
	ledger := exampleLedger(
		budget.Limit{Name: "workflow-day", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow},
		budget.Limit{Name: "all-month", Max: budget.USD(500), Window: budget.Monthly},
	)
	_, _ = exampleSpend(ledger, budget.Scope{Workflow: "nightly"}, 4)
	_, _ = exampleSpend(ledger, budget.Scope{Workflow: "review"}, 1)

	balances, err := ledger.Balances(context.Background(), budget.Scope{Workflow: "nightly"})
	if err != nil {
		panic(err)
	}
	for _, b := range balances {
		fmt.Println(b.Limit, b.Settled, "of", b.Max)
	}
	// Output:
	// workflow-day 4 USD of 10 USD
	// all-month 5 USD of 500 USD
}

// More room for one account, until tomorrow.
func ExampleLedger_Override() {
	ledger := exampleLedger(budget.Limit{Name: "workflow-day", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow})
	scope := budget.Scope{Workflow: "nightly"}
	_, _ = exampleSpend(ledger, scope, 9)
	_, err := exampleSpend(ledger, scope, 2)
	fmt.Println("refused:", errors.Is(err, budget.ErrExceeded))

	tomorrow := exampleTime.AddDate(0, 0, 1)
	accounts, err := ledger.Override(context.Background(), "workflow-day", scope, budget.USD(15), tomorrow)
	fmt.Println(accounts, "account,", err)
	_, err = exampleSpend(ledger, scope, 2)
	fmt.Println(err)
	// Output:
	// refused: true
	// 1 account, <nil>
	// <nil>
}

// Be told at half of a limit and at four fifths.
func ExampleLimit_notify() {
	ledger := exampleLedger(budget.Limit{Name: "day", Max: budget.USD(10), Window: budget.Daily, Notify: []float64{0.5, 0.8}})
	for _, usd := range []float64{4, 2, 1} {
		outcome, err := exampleSpend(ledger, budget.Scope{}, usd)
		if err != nil {
			panic(err)
		}
		for _, crossed := range outcome.Crossed {
			fmt.Printf("%s: %.0f%% of %s\n", crossed.Limit, 100*crossed.Fraction, crossed.Max)
		}
	}
	// Output: day: 50% of 10 USD
}

// Rehearse a limit: what it would have refused is reported, and nothing is refused.
func ExampleLimit_observe() {
	ctx := context.Background()
	ledger := exampleLedger(budget.Limit{Name: "day", Max: budget.USD(10), Window: budget.Daily, Observe: true})
	receipt, err := ledger.Reserve(ctx, budget.Request{Worst: dollars(12)})
	fmt.Println(err)
	for _, exceeded := range receipt.Observed {
		fmt.Println(exceeded.Limit, "would have refused", exceeded.Requested, "of", exceeded.Max)
	}
	// Output:
	// <nil>
	// day would have refused 12 USD of 10 USD
}

// Once it has refused, a latched limit stays shut, even for what would fit, until the window ends or somebody revives it.
func ExampleLimit_latch() {
	ctx := context.Background()
	ledger := exampleLedger(budget.Limit{Name: "day", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow, Latch: true})
	scope := budget.Scope{Workflow: "nightly"}
	_, _ = exampleSpend(ledger, scope, 12)
	_, err := exampleSpend(ledger, scope, 1)
	var exceeded *budget.ExceededError
	fmt.Println(errors.As(err, &exceeded) && exceeded.Latched)

	fmt.Println(ledger.Revive(ctx, scope))
	_, err = exampleSpend(ledger, scope, 1)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
	// <nil>
}

// Only the calls of some models, in London, with a tag.
func ExampleMatch() {
	match := budget.Match{Model: "anthropic.claude-opus-*", Region: "eu-west-2", Tags: map[string]string{"team": "core"}}
	scope := budget.Scope{Model: "anthropic.claude-opus-4-6-v1", Region: "eu-west-2", Tags: map[string]string{"team": "core"}}
	fmt.Println(match.Selects(scope))
	scope.Region = "us-east-1"
	fmt.Println(match.Selects(scope))
	// Output:
	// true
	// false
}

// At most so much in any hour: what was spent leaves the window an hour later.
func ExampleRolling() {
	now := exampleTime
	ledger := exampleLedgerAt(func() time.Time { return now }, budget.Limit{Name: "hour", Max: budget.USD(10), Window: budget.Rolling(time.Hour)})
	_, _ = exampleSpend(ledger, budget.Scope{}, 9)
	now = now.Add(59 * time.Minute)
	_, err := exampleSpend(ledger, budget.Scope{}, 2)
	fmt.Println(errors.Is(err, budget.ErrExceeded))
	now = now.Add(3 * time.Minute)
	_, err = exampleSpend(ledger, budget.Scope{}, 2)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// A day that begins at midnight in Tokyo.
func ExampleWindow_In() {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		panic(err)
	}
	now := time.Date(2026, 11, 24, 23, 30, 0, 0, tokyo)
	ledger := exampleLedgerAt(func() time.Time { return now }, budget.Limit{Name: "day", Max: budget.USD(10), Window: budget.Daily.In(tokyo)})
	_, _ = exampleSpend(ledger, budget.Scope{}, 9)
	_, err = exampleSpend(ledger, budget.Scope{}, 2)
	var exceeded *budget.ExceededError
	errors.As(err, &exceeded)
	fmt.Println("free in", exceeded.ResetAfter)
	now = now.Add(30 * time.Minute)
	_, err = exampleSpend(ledger, budget.Scope{}, 2)
	fmt.Println(err)
	// Output:
	// free in 30m0s
	// <nil>
}

// Prices are published in USD per million tokens. A cost is rounded up to a nano-USD in each class of token.
func ExamplePrice_Cost() {
	input, err := price.PerMTok("5")
	if err != nil {
		panic(err)
	}
	cacheRead, _ := price.PerMTok("0.50")
	output, _ := price.PerMTok("25")
	opus := price.Price{Rates: price.Rates{Input: input, CacheRead: cacheRead, Output: output}}
	cost, err := opus.Cost(price.Usage{InputTokens: 10_000, CacheReadInputTokens: 9_000, OutputTokens: 500}, price.TierStandard)
	fmt.Println(cost, err)
	// Output: 0.022 USD <nil>
}
