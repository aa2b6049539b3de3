package lease_test

import (
	"context"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// Leases in front of a store: most calls are reserved and settled in memory.
func Example() {
	ctx := context.Background()
	inner := memstore.New(memstore.Options{}) // stands for a store that is a round trip away
	store, err := lease.New(inner, lease.Options{Length: 10 * time.Second})
	if err != nil {
		panic(err)
	}
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{
		{Name: "month", Max: budget.USD(500), Window: driver.Monthly},
	}})
	if err != nil {
		panic(err)
	}
	for range 100 {
		var cent driver.Charge
		cent[driver.UnitUSD] = budget.USD(0.01).N
		receipt, err := ledger.Reserve(ctx, budget.Request{Worst: cent})
		if err != nil {
			panic(err)
		}
		if _, err = ledger.Settle(ctx, receipt, cent, false); err != nil {
			panic(err)
		}
	}
	fmt.Println(store.Close()) // gives back what is left; then close the store inside

	whole, _ := budget.Open(ctx, inner, ledger.Policy())
	balances, _ := whole.Balances(ctx, driver.Scope{})
	fmt.Println(balances[0].Settled)
	// Output:
	// <nil>
	// 1 USD
}
