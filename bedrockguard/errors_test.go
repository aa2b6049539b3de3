package bedrockguard_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// requireNothingSpent checks that a refusal reached neither Bedrock nor the accounts.
func (r *rig) requireNothingSpent(t *testing.T) {
	t.Helper()
	assert.Zero(t, r.server.Requests(), "requests at the server")
	assert.Empty(t, r.events.of(bedrockguard.EventReserved), "reservations")
	b := r.balance(t, total)
	assert.Zero(t, b.Settled.N+b.Pending.N, "nano-USD in the ledger")
}

// TestErrorsSurviveTheSDK: sentinel and struct are found through the SDK's wrapping, after one question to the ledger
// and without a request.
func TestErrorsSurviveTheSDK(t *testing.T) {
	nobody := func(context.Context) (string, error) { return "", errors.New("STS is away") }
	as := func(target any) func(error) bool { return func(err error) bool { return errors.As(err, target) } }
	tests := []struct {
		name  string
		set   settings
		kill  bool
		scope budget.Scope
		want  error
		typed func(error) bool
		kind  bedrockguard.EventKind
	}{
		{"exceeded", settings{limits: []budget.Limit{{Name: "tiny", Max: budget.USD(0.000001), Window: budget.Daily}}}, false, budget.Scope{}, bedrockguard.ErrBudgetExceeded, as(new(*budget.ExceededError)), bedrockguard.EventDenied},
		{"killed", settings{}, true, budget.Scope{Workflow: "loop"}, budget.ErrKilled, as(new(*budget.KilledError)), bedrockguard.EventKilled},
		{"rate", settings{guard: bedrockguard.Options{Rate: bedrockguard.Rate{UncachedInputTokensPerMinute: 1}}}, false, budget.Scope{}, bedrockguard.ErrRateLimited, as(new(*bedrockguard.RateLimitedError)), bedrockguard.EventDenied},
		{"store", settings{store: &failingStore{Store: memstore.New(memstore.Options{}), reserve: errors.New("read tcp: connection reset by peer")}}, false, budget.Scope{}, budget.ErrStore, as(new(*budget.StoreError)), bedrockguard.EventDenied},
		{"scope", settings{guard: bedrockguard.Options{Identity: func(context.Context) (string, error) { return "ci", nil }}}, false, budget.Scope{Principal: "somebody else"}, budget.ErrInvalidScope, nil, bedrockguard.EventDenied},
		{"long scope", settings{}, false, budget.Scope{Workflow: strings.Repeat("w", 513)}, budget.ErrInvalidScope, nil, bedrockguard.EventDenied},
		{"identity", settings{guard: bedrockguard.Options{Identity: nobody}}, false, budget.Scope{}, bedrockguard.ErrIdentity, nil, bedrockguard.EventDenied},
	}
	for _, tt := range tests {
		for _, op := range operations() {
			t.Run(tt.name+"/"+op.name, func(t *testing.T) {
				r := newRig(t, tt.set)
				if tt.kill {
					require.NoError(t, storetest.Done(r.ledger.Kill(context.Background(), tt.scope, "runaway loop")))
				}
				err := op.call(budget.WithScope(context.Background(), tt.scope), r.client)
				require.ErrorIs(t, err, tt.want)
				if tt.typed != nil {
					assert.True(t, tt.typed(err), "%v", err)
				}
				assert.Len(t, r.events.of(tt.kind), 1, "the SDK must not try again")
				r.requireNothingSpent(t)
			})
		}
	}
}

func TestUnpricedIsRefused(t *testing.T) {
	ctx := context.Background()
	tests := map[string]func(*bedrockruntime.ConverseInput){
		"unknown model": func(in *bedrockruntime.ConverseInput) { in.ModelId = aws.String("acme.unheard-of-v1:0") },
		"opaque profile": func(in *bedrockruntime.ConverseInput) {
			in.ModelId = aws.String("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123")
		},
		"guardrail": func(in *bedrockruntime.ConverseInput) { in.GuardrailConfig = &types.GuardrailConfiguration{} },
		"system tool": func(in *bedrockruntime.ConverseInput) {
			in.ToolConfig = &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberSystemTool{Value: types.SystemTool{Name: aws.String("nova_grounding")}}}}
		},
		"latency optimized": func(in *bedrockruntime.ConverseInput) {
			in.PerformanceConfig = &types.PerformanceConfiguration{Latency: types.PerformanceConfigLatencyOptimized}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{})
			in := converseInput("hello")
			change(in)
			_, err := r.client.Converse(ctx, in)
			require.ErrorIs(t, err, bedrockguard.ErrUnpriced)
			var typed *bedrockguard.UnpricedError
			require.ErrorAs(t, err, &typed)
			assert.Equal(t, *in.ModelId, typed.ModelID)
			require.ErrorIs(t, converseStream(ctx, r.client, &bedrockruntime.ConverseStreamInput{
				ModelId: in.ModelId, Messages: in.Messages, ToolConfig: in.ToolConfig, PerformanceConfig: in.PerformanceConfig, GuardrailConfig: streamGuardrail(in),
			}), bedrockguard.ErrUnpriced)
			r.requireNothingSpent(t)
		})
	}
	t.Run("InvokeModel", func(t *testing.T) {
		r := newRig(t, settings{})
		require.ErrorIs(t, invoke(ctx, r.client, "acme.unheard-of-v1:0", anthropicBody("hello")), bedrockguard.ErrUnpriced)
		require.ErrorIs(t, invokeStream(ctx, r.client, "acme.unheard-of-v1:0", anthropicBody("hello")), bedrockguard.ErrUnpriced)
		_, err := r.client.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(sonnet), Body: []byte(anthropicBody("hello")), GuardrailIdentifier: aws.String("g"), GuardrailVersion: aws.String("1")})
		require.ErrorIs(t, err, bedrockguard.ErrUnpriced)
		r.requireNothingSpent(t)
	})
}

func streamGuardrail(in *bedrockruntime.ConverseInput) *types.GuardrailStreamConfiguration {
	if in.GuardrailConfig == nil {
		return nil
	}
	return &types.GuardrailStreamConfiguration{}
}

// TestMalformedIsRefused: what can't be bounded is neither sent nor reserved.
func TestMalformedIsRefused(t *testing.T) {
	ctx := context.Background()
	requireMalformed := func(t *testing.T, r *rig, err error) {
		t.Helper()
		require.ErrorIs(t, err, bedrockguard.ErrMalformedRequest)
		var typed *bedrockguard.MalformedError
		require.ErrorAs(t, err, &typed)
		assert.NotContains(t, err.Error(), "hello", "the prompt is no part of the error")
		r.requireNothingSpent(t)
	}
	converse := map[string]func(*bedrockruntime.ConverseInput){
		"zero maxTokens":     func(in *bedrockruntime.ConverseInput) { in.InferenceConfig = maxTokens(0) },
		"negative maxTokens": func(in *bedrockruntime.ConverseInput) { in.InferenceConfig = maxTokens(-1) },
		"empty model":        func(in *bedrockruntime.ConverseInput) { in.ModelId = aws.String("") },
		"additional negative": func(in *bedrockruntime.ConverseInput) {
			in.AdditionalModelRequestFields = document.NewLazyDocument(map[string]any{"max_tokens": -5})
		},
	}
	for name, change := range converse {
		t.Run("Converse/"+name, func(t *testing.T) {
			r := newRig(t, settings{})
			in := converseInput("hello")
			change(in)
			_, err := r.client.Converse(ctx, in)
			requireMalformed(t, r, err)
			requireMalformed(t, r, converseStream(ctx, r.client, &bedrockruntime.ConverseStreamInput{
				ModelId: in.ModelId, Messages: in.Messages, InferenceConfig: in.InferenceConfig, AdditionalModelRequestFields: in.AdditionalModelRequestFields,
			}))
		})
	}
	bodies := map[string]string{
		"not JSON":        `hello`,
		"cut":             `{"anthropic_version":"bedrock-2023-05-31","max_tokens":10,"messages":[{"role":"user","content":"hello`,
		"array":           `["hello"]`,
		"trailing":        anthropicBody("hello") + `{}`,
		"duplicate":       `{"max_tokens":10,"max_tokens":100000,"messages":[{"role":"user","content":"hello"}]}`,
		"float":           `{"max_tokens":10.5,"messages":[{"role":"user","content":"hello"}]}`,
		"string":          `{"max_tokens":"10","messages":[{"role":"user","content":"hello"}]}`,
		"negative":        `{"max_tokens":-10,"messages":[{"role":"user","content":"hello"}]}`,
		"beyond int64":    `{"max_tokens":99999999999999999999,"messages":[{"role":"user","content":"hello"}]}`,
		"empty":           ``,
		"escaped twin":    `{"max_tokens":10,"max\u005ftokens":100000,"messages":[{"role":"user","content":"hello"}]}`,
		"exponent tokens": `{"max_tokens":1.5e0,"messages":[{"role":"user","content":"hello"}]}`,
	}
	for name, body := range bodies {
		t.Run("InvokeModel/"+name, func(t *testing.T) {
			r := newRig(t, settings{})
			requireMalformed(t, r, invoke(ctx, r.client, sonnet, body))
			requireMalformed(t, r, invokeStream(ctx, r.client, sonnet, body))
		})
	}
}

func TestUnsupportedOperationsAreRefused(t *testing.T) {
	ctx := context.Background()
	calls := map[string]func(*bedrockruntime.Client) error{
		"ApplyGuardrail": func(c *bedrockruntime.Client) error {
			_, err := c.ApplyGuardrail(ctx, &bedrockruntime.ApplyGuardrailInput{
				GuardrailIdentifier: aws.String("g"), GuardrailVersion: aws.String("1"), Source: types.GuardrailContentSourceInput,
				Content: []types.GuardrailContentBlock{&types.GuardrailContentBlockMemberText{Value: types.GuardrailTextBlock{Text: aws.String("hello")}}},
			})
			return err
		},
		"StartAsyncInvoke": func(c *bedrockruntime.Client) error {
			_, err := c.StartAsyncInvoke(ctx, &bedrockruntime.StartAsyncInvokeInput{
				ModelId: aws.String("amazon.nova-reel-v1:0"), ModelInput: document.NewLazyDocument(map[string]any{}),
				OutputDataConfig: &types.AsyncInvokeOutputDataConfigMemberS3OutputDataConfig{Value: types.AsyncInvokeS3OutputDataConfig{S3Uri: aws.String("s3://b")}},
			})
			return err
		},
		"InvokeModelWithBidirectionalStream": func(c *bedrockruntime.Client) error {
			_, err := c.InvokeModelWithBidirectionalStream(ctx, &bedrockruntime.InvokeModelWithBidirectionalStreamInput{ModelId: aws.String("amazon.nova-sonic-v1:0")})
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{})
			err := call(r.client)
			require.ErrorIs(t, err, bedrockguard.ErrUnsupportedOperation)
			var typed *bedrockguard.UnsupportedOperationError
			require.ErrorAs(t, err, &typed)
			assert.Equal(t, name, typed.Operation)
			r.requireNothingSpent(t)
		})
	}
}

// TestFreeOperationsPass even when the budget is gone and the scope is killed: they cost nothing.
func TestFreeOperationsPass(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, settings{limits: []budget.Limit{{Name: "none", Max: budget.Calls(0), Window: budget.Daily}}})
	require.NoError(t, storetest.Done(r.ledger.KillAll(ctx, "all of it")))
	counted, err := r.client.CountTokens(ctx, &bedrockruntime.CountTokensInput{
		ModelId: aws.String(bareSonnet), Input: &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: []types.Message{userMessage("hello")}}},
	})
	require.NoError(t, err)
	assert.Positive(t, aws.ToInt32(counted.InputTokens))
	_, err = r.client.ListAsyncInvokes(ctx, &bedrockruntime.ListAsyncInvokesInput{})
	require.NoError(t, err)
	_, err = r.client.GetAsyncInvoke(ctx, &bedrockruntime.GetAsyncInvokeInput{InvocationArn: aws.String("arn:aws:bedrock:us-east-1:123456789012:async-invoke/abc")})
	var missing *types.ResourceNotFoundException
	_ = errors.As(err, &missing)
	require.Error(t, err, "the simulator knows no such invocation")
	assert.Equal(t, 3, r.server.Requests())
	assert.Empty(t, r.events.of(bedrockguard.EventDenied, bedrockguard.EventKilled, bedrockguard.EventReserved))
}
