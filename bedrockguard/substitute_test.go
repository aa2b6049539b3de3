package bedrockguard_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

const (
	dear  = "us.anthropic.claude-opus-4-6-v1"
	cheap = "us.anthropic.claude-haiku-4-5-20251001-v1:0"

	dearModel  = "anthropic.claude-opus-4-6-v1"
	cheapModel = "anthropic.claude-haiku-4-5-20251001-v1:0"
)

// cheaperFrom substitutes once the fullest limit is so full.
func cheaperFrom(used float64, model string) func(context.Context, bedrockguard.Pressure) (string, bool) {
	return func(_ context.Context, p bedrockguard.Pressure) (string, bool) { return model, p.Used() >= used }
}

// An agent that runs out of budget goes on with a cheaper model, priced and limited as that, and its own request stays as it is.
func TestASubstituteAnswersWhatIsLeft(t *testing.T) {
	var asked []bedrockguard.Pressure
	r := newRig(t, settings{
		limits: []budget.Limit{
			{Name: "small", Max: budget.USD(0.02), Window: budget.Daily},
			{Name: "dear", Max: budget.Calls(100), Window: budget.Daily, Match: budget.Match{Model: "*opus*"}},
			{Name: "cheap", Max: budget.Calls(100), Window: budget.Daily, Match: budget.Match{Model: "*haiku*"}},
		},
		guard: bedrockguard.Options{Substitute: func(ctx context.Context, p bedrockguard.Pressure) (string, bool) {
			asked = append(asked, p)
			return cheaperFrom(0.2, cheap)(ctx, p)
		}},
	})
	in := converseInput("hello")
	in.ModelId = aws.String(dear)
	models := make(map[string]int)
	for range 6 {
		if _, err := r.client.Converse(t.Context(), in); err != nil {
			require.ErrorIs(t, err, budget.ErrExceeded)
		}
		stream, err := r.client.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages, InferenceConfig: in.InferenceConfig})
		if err == nil {
			for range stream.GetStream().Events() {
			}
			require.NoError(t, stream.GetStream().Close())
		}
		require.Equal(t, dear, *in.ModelId, "the caller's own request stays as it is")
	}
	for _, inference := range r.server.Inferences() {
		models[inference.ModelID]++
	}
	require.Positive(t, models[dearModel], models)
	require.Positive(t, models[cheapModel], models)
	balances, err := r.ledger.Balances(t.Context(), budget.Scope{})
	require.NoError(t, err)
	require.Equal(t, int64(models[dearModel]), balances[2].Settled.N)
	require.Equal(t, int64(models[cheapModel]), balances[3].Settled.N)
	require.Equal(t, r.server.Bill().NanoUSD, balances[0].Settled.N)
	told := r.events.of(bedrockguard.EventSubstituted)
	require.Len(t, told, models[cheapModel])
	require.Equal(t, []string{dear, cheap}, []string{told[0].Asked, told[0].Answered})
	require.NoError(t, told[0].Err)
	require.Len(t, asked, 12)
	require.Equal(t, dear, asked[0].ModelID)
	require.Equal(t, dearModel, asked[0].Scope.Model)
	require.Equal(t, []string{total, "small", "dear"}, []string{asked[0].Balances[0].Limit, asked[0].Balances[1].Limit, asked[0].Balances[2].Limit})
}

// Nobody is moved to a model that can cost more, or that is not known.
func TestNoSubstituteIsDearer(t *testing.T) {
	for name, tc := range map[string]struct{ asked, instead, why string }{
		"dearer":       {cheap, dear, "dearer in input"},
		"unknown":      {cheap, "nobody.knows-v1:0", "nobody.knows-v1:0"},
		"an empty one": {cheap, "", ""},
		"geography":    {"global.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "dearer in input"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{guard: bedrockguard.Options{Substitute: cheaperFrom(0, tc.instead)}})
			in := converseInput("hello")
			in.ModelId = aws.String(tc.asked)
			_, err := r.client.Converse(t.Context(), in)
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(tc.asked, r.server.Inferences()[0].ModelID))
			told := r.events.of(bedrockguard.EventSubstituted)
			require.Len(t, told, 1)
			require.ErrorContains(t, told[0].Err, tc.why)
			require.Equal(t, told[0].Asked, told[0].Answered)
		})
	}
}

// Bodies in a model's own dialect, and managed prompts, are nobody else's to answer.
func TestOnlyConverseIsSubstituted(t *testing.T) {
	r := newRig(t, settings{guard: bedrockguard.Options{Substitute: func(context.Context, bedrockguard.Pressure) (string, bool) {
		t.Error("asked")
		return cheap, true
	}}})
	require.NoError(t, invoke(t.Context(), r.client, dear, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":70,"messages":[{"role":"user","content":"hello"}]}`))
}

// A store that is away refuses the call by itself, and not by the question before it.
func TestSubstitutesNeedAStore(t *testing.T) {
	away := errors.New("connection refused")
	r := newRig(t, settings{store: &failingStore{Store: memstore.New(memstore.Options{}), balances: away, reserve: away}, guard: bedrockguard.Options{Substitute: cheaperFrom(0, cheap)}})
	_, err := r.client.Converse(t.Context(), converseInput("hello"))
	require.ErrorIs(t, err, budget.ErrStore)
	require.Empty(t, r.events.of(bedrockguard.EventSubstituted))
}
