package bedrockguard_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// fanOut sends the same long prefix from several goroutines at once and returns how many tokens were written in all.
func fanOut(t *testing.T, policy cache.Policy, n int) (written int64, r *rig) {
	t.Helper()
	clock := newFastClock()
	r = newRig(t, settings{
		server: bedrocktest.Options{Clock: clock.Now, FirstByteDelay: 100 * time.Millisecond},
		guard:  bedrockguard.Options{Cache: policy, Clock: clock.Now},
	})
	a := onlySystemMarked(newScript(r.client, clock))
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			if err := a.fork().say(inWorkflow("fan-out"), textBlock(fmt.Sprintf("part %d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	return r.server.Bill().CacheWrite.Tokens, r
}

func TestAColdFanOutIsReportedOrHeld(t *testing.T) {
	once, _ := fanOut(t, cache.Policy{Mode: cache.Report}, 1)
	require.Positive(t, once)
	unheld, r := fanOut(t, cache.Policy{Mode: cache.Report}, 4)
	require.Equal(t, 4*once, unheld, "each one writes the prefix")
	require.Contains(t, r.foundRules(), cache.Rule("cold-fan-out"))
	held, r := fanOut(t, cache.Policy{Mode: cache.Report, HoldFanOut: time.Minute}, 4)
	require.Equal(t, once, held, "one writes it, and the others read it")
	require.NotContains(t, r.foundRules(), cache.Rule("cold-fan-out"))
}

func TestAHeldCallEndsWithItsContext(t *testing.T) {
	clock := newFastClock()
	r := newRig(t, settings{
		server: bedrocktest.Options{Clock: clock.Now, Faults: bedrocktest.Script(bedrocktest.Stall), StallLimit: time.Minute},
		guard:  bedrockguard.Options{Cache: cache.Policy{Mode: cache.Report, HoldFanOut: time.Minute}, Clock: clock.Now},
	})
	a := onlySystemMarked(newScript(r.client, clock))
	ctx, cancel := context.WithCancel(inWorkflow("held"))
	var first sync.WaitGroup
	first.Go(func() { _ = a.fork().say(ctx, textBlock("one")) })
	require.Eventually(t, func() bool { return r.server.Requests() == 1 }, 10*time.Second, time.Millisecond)
	second, end := context.WithCancel(inWorkflow("held"))
	end()
	require.ErrorIs(t, a.fork().say(second, textBlock("two")), context.Canceled)
	require.Equal(t, 1, r.server.Requests())
	cancel()
	first.Wait()
}

// A model that refuses cache points though the catalog says that it takes them is asked once: from then on Fix takes them
// away.
func TestARefusalOfCachePointsIsRemembered(t *testing.T) {
	models, err := bedrockguard.ReadModels(strings.NewReader(`{"date":"2026-11-23","models":[{"id":"` + gptOSS + `","provider":"openai","mode":"chat","usd_per_mtok":{"input":"0.15","output":"0.6","cache_read":"0.1","cache_write_5m":"0.2"},"max_output_tokens":1000,"cache":{"explicit":true,"max_points":4,"min_tokens":100}}]}`))
	require.NoError(t, err)
	r := newRig(t, settings{guard: bedrockguard.Options{Models: models, Cache: cache.Policy{Mode: cache.Fix}}})
	in := &bedrockruntime.ConverseInput{
		ModelId: aws.String(gptOSS), InferenceConfig: maxTokens(100),
		Messages: []types.Message{userSays(textBlock(passage(1, 9000)), &types.ContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}})},
	}
	_, err = r.client.Converse(inWorkflow("w"), in)
	require.ErrorContains(t, err, "did not allow prompt caching")
	require.Len(t, r.events.of(bedrockguard.EventVoided), 1, "nothing is charged for it")
	_, err = r.client.Converse(inWorkflow("w"), in)
	require.NoError(t, err)
	require.Len(t, in.Messages[0].Content, 2, "the caller's values are the caller's")
}

func TestRulesAndWorkflowsHaveModesOfTheirOwn(t *testing.T) {
	tests := map[string]struct {
		policy  cache.Policy
		refused bool
		events  bool
	}{
		"off":                      {cache.Policy{}, false, false},
		"report":                   {cache.Policy{Mode: cache.Report}, false, true},
		"refuse":                   {cache.Policy{Mode: cache.Refuse}, true, true},
		"refuse, the rule off":     {cache.Policy{Mode: cache.Refuse, Rules: map[cache.Rule]cache.Mode{"uncached-tail": cache.Off}}, false, false},
		"off, the rule refuses":    {cache.Policy{Rules: map[cache.Rule]cache.Mode{"uncached-tail": cache.Refuse}}, true, true},
		"off, the rule fixes":      {cache.Policy{Rules: map[cache.Rule]cache.Mode{"uncached-tail": cache.Fix}}, false, false},
		"refuse, the workflow off": {cache.Policy{Mode: cache.Refuse, Workflows: map[string]cache.Mode{"nightly-*": cache.Off}}, false, false},
		"off, the workflow":        {cache.Policy{Workflows: map[string]cache.Mode{"nightly-*": cache.Off, "nightly-refactor": cache.Refuse}}, true, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			clock := newFastClock()
			r := cacheRig(t, tt.policy, clock)
			err := onlySystemMarked(newScript(r.client, clock)).say(inWorkflow("nightly-refactor"), textBlock(passage(1, 30_000)))
			require.Equal(t, tt.refused, errors.Is(err, cache.ErrRefused), "%v", err)
			require.Equal(t, tt.events, len(r.findings()) > 0)
			if tt.refused {
				require.Len(t, r.events.of(bedrockguard.EventDenied), 1)
			}
		})
	}
}

// A refusal, its events and its rendering hold places and numbers, and never the prompt.
func TestFindingsHoldNoPromptText(t *testing.T) {
	clock := newFastClock()
	r := cacheRig(t, cache.Policy{Mode: cache.Report}, clock)
	a := onlySystemMarked(newScript(r.client, clock))
	marked := canary + " Current time: 2026-04-06T08:00:00Z " + canary
	for turn := range 6 {
		a.system[0] = textBlockOfSystem(fmt.Sprintf("%s %d %s", marked, turn, passage(turn%2, 40_000)))
		a.tools.Tools[0].(*types.ToolMemberToolSpec).Value.Description = aws.String(fmt.Sprint(canary, turn))
		extra := document.NewLazyDocument(map[string]any{"thinking": canary, "metadata": canary})
		_, err := r.client.Converse(inWorkflow(canary), &bedrockruntime.ConverseInput{
			ModelId: aws.String(opus46), System: a.system, ToolConfig: a.tools, InferenceConfig: maxTokens(100), AdditionalModelRequestFields: extra,
			Messages: []types.Message{userSays(textBlock(passage(1, 30_000) + canary))},
		})
		require.NoError(t, err)
	}
	require.NotEmpty(t, r.findings())
	for _, f := range r.findings() {
		require.NotContains(t, fmt.Sprintf("%+v %s %s", f, f, f.Render(80)), canary)
	}
	require.NotContains(t, (&cache.RefusedError{Findings: r.findings()}).Error(), canary)
}

func textBlockOfSystem(s string) types.SystemContentBlock {
	return &types.SystemContentBlockMemberText{Value: s}
}

// An attempt whose answer was lost is billed, and so is the next one: the finding says how often.
func TestRetriesThatWereBilledAreFound(t *testing.T) {
	clock := newFastClock()
	r := newRig(t, settings{
		server: bedrocktest.Options{Clock: clock.Now, Faults: bedrocktest.Script(bedrocktest.Internal, bedrocktest.Internal, "")},
		guard:  bedrockguard.Options{Cache: cache.Policy{Mode: cache.Report}, Clock: clock.Now},
	})
	require.NoError(t, newScript(r.client, clock).say(inWorkflow("retried"), textBlock("go")))
	found := r.findings()
	require.Contains(t, r.foundRules(), cache.Rule("billed-retries"))
	require.Contains(t, fmt.Sprint(found), "2 attempts before the one that was answered were billed")
}

// The usage of a stream is judged like that of a unary call, and a stream without one is said to have lost it.
func TestStreamsAreJudged(t *testing.T) {
	clock := newFastClock()
	r := newRig(t, settings{
		server: bedrocktest.Options{Clock: clock.Now, Faults: bedrocktest.Script("", "", bedrocktest.MissingUsage)},
		guard:  bedrockguard.Options{Cache: cache.Policy{Mode: cache.Report}, Clock: clock.Now},
	})
	a := onlySystemMarked(newScript(r.client, clock))
	for range 3 {
		err := converseStream(inWorkflow("streams"), r.client, &bedrockruntime.ConverseStreamInput{
			ModelId: aws.String(opus46), System: a.system, Messages: []types.Message{userSays(textBlock("hello"))}, InferenceConfig: maxTokens(100),
		})
		require.NoError(t, err)
	}
	require.Equal(t, []cache.Rule{"usage-missing"}, r.foundRules())
	require.Positive(t, r.server.Bill().CacheRead.Tokens)
}

// A call that the budget refuses was never sent: the tracker must not take it for what the next one goes on from.
func TestACallThatTheBudgetRefusesLeavesNoTrace(t *testing.T) {
	clock := newFastClock()
	r := newRig(t, settings{
		server: bedrocktest.Options{Clock: clock.Now}, limits: []budget.Limit{{Name: "calls", Max: budget.Calls(0), Window: budget.Daily}},
		guard: bedrockguard.Options{Cache: cache.Policy{Mode: cache.Report}, Clock: clock.Now},
	})
	a := onlySystemMarked(newScript(r.client, clock))
	for i := range 6 {
		a.system[0] = textBlockOfSystem(passage(i, 40_000))
		require.ErrorIs(t, a.fork().say(inWorkflow("w"), textBlock("hello")), bedrockguard.ErrBudgetExceeded)
	}
	require.Empty(t, r.findings())
}
