package bedrocktest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
)

const (
	opus46   = "us.anthropic.claude-opus-4-6-v1"
	opus41   = "us.anthropic.claude-opus-4-1-20250805-v1:0"
	sonnet45 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0" // caches from 1,024 tokens on
	haiku55  = "us.anthropic.claude-haiku-5-5"
	novaPro  = "amazon.nova-pro-v1:0"
	gptOSS   = "openai.gpt-oss-120b-1:0"
)

// fakeClock is a service's time that stands still until it is moved.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// perByte counts a token a byte, so that expectations can be worked out by hand.
func perByte(text string) int { return len(text) }

// sized returns a text of n bytes that begins with a tag of its own.
func sized(tag string, n int) string { return tag + strings.Repeat(".", n-len(tag)) }

// prompt builds a Converse request step by step.
type prompt struct{ in bedrockruntime.ConverseInput }

func ask(model string) *prompt {
	return &prompt{bedrockruntime.ConverseInput{ModelId: aws.String(model), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(100)}}}
}

func cachePoint(ttl types.CacheTTL) types.CachePointBlock {
	return types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: ttl}
}

func (p *prompt) tools() *types.ToolConfiguration {
	if p.in.ToolConfig == nil {
		p.in.ToolConfig = &types.ToolConfiguration{}
	}
	return p.in.ToolConfig
}

func (p *prompt) tool(name, description string) *prompt {
	p.tools().Tools = append(p.tools().Tools, &types.ToolMemberToolSpec{Value: types.ToolSpecification{
		Name: aws.String(name), Description: aws.String(description),
		InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object"})},
	}})
	return p
}

func (p *prompt) toolPoint(ttl types.CacheTTL) *prompt {
	p.tools().Tools = append(p.tools().Tools, &types.ToolMemberCachePoint{Value: cachePoint(ttl)})
	return p
}

func (p *prompt) choose(choice types.ToolChoice) *prompt {
	p.tools().ToolChoice = choice
	return p
}

func (p *prompt) system(text string) *prompt {
	p.in.System = append(p.in.System, &types.SystemContentBlockMemberText{Value: text})
	return p
}

func (p *prompt) systemPoint(ttl types.CacheTTL) *prompt {
	p.in.System = append(p.in.System, &types.SystemContentBlockMemberCachePoint{Value: cachePoint(ttl)})
	return p
}

func (p *prompt) message(role types.ConversationRole, blocks ...types.ContentBlock) *prompt {
	p.in.Messages = append(p.in.Messages, types.Message{Role: role, Content: blocks})
	return p
}

func (p *prompt) user(blocks ...types.ContentBlock) *prompt {
	return p.message(types.ConversationRoleUser, blocks...)
}

func (p *prompt) assistant(blocks ...types.ContentBlock) *prompt {
	return p.message(types.ConversationRoleAssistant, blocks...)
}

func (p *prompt) think(tokens int) *prompt {
	p.in.InferenceConfig = &types.InferenceConfiguration{MaxTokens: aws.Int32(int32(tokens) + 1000)}
	p.in.AdditionalModelRequestFields = document.NewLazyDocument(map[string]any{"thinking": map[string]any{"type": "enabled", "budget_tokens": tokens}})
	return p
}

func say(text string) types.ContentBlock { return &types.ContentBlockMemberText{Value: text} }

func point(ttl types.CacheTTL) types.ContentBlock {
	return &types.ContentBlockMemberCachePoint{Value: cachePoint(ttl)}
}

func useTool(id string) types.ContentBlock {
	return &types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{ToolUseId: aws.String(id), Name: aws.String("read"), Input: document.NewLazyDocument(map[string]any{})}}
}

func toolResult(id, text string) types.ContentBlock {
	return &types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{ToolUseId: aws.String(id), Content: []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: text}}}}
}

func reasoning(text string) types.ContentBlock {
	return &types.ContentBlockMemberReasoningContent{Value: &types.ReasoningContentBlockMemberReasoningText{Value: types.ReasoningTextBlock{Text: aws.String(text), Signature: aws.String("sig")}}}
}

// newClient returns a client that sends each call once.
func newClient(server *Server) *bedrockruntime.Client {
	return bedrockruntime.NewFromConfig(server.Config(), func(o *bedrockruntime.Options) { o.Retryer = aws.NopRetryer{} })
}

// split is how the input of a request was billed.
type split struct{ input, read, write5m, write1h int64 }

func (i Inference) split() split {
	return split{i.InputTokens, i.CacheReadTokens, i.CacheWrite5mTokens, i.CacheWrite1hTokens}
}

// converse sends a prompt and returns how its input was billed, after checking it against what the response tells.
func converse(t *testing.T, server *Server, p *prompt) split {
	t.Helper()
	out, err := newClient(server).Converse(context.Background(), &p.in)
	require.NoError(t, err)
	all := server.Inferences()
	got := all[len(all)-1].split()
	require.Equal(t, got.input, int64(*out.Usage.InputTokens))
	require.Equal(t, got.read, int64(aws.ToInt32(out.Usage.CacheReadInputTokens)))
	require.Equal(t, got.write5m+got.write1h, int64(aws.ToInt32(out.Usage.CacheWriteInputTokens)))
	return got
}

// requireRefused asserts the status and the error type of a refusal.
func requireRefused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var response *smithyhttp.ResponseError
	require.ErrorAs(t, err, &response)
	require.Equal(t, status, response.HTTPStatusCode(), err)
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, code, api.ErrorCode())
}

// bare is the id of a profile's model.
func bare(profile string) string { return strings.TrimPrefix(profile, "us.") }
