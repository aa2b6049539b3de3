package bedrockguard_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

const cent = price.Amount(10_000_000)

func flat(keys ...string) bedrockguard.Options {
	prices := map[string]price.Amount{}
	for _, key := range keys {
		prices[key] = cent
	}
	return bedrockguard.Options{FlatPrices: prices}
}

func guardedInput() *bedrockruntime.ConverseInput {
	in := converseInput("hello")
	in.GuardrailConfig = &types.GuardrailConfiguration{GuardrailIdentifier: aws.String("gr-own"), GuardrailVersion: aws.String("1")}
	return in
}

const guardrailTrace = `,"trace":{"guardrail":{"inputAssessment":{%q:{"invocationMetrics":{"usage":{"topicPolicyUnits":2,"contentPolicyUnits":1,"wordPolicyUnits":5,"sensitiveInformationPolicyUnits":1,"sensitiveInformationPolicyFreeUnits":3,"contextualGroundingPolicyUnits":0}}}},"outputAssessments":{%q:[{"invocationMetrics":{"usage":{"topicPolicyUnits":1}}}]}}}`

// unitsCost is what the units of guardrailTrace cost: 3 topic and 1 content at 0.15, 1 of sensitive information at 0.10 USD per 1,000.
const unitsCost = 4*150_000 + 100_000

func TestGuardrailIsRefusedWithoutAPrice(t *testing.T) {
	r := newRig(t, settings{config: answers(fmt.Sprintf(converseAnswer, ""))})
	_, err := r.client.Converse(context.Background(), guardedInput())
	require.ErrorIs(t, err, bedrockguard.ErrUnpriced)
	require.ErrorContains(t, err, "FlatPrices")
}

// TestGuardrailIsPricedFlat: the flat price is set aside, and the units that the answer tells are posted; without them the flat price.
func TestGuardrailIsPricedFlat(t *testing.T) {
	plain := newRig(t, settings{config: answers(fmt.Sprintf(converseAnswer, ""))})
	_, err := plain.client.Converse(context.Background(), converseInput("hello"))
	require.NoError(t, err)
	tokens := plain.settledUSD(t)[0]
	for name, tc := range map[string]struct {
		trace string
		want  int64
	}{
		"units told":     {fmt.Sprintf(guardrailTrace, "gr-own", "gr-own"), unitsCost},
		"nothing traced": {"", int64(cent)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{guard: flat("feature:guardrail"), config: answers(fmt.Sprintf(converseAnswer, tc.trace))})
			_, err := r.client.Converse(context.Background(), guardedInput())
			require.NoError(t, err)
			assert.Equal(t, []int64{tokens + tc.want}, r.settledUSD(t))
			worst := plain.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitUSD]
			assert.GreaterOrEqual(t, r.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitUSD], worst+int64(cent))
			assert.Empty(t, r.events.of(bedrockguard.EventAnswerDiffers), "the request named it")
		})
	}
}

// TestLongRequestOutgrowsAFlatGuardrailPrice: text units are bounded by characters, so that a flat price that is too low is not
// believed.
func TestLongRequestOutgrowsAFlatGuardrailPrice(t *testing.T) {
	r := newRig(t, settings{guard: bedrockguard.Options{FlatPrices: map[string]price.Amount{"feature:guardrail": 1}}, config: answers(fmt.Sprintf(converseAnswer, ""))})
	plain := newRig(t, settings{config: answers(fmt.Sprintf(converseAnswer, ""))})
	long := guardedInput()
	long.Messages = []types.Message{userMessage(prose)}
	_, err := r.client.Converse(context.Background(), long)
	require.NoError(t, err)
	long.GuardrailConfig = nil
	_, err = plain.client.Converse(context.Background(), long)
	require.NoError(t, err)
	more := r.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitUSD] - plain.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitUSD]
	assert.GreaterOrEqual(t, more, int64(len(prose))/1000*670_000)
}

// TestEnforcedGuardrailIsLearned: an answer that shows a guardrail which nobody declared is paid, told, and reserved for from then on.
func TestEnforcedGuardrailIsLearned(t *testing.T) {
	r := newRig(t, settings{config: answers(fmt.Sprintf(converseAnswer, fmt.Sprintf(guardrailTrace, "gr-org", "gr-org")))})
	for range 2 {
		_, err := r.client.Converse(context.Background(), converseInput("hello"))
		require.NoError(t, err)
	}
	differs := r.events.of(bedrockguard.EventAnswerDiffers)
	require.Len(t, differs, 1)
	assert.Contains(t, differs[0].Answered, "gr-org")
	reserved, settled := r.events.of(bedrockguard.EventReserved), r.settledUSD(t)
	assert.Greater(t, reserved[1].Worst[budget.UnitUSD], reserved[0].Worst[budget.UnitUSD]+unitsCost)
	assert.Equal(t, settled[0], settled[1])
	plain := newRig(t, settings{config: answers(fmt.Sprintf(converseAnswer, ""))})
	_, err := plain.client.Converse(context.Background(), converseInput("hello"))
	require.NoError(t, err)
	assert.Equal(t, plain.settledUSD(t)[0]+unitsCost, settled[0])
}

// TestEnforcedGuardrailIsDeclared: one that is declared is reserved for at once, at its own price, and no news.
func TestEnforcedGuardrailIsDeclared(t *testing.T) {
	declared := bedrockguard.Options{EnforcedGuardrails: []bedrockguard.Guardrail{{ID: "arn:aws:bedrock:us-east-1:123456789012:guardrail/gr-org", TextUnit: cent}}}
	r := newRig(t, settings{guard: declared, config: answers(fmt.Sprintf(converseAnswer, fmt.Sprintf(guardrailTrace, "gr-org", "gr-org")))})
	_, err := r.client.Converse(context.Background(), converseInput("hello"))
	require.NoError(t, err)
	assert.Empty(t, r.events.of(bedrockguard.EventAnswerDiffers))
	assert.Greater(t, r.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitUSD], 2*int64(cent))
}

// TestFlatOperations: they are refused without a price, reserved at it, and settled by what their answer tells.
func TestFlatOperations(t *testing.T) {
	apply := func(r *rig) error {
		_, err := r.client.ApplyGuardrail(context.Background(), &bedrockruntime.ApplyGuardrailInput{
			GuardrailIdentifier: aws.String("gr"), GuardrailVersion: aws.String("1"), Source: types.GuardrailContentSourceInput,
			Content: []types.GuardrailContentBlock{&types.GuardrailContentBlockMemberText{Value: types.GuardrailTextBlock{Text: aws.String("hello")}}},
		})
		return err
	}
	r := newRig(t, settings{})
	require.ErrorIs(t, apply(r), bedrockguard.ErrUnsupportedOperation)
	for name, tc := range map[string]struct {
		answer    string
		want      int64
		estimated bool
	}{
		"units told": {`{"action":"NONE","outputs":[],"assessments":[],"usage":{"topicPolicyUnits":2,"contentPolicyUnits":2,"wordPolicyUnits":1,"sensitiveInformationPolicyUnits":1,"sensitiveInformationPolicyFreeUnits":0,"contextualGroundingPolicyUnits":0}}`, unitsCost, false},
		"none told":  {`{"action":"NONE","outputs":[],"assessments":[]}`, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{guard: flat("operation:ApplyGuardrail"), config: answers(tc.answer)})
			require.NoError(t, apply(r))
			settled := r.events.of(bedrockguard.EventSettled)
			require.Len(t, settled, 1)
			assert.Equal(t, tc.estimated, settled[0].Estimated)
			if tc.estimated {
				assert.GreaterOrEqual(t, settled[0].Actual[budget.UnitUSD], int64(cent))
			} else {
				assert.Equal(t, tc.want, settled[0].Actual[budget.UnitUSD])
			}
			assert.Equal(t, int64(1), settled[0].Actual[budget.UnitCalls])
		})
	}
	r = newRig(t, settings{guard: flat("operation:ApplyGuardrail"), limits: []budget.Limit{{Name: "little", Max: budget.USD(0.009), Window: budget.Daily}}})
	require.ErrorIs(t, apply(r), bedrockguard.ErrBudgetExceeded)
}

// TestFlatOperationIsBoundedByWhatIsSent: a flat price is not believed against the characters of a request, nor against what a middleware
// makes of it.
func TestFlatOperationIsBoundedByWhatIsSent(t *testing.T) {
	grow := func(o *bedrockruntime.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Build.Add(middleware.BuildMiddlewareFunc("grow", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
				req, err := in.Request.(*smithyhttp.Request).SetStream(strings.NewReader(`{"messages":[{"content":[{"text":"` + prose + `"}]}]}`))
				in.Request = req
				if err != nil {
					return middleware.BuildOutput{}, middleware.Metadata{}, err
				}
				return next.HandleBuild(ctx, in)
			}), middleware.After)
		})
	}
	for name, unit := range map[string]int64{"ApplyGuardrail": 670_000, "InvokeGuardrailChecks": 250_000} {
		r := newRig(t, settings{guard: bedrockguard.Options{FlatPrices: map[string]price.Amount{"operation:" + name: 1}}, config: answers(`{}`)})
		var err error
		if name == "ApplyGuardrail" {
			_, err = r.client.ApplyGuardrail(t.Context(), &bedrockruntime.ApplyGuardrailInput{GuardrailIdentifier: aws.String("gr"), GuardrailVersion: aws.String("1"), Source: types.GuardrailContentSourceInput, Content: []types.GuardrailContentBlock{}}, grow)
		} else {
			_, err = r.client.InvokeGuardrailChecks(t.Context(), &bedrockruntime.InvokeGuardrailChecksInput{Checks: &types.GuardrailChecksConfig{}, Messages: []types.GuardrailChecksMessage{}}, grow)
		}
		require.NoError(t, err, name)
		reserved := r.events.of(bedrockguard.EventReserved)
		require.Len(t, reserved, 1, name)
		assert.GreaterOrEqual(t, reserved[0].Worst[budget.UnitUSD], int64(len(prose))/1000*unit, name)
	}
}

// TestFlatModels: a model that is not billed by tokens is charged its flat price, and refused without one.
func TestFlatModels(t *testing.T) {
	const body = `{"prompt":"a lighthouse","mode":"text-to-image"}`
	answer := answers(`{"images":["aGVsbG8="],"finish_reasons":[null]}`)
	for _, model := range []string{"stability.stable-image-core-v1:1", "us.stability.stable-image-core-v1:1", "arn:aws:bedrock:us-east-1::foundation-model/stability.stable-image-core-v1:1"} {
		r := newRig(t, settings{config: answer})
		require.ErrorIs(t, invoke(context.Background(), r.client, model, body), bedrockguard.ErrUnpriced)
		r = newRig(t, settings{config: answer, guard: flat("model:stability.*", "model:unknown.*")})
		require.NoError(t, invoke(context.Background(), r.client, model, body))
		settled := r.events.of(bedrockguard.EventSettled)
		require.Len(t, settled, 1)
		assert.InDelta(t, int64(cent), settled[0].Actual[budget.UnitUSD], 10)
		assert.Equal(t, "stability.stable-image-core-v1:1", settled[0].Model)
		require.NoError(t, invoke(context.Background(), r.client, "unknown.model-1", body))
		require.ErrorIs(t, invoke(context.Background(), r.client, "other.model-1", body), bedrockguard.ErrUnpriced)
	}
}

// TestToolsOfTheProviderArePricedFlat, and what they find is bounded by the window alone.
func TestToolsOfTheProviderArePricedFlat(t *testing.T) {
	body := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"tools":[{"type":"web_search_20250305","name":"web_search"}],"messages":[{"role":"user","content":"hello"}]}`
	r := newRig(t, settings{})
	require.ErrorIs(t, invoke(context.Background(), r.client, sonnet, body), bedrockguard.ErrUnpriced)
	r = newRig(t, settings{guard: flat("feature:web_search"), config: answers(anthropicAnswer("claude-sonnet-4-20250514"))})
	require.NoError(t, invoke(context.Background(), r.client, sonnet, body))
	reserved := r.events.of(bedrockguard.EventReserved)[0]
	assert.Equal(t, int64(1_000_000), reserved.Worst[budget.UnitInputTokens], "the window")
	assert.Equal(t, []int64{nano(3, 15) + int64(cent)}, r.settledUSD(t))
}

func TestFlatPricesAreValidated(t *testing.T) {
	ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "l", Max: budget.USD(1), Window: budget.Daily}}})
	require.NoError(t, err)
	for _, bad := range []map[string]price.Amount{
		{"operation:Converse": 1},
		{"operation:": 1},
		{"feature:telepathy": 1},
		{"model:": 1},
		{"guardrail": 1},
		{"": 1},
		{"region:x": 1},
		{"feature:guardrail": 0},
		{"feature:guardrail": -1},
		{"operation:InvokeModelWithBidirectionalStream": 1},
	} {
		_, err = bedrockguard.New(ledger, bedrockguard.Options{FlatPrices: bad})
		require.ErrorIs(t, err, bedrockguard.ErrInvalidOptions, "%v", bad)
	}
	for _, bad := range []bedrockguard.Options{
		{EnforcedGuardrails: []bedrockguard.Guardrail{{}}},
		{EnforcedGuardrails: []bedrockguard.Guardrail{{ID: "x", TextUnit: -1}}},
		{MaxDrains: -1},
		{Discounts: map[string]int64{"anthropic.*": 1000}},
		{Discounts: map[string]int64{"nothing.*": 10}},
	} {
		_, err = bedrockguard.New(ledger, bad)
		require.ErrorIs(t, err, bedrockguard.ErrInvalidOptions)
	}
}

// TestAssumedPricesAreTold once for each model and region, and so is a table of prices that is old.
func TestAssumedPricesAreTold(t *testing.T) {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	r := newRig(t, settings{guard: bedrockguard.Options{Clock: clock}, config: func(c *aws.Config) {
		answers(fmt.Sprintf(converseAnswer, ""))(c)
		c.Region = "mx-central-1"
	}})
	in := converseInput("hello")
	in.ModelId = aws.String(gptOSS)
	for range 3 {
		_, err := r.client.Converse(context.Background(), in)
		require.NoError(t, err)
	}
	assumed := r.events.of(bedrockguard.EventPriceAssumed)
	require.Len(t, assumed, 1)
	assert.Equal(t, "openai.gpt-oss-120b-1:0 in mx-central-1", assumed[0].Asked)
	assert.Empty(t, r.events.of(bedrockguard.EventCatalogOld))
	now = now.Add(130 * 24 * time.Hour)
	old := newRig(t, settings{guard: bedrockguard.Options{Clock: clock}}).events.of(bedrockguard.EventCatalogOld)
	require.Len(t, old, 1)
	assert.NotEmpty(t, old[0].Asked)
}
