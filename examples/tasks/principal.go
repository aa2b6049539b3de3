package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/stsidentity"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// forPrincipal returns a client whose calls count to the IAM principal that AWS STS returns, each of which has 200 USD a month. A session of a role
// counts to the role. asks is an *sts.Client, or a stand-in for it.
func forPrincipal(ctx context.Context, cfg aws.Config, store budget.Store, asks stsidentity.API) (*bedrockruntime.Client, error) {
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{
		{Name: "principal-month", Max: budget.USD(200), Window: budget.Monthly, Per: budget.PerPrincipal},
	}})
	if err != nil {
		return nil, err
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{Identity: stsidentity.From(asks)})
	if err != nil {
		return nil, err
	}
	return guard.NewFromConfig(cfg), nil
}
