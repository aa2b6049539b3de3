// Command tasks shows common tasks of a new user, each in a short file, on a simulated Bedrock. docs/tasks.md lists them all, also those
// that are Examples of a package.
//
//	go run ./examples/tasks
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// The inference profiles that the tasks call.
const (
	opus   = "us.anthropic.claude-opus-4-6-v1"
	sonnet = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
	haiku  = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tasks:", err)
		os.Exit(1)
	}
}

// run does four of the tasks on one simulated Bedrock, and prints what came of each with its number in docs/tasks.md.
func run(ctx context.Context, out io.Writer) error {
	server, err := bedrocktest.Start(bedrocktest.Options{Reply: func(bedrocktest.Request) bedrocktest.Reply { return bedrocktest.Reply{OutputTokens: 500} }})
	if err != nil {
		return err
	}
	defer server.Close()
	cfg := server.Config()

	answers, said, err := agentLoop(ctx, cfg, 1)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "1  an agent with a dollar: %d answers for $%.2f. %s\n", answers, server.Bill().USD(), said)
	for _, task := range []func(context.Context, aws.Config, io.Writer) error{runRehearsal, runDegrade, runResearch} {
		if err := task(ctx, cfg, out); err != nil {
			return err
		}
	}
	return nil
}

// runRehearsal makes 60 calls, which cost more than the 30 cents of the limit, so that at least one would be refused.
func runRehearsal(ctx context.Context, cfg aws.Config, out io.Writer) error {
	ledger, err := limited(ctx, 0.30)
	if err != nil {
		return err
	}
	refused, err := rehearse(ctx, cfg, ledger, questions(60))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "11 a rehearsal of 60 calls with 30 cents: enforcing refuses %d of them, from number %d on\n", len(refused), refused[0])
	return nil
}

// runDegrade makes calls until the money is spent: the error is the refusal, and is printed.
func runDegrade(ctx context.Context, cfg aws.Config, out io.Writer) error {
	ledger, err := limited(ctx, 0.30)
	if err != nil {
		return err
	}
	answered, err := degrade(ctx, cfg, ledger, questions(1000))
	fmt.Fprintf(out, "12 cheaper when money gets short: %d answers, then: %v\n", answered, err)
	return nil
}

// runResearch lets a sub-agent make 50 calls at once.
func runResearch(ctx context.Context, cfg aws.Config, out io.Writer) error {
	ledger, err := limited(ctx, 1)
	if err != nil {
		return err
	}
	guard, err := patient(ledger)
	if err != nil {
		return err
	}
	if err := research(ctx, ledger, guard.NewFromConfig(cfg), questions(50)); err != nil {
		return err
	}
	fmt.Fprintln(out, "13 a sub-agent's fan-out of 50: all were answered")
	return guard.Close(ctx)
}

// limited returns a ledger in memory with one limit.
func limited(ctx context.Context, dollars float64) (*budget.Ledger, error) {
	return budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "total", Max: budget.USD(dollars), Window: budget.Lifetime}}})
}

// questions returns n different requests.
func questions(n int) []*bedrockruntime.ConverseInput {
	all := make([]*bedrockruntime.ConverseInput, n)
	for i := range all {
		all[i] = &bedrockruntime.ConverseInput{
			ModelId: aws.String(sonnet), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(1000)},
			Messages: []types.Message{says(types.ConversationRoleUser, fmt.Sprintf("Question %d: what is a budget good for? %s", i, strings.Repeat("Say why. ", 20)))},
		}
	}
	return all
}

// says returns a message of a conversation.
func says(role types.ConversationRole, text string) types.Message {
	return types.Message{Role: role, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}
}

// patient returns a guard whose calls wait for each other.
func patient(ledger *budget.Ledger) (*bedrockguard.Guard, error) {
	return bedrockguard.New(ledger, bedrockguard.Options{MaxWait: time.Minute})
}
