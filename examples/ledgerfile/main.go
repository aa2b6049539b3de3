// Command ledgerfile keeps its ledger in a file, so that a limit outlives the process: run it again and again on the same file, and
// it goes on from what the runs before have spent, until the budget says no. It talks to the simulated Bedrock.
//
//	go run ./examples/ledgerfile -ledger /tmp/spend.db
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

func main() {
	file := flag.String("ledger", "spend.db", "file of the ledger; made if there is none")
	flag.Parse()
	if err := run(context.Background(), *file); err != nil {
		fmt.Fprintln(os.Stderr, "ledgerfile:", err)
		os.Exit(1)
	}
}

// run opens the ledger in the file, with a limit of 3 cents for all runs together, and spends.
func run(ctx context.Context, file string) error {
	store, err := sqlitestore.Open(ctx, file, sqlitestore.Options{Create: true})
	if err != nil {
		return err
	}
	defer store.Close()
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{
		{Name: "lifetime", Max: budget.USD(0.03), Window: budget.Lifetime, Per: budget.PerWorkflow},
	}})
	if err != nil {
		return err
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	if err != nil {
		return err
	}
	server, err := bedrocktest.Start(bedrocktest.Options{Reply: func(bedrocktest.Request) bedrocktest.Reply {
		return bedrocktest.Reply{OutputTokens: 1500}
	}})
	if err != nil {
		return err
	}
	defer server.Close()
	return spend(budget.WithScope(ctx, budget.Scope{Workflow: "ledgerfile"}), ledger, guard.NewFromConfig(server.Config()))
}

// spend makes two calls, or fewer if the budget says no.
func spend(ctx context.Context, ledger *budget.Ledger, client *bedrockruntime.Client) error {
	for range 2 {
		_, err := client.Converse(ctx, &bedrockruntime.ConverseInput{
			ModelId:         aws.String("us.anthropic.claude-haiku-4-5-20251001-v1:0"),
			InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(2000)},
			Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{
				&types.ContentBlockMemberText{Value: "Name one thing that a file is good for."},
			}}},
		})
		var exceeded *budget.ExceededError
		if errors.As(err, &exceeded) {
			fmt.Printf("not sent: %v\n", exceeded)
			return nil
		}
		if err != nil {
			return err
		}
		balances, err := ledger.Balances(ctx, budget.Scope{Workflow: "ledgerfile"})
		if err != nil {
			return err
		}
		// balances has one line for each limit, and there is one limit.
		fmt.Printf("spent %s of %s, by all runs on this file\n", balances[0].Settled, balances[0].Max)
	}
	return nil
}
