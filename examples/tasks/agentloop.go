package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// agentLoop is an agent that may spend 5 USD a day, and the given amount in this run. Its requests set no maxTokens, and its conversation
// grows with each answer. If the conversation becomes too long for what is left, it continues with only its last question. It works until
// its money is spent, and then says so in plain words.
func agentLoop(ctx context.Context, cfg aws.Config, dollars float64) (answers int, said string, err error) {
	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "day", Max: budget.USD(5), Window: budget.Daily},
		{Name: "run", Max: budget.USD(dollars), Window: budget.Lifetime, Per: budget.PerWorkflow},
	}})
	if err != nil {
		return 0, "", err
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{Output: bedrockguard.Output{Default: 1000, Clamp: true}})
	if err != nil {
		return 0, "", err
	}
	client := guard.NewFromConfig(cfg)
	ctx = budget.WithScope(ctx, budget.Scope{Workflow: "fix-build"})
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(sonnet)}
	for {
		in.Messages = append(in.Messages, says(types.ConversationRoleUser, strings.Repeat("The build says that a symbol is not defined. ", 40)))
		out, err := client.Converse(ctx, in)
		if errors.Is(err, budget.ErrExceeded) { // the conversation has become too expensive
			in.Messages = in.Messages[len(in.Messages)-1:]
			out, err = client.Converse(ctx, in)
		}
		var full *budget.ExceededError
		if errors.As(err, &full) { // even the last question alone no longer fits
			return answers, fmt.Sprintf("I have used %s of %s and stop here.", full.Settled, full.Max), guard.Close(ctx)
		}
		if err != nil {
			return answers, "", err
		}
		answers++
		in.Messages = append(in.Messages, out.Output.(*types.ConverseOutputMemberMessage).Value)
	}
}
