package bedrockguard_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

const (
	bareSonnet = "anthropic.claude-sonnet-4-20250514-v1:0"
	sonnet     = "us." + bareSonnet
)

// operation is one of the four guarded operations, read to its end where it streams.
type operation struct {
	name   string
	stream bool
	call   func(context.Context, *bedrockruntime.Client, ...func(*bedrockruntime.Options)) error
}

func operations() []operation {
	return []operation{
		{"Converse", false, func(ctx context.Context, c *bedrockruntime.Client, o ...func(*bedrockruntime.Options)) error {
			_, err := c.Converse(ctx, converseInput("hello"), o...)
			return err
		}},
		{"ConverseStream", true, func(ctx context.Context, c *bedrockruntime.Client, o ...func(*bedrockruntime.Options)) error {
			return converseStream(ctx, c, streamInput("hello"), o...)
		}},
		{"InvokeModel", false, func(ctx context.Context, c *bedrockruntime.Client, o ...func(*bedrockruntime.Options)) error {
			return invoke(ctx, c, sonnet, anthropicBody("hello"), o...)
		}},
		{"InvokeModelWithResponseStream", true, func(ctx context.Context, c *bedrockruntime.Client, o ...func(*bedrockruntime.Options)) error {
			return invokeStream(ctx, c, sonnet, anthropicBody("hello"), o...)
		}},
	}
}

func userMessage(text string) types.Message {
	return types.Message{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}
}

func assistantMessage(text string) types.Message {
	return types.Message{Role: types.ConversationRoleAssistant, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}
}

func maxTokens(n int32) *types.InferenceConfiguration {
	return &types.InferenceConfiguration{MaxTokens: aws.Int32(n)}
}

func converseInput(text string) *bedrockruntime.ConverseInput {
	return &bedrockruntime.ConverseInput{ModelId: aws.String(sonnet), Messages: []types.Message{userMessage(text)}, InferenceConfig: maxTokens(100)}
}

func streamInput(text string) *bedrockruntime.ConverseStreamInput {
	in := converseInput(text)
	return &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages, InferenceConfig: in.InferenceConfig}
}

func anthropicBody(text string) string {
	return fmt.Sprintf(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":%q}]}`, text)
}

func converseStream(ctx context.Context, c *bedrockruntime.Client, in *bedrockruntime.ConverseStreamInput, o ...func(*bedrockruntime.Options)) error {
	out, err := c.ConverseStream(ctx, in, o...)
	if err != nil {
		return err
	}
	stream := out.GetStream()
	for range stream.Events() {
	}
	return errors.Join(stream.Err(), stream.Close())
}

func invoke(ctx context.Context, c *bedrockruntime.Client, model, body string, o ...func(*bedrockruntime.Options)) error {
	_, err := c.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(model), Body: []byte(body)}, o...)
	return err
}

func invokeStream(ctx context.Context, c *bedrockruntime.Client, model, body string, o ...func(*bedrockruntime.Options)) error {
	out, err := c.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: aws.String(model), Body: []byte(body)}, o...)
	if err != nil {
		return err
	}
	stream := out.GetStream()
	for range stream.Events() {
	}
	return errors.Join(stream.Err(), stream.Close())
}
