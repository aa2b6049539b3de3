package otelguard_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// canary is a text that must be told to nobody.
const canary = "the-canary-sings-at-dawn"

// spans runs calls in a span each, and returns the attributes of those spans.
func spans(t *testing.T, calls ...func(context.Context)) (all []map[string]attribute.Value) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	for _, call := range calls {
		ctx, span := provider.Tracer("test").Start(budget.WithScope(t.Context(), scope), "chat")
		call(ctx)
		span.End()
	}
	for _, span := range recorder.Ended() {
		require.NotContains(t, fmt.Sprint(span), canary)
		attrs := make(map[string]attribute.Value)
		for _, a := range span.Attributes() {
			attrs[string(a.Key)] = a.Value
		}
		all = append(all, attrs)
	}
	require.NoError(t, provider.Shutdown(context.Background()))
	return all
}

// The money that is told is the bill's, tokens read from the cache are a part of the input, and no text of a prompt or an answer is told.
func TestAGuardedAgentIsTold(t *testing.T) {
	a := newAgent(t, bedrocktest.Options{Reply: func(bedrocktest.Request) bedrocktest.Reply { return bedrocktest.Answer(bedrocktest.Says(canary)) }},
		budget.Limit{Name: "few", Max: budget.Calls(2), Window: budget.Daily, Per: budget.PerWorkflow, Notify: []float64{0.5}})
	call := func(ctx context.Context) {
		require.NoError(t, a.converse(ctx, text(strings.Repeat("context ", 8000)+canary), cachePoint(), text(canary)))
	}
	refused := func(ctx context.Context) {
		require.ErrorIs(t, a.converse(ctx, text(canary)), bedrockguard.ErrBudgetExceeded)
	}
	told := spans(t, call, call, refused)
	require.NoError(t, a.guard.Close(t.Context()))

	first, second, third := told[0], told[1], told[2]
	require.Equal(t, "chat", first["gen_ai.operation.name"].AsString())
	require.Equal(t, "aws.bedrock", first["gen_ai.provider.name"].AsString())
	require.Equal(t, "nightly", first["gen_ai.workflow.name"].AsString())
	require.Positive(t, first["gen_ai.usage.cache_write.input_tokens"].AsInt64())
	read := second["gen_ai.usage.cache_read.input_tokens"].AsInt64()
	require.Positive(t, read)
	require.Greater(t, second["gen_ai.usage.input_tokens"].AsInt64(), read, "what was read is a part of the input")
	require.InDelta(t, a.server.Bill().USD(), first["bedrockguard.actual"].AsFloat64()+second["bedrockguard.actual"].AsFloat64(), 1e-12)
	require.Greater(t, first["bedrockguard.worst"].AsFloat64(), first["bedrockguard.actual"].AsFloat64())
	require.Equal(t, "limit", third["bedrockguard.reason"].AsString())
	require.Equal(t, "few", third["bedrockguard.limit"].AsString())
	require.NotContains(t, third, "gen_ai.usage.input_tokens")

	metrics := a.collect(t)
	require.InDelta(t, a.server.Bill().USD(), total(metrics["bedrockguard.spend"], "bedrockguard.workflow", "nightly"), 1e-12)
	require.InDelta(t, a.server.Bill().USD(), total(metrics["bedrockguard.spend"], "bedrockguard.tag.team", "search"), 1e-12)
	require.InDelta(t, read, total(metrics["bedrockguard.tokens"], "bedrockguard.token.class", "cache_read"), 0)
	require.InDelta(t, 1, total(metrics["bedrockguard.refusals"], "bedrockguard.limit", "few"), 0)
	require.InDelta(t, 1, total(metrics["bedrockguard.thresholds"], "bedrockguard.limit", "few"), 0)
	require.NotContains(t, fmt.Sprint(metrics), canary)
}

// A call without a span is guarded as any other.
func TestAnnotateNeedsNoSpan(t *testing.T) {
	a := newAgent(t, bedrocktest.Options{}, month)
	require.NoError(t, a.converse(t.Context(), text("hello")))
	require.NoError(t, a.guard.Close(t.Context()))
}

// Answers that are read on after their callers have left cost money, so that somebody may want to know how many there are.
func TestDrainsAreToldWhileTheyRun(t *testing.T) {
	a := newAgent(t, bedrocktest.Options{EventDelay: 200 * time.Millisecond}, month)
	drains := func() float64 { return total(a.collect(t)["bedrockguard.drains"], "", "") }
	require.InDelta(t, 0, drains(), 0)
	out, err := a.client.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{
		ModelId: aws.String(model), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(500)},
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{text("hello")}}},
	})
	require.NoError(t, err)
	require.NoError(t, out.GetStream().Close())
	require.InDelta(t, 1, drains(), 0)
	require.NoError(t, a.guard.Close(t.Context()))
	require.InDelta(t, 0, drains(), 0)
}
