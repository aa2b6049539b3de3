package browser

import (
	"context"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/statuspage"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// spender is a workflow of a made-up team, with what it spends on a working day.
type spender struct {
	scope budget.Scope
	usd   float64
	reads int64 // input tokens from the cache, of each hundred
}

var spenders = []spender{
	{budget.Scope{Workflow: "nightly-refactor", Principal: "ci", Model: "anthropic.claude-opus-4-6-v1", Region: "us-east-1"}, 4.2, 88},
	{budget.Scope{Workflow: "code-review", Principal: "ci", Model: "anthropic.claude-sonnet-4-6", Region: "us-east-1"}, 2.1, 71},
	{budget.Scope{Workflow: "support-triage", Principal: "support", Model: "amazon.nova-lite-v1:0", Region: "us-east-1"}, 0.4, 12},
	{budget.Scope{Workflow: "release-notes", Principal: "ci", Model: "anthropic.claude-haiku-4-5-20251001-v1:0", Region: "us-east-1"}, 0.3, 0},
}

// spendAMonth books a month of calls that end now, most of them on working days.
func spendAMonth(t *testing.T) *budget.Ledger {
	t.Helper()
	var ago time.Duration // of the store's clock; nobody else asks it
	store := memstore.New(memstore.Options{Clock: func() time.Time { return time.Now().Add(-ago) }})
	ledger, err := budget.Open(t.Context(), store, budget.Policy{Limits: []budget.Limit{
		{Name: "team-month", Max: budget.USD(200), Window: budget.Monthly},
		{Name: "workflow-day", Max: budget.USD(6), Window: budget.Daily, Per: budget.PerWorkflow},
	}})
	require.NoError(t, err)
	draw := rand.New(rand.NewPCG(7, 7))
	for day := 30; day >= 0; day-- {
		ago = time.Duration(day) * 24 * time.Hour
		for _, s := range spenders {
			part := 0.6 + 0.5*draw.Float64()
			if weekday := time.Now().Add(-ago).Weekday(); weekday == time.Saturday || weekday == time.Sunday {
				part /= 4
			}
			tokens := int64(s.usd * part * 300_000)
			usage := price.Usage{InputTokens: tokens, CacheReadInputTokens: tokens * s.reads / 100, OutputTokens: tokens / 40}
			charge := driver.ChargeOf(usage, price.Amount(s.usd*part*1e9))
			receipt, err := ledger.Reserve(t.Context(), budget.Request{Scope: s.scope, Operation: "Converse", Worst: charge})
			require.NoError(t, err)
			_, err = ledger.Settle(t.Context(), receipt, charge, false)
			require.NoError(t, err)
		}
	}
	for _, s := range spenders[:2] {
		_, err := ledger.Reserve(t.Context(), budget.Request{Scope: s.scope, Operation: "ConverseStream", Worst: driver.ChargeOf(price.Usage{InputTokens: 9000, OutputTokens: 4000}, 250_000_000)})
		require.NoError(t, err)
	}
	_, err = ledger.Kill(budget.WithOperator(context.Background(), "ada"), spenders[2].scope, "answers itself in a loop")
	require.NoError(t, err)
	return ledger
}

// A page of a month with several workflows and models is as usable as an empty one. docs/page.png is its first screen: `make screenshots` draws
// it again.
func TestAMonthIsUsable(t *testing.T) {
	source := axe(t)
	page, err := statuspage.New(statuspage.Options{Ledger: spendAMonth(t), Secret: secret})
	require.NoError(t, err)
	server := httptest.NewServer(page)
	t.Cleanup(server.Close)
	v := look(t)
	v.login(t, server.URL, "ada")
	v.inspect(t, server.URL+"/", "month", source)
	call(t, v, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}}})
	v.do(t, chromedp.EmulateViewport(1600, 1130))
	v.open(t, server.URL+"/")
	require.NoError(t, os.WriteFile(filepath.Join(t.ArtifactDir(), "first-screen.png"), get(t, v, chromedp.CaptureScreenshot()), 0o600))
	v.requireQuiet(t, server.URL)
}
