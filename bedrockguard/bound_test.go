package bedrockguard_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

var prose = strings.Repeat("The budget of the agent is checked before the call is sent, and settled after it. ", 200)

// inputTokens is a limit that has room for the prose as it is counted, but not for its bytes.
func inputTokens() []budget.Limit {
	return []budget.Limit{{Name: "input", Max: budget.InputTokens(int64(len(prose)) * 7 / 10), Window: budget.Daily, Latch: true}}
}

// The tighter bound is tried when the length alone is refused, and its success latches nothing.
func TestTheTightBoundIsTriedBeforeARefusal(t *testing.T) {
	r := newRig(t, settings{limits: inputTokens()})
	_, err := r.client.Converse(t.Context(), converseInput(prose))
	require.NoError(t, err)
	require.Empty(t, r.events.of(bedrockguard.EventDenied))
	require.False(t, r.balance(t, "input").Latched)
	require.NoError(t, invoke(t.Context(), newRig(t, settings{limits: inputTokens()}).client, sonnet, anthropicBody(prose)))
	r.requireExact(t)
}

func TestStrictBoundNeverCounts(t *testing.T) {
	r := newRig(t, settings{limits: inputTokens(), guard: bedrockguard.Options{StrictBound: true}})
	_, err := r.client.Converse(t.Context(), converseInput(prose))
	require.ErrorIs(t, err, bedrockguard.ErrBudgetExceeded)
	require.True(t, r.balance(t, "input").Latched)
	require.Zero(t, r.server.Requests())
}

// A refusal by the tight bound is final, and latches.
func TestAFinalRefusalLatches(t *testing.T) {
	r := newRig(t, settings{limits: inputTokens()})
	_, err := r.client.Converse(t.Context(), converseInput(strings.Repeat(prose, 5)))
	require.ErrorIs(t, err, bedrockguard.ErrBudgetExceeded)
	_, err = r.client.Converse(t.Context(), converseInput("small enough"))
	var e *budget.ExceededError
	require.ErrorAs(t, err, &e)
	require.True(t, e.Latched)
	require.NoError(t, r.ledger.Revive(t.Context(), budget.Scope{}))
	_, err = r.client.Converse(t.Context(), converseInput("small enough"))
	require.NoError(t, err)
}

// Media are bounded by what they show, not by their bytes; what can't be measured takes the whole context window.
func TestMediaAreBounded(t *testing.T) {
	var small bytes.Buffer
	require.NoError(t, png.Encode(&small, image.NewGray(image.Rect(0, 0, 1500, 1500))))
	for name, tc := range map[string]struct {
		block types.ContentBlock
		least int64
		most  int64
	}{
		"image":       {&types.ContentBlockMemberImage{Value: types.ImageBlock{Format: types.ImageFormatPng, Source: &types.ImageSourceMemberBytes{Value: small.Bytes()}}}, 1600, 7000},
		"image in S3": {&types.ContentBlockMemberImage{Value: types.ImageBlock{Format: types.ImageFormatPng, Source: &types.ImageSourceMemberS3Location{Value: types.S3Location{Uri: aws.String("s3://b/k")}}}}, 1600, 7000},
		"text":        {&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Name: aws.String("d"), Format: types.DocumentFormatTxt, Source: &types.DocumentSourceMemberBytes{Value: []byte(prose)}}}, int64(len(prose)), int64(len(prose)) + 2000},
		"video":       {&types.ContentBlockMemberVideo{Value: types.VideoBlock{Format: types.VideoFormatMp4, Source: &types.VideoSourceMemberBytes{Value: []byte{1}}}}, 1_000_000, 1_000_000},
	} {
		r := newRig(t, settings{limits: []budget.Limit{{Name: "none", Max: budget.InputTokens(0), Window: budget.Daily}}, guard: bedrockguard.Options{StrictBound: true}})
		in := converseInput("look")
		in.Messages[0].Content = append(in.Messages[0].Content, tc.block)
		_, err := r.client.Converse(t.Context(), in)
		var e *budget.ExceededError
		require.ErrorAs(t, err, &e, name)
		require.GreaterOrEqual(t, e.Requested.N, tc.least, name)
		require.LessOrEqual(t, e.Requested.N, tc.most, name)
	}
}

// No number in a request makes its reservation smaller.
func TestHostileNumbersReserveMore(t *testing.T) {
	none := []budget.Limit{{Name: "none", Max: budget.USD(0), Window: budget.Daily}}
	reserved := func(body string) int64 {
		r := newRig(t, settings{limits: none, guard: bedrockguard.Options{StrictBound: true}})
		err := invoke(t.Context(), r.client, sonnet, body)
		var e *budget.ExceededError
		require.ErrorAs(t, err, &e, body)
		require.Zero(t, r.server.Requests())
		return e.Requested.N
	}
	plain := reserved(anthropicBody("hello"))
	require.Positive(t, plain)
	for _, body := range []string{
		`{"anthropic_version":"bedrock-2023-05-31","max_tokens":100000000,"messages":[{"role":"user","content":"hello"}]}`,
		`{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"hello"}]}`, // the model's maximum
		`{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"thinking":{"type":"enabled","budget_tokens":50000},"messages":[{"role":"user","content":"hello"}]}`,
		`{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"max_completion_tokens":5000,"messages":[{"role":"user","content":"hello"}]}`,
	} {
		require.Greater(t, reserved(body), plain, body)
	}
	r := newRig(t, settings{})
	in := converseInput("hello")
	in.InferenceConfig = maxTokens(math.MaxInt32)
	_, err := r.client.Converse(t.Context(), in) // reserved, and refused by the service
	require.Error(t, err)
	require.Len(t, r.events.of(bedrockguard.EventVoided), 1)
	require.Positive(t, r.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitUSD])
	r.requireExact(t)
}

// TestViolatedBoundIsWidened at once, for its model: an answer that was billed more input than the bytes of its request could hold is told,
// and the next request sets three times as much aside.
func TestViolatedBoundIsWidened(t *testing.T) {
	r := newRig(t, settings{config: answers(fmt.Sprintf(converseAnswer, ""))})
	for range 2 {
		_, err := r.client.Converse(t.Context(), converseInput("hello"))
		require.NoError(t, err)
	}
	require.NotEmpty(t, r.events.of(bedrockguard.EventEstimateViolated))
	reserved := r.events.of(bedrockguard.EventReserved)
	require.Less(t, reserved[0].Worst[budget.UnitInputTokens], int64(1000), "what the answer tells")
	require.Equal(t, 3*reserved[0].Worst[budget.UnitInputTokens], reserved[1].Worst[budget.UnitInputTokens])
	other := converseInput("hello")
	other.ModelId = aws.String("us.anthropic.claude-sonnet-5")
	_, err := r.client.Converse(t.Context(), other)
	require.NoError(t, err)
	reserved = r.events.of(bedrockguard.EventReserved)
	require.InDelta(t, reserved[0].Worst[budget.UnitInputTokens], reserved[2].Worst[budget.UnitInputTokens], 50, "of another model nothing was learned")
}

// Characters that normalisation spells out make more tokens than they have bytes: the first call is bounded for that, in both forms of
// request.
func TestTextThatNormalisationLengthensIsBounded(t *testing.T) {
	for character, bytes := range map[string]int{"\U0001D160": 12, "\u0344": 4, "\u0958": 6, "\u0F76": 6} { // in form C
		text := strings.Repeat(character, 500)
		normalised := int64(500 * bytes)
		require.Greater(t, normalised, int64(len(text)))
		r := newRig(t, settings{guard: bedrockguard.Options{StrictBound: true}})
		_, err := r.client.Converse(t.Context(), converseInput(text))
		require.NoError(t, err)
		require.NoError(t, invoke(t.Context(), r.client, sonnet, anthropicBody(text)))
		for _, e := range r.events.of(bedrockguard.EventReserved) {
			require.GreaterOrEqual(t, e.Worst[budget.UnitInputTokens], normalised, "%q", character)
		}
	}
}

// Command bills its prompt once for each generation that is asked for.
func TestPromptsOfSeveralGenerationsAreBoundedForEach(t *testing.T) {
	digits := strings.Repeat("7 3 9 1 ", 200)
	for _, strict := range []bool{false, true} {
		r := newRig(t, settings{guard: bedrockguard.Options{StrictBound: strict}})
		require.NoError(t, invoke(t.Context(), r.client, "cohere.command-text-v14", `{"prompt":"`+digits+`","max_tokens":10,"num_generations":5}`))
		reserved := r.events.of(bedrockguard.EventReserved)
		require.Len(t, reserved, 1)
		require.GreaterOrEqual(t, reserved[0].Worst[budget.UnitInputTokens], r.server.Inferences()[0].InputTokens)
		r.requireExact(t)
	}
}
