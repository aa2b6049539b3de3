// Command quickstart makes guarded calls until the budget says no. By default it talks to the simulated Bedrock; with -live
// it spends real money on your AWS account, at most the five cents of its limit.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -live -model us.anthropic.claude-haiku-4-5-20251001-v1:0
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

func main() {
	live := flag.Bool("live", false, "call Amazon Bedrock and spend real money")
	model := flag.String("model", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "model or inference profile")
	flag.Parse()
	if err := run(context.Background(), *live, *model); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run makes calls until the limit of 5 cents refuses one.
func run(ctx context.Context, live bool, model string) error {
	cfg, stop, err := connect(ctx, live)
	if err != nil {
		return err
	}
	defer stop()
	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "quickstart", Max: budget.USD(0.05), Window: budget.Daily, Per: budget.PerWorkflow},
	}})
	if err != nil {
		return err
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	if err != nil {
		return err
	}
	client := guard.NewFromConfig(cfg) // was: bedrockruntime.NewFromConfig(cfg)
	return spend(budget.WithScope(ctx, budget.Scope{Workflow: "quickstart"}), ledger, client, model)
}

// spend makes calls until one is refused, and prints after each what is spent.
func spend(ctx context.Context, ledger *budget.Ledger, client *bedrockruntime.Client, model string) error {
	for n := 1; ; n++ {
		out, err := client.Converse(ctx, &bedrockruntime.ConverseInput{
			ModelId: aws.String(model), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(2000)},
			Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{
				&types.ContentBlockMemberText{Value: "Name one thing that a budget is good for."},
			}}},
		})
		var exceeded *budget.ExceededError
		if errors.As(err, &exceeded) {
			fmt.Printf("call %d was not sent: %v\n", n, exceeded)
			return nil
		}
		if err != nil {
			return err
		}
		balances, err := ledger.Balances(ctx, budget.Scope{Workflow: "quickstart"})
		if err != nil {
			return err
		}
		// balances has one line for each limit, and there is one limit.
		fmt.Printf("call %d used %d output tokens; spent %s of %s\n", n, aws.ToInt32(out.Usage.OutputTokens), balances[0].Settled, balances[0].Max)
	}
}

// connect returns the config for the real service or a simulated one, and a function that ends the latter.
func connect(ctx context.Context, live bool) (aws.Config, func(), error) {
	if live {
		cfg, err := config.LoadDefaultConfig(ctx)
		return cfg, func() {}, err
	}
	server, err := bedrocktest.Start(bedrocktest.Options{Reply: func(bedrocktest.Request) bedrocktest.Reply {
		return bedrocktest.Reply{OutputTokens: 1500}
	}})
	if err != nil {
		return aws.Config{}, nil, err
	}
	return server.Config(), server.Close, nil
}
