package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// forProfiles returns a client that may use application inference profiles, provisioned throughput or fine-tuned models by their ARN, at
// negotiated prices. Each profile has a limit of its own.
func forProfiles(ctx context.Context, cfg aws.Config, store budget.Store, models map[string]string) (*bedrockruntime.Client, error) {
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{
		{Name: "profile-day", Max: budget.USD(5), Window: budget.Daily, Per: budget.PerProfile},
	}})
	if err != nil {
		return nil, err
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{
		ModelFor:  models,                              // from the ARN to the model or profile with the same price
		Discounts: map[string]int64{"anthropic.*": 75}, // 7.5 percent
	})
	if err != nil {
		return nil, err
	}
	return guard.NewFromConfig(cfg), nil
}
