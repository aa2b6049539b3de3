package bedrockguard_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

func inRegion(o *bedrockguard.EstimateOptions) { o.Region = "us-east-1" }

// What is foretold is what the call sets aside, for every kind of input; and nothing is reserved, sent or told by asking.
func TestEstimateForetellsWhatIsSetAside(t *testing.T) {
	body := []byte(anthropicBody("what is a budget for?"))
	for name, in := range map[string]any{
		"Converse": converseInput("what is a budget for?"), "ConverseStream": streamInput("what is a budget for?"),
		"InvokeModel":                   &bedrockruntime.InvokeModelInput{ModelId: aws.String(sonnet), Body: body},
		"InvokeModelWithResponseStream": &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: aws.String(sonnet), Body: body},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{})
			e, err := r.guard.Estimate(t.Context(), in, inRegion)
			require.NoError(t, err)
			require.NoError(t, e.Refusal)
			require.Empty(t, r.events.all)
			require.Zero(t, r.server.Requests())
			require.Zero(t, r.balance(t, total).Pending.N)
			require.NoError(t, callWith(t.Context(), r, in))
			require.Equal(t, r.events.of(bedrockguard.EventReserved)[0].Worst, e.Worst)
			require.LessOrEqual(t, e.Likely[budget.UnitUSD], e.Worst[budget.UnitUSD])
			require.Equal(t, r.events.of(bedrockguard.EventReserved)[0].Model, e.Model)
		})
	}
}

func callWith(ctx context.Context, r *rig, in any) error {
	switch in := in.(type) {
	case *bedrockruntime.ConverseInput:
		_, err := r.client.Converse(ctx, in)
		return err
	case *bedrockruntime.ConverseStreamInput:
		return converseStream(ctx, r.client, in)
	case *bedrockruntime.InvokeModelInput:
		_, err := r.client.InvokeModel(ctx, in)
		return err
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		out, err := r.client.InvokeModelWithResponseStream(ctx, in)
		if err != nil {
			return err
		}
		for range out.GetStream().Events() {
		}
		return out.GetStream().Close()
	default:
		return fmt.Errorf("unknown input %T", in)
	}
}

// The refusal that is foretold is the one that the call gets, and a call that is foretold to pass does.
func TestEstimateForetellsRefusals(t *testing.T) {
	long := converseInput(strings.Repeat("a word of it ", 3000))
	for name, tc := range map[string]struct {
		limit budget.Limit
		in    *bedrockruntime.ConverseInput
		set   func(*testing.T, *rig)
	}{
		"fits":          {budget.Limit{Name: "x", Max: budget.USD(1), Window: budget.Monthly}, converseInput("hello"), nil},
		"never fits":    {budget.Limit{Name: "x", Max: budget.USD(1e-6), Window: budget.Monthly}, converseInput("hello"), nil},
		"tight fits":    {budget.Limit{Name: "x", Max: budget.InputTokens(20_000), Window: budget.Daily}, long, nil},
		"calls":         {budget.Limit{Name: "x", Max: budget.Calls(0), Window: budget.Daily}, converseInput("hello"), nil},
		"observed":      {budget.Limit{Name: "x", Max: budget.Calls(0), Window: budget.Daily, Observe: true}, converseInput("hello"), nil},
		"of others":     {budget.Limit{Name: "x", Max: budget.Calls(0), Window: budget.Daily, Match: budget.Match{Model: "meta.*"}}, converseInput("hello"), nil},
		"killed":        {budget.Limit{Name: "x", Max: budget.USD(1), Window: budget.Monthly}, converseInput("hello"), func(t *testing.T, r *rig) { _, err := r.ledger.KillAll(t.Context(), "stop"); require.NoError(t, err) }},
		"used up later": {budget.Limit{Name: "x", Max: budget.Calls(1), Window: budget.Daily}, converseInput("hello"), func(t *testing.T, r *rig) { require.NoError(t, callWith(t.Context(), r, converseInput("one"))) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{limits: []budget.Limit{tc.limit}})
			if tc.set != nil {
				tc.set(t, r)
			}
			e, err := r.guard.Estimate(t.Context(), tc.in, inRegion)
			require.NoError(t, err)
			got := callWith(t.Context(), r, tc.in)
			if got == nil {
				require.NoError(t, e.Refusal)
				return
			}
			require.Error(t, e.Refusal, got)
			var want, told *budget.ExceededError
			if !errors.As(got, &want) {
				require.ErrorIs(t, e.Refusal, budget.ErrKilled)
				return
			}
			require.ErrorAs(t, e.Refusal, &told)
			require.InDelta(t, want.ResetAfter, told.ResetAfter, float64(time.Minute))
			want.ResetAfter, told.ResetAfter = 0, 0
			require.Equal(t, want, told)
		})
	}
}

// What a workflow's own calls have answered tells what the next one is likely to.
func TestEstimateLearnsFromTheWorkflow(t *testing.T) {
	r := newRig(t, settings{server: bedrocktest.Options{Reply: func(bedrocktest.Request) bedrocktest.Reply { return bedrocktest.Reply{OutputTokens: 20} }}})
	in := converseInput("what is a budget for?")
	before, err := r.guard.Estimate(t.Context(), in, inRegion)
	require.NoError(t, err)
	require.Equal(t, int64(100), before.Likely[budget.UnitOutputTokens])
	for range 3 {
		require.NoError(t, callWith(t.Context(), r, in))
	}
	after, err := r.guard.Estimate(t.Context(), in, inRegion)
	require.NoError(t, err)
	require.Equal(t, int64(20), after.Likely[budget.UnitOutputTokens])
	bill := r.server.Bill().NanoUSD / 3
	require.InDelta(t, bill, after.Likely[budget.UnitUSD], float64(bill)/3)
}

func TestEstimateOfWhatCantBePriced(t *testing.T) {
	r := newRig(t, settings{})
	unknown := converseInput("hello")
	unknown.ModelId = aws.String("nobody.knows-v1")
	_, err := r.guard.Estimate(t.Context(), unknown)
	require.ErrorIs(t, err, bedrockguard.ErrUnpriced)
	_, err = r.guard.Estimate(t.Context(), nil)
	require.ErrorIs(t, err, bedrockguard.ErrMalformedRequest)
	_, err = r.guard.Estimate(t.Context(), &bedrockruntime.ConverseInput{})
	require.ErrorIs(t, err, bedrockguard.ErrMalformedRequest)
	require.Empty(t, r.events.all)
}

func ExampleGuard_Estimate() {
	ctx := context.Background()
	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "day", Max: budget.USD(0.001), Window: budget.Daily}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	estimate, err := guard.Estimate(ctx, converseInput("What is a budget for?"), func(o *bedrockguard.EstimateOptions) { o.Region = "us-east-1" })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(price.Amount(estimate.Worst[budget.UnitUSD]))
	fmt.Println(errors.Is(estimate.Refusal, bedrockguard.ErrBudgetExceeded))
	// Output:
	// 0.002253754 USD
	// true
}
