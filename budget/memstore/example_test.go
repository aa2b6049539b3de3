package memstore_test

import (
	"context"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// A cap on one run of one program.
func ExampleNew() {
	ledger, err := budget.Open(context.Background(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "this-run", Max: budget.USD(5), Window: driver.Lifetime},
	}})
	if err != nil {
		panic(err)
	}
	_, err = ledger.Reserve(context.Background(), budget.Request{Worst: driver.Charge{driver.UnitUSD: budget.USD(6).N}})
	fmt.Println(err)
	// Output: budget: limit "this-run" exceeded: need 6 USD, 5 USD of 5 USD left (0 USD settled, 0 USD pending), larger than the whole limit: lower maxTokens, shorten the prompt or raise the limit
}
