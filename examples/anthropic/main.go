// Command anthropic gives Anthropic's own client for Go a guarded HTTP client: it speaks to Bedrock's messages route until the budget
// says no, and the typed refusal comes back out of its error.
//
//	go run ./examples/anthropic
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

func main() {
	server, err := bedrocktest.Start(bedrocktest.Options{})
	if err == nil {
		defer server.Close()
		// ask always ends with an error: the refusal, or what went wrong before it.
		err = ask(context.Background(), server.URL(), budget.USD(0.02))
	}
	if !errors.Is(err, bedrockguard.ErrBudgetExceeded) {
		fmt.Fprintln(os.Stderr, "anthropic: the budget did not hold:", err)
		os.Exit(1)
	}
	fmt.Println("refused through anthropic-sdk-go:", err)
}

// ask makes the same call again and again until the limit refuses it, and returns that refusal. base is the URL of the (simulated) Bedrock.
func ask(ctx context.Context, base string, limit budget.Quantity) error {
	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "agent", Max: limit, Window: budget.Daily}}})
	if err != nil {
		return err
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	if err != nil {
		return err
	}
	at, err := url.Parse(base)
	if err != nil {
		return err
	}
	// Bedrock's own hosts need no entry. The transport has to be the last thing before the network: in the HTTP client, not in a middleware
	// of the SDK, behind which requests are signed and sent again.
	transport := guard.Transport(nil, bedrockguard.TransportOptions{Hosts: map[string]string{at.Host: "us-east-1"}})
	client := anthropic.NewClient(
		option.WithBaseURL(base+"/anthropic"), option.WithAPIKey("a Bedrock API key"),
		option.WithHTTPClient(&http.Client{Transport: transport}),
	)
	// More calls than the limit has money for.
	for range 1000 {
		_, err := client.Messages.New(ctx, anthropic.MessageNewParams{
			Model: "us.anthropic.claude-haiku-4-5-20251001-v1:0", MaxTokens: 512,
			Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("What is a budget for?"))},
		})
		// Refusal returns the guard's error if a response is a refusal, and nil for the service's own.
		var refused *anthropic.Error
		if errors.As(err, &refused) && bedrockguard.Refusal(refused.Response) != nil {
			return bedrockguard.Refusal(refused.Response)
		}
		if err != nil {
			return err
		}
	}
	return errors.New("never refused")
}
