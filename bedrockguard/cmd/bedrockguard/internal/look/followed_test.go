package look

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/statuspage"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

const (
	followedRate   = 200             // calls a second
	followedWindow = 2 * time.Second // how long a way of following is measured before it is another's turn
)

// BenchmarkFollowed makes 200 guarded calls a second on a SQLite file while nobody looks, while top follows, and while somebody has the page open,
// by turns of two seconds. It prints what the median call takes in each case, and what following adds to it.
func BenchmarkFollowed(b *testing.B) {
	ctx := b.Context()
	store, err := sqlitestore.Open(ctx, b.TempDir()+"/spend.db", sqlitestore.Options{Create: true})
	require.NoError(b, err)
	defer store.Close()
	policy := budget.Policy{Limits: []budget.Limit{
		{Name: "month", Max: budget.USD(1e6), Window: budget.Monthly},
		{Name: "flow", Max: budget.USD(1e5), Window: budget.Daily, Per: budget.PerWorkflow},
	}}
	ledger, err := budget.Open(ctx, store, policy)
	require.NoError(b, err)
	page, err := statuspage.New(statuspage.Options{Ledger: ledger})
	require.NoError(b, err)
	server := bedrocktest.New(b, bedrocktest.Options{})
	client := func(o bedrockguard.Options) *bedrockruntime.Client {
		guard, err := bedrockguard.New(ledger, o)
		require.NoError(b, err)
		b.Cleanup(func() { _ = guard.Close(context.Background()) })
		return guard.NewFromConfig(server.Config())
	}
	alone := client(bedrockguard.Options{})
	ways := []struct {
		name   string
		client *bedrockruntime.Client
		follow func(context.Context)
		took   []time.Duration
	}{
		{name: "alone", client: alone, follow: func(context.Context) {}},
		{name: "top", client: alone, follow: followByTop(b, ledger, store, policy)},
		{name: "page", client: client(bedrockguard.Options{Listeners: []func(context.Context, bedrockguard.Event){page.Listen}}), follow: func(ctx context.Context) { followByPage(ctx, page) }},
	}
	for b.Loop() {
		for i := range ways {
			w := &ways[i]
			following, stop := context.WithCancel(ctx)
			var viewer sync.WaitGroup
			viewer.Go(func() { w.follow(following) })
			w.took = append(w.took, load(ctx, b, w.client)...)
			stop()
			viewer.Wait()
		}
	}
	base := median(ways[0].took)
	b.ReportMetric(float64(base.Microseconds()), "alone-us")
	for _, w := range ways[1:] {
		b.ReportMetric(100*float64(median(w.took)-base)/float64(base), w.name+"-adds-%")
	}
}

// load makes calls at the rate for a window, each of its own accord, and returns what each took.
func load(ctx context.Context, b *testing.B, client *bedrockruntime.Client) []time.Duration {
	var mu sync.Mutex
	var took []time.Duration
	var calls sync.WaitGroup
	pace := time.NewTicker(time.Second / followedRate)
	defer pace.Stop()
	for range int(followedRate * followedWindow.Seconds()) {
		<-pace.C
		calls.Go(func() {
			began := time.Now()
			_, err := client.Converse(budget.WithScope(ctx, budget.Scope{Workflow: "nightly"}), &bedrockruntime.ConverseInput{
				ModelId:         aws.String("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
				Messages:        []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "go on"}}}},
				InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(100)},
			})
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
		})
	}
	calls.Wait()
	return took
}

// followByTop looks as top does: one question after another, as they are paced.
func followByTop(b *testing.B, ledger *budget.Ledger, store budget.Store, policy budget.Policy) func(context.Context) {
	s, err := newScreen(b.Context(), &commandline.Desk{Operator: &ledger.Operator, Store: store}, policy, false)
	require.NoError(b, err)
	return func(ctx context.Context) {
		for ctx.Err() == nil {
			if _, err := readLedger(ctx, s.watch, policy); err != nil && ctx.Err() == nil {
				b.Error(err)
			}
		}
	}
}

// followByPage asks for the page once a second, five times as often as its script.
func followByPage(ctx context.Context, page http.Handler) {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for ctx.Err() == nil {
		page.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/", nil))
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

func median(all []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}
