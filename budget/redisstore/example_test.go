package redisstore_test

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/redisstore"
)

// A process of a fleet opens the fleet's ledger. The step that sets the fleet up does the same once, with Options.Create.
func ExampleOpen() {
	rdb := redis.NewClient(&redis.Options{Addr: "redis.internal:6379"})
	defer rdb.Close()
	store, err := redisstore.Open(context.Background(), rdb, redisstore.Options{
		Ledger:      "agents",
		MinReplicas: 1,
	})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	ledger, err := budget.Open(context.Background(), store, budget.Policy{Limits: []budget.Limit{
		{Name: "month", Max: budget.USD(200), Window: driver.Monthly, Per: budget.PerPrincipal},
	}})
	if err != nil {
		panic(err)
	}
	_ = ledger
}
