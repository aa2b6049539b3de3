package bedrockguard

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// talk is a conversation of so many turns of 4,000 bytes.
func talk(turns int) *bedrockruntime.ConverseInput {
	in := &bedrockruntime.ConverseInput{ModelId: aws.String("anthropic.claude-sonnet-4-5-20250929-v1:0"), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(100)}}
	text := strings.Repeat("The build is green. ", 100)
	for range turns {
		in.Messages = append(in.Messages,
			types.Message{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}},
			types.Message{Role: types.ConversationRoleAssistant, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}})
	}
	in.Messages = append(in.Messages, types.Message{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "go on"}}})
	return in
}

// guardedCall returns a call of a conversation of so many turns through the guard's three middlewares, with three limits over
// memstore and no SDK around it. The body is as long as the SDK would make it.
func guardedCall(b *testing.B, turns int) func() {
	b.Helper()
	ledger, err := budget.Open(b.Context(), memstore.New(memstore.Options{Retention: time.Second}), budget.Policy{Limits: []budget.Limit{
		{Name: "principal-month", Max: budget.USD(1e9), Window: budget.Monthly, Per: budget.PerPrincipal},
		{Name: "sonnet-calls", Max: budget.Calls(1e12), Window: budget.Daily, Match: budget.Match{Model: "anthropic.claude-sonnet-*"}},
		{Name: "fresh-input", Max: budget.UncachedInputTokens(1e15), Window: budget.Rolling(time.Hour), Per: budget.PerWorkflow},
	}})
	require.NoError(b, err)
	guard, err := New(ledger, Options{})
	require.NoError(b, err)
	body := make([]byte, 4100*turns)
	usage := `{"usage":{"inputTokens":1000,"outputTokens":10,"totalTokens":1010}}`
	service := middleware.HandlerFunc(func(context.Context, any) (any, middleware.Metadata, error) {
		return &smithyhttp.Response{Response: &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(usage))}}, middleware.Metadata{}, nil
	})
	stack := middleware.NewStack("Converse", smithyhttp.NewStackRequest)
	require.NoError(b, stack.Serialize.Add(middleware.SerializeMiddlewareFunc("OperationSerializer", func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
		req, err := in.Request.(*smithyhttp.Request).SetStream(bytes.NewReader(body))
		in.Request = req
		if err != nil {
			return middleware.SerializeOutput{}, middleware.Metadata{}, err
		}
		return next.HandleSerialize(ctx, in)
	}), middleware.After))
	require.NoError(b, guard.sdk.Attach(stack))
	handler := middleware.DecorateHandler(service, stack)
	input := talk(turns)
	ctx := budget.WithScope(context.Background(), budget.Scope{Principal: "ci", Workflow: "nightly-refactor"})
	return func() {
		if _, _, err := handler.Handle(ctx, input); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGuard_Turn is everything that the guard does in a call, on the tenth and on the hundredth turn of a conversation,
// in turns of a hundred calls each. Run it with -benchtime=2000x.
func BenchmarkGuard_Turn(b *testing.B) {
	const calls = 100
	var took [2][]time.Duration
	turns := [2]func(){guardedCall(b, 10), guardedCall(b, 100)}
	for i := 0; b.Loop(); i++ {
		for k := range turns {
			k = (k + i) % 2
			start := time.Now()
			for range calls {
				turns[k]()
			}
			took[k] = append(took[k], time.Since(start)/calls)
		}
	}
	for k := range took {
		slices.Sort(took[k])
	}
	tenth, hundredth := took[0][len(took[0])/2], took[1][len(took[1])/2]
	b.ReportMetric(float64(tenth), "turn10-ns")
	b.ReportMetric(float64(hundredth), "turn100-ns")
	b.ReportMetric(float64(hundredth)/float64(tenth), "turn100/turn10")
}
