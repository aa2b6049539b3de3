// Command langchain gives langchaingo a guarded client: the framework holds the SDK's own client type, so nothing else
// changes, and the typed refusal comes out at its other end.
//
//	go run ./examples/langchain
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/llms/bedrock"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

func main() {
	server, err := bedrocktest.Start(bedrocktest.Options{})
	if err == nil {
		defer server.Close()
		// chat always ends with an error: the refusal, or what went wrong before it.
		err = chat(context.Background(), server, budget.USD(0.02))
	}
	var exceeded *budget.ExceededError
	if !errors.As(err, &exceeded) {
		fmt.Fprintln(os.Stderr, "langchain: the budget did not hold:", err)
		os.Exit(1)
	}
	fmt.Println("refused through langchaingo:", exceeded)
}

// chat asks the model through langchaingo until it is refused.
func chat(ctx context.Context, server *bedrocktest.Server, limit budget.Quantity) error {
	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "chat", Max: limit, Window: budget.Daily}}})
	if err != nil {
		return err
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	if err != nil {
		return err
	}
	llm, err := bedrock.New(bedrock.WithClient(guard.NewFromConfig(server.Config())), bedrock.WithModel("us.anthropic.claude-haiku-4-5-20251001-v1:0"), bedrock.WithModelProvider("anthropic"))
	if err != nil {
		return err
	}
	// More calls than the limit has money for.
	for range 1000 {
		if _, err := llms.GenerateFromSinglePrompt(ctx, llm, "What is a budget for?", llms.WithMaxTokens(512)); err != nil {
			return err
		}
	}
	return errors.New("never refused")
}
