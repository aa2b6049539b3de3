package bedrockguard_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// exampleServer starts the simulated Bedrock that stands for the real one in the examples.
func exampleServer() *bedrocktest.Server {
	server, err := bedrocktest.Start(bedrocktest.Options{})
	if err != nil {
		panic(err)
	}
	return server
}

// exampleGuard returns a guard that allows two calls.
func exampleGuard(options bedrockguard.Options) *bedrockguard.Guard {
	ledger, err := budget.Open(context.Background(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "two-calls", Max: budget.Calls(2), Window: budget.Lifetime},
	}})
	if err != nil {
		panic(err)
	}
	guard, err := bedrockguard.New(ledger, options)
	if err != nil {
		panic(err)
	}
	return guard
}

// A client that exists already. The old one goes on unguarded, so drop it.
func ExampleGuard_Wrap() {
	server := exampleServer()
	defer server.Close()
	bare := bedrockruntime.NewFromConfig(server.Config())

	client := exampleGuard(bedrockguard.Options{}).Wrap(bare)
	for range 3 {
		_, err := client.Converse(context.Background(), converseInput("Hello."))
		fmt.Println("refused:", errors.Is(err, bedrockguard.ErrBudgetExceeded))
	}
	// Output:
	// refused: false
	// refused: false
	// refused: true
}

// A framework that makes its own client from a config.
func ExampleGuard_InstallConfig() {
	server := exampleServer()
	defer server.Close()
	config := server.Config()
	exampleGuard(bedrockguard.Options{}).InstallConfig(&config)

	client := bedrockruntime.NewFromConfig(config) // the framework does this
	for range 3 {
		_, err := client.Converse(context.Background(), converseInput("Hello."))
		fmt.Println("refused:", errors.Is(err, bedrockguard.ErrBudgetExceeded))
	}
	// Output:
	// refused: false
	// refused: false
	// refused: true
}

// Stop a model by the id of the inference profile that calls name.
func ExampleGuard_Kill() {
	server := exampleServer()
	defer server.Close()
	guard := exampleGuard(bedrockguard.Options{})
	client := guard.NewFromConfig(server.Config())

	_, err := guard.Kill(context.Background(), budget.Kill{Scope: budget.Scope{Model: sonnet}, Reason: "too dear"})
	fmt.Println(err)
	_, err = client.Converse(context.Background(), converseInput("Hello."))
	fmt.Println(errors.Is(err, budget.ErrKilled), server.Requests(), "requests were sent")
	// Output:
	// <nil>
	// true 0 requests were sent
}

// What becomes of each attempt, while the call waits.
func ExampleOptions_onEvent() {
	server := exampleServer()
	defer server.Close()
	guard := exampleGuard(bedrockguard.Options{OnEvent: func(_ context.Context, e bedrockguard.Event) {
		fmt.Println(e.Kind, e.Scope.Workflow)
	}})
	client := guard.NewFromConfig(server.Config())
	ctx := budget.WithScope(context.Background(), budget.Scope{Workflow: "nightly"})
	for range 3 {
		_, _ = client.Converse(ctx, converseInput("Hello."))
	}
	// Output:
	// reserved nightly
	// settled nightly
	// reserved nightly
	// settled nightly
	// denied nightly
}

// Listeners work beside the calls, and may be slow. Close waits until they were told everything.
func ExampleOptions_listeners() {
	server := exampleServer()
	defer server.Close()
	var mu sync.Mutex
	spent := make(map[string]price.Amount)
	guard := exampleGuard(bedrockguard.Options{Listeners: []func(context.Context, bedrockguard.Event){
		func(_ context.Context, e bedrockguard.Event) {
			mu.Lock()
			defer mu.Unlock()
			spent[e.Scope.Workflow] += price.Amount(e.Actual[budget.UnitUSD])
		},
	}})
	client := guard.NewFromConfig(server.Config())
	ctx := budget.WithScope(context.Background(), budget.Scope{Workflow: "nightly"})
	_, _ = client.Converse(ctx, converseInput("Hello."))
	if err := guard.Close(ctx); err != nil {
		panic(err)
	}
	fmt.Println(int64(spent["nightly"]) == server.Bill().NanoUSD)
	// Output: true
}

// Rehearse a policy in front of traffic that must not stop.
func ExampleGuard_ShadowReport() {
	server := exampleServer()
	defer server.Close()
	guard := exampleGuard(bedrockguard.Options{Shadow: true})
	client := guard.NewFromConfig(server.Config())
	for range 5 {
		_, err := client.Converse(context.Background(), converseInput("Hello."))
		fmt.Println(err)
	}
	for _, line := range guard.ShadowReport() {
		fmt.Println(line.Calls, "calls would have been refused by", line.Cause, line.Limit)
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// <nil>
	// <nil>
	// 3 calls would have been refused by limit two-calls
}

// Refuse a prompt that will not be cached, before anything is reserved or sent.
func ExampleOptions_cache() {
	server := exampleServer()
	defer server.Close()
	guard := exampleGuard(bedrockguard.Options{Cache: cache.Policy{Mode: cache.Refuse}})
	client := guard.NewFromConfig(server.Config())

	input := converseInput("Fix the build.")
	input.System = []types.SystemContentBlock{ // long, the same in each call, and without a cache point
		&types.SystemContentBlockMemberText{Value: strings.Repeat("Answer with care. ", 2000)},
	}
	_, err := client.Converse(context.Background(), input)
	var refused *cache.RefusedError
	if errors.As(err, &refused) {
		fmt.Println(refused.Findings[0].Rule)
	}
	fmt.Println(server.Requests(), "requests were sent")
	// Output:
	// no-cache-point
	// 0 requests were sent
}

// A price of your own, for a model that the catalog does not know.
func ExampleOptions_models() {
	models, err := bedrockguard.ReadModels(strings.NewReader(`{"date": "2026-11-28", "models": [
	  {"id": "acme.large-v1", "max_output_tokens": 8192, "usd_per_mtok": {"input": "3", "output": "15"}}
	]}`))
	if err != nil {
		panic(err)
	}
	server := exampleServer()
	defer server.Close()
	input := converseInput("Hello.")
	input.ModelId = aws.String("acme.large-v1")

	_, err = exampleGuard(bedrockguard.Options{}).NewFromConfig(server.Config()).Converse(context.Background(), input)
	fmt.Println("without a price:", errors.Is(err, bedrockguard.ErrUnpriced))
	_, err = exampleGuard(bedrockguard.Options{Models: models}).NewFromConfig(server.Config()).Converse(context.Background(), input)
	fmt.Println("with one:", errors.Is(err, bedrockguard.ErrUnpriced)) // the simulator does not know the model either
	// Output:
	// without a price: true
	// with one: false
}

// A rate of uncached input tokens for each workflow. With MaxWait, a call waits for its tokens before it is refused.
func ExampleRate() {
	server := exampleServer()
	defer server.Close()
	guard := exampleGuard(bedrockguard.Options{Rate: bedrockguard.Rate{UncachedInputTokensPerMinute: 100, Per: budget.PerWorkflow}})
	client := guard.NewFromConfig(server.Config())
	_, err := client.Converse(context.Background(), converseInput(strings.Repeat("Hello. ", 200)))
	var limited *bedrockguard.RateLimitedError
	fmt.Println(errors.As(err, &limited))
	// Output: true
}
