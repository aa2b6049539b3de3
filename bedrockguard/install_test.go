package bedrockguard_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// Each front door leads to the same guard.
func TestFrontDoors(t *testing.T) {
	r := newRig(t, settings{})
	installed := r.config.Copy()
	r.guard.InstallConfig(&installed)
	for name, client := range map[string]*bedrockruntime.Client{
		"NewFromConfig": r.guard.NewFromConfig(r.config),
		"Wrap":          r.guard.Wrap(bedrockruntime.NewFromConfig(r.config)),
		"InstallConfig": bedrockruntime.NewFromConfig(installed),
		"Install":       bedrockruntime.NewFromConfig(r.config, r.guard.Install),
	} {
		before := len(r.events.of(bedrockguard.EventSettled))
		_, err := client.Converse(t.Context(), converseInput("hello"))
		require.NoError(t, err, name)
		require.Len(t, r.events.of(bedrockguard.EventSettled), before+1, name)
	}
	require.Empty(t, r.config.APIOptions, "InstallConfig changes the copy that it was given alone")
	r.requireExact(t)
}

// Wrap leaves the client that it was given as it was.
func TestWrapLeavesTheOriginal(t *testing.T) {
	r := newRig(t, settings{})
	original := bedrockruntime.NewFromConfig(r.config)
	r.guard.Wrap(original)
	_, err := original.Converse(t.Context(), converseInput("hello"))
	require.NoError(t, err)
	require.Empty(t, r.events.of(bedrockguard.EventReserved))
}

func TestInstalledTwiceIsAnError(t *testing.T) {
	r := newRig(t, settings{})
	_, err := r.guard.Wrap(r.client).Converse(t.Context(), converseInput("hello"))
	require.ErrorIs(t, err, bedrockguard.ErrInstalled)
	require.Zero(t, r.server.Requests())
}

// A config is shared by the clients of many services: a call of another service passes untouched.
func TestOtherServicesPassUntouched(t *testing.T) {
	r := newRig(t, settings{limits: []budget.Limit{{Name: "none", Max: budget.Calls(0), Window: budget.Daily}}})
	cfg := r.config.Copy()
	r.guard.InstallConfig(&cfg)
	stack := middleware.NewStack("GetCallerIdentity", smithyhttp.NewStackRequest)
	require.NoError(t, cfg.APIOptions[0](stack))
	reached := false
	handler := middleware.DecorateHandler(middleware.HandlerFunc(func(context.Context, any) (any, middleware.Metadata, error) {
		reached = true
		return &smithyhttp.Response{}, middleware.Metadata{}, nil
	}), stack)
	ctx := awsmiddleware.SetServiceID(t.Context(), "STS")
	_, _, err := handler.Handle(ctx, struct{}{})
	require.NoError(t, err)
	require.True(t, reached)
}

func TestNewRefusesWhatItCanNotEnforce(t *testing.T) {
	open := func(limits ...budget.Limit) *budget.Ledger {
		ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: limits})
		require.NoError(t, err)
		return ledger
	}
	plain := open(budget.Limit{Name: "l", Max: budget.USD(1), Window: budget.Daily})
	for name, o := range map[string]bedrockguard.Options{
		"cache mode":      {Cache: cache.Policy{Mode: 99}},
		"negative TTL":    {ReservationTTL: -1},
		"negative settle": {SettleTimeout: -1},
		"negative rate":   {Rate: bedrockguard.Rate{UncachedInputTokensPerMinute: -1}},
		"rate without":    {Rate: bedrockguard.Rate{MaxWait: time.Second}},
		"long wait":       {Rate: bedrockguard.Rate{UncachedInputTokensPerMinute: 1, MaxWait: time.Hour}},
		"usage outcome":   {Outcomes: map[bedrockguard.Outcome]bedrockguard.Action{bedrockguard.OutcomeUsage: bedrockguard.Void}},
		"odd outcome":     {Outcomes: map[bedrockguard.Outcome]bedrockguard.Action{"http-9": bedrockguard.Void}},
		"odd action":      {Outcomes: map[bedrockguard.Outcome]bedrockguard.Action{bedrockguard.OutcomeBroken: 9}},
		"model":           {Models: []bedrockguard.Model{{ID: "x"}}},
		"mapping":         {ModelFor: map[string]string{"arn:aws:bedrock:us-east-1:1:application-inference-profile/x": "no such model"}},
	} {
		_, err := bedrockguard.New(plain, o)
		require.ErrorIs(t, err, bedrockguard.ErrInvalidOptions, name)
	}
	_, err := bedrockguard.New(nil, bedrockguard.Options{})
	require.ErrorIs(t, err, bedrockguard.ErrInvalidOptions)
	typo := open(budget.Limit{Name: "typo", Max: budget.USD(1), Window: budget.Daily, Match: budget.Match{Model: "us.anthropic.*"}})
	_, err = bedrockguard.New(typo, bedrockguard.Options{})
	require.ErrorContains(t, err, `limit "typo" matches no known model`)
}

// An application inference profile hides its model until the user maps it.
func TestOpaqueProfilesAreMapped(t *testing.T) {
	const profile = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc123"
	const model = "us.anthropic.claude-opus-4-6-v1"
	r := newRig(t, settings{
		server: bedrocktest.Options{Names: map[string]string{profile: model}},
		guard:  bedrockguard.Options{ModelFor: map[string]string{profile: model}},
	})
	in := converseInput("hello")
	*in.ModelId = profile
	_, err := r.client.Converse(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, "anthropic.claude-opus-4-6-v1", r.events.of(bedrockguard.EventSettled)[0].Model)
	r.requireExact(t)
}

// Example is the swap: one constructor, and a typed refusal.
func Example() {
	ctx := context.Background()
	server, err := bedrocktest.Start(bedrocktest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	cfg := server.Config() // stands for config.LoadDefaultConfig(ctx)

	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "principal-month", Max: budget.USD(200), Window: budget.Monthly, Per: budget.PerPrincipal},
		{Name: "opus-calls", Max: budget.Calls(2), Window: budget.Daily, Match: budget.Match{Model: "anthropic.claude-opus-*"}},
		{Name: "fresh-input", Max: budget.UncachedInputTokens(2_000_000), Window: budget.Rolling(time.Hour), Per: budget.PerWorkflow},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{Cache: cache.Policy{Mode: cache.Refuse}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := guard.NewFromConfig(cfg) // was: bedrockruntime.NewFromConfig(cfg)

	ctx = budget.WithScope(ctx, budget.Scope{Workflow: "nightly-refactor"})
	input := converseInput("Refactor everything.")
	input.ModelId = aws.String("us.anthropic.claude-opus-4-6-v1")
	for {
		_, err = client.Converse(ctx, input)
		if errors.Is(err, bedrockguard.ErrBudgetExceeded) {
			var e *budget.ExceededError
			errors.As(err, &e)
			fmt.Println(e.Limit, "has", e.Settled, "of", e.Max)
			break
		}
	}
	fmt.Println(server.Requests(), "requests were sent")
	// Output:
	// opus-calls has 2 calls of 2 calls
	// 2 requests were sent
}
