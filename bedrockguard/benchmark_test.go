package bedrockguard_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// guardForBenchmark has the three limits of the package's sample: money per principal, calls to one family, and tokens
// per workflow in a rolling window.
func guardForBenchmark(b *testing.B) *bedrockguard.Guard {
	b.Helper()
	ledger, err := budget.Open(context.Background(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "principal-month", Max: budget.USD(1e9), Window: budget.Monthly, Per: budget.PerPrincipal},
		{Name: "sonnet-calls", Max: budget.Calls(1e12), Window: budget.Daily, Match: budget.Match{Model: "anthropic.claude-sonnet-*"}},
		{Name: "fresh-input", Max: budget.UncachedInputTokens(1e15), Window: budget.Rolling(time.Hour), Per: budget.PerWorkflow},
	}})
	require.NoError(b, err)
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	require.NoError(b, err)
	return guard
}

// clients returns a bare and a guarded client of one service.
func clients(b *testing.B, cfg aws.Config) (bare, guarded *bedrockruntime.Client) {
	b.Helper()
	return bedrockruntime.NewFromConfig(cfg), guardForBenchmark(b).NewFromConfig(cfg)
}

func loopback(b *testing.B) aws.Config {
	b.Helper()
	return bedrocktest.New(b, bedrocktest.Options{FirstByteDelay: -1}).Config()
}

// conversation has so many turns of which each adds about so many bytes.
func conversation(turns, bytesPerTurn int) []types.Message {
	text := strings.Repeat("The build is green, so the next step is to move the parser. ", bytesPerTurn/2/60+1)[:max(bytesPerTurn/2, 1)]
	messages := make([]types.Message, 0, 2*turns+1)
	for i := range turns {
		messages = append(messages, userMessage(fmt.Sprintf("%d %s", i, text)), assistantMessage(text))
	}
	return messages
}

// call sends the conversation with a last message that is new every time.
func call(ctx context.Context, b *testing.B, client *bedrockruntime.Client, history []types.Message, i int) time.Duration {
	b.Helper()
	ctx = budget.WithScope(ctx, budget.Scope{Principal: "ci", Workflow: "nightly-refactor"})
	messages := append(history[:len(history):len(history)], userMessage(fmt.Sprintf("new question %d", i)))
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(sonnet), Messages: messages, InferenceConfig: maxTokens(100)}
	start := time.Now()
	_, err := client.Converse(ctx, in)
	took := time.Since(start)
	if err != nil {
		b.Fatal(err)
	}
	return took
}

func benchmarkCalls(b *testing.B, client *bedrockruntime.Client, history []types.Message) {
	b.Helper()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		call(context.Background(), b, client, history, i)
	}
}

func BenchmarkConverse_Bare1KB(b *testing.B) {
	bare, _ := clients(b, loopback(b))
	benchmarkCalls(b, bare, conversation(1, 900))
}

func BenchmarkConverse_Guarded1KB(b *testing.B) {
	_, guarded := clients(b, loopback(b))
	benchmarkCalls(b, guarded, conversation(1, 900))
}

func BenchmarkConverse_Bare800KB(b *testing.B) {
	bare, _ := clients(b, loopback(b))
	benchmarkCalls(b, bare, conversation(200, 4000))
}

func BenchmarkConverse_Guarded800KB(b *testing.B) {
	_, guarded := clients(b, loopback(b))
	benchmarkCalls(b, guarded, conversation(200, 4000))
}

// BenchmarkConverse_Overhead alternates between a bare and a guarded client, so that the noise of the machine falls on
// both. overhead-% is the median difference of a pair against the median bare call, and medians-% the difference of the two
// medians, which says the same and varies more, by about 0.1 ms / sqrt(pairs): run the 1 KB case with -benchtime=20000x.
func BenchmarkConverse_Overhead(b *testing.B) {
	forever := context.Background()
	mayLeave, leave := context.WithCancel(forever)
	defer leave()
	tests := []struct {
		name    string
		ctx     context.Context
		history []types.Message
	}{
		{"1KB", forever, conversation(1, 900)},
		{"1KBMayLeave", mayLeave, conversation(1, 900)}, // with a goroutine that reads the answer on if need be
		{"800KB", forever, conversation(200, 4000)},
		{"800KBMayLeave", mayLeave, conversation(200, 4000)},
	}
	for _, tt := range tests {
		b.Run(tt.name, func(b *testing.B) {
			bare, guarded := clients(b, loopback(b))
			var without, with, extra []time.Duration
			for i := 0; b.Loop(); i++ {
				first, second := bare, guarded
				if i%2 == 1 {
					first, second = guarded, bare
				}
				x, y := call(tt.ctx, b, first, tt.history, i), call(tt.ctx, b, second, tt.history, i)
				if i%2 == 1 {
					x, y = y, x
				}
				without, with, extra = append(without, x), append(with, y), append(extra, y-x)
			}
			base, added := float64(median(without)), float64(median(extra))
			b.ReportMetric(100*added/base, "overhead-%")
			b.ReportMetric(100*(float64(median(with))-base)/base, "medians-%")
			b.ReportMetric(added, "guard-ns")
			b.ReportMetric(base, "bare-ns")
		})
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
