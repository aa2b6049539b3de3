package main

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// degrade estimates whether each call would fit, waits for room that other calls have reserved, and uses a cheaper model once 80 % are used.
func degrade(ctx context.Context, cfg aws.Config, ledger *budget.Ledger, requests []*bedrockruntime.ConverseInput) (answered int, err error) {
	cheaper := func(_ context.Context, p bedrockguard.Pressure) (string, bool) { return haiku, p.Used() > 0.8 }
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{MaxWait: time.Minute, Substitute: cheaper})
	if err != nil {
		return 0, err
	}
	client := guard.NewFromConfig(cfg)
	for _, in := range requests {
		estimate, err := guard.Estimate(ctx, in, func(o *bedrockguard.EstimateOptions) { o.Region = cfg.Region })
		// Refusal is the error with which the call would be refused now; nil if it fits.
		if err != nil || estimate.Refusal != nil {
			return answered, errors.Join(err, estimate.Refusal)
		}
		if _, err = client.Converse(ctx, in); err != nil {
			return answered, err
		}
		answered++
	}
	return answered, guard.Close(ctx)
}
