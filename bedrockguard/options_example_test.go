package bedrockguard_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// What has no token price is refused until its owner says what one call can cost at most; what the account negotiated comes off.
func ExampleOptions() {
	ledger, err := budget.Open(context.Background(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "month", Max: budget.USD(200), Window: budget.Monthly},
	}})
	if err != nil {
		panic(err)
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{
		FlatPrices: map[string]price.Amount{
			"feature:guardrail":        5_000_000, // 0.005 USD, in nano-USD
			"operation:ApplyGuardrail": 5_000_000,
			"model:stability.*":        140_000_000,
		},
		EnforcedGuardrails: []bedrockguard.Guardrail{{ID: "gr-of-the-organisation"}},
		Discounts:          map[string]int64{"anthropic.*": 75}, // 7.5 percent
		MaxDrains:          64,
		Outcomes: map[bedrockguard.Outcome]bedrockguard.Action{
			bedrockguard.OutcomeProxyStatus(429): bedrockguard.Void, // of a gateway that counts before it hands on
		},
	})
	fmt.Println(guard != nil, err)
	_, err = bedrockguard.New(ledger, bedrockguard.Options{FlatPrices: map[string]price.Amount{"feature:telepathy": 1}})
	fmt.Println(errors.Is(err, bedrockguard.ErrInvalidOptions))
	// Output:
	// true <nil>
	// true
}
