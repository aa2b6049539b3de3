package dynamostore_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/dynamostore"
)

// A ledger of a fleet. The table is made once, by an operator.
func Example() {
	ctx := context.Background()
	var cfg aws.Config // as config.LoadDefaultConfig returns it
	client := dynamodb.NewFromConfig(cfg)
	if err := dynamostore.CreateTable(ctx, client, "spend"); err != nil {
		fmt.Println(err)
		return
	}
	store, err := dynamostore.Open(ctx, client, "spend", dynamostore.Options{Create: true}) // on the first start
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{
		{Name: "principal-month", Max: budget.USD(200), Window: driver.Monthly, Per: budget.PerPrincipal},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ledger.Policy().Limits[0].Name)
}
