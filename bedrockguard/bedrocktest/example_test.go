package bedrocktest_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

// A prompt that is cached on its first call and read on its second. In a test, New closes the server by itself.
func Example() {
	server, err := bedrocktest.Start(bedrocktest.Options{CountTokens: func(text string) int { return len(text) }})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	client := bedrockruntime.NewFromConfig(server.Config())
	input := &bedrockruntime.ConverseInput{
		ModelId: aws.String("us.anthropic.claude-opus-4-6-v1"),
		System: []types.SystemContentBlock{
			&types.SystemContentBlockMemberText{Value: strings.Repeat("rule ", 1000)},
			&types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}},
		},
		Messages: []types.Message{{
			Role:    types.ConversationRoleUser,
			Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Which rule applies?"}},
		}},
	}
	for range 2 {
		out, err := client.Converse(context.Background(), input)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("written", *out.Usage.CacheWriteInputTokens, "read", *out.Usage.CacheReadInputTokens)
	}
	bill := server.Bill()
	fmt.Printf("%d inferences, %d nano-USD, %.0f%% of the input read from the cache\n", bill.Inferences, bill.NanoUSD, 100*bill.CacheHitShare())
	// Output:
	// written 5000 read 0
	// written 0 read 5000
	// 2 inferences, 41228000 nano-USD, 50% of the input read from the cache
}

// The SDK sends again what failed, and each attempt that ran is billed.
func ExampleScript() {
	server, err := bedrocktest.Start(bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.Throttle, bedrocktest.Reset)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	client := bedrockruntime.NewFromConfig(server.Config())
	_, err = client.InvokeModel(context.Background(), &bedrockruntime.InvokeModelInput{
		ModelId: aws.String("amazon.titan-embed-text-v2:0"), Body: []byte(`{"inputText":"hello"}`),
	})
	fmt.Println(err, server.Requests(), "requests,", server.Bill().Inferences, "billed")
	// Output: <nil> 3 requests, 2 billed
}
