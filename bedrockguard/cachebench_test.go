package bedrockguard_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// marked is a request with these messages, with the points that Place would set: behind the system prompt and behind the last
// two user turns.
func marked(messages []types.Message) *bedrockruntime.ConverseInput {
	point := &types.ContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}}
	messages = slices.Clone(messages)
	for _, at := range []int{len(messages) - 3, len(messages) - 1} {
		content := messages[at].Content
		messages[at].Content = append(content[:len(content):len(content)], point)
	}
	return &bedrockruntime.ConverseInput{
		ModelId: aws.String(sonnet), InferenceConfig: maxTokens(100), Messages: messages,
		System: []types.SystemContentBlock{
			&types.SystemContentBlockMemberText{Value: benchSystem},
			&types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}},
		},
	}
}

// inMemory answers without a network, so that what is left is the client's own work. The answers say that 200,000 tokens were
// read from the cache.
func inMemory() aws.Config {
	const answer = `{"output":{"message":{"role":"assistant","content":[{"text":"ok"}]}},"stopReason":"end_turn","usage":{"inputTokens":10,"outputTokens":2,"cacheReadInputTokens":200000,"totalTokens":200012},"metrics":{"latencyMs":1}}`
	cfg := aws.Config{Region: "us-east-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDSIMULATED", SecretAccessKey: "simulated"}, nil
	})}
	withTransport(func(req *http.Request) (*http.Response, error) {
		header := http.Header{"Content-Type": {"application/json"}}
		return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(strings.NewReader(answer)), Request: req}, nil
	})(&cfg)
	return cfg
}

var benchSystem = passage(3, 20_000)

// BenchmarkCache_Turn100 compares, call by call, the bare SDK client with a guard whose cache check is off and one whose
// check reports, on the hundredth turn of an 800 KB conversation that reads its cache: each time in a workflow of its own, whose
// turn before was sent just now. The two guards have no network, so that their difference is the check's own work; cache-% is
// the median difference of a pair against the bare client's call over loopback.
func BenchmarkCache_Turn100(b *testing.B) {
	guarded := func(mode cache.Mode) *bedrockruntime.Client {
		ledger, err := budget.Open(context.Background(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "l", Max: budget.USD(1e9), Window: budget.Monthly}}})
		require.NoError(b, err)
		guard, err := bedrockguard.New(ledger, bedrockguard.Options{Cache: cache.Policy{Mode: mode}})
		require.NoError(b, err)
		return guard.NewFromConfig(inMemory())
	}
	bare, off, report := bedrockruntime.NewFromConfig(loopback(b)), guarded(cache.Off), guarded(cache.Report)
	history := conversation(99, 8000)
	call := func(client *bedrockruntime.Client, i int, messages []types.Message) time.Duration {
		ctx, in := inWorkflow(strconv.Itoa(i)), marked(messages)
		start := time.Now()
		_, err := client.Converse(ctx, in)
		took := time.Since(start)
		if err != nil {
			b.Fatal(err)
		}
		return took
	}
	var base, pairs []time.Duration
	for i := 0; b.Loop(); i++ {
		before := history[:len(history)-1]
		turn := append(slices.Clone(history), userMessage(fmt.Sprint("new question ", i)))
		base = append(base, call(bare, i, turn))
		first, second := off, report
		if i%2 == 1 {
			first, second = report, off
		}
		call(first, i, before)
		x := call(first, i, turn)
		call(second, i, before)
		y := call(second, i, turn)
		if i%2 == 1 {
			x, y = y, x
		}
		pairs = append(pairs, y-x)
	}
	extra := median(pairs)
	b.ReportMetric(100*float64(extra)/float64(median(base)), "cache-%")
	b.ReportMetric(float64(extra), "cache-ns")
	b.ReportMetric(float64(median(base)), "bare-ns")
}
