package bedrocktest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

// A tool agent: what the model asks for, turn by turn, and what the agent sent back.
func ExampleTurns() {
	server, err := bedrocktest.Start(bedrocktest.Options{Record: true, Reply: bedrocktest.Turns(
		bedrocktest.Answer(bedrocktest.Says("Let me look."), bedrocktest.Uses("weather", `{"city":"Oslo"}`)),
		bedrocktest.Answer(bedrocktest.Uses("weather", `{"city":"Bergen"}`), bedrocktest.Uses("weather", `{"city":"Bodø"}`)),
		bedrocktest.Answer(bedrocktest.Says("Snow everywhere.")),
	)})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	answer, err := runAgent(server.Config(), "How is the weather in Norway?")
	last := server.Received()[2]
	fmt.Println(answer, err, len(last.ToolResults), "results, the first says:", last.ToolResults[0].Content)
	// Output: Snow everywhere. <nil> 2 results, the first says: snow in Bergen
}

// A throttled agent: the second request of the minute is one too many. The agent has to say so, and is billed for one.
func ExampleQuota() {
	server, err := bedrocktest.Start(bedrocktest.Options{
		Quotas: []bedrocktest.Quota{{RequestsPerMinute: 1}},
		Reply:  bedrocktest.Turns(bedrocktest.Answer(bedrocktest.Uses("weather", `{"city":"Oslo"}`))),
	})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	config := server.Config()
	config.RetryMaxAttempts = 1
	_, err = runAgent(config, "How is the weather?")
	fmt.Println(errors.As(err, new(*types.ThrottlingException)), server.Requests(), "requests,", server.Bill().Inferences, "billed")
	// Output: true 2 requests, 1 billed
}

// A cached agent: its second question finds what the first one wrote.
func ExampleBill_CacheHitShare() {
	server, err := bedrocktest.Start(bedrocktest.Options{})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	for _, question := range []string{"How is Oslo?", "How is Bergen?", "How is Bodø?"} {
		if _, err := runAgent(server.Config(), question); err != nil {
			panic(err)
		}
	}
	fmt.Printf("%.0f%% of the input came from the cache\n", 100*server.Bill().CacheHitShare())
	// Output: 66% of the input came from the cache
}

// An account: a model without access, one that ends, and one of its own that is not loaded yet.
func ExampleModel() {
	server, err := bedrocktest.Start(bedrocktest.Options{Region: "eu-west-1", Models: []bedrocktest.Model{
		{ID: "anthropic.claude-opus-4-6-v1", Denied: true},
		{ID: "anthropic.claude-sonnet-4-5-20250929-v1:0", Ends: time.Date(2027, 9, 29, 0, 0, 0, 0, time.UTC)},
		{ID: "arn:aws:bedrock:eu-west-1:123456789012:imported-model/abcdefghij12", Like: "meta.llama3-1-70b-instruct-v1:0", NotReady: 2},
	}})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	_, err = runAgent(server.Config(), "How is the weather?") // asks for a profile of the United States
	fmt.Println(errors.As(err, new(*types.ValidationException)))
	// Output: true
}

// runAgent is the agent under test: it uses tools until the model has an answer.
func runAgent(config aws.Config, question string) (string, error) {
	client := bedrockruntime.NewFromConfig(config)
	input := &bedrockruntime.ConverseInput{
		ModelId: aws.String("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
		System: []types.SystemContentBlock{
			&types.SystemContentBlockMemberText{Value: strings.Repeat("Answer in one sentence. ", 500)},
			&types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}},
		},
		ToolConfig: &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
			Name: aws.String("weather"), InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object"})},
		}}}},
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: question}}}},
	}
	for {
		out, err := client.Converse(context.Background(), input)
		if err != nil {
			return "", err
		}
		answer := out.Output.(*types.ConverseOutputMemberMessage).Value
		results := types.Message{Role: types.ConversationRoleUser}
		text := ""
		for _, block := range answer.Content {
			switch b := block.(type) {
			case *types.ContentBlockMemberText:
				text = b.Value
			case *types.ContentBlockMemberToolUse:
				results.Content = append(results.Content, look(b.Value))
			}
		}
		if out.StopReason != types.StopReasonToolUse {
			return text, nil
		}
		input.Messages = append(input.Messages, answer, results)
	}
}

func look(use types.ToolUseBlock) types.ContentBlock {
	var asked struct {
		City string `document:"city"`
	}
	if err := use.Input.UnmarshalSmithyDocument(&asked); err != nil {
		panic(err)
	}
	return &types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{
		ToolUseId: use.ToolUseId, Content: []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: "snow in " + asked.City}},
	}}
}
