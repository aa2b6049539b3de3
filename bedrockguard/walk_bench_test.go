package bedrockguard

import (
	"bytes"
	"context"
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

// partsOf returns the parts of a Converse request, or nil for any other.
func partsOf(input any) *converseParts {
	p := new(converseParts)
	if !p.of(input) {
		return nil
	}
	return p
}

func askOfConverse(p *converseParts) (a ask, err error) {
	err = a.readConverse(p)
	return a, err
}

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

// chain returns a call of a conversation of so many turns through the guard's three middlewares, with three limits over
// memstore and no SDK around it. The body is as long as the SDK would make it.
func chain(b *testing.B, turns int) func() {
	b.Helper()
	ledger, err := budget.Open(b.Context(), memstore.New(func(o *memstore.Options) { o.Retention = time.Second }), budget.Policy{Limits: []budget.Limit{
		{Name: "principal-month", Max: budget.USD(1e9), Window: budget.Monthly, Per: budget.PerPrincipal},
		{Name: "sonnet-calls", Max: budget.Calls(1e12), Window: budget.Daily, Match: budget.Match{Model: "anthropic.claude-sonnet-*"}},
		{Name: "fresh-input", Max: budget.UncachedInputTokens(1e15), Window: budget.Rolling(time.Hour), Per: budget.PerWorkflow},
	}})
	require.NoError(b, err)
	guard, err := New(ledger, Options{})
	require.NoError(b, err)
	req, err := smithyhttp.NewStackRequest().(*smithyhttp.Request).SetStream(bytes.NewReader(make([]byte, 4100*turns)))
	require.NoError(b, err)
	answer := middleware.DeserializeOutput{
		RawResponse: &smithyhttp.Response{Response: &http.Response{StatusCode: 200}},
		Result:      &bedrockruntime.ConverseOutput{Usage: &types.TokenUsage{InputTokens: aws.Int32(1000), OutputTokens: aws.Int32(10), TotalTokens: aws.Int32(1010)}},
	}
	service := middleware.DeserializeHandlerFunc(func(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
		return answer, middleware.Metadata{}, nil
	})
	send := middleware.FinalizeHandlerFunc(func(ctx context.Context, in middleware.FinalizeInput) (middleware.FinalizeOutput, middleware.Metadata, error) {
		out, md, err := guard.steps.observe.HandleDeserialize(ctx, middleware.DeserializeInput{Request: in.Request}, service)
		return middleware.FinalizeOutput{Result: out.Result}, md, err
	})
	attempt := middleware.InitializeHandlerFunc(func(ctx context.Context, _ middleware.InitializeInput) (middleware.InitializeOutput, middleware.Metadata, error) {
		out, md, err := guard.steps.attempt.HandleFinalize(ctx, middleware.FinalizeInput{Request: req}, send)
		return middleware.InitializeOutput{Result: out.Result}, md, err
	})
	in := middleware.InitializeInput{Parameters: talk(turns)}
	ctx := budget.WithScope(b.Context(), budget.Scope{Principal: "ci", Workflow: "nightly-refactor"})
	return func() {
		if _, _, err := guard.steps.identify.HandleInitialize(ctx, in, attempt); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGuard_Turn is everything that the guard does in a call, on the tenth and on the hundredth turn of a conversation,
// in turns of a hundred calls each. Run it with -benchtime=2000x.
func BenchmarkGuard_Turn(b *testing.B) {
	const calls = 100
	var took [2][]time.Duration
	turns := [2]func(){chain(b, 10), chain(b, 100)}
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
