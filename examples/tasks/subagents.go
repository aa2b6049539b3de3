package main

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// research is a sub-agent that may spend 50 cents of its parent's money. It asks all its questions at once, and its calls wait for each
// other.
func research(ctx context.Context, ledger *budget.Ledger, client *bedrockruntime.Client, questions []*bedrockruntime.ConverseInput) error {
	child, end, err := ledger.Child(ctx, budget.Child{Name: "research", Max: budget.USD(0.50)})
	if err != nil {
		return err
	}
	defer end()
	answers := make(chan error)
	for _, in := range questions {
		go func() {
			_, err := client.Converse(child, in)
			answers <- err
		}()
	}
	for range questions {
		err = errors.Join(err, <-answers)
	}
	return err
}
