package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// rehearse refuses nothing, and returns the numbers of the calls that the ledger's limits would have refused.
func rehearse(ctx context.Context, cfg aws.Config, ledger *budget.Ledger, requests []*bedrockruntime.ConverseInput) (refused []int, err error) {
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{Shadow: true})
	if err != nil {
		return nil, err
	}
	client := guard.NewFromConfig(cfg)
	for n, in := range requests {
		if _, err := client.Converse(ctx, in); err != nil {
			return refused, err
		}
		reported := int64(0)                        // calls that would have been refused, this one included
		for _, line := range guard.ShadowReport() { // so far, by limit and account; events report each refusal when it happens
			reported += line.Calls
		}
		if reported > int64(len(refused)) { // this call is new in the report
			refused = append(refused, n)
		}
	}
	return refused, guard.Close(ctx)
}
