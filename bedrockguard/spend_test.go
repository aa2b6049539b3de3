package bedrockguard_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// TestWhoSpentOnWhatIsKnownFromTheLedger: by team, workflow and model, for this month and the last, to the nano-USD of the bill, with
// the reservations long forgotten, and although no limit is split by any of these.
func TestWhoSpentOnWhatIsKnownFromTheLedger(t *testing.T) {
	clock := storetest.NewClock(time.Date(2026, 10, 20, 12, 0, 0, 0, time.UTC))
	store := memstore.New(memstore.Options{Clock: clock.Now, Retention: time.Hour})
	r := newRig(t, settings{store: store})
	haiku := "us.anthropic.claude-haiku-4-5-20251001-v1:0"
	billed := make(map[string]int64)
	for month := range 2 {
		for _, call := range []struct{ team, workflow, model string }{
			{"core", "nightly", sonnet}, {"core", "nightly", sonnet}, {"core", "nightly", haiku}, {"core", "review", sonnet}, {"web", "nightly", haiku},
		} {
			before := r.server.Bill().NanoUSD
			ctx := budget.WithScope(t.Context(), budget.Scope{Workflow: call.workflow, Tags: map[string]string{"team": call.team}})
			in := &bedrockruntime.ConverseInput{ModelId: aws.String(call.model), Messages: []types.Message{userMessage("hello")}, InferenceConfig: maxTokens(100)}
			_, err := r.client.Converse(ctx, in)
			require.NoError(t, err)
			at := fmt.Sprint(clock.Now().Format("2006-01"), " ", call.team, " ", call.workflow, " ", call.model[len("us."):])
			billed[at] += r.server.Bill().NanoUSD - before
			clock.Advance(time.Minute)
		}
		if month == 0 {
			clock.Advance(15 * 24 * time.Hour)
		}
	}
	for range 500 {
		clock.Advance(time.Hour)
		_, err := store.Expire(t.Context(), 0)
		require.NoError(t, err)
	}
	entries, err := storetest.Collect(r.ledger.Entries(t.Context(), budget.Query{}))
	require.NoError(t, err)
	require.Empty(t, entries)
	told := make(map[string]int64)
	rows, err := storetest.Collect(r.ledger.Usage(t.Context(), budget.UsageQuery{By: budget.PerWorkflow | budget.PerModel, ByTags: []string{"team"}, Every: budget.ByMonth}))
	require.NoError(t, err)
	for _, row := range rows {
		told[fmt.Sprint(row.Day.Format("2006-01"), " ", row.Scope.Tags["team"], " ", row.Scope.Workflow, " ", row.Scope.Model)] = row.Charge[budget.UnitUSD]
	}
	require.Equal(t, billed, told)
	all, err := storetest.Collect(r.ledger.Usage(t.Context(), budget.UsageQuery{}))
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, r.server.Bill().NanoUSD, all[0].Charge[budget.UnitUSD])
	require.Equal(t, int64(10), all[0].Charge[budget.UnitCalls])
}

// TestKillByTheIDThatCallsName: a flag on the id of a profile holds for the calls of its model, however they name it.
func TestKillByTheIDThatCallsName(t *testing.T) {
	r := newRig(t, settings{limits: []budget.Limit{{Name: "model-day", Max: budget.USD(100), Window: budget.Daily, Per: budget.PerModel}}})
	ctx := context.Background()
	_, err := r.client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(sonnet), Messages: []types.Message{userMessage("hello")}, InferenceConfig: maxTokens(10)})
	require.NoError(t, err)
	for _, name := range []string{sonnet, "global." + bareSonnet, bareSonnet, "arn:aws:bedrock:us-east-1::foundation-model/" + bareSonnet} {
		accounts, err := r.guard.Kill(ctx, budget.Kill{Scope: budget.Scope{Model: name}, Reason: "stop"})
		require.NoError(t, err)
		require.Equal(t, 1, accounts, name)
		kills, err := r.ledger.Kills(ctx)
		require.NoError(t, err)
		require.Equal(t, bareSonnet, kills[0].Scope.Model)
		_, err = r.client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(sonnet), Messages: []types.Message{userMessage("hello")}, InferenceConfig: maxTokens(10)})
		require.ErrorIs(t, err, budget.ErrKilled)
		require.NoError(t, r.ledger.Revive(ctx, kills[0].Scope))
	}
	accounts, err := r.guard.Kill(ctx, budget.Kill{Scope: budget.Scope{Model: "anthropic.*"}, Patterns: true, Reason: "stop all of them"})
	require.NoError(t, err)
	require.Equal(t, 1, accounts)
	_, err = r.client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(sonnet), Messages: []types.Message{userMessage("hello")}, InferenceConfig: maxTokens(10)})
	require.ErrorIs(t, err, budget.ErrKilled)
	require.ErrorContains(t, err, "all of model=anthropic.*")
	accounts, err = r.guard.Kill(ctx, budget.Kill{Scope: budget.Scope{Workflow: "misspelled"}, Reason: "stop"})
	require.NoError(t, err)
	require.Zero(t, accounts)
}
