package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/bedrock"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
	"github.com/tmc/langchaingo/llms"
	langchainbedrock "github.com/tmc/langchaingo/llms/bedrock"
)

// goClientArgument makes the test's binary one of these clients: goClientArgument CLIENT MODE. What they do is what clients.py does.
const goClientArgument = "go-client"

const (
	claude = "us.anthropic.claude-sonnet-4-6"
	gpt    = "openai.gpt-oss-120b-1:0"
	ask    = "What is a budget for?"
)

var (
	notes = strings.Repeat("Answer as the notes of the house say. ", 1000)
	city  = map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}}
)

var goClients = map[string]func(ctx context.Context, mode string) (usage, error){
	"anthropic-sdk-go": func(ctx context.Context, mode string) (usage, error) {
		return anthropicGo(ctx, anthropic.NewClient(), mode)
	},
	"anthropic-sdk-go-bedrock": func(ctx context.Context, mode string) (usage, error) {
		client := anthropic.NewClient(bedrock.WithLoadDefaultConfig(ctx), anthropicoption.WithBaseURL(os.Getenv("ANTHROPIC_BEDROCK_BASE_URL")))
		return anthropicGo(ctx, client, mode)
	},
	"openai-go-chat":      openaiGoChat,
	"openai-go-responses": openaiGoResponses,
	"langchaingo":         langchainGo,
}

// goClient runs one if the test's binary was started as one.
func goClient() {
	if len(os.Args) != 4 || os.Args[1] != goClientArgument {
		return
	}
	client, mode := goClients[os.Args[2]], os.Args[3]
	turns := strings.Split(mode, ",")
	if mode == "loop" {
		turns = slices.Repeat([]string{"unary"}, 200)
	}
	for _, turn := range turns {
		told, err := client(context.Background(), turn)
		if err != nil {
			if failed, ok := errors.AsType[*openai.Error](err); ok {
				err = fmt.Errorf("%w: %s", err, failed.Message) // its own text is the status alone
			}
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if mode != "loop" {
			line, _ := json.Marshal(told)
			fmt.Printf("told %s\n", line)
		}
	}
	if mode == "loop" {
		fmt.Fprintln(os.Stderr, "never refused")
		os.Exit(1)
	}
	os.Exit(0)
}

func anthropicGo(ctx context.Context, client anthropic.Client, mode string) (told usage, err error) {
	params := anthropic.MessageNewParams{Model: claude, MaxTokens: 2000, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(ask))}}
	var answer *anthropic.Message
	switch mode {
	case "tool":
		params.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{Name: "weather", InputSchema: anthropic.ToolInputSchemaParam{Properties: city["properties"]}}}}
		first, err := client.Messages.New(ctx, params)
		if err != nil {
			return told, err
		}
		use := first.Content[slices.IndexFunc(first.Content, func(b anthropic.ContentBlockUnion) bool { return b.Type == "tool_use" })]
		params.Messages = append(params.Messages, first.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock(use.ID, "sun", false)))
	case "cached":
		params.System = []anthropic.TextBlockParam{{Text: notes, CacheControl: anthropic.NewCacheControlEphemeralParam()}}
	case "stream":
		answer = new(anthropic.Message)
		stream := client.Messages.NewStreaming(ctx, params)
		defer stream.Close()
		for stream.Next() {
			if err := answer.Accumulate(stream.Current()); err != nil {
				return told, err
			}
		}
		if err := stream.Err(); err != nil {
			return told, err
		}
	}
	if answer == nil {
		if answer, err = client.Messages.New(ctx, params); err != nil {
			return told, err
		}
	}
	for _, block := range answer.Content {
		told.Text += block.Text
	}
	used := answer.Usage
	told.Input, told.Output, told.Read, told.Written = used.InputTokens, used.OutputTokens, used.CacheReadInputTokens, used.CacheCreationInputTokens
	return told, nil
}

func openaiGoChat(ctx context.Context, mode string) (told usage, err error) {
	client := openai.NewClient()
	params := openai.ChatCompletionNewParams{Model: gpt, MaxCompletionTokens: openai.Int(2000), Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(ask)}}
	if mode == "tool" {
		params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "weather", Parameters: city})}
		first, err := client.Chat.Completions.New(ctx, params)
		if err != nil {
			return told, err
		}
		message := first.Choices[0].Message
		params.Messages = append(params.Messages, message.ToParam(), openai.ToolMessage("sun", message.ToolCalls[0].ID))
	}
	if mode == "stream" {
		params.StreamOptions.IncludeUsage = openai.Bool(true)
		stream := client.Chat.Completions.NewStreaming(ctx, params)
		defer stream.Close()
		for stream.Next() {
			chunk := stream.Current()
			for _, choice := range chunk.Choices {
				told.Text += choice.Delta.Content
			}
			told.Input, told.Output = told.Input+chunk.Usage.PromptTokens, told.Output+chunk.Usage.CompletionTokens
		}
		return told, stream.Err()
	}
	answer, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		return told, err
	}
	return usage{Text: answer.Choices[0].Message.Content, Input: answer.Usage.PromptTokens, Output: answer.Usage.CompletionTokens}, nil
}

func openaiGoResponses(ctx context.Context, mode string) (told usage, err error) {
	client := openai.NewClient()
	input := []responses.ResponseInputItemUnionParam{responses.ResponseInputItemParamOfMessage(ask, responses.EasyInputMessageRoleUser)}
	params := responses.ResponseNewParams{Model: gpt, MaxOutputTokens: openai.Int(2000), Store: openai.Bool(false)}
	params.Input.OfInputItemList = input
	if mode == "tool" {
		params.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("weather", city, false)}
		first, err := client.Responses.New(ctx, params)
		if err != nil {
			return told, err
		}
		for _, item := range first.Output {
			if item.Type == "function_call" {
				result := responses.ResponseInputItemParamOfFunctionCallOutput("sun")
				result.OfFunctionCallOutput.CallID = openai.String(item.CallID)
				params.Input.OfInputItemList = append(input, responses.ResponseInputItemParamOfFunctionCall(item.Arguments.OfString, item.CallID, item.Name), result)
			}
		}
	}
	if mode == "stream" {
		stream := client.Responses.NewStreaming(ctx, params)
		defer stream.Close()
		for stream.Next() {
			switch event := stream.Current(); event.Type {
			case "response.output_text.delta":
				told.Text += event.Delta
			case "response.completed":
				told.Input, told.Output = event.Response.Usage.InputTokens, event.Response.Usage.OutputTokens
			}
		}
		return told, stream.Err()
	}
	answer, err := client.Responses.New(ctx, params)
	if err != nil {
		return told, err
	}
	return usage{Text: answer.OutputText(), Input: answer.Usage.InputTokens, Output: answer.Usage.OutputTokens}, nil
}

// langchainGo speaks by the AWS SDK, whose configuration tells it where, and with which key pair.
func langchainGo(ctx context.Context, mode string) (told usage, err error) {
	model, err := langchainbedrock.New(langchainbedrock.WithModel(claude), langchainbedrock.WithModelProvider("anthropic"))
	if err != nil {
		return told, err
	}
	messages := []llms.MessageContent{llms.TextParts(llms.ChatMessageTypeHuman, ask)}
	options := []llms.CallOption{llms.WithMaxTokens(2000)}
	if mode == "tool" {
		options = append(options, llms.WithTools([]llms.Tool{{Type: "function", Function: &llms.FunctionDefinition{Name: "weather", Parameters: city}}}))
		first, err := model.GenerateContent(ctx, messages, options...)
		if err != nil {
			return told, err
		}
		call := first.Choices[0].ToolCalls[0]
		messages = append(messages, llms.MessageContent{Role: llms.ChatMessageTypeAI, Parts: []llms.ContentPart{call}},
			llms.MessageContent{Role: llms.ChatMessageTypeTool, Parts: []llms.ContentPart{llms.ToolCallResponse{ToolCallID: call.ID, Name: "weather", Content: "sun"}}})
	}
	if mode == "stream" {
		options = append(options, llms.WithStreamingFunc(func(context.Context, []byte) error { return nil }))
	}
	answer, err := model.GenerateContent(ctx, messages, options...)
	if err != nil {
		return told, err
	}
	choice := answer.Choices[0]
	number := func(name string) int64 {
		n, _ := choice.GenerationInfo[name].(int)
		return int64(n)
	}
	return usage{Text: choice.Content, Input: number("input_tokens"), Output: number("output_tokens")}, nil
}
