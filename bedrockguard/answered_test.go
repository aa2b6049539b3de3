package bedrockguard_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// answers gives every request the same answer of the service's own.
func answers(body string) func(*aws.Config) {
	return withTransport(func(req *http.Request) (*http.Response, error) {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
		h := http.Header{"Content-Type": {"application/json"}, "X-Amzn-Requestid": {"1"}}
		return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	})
}

// frame is one frame of an event stream.
func frame(t testing.TB, messageType, name, payload string) string {
	t.Helper()
	var m eventstream.Message
	m.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(messageType))
	kind := eventstreamapi.EventTypeHeader
	if messageType == eventstreamapi.ExceptionMessageType {
		kind = eventstreamapi.ExceptionTypeHeader
	}
	m.Headers.Set(kind, eventstream.StringValue(name))
	m.Headers.Set(eventstreamapi.ContentTypeHeader, eventstream.StringValue("application/json"))
	m.Payload = []byte(payload)
	var b bytes.Buffer
	require.NoError(t, eventstream.NewEncoder().Encode(&b, m))
	return b.String()
}

const converseAnswer = `{"output":{"message":{"role":"assistant","content":[{"text":"ok"}]}},"stopReason":"end_turn","metrics":{"latencyMs":1},"usage":{"inputTokens":1000,"outputTokens":10,"totalTokens":1010}%s}`

// nano is what 1,000 input and 10 output tokens cost at prices in USD per million tokens.
func nano(input, output float64) int64 { return int64(input*1e6 + output*1e4) }

func (r *rig) settledUSD(t *testing.T) []int64 {
	t.Helper()
	var all []int64
	for _, e := range r.events.of(bedrockguard.EventSettled) {
		assert.False(t, e.Estimated)
		all = append(all, e.Actual[budget.UnitUSD])
	}
	return all
}

const sonnet5 = "us.anthropic.claude-sonnet-5"

func anthropicAnswer(model string) string {
	return fmt.Sprintf(`{"id":"msg_1","type":"message","role":"assistant","model":%q,"content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","usage":{"input_tokens":1000,"output_tokens":10}}`, model)
}

// TestModelThatAnsweredIsPaid: whoever asked for a cheap model and was answered by a dear one pays for that, and the next calls set
// that aside.
func TestModelThatAnsweredIsPaid(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		call   func(*rig) error
	}{
		"InvokeModel": {anthropicAnswer("claude-fable-5-1"), func(r *rig) error {
			return invoke(context.Background(), r.client, sonnet5, anthropicBody("hello"))
		}},
		"prompt router": {fmt.Sprintf(converseAnswer, `,"trace":{"promptRouter":{"invokedModelId":"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-fable-5-1"}}`), func(r *rig) error {
			in := converseInput("hello")
			in.ModelId = aws.String(sonnet5)
			_, err := r.client.Converse(context.Background(), in)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{config: answers(tc.answer)})
			require.NoError(t, tc.call(r))
			require.NoError(t, tc.call(r))
			dear := nano(11, 55) // Fable 5.1 at its geo price
			assert.Equal(t, []int64{dear, dear}, r.settledUSD(t))
			differs := r.events.of(bedrockguard.EventAnswerDiffers)
			require.Len(t, differs, 1)
			assert.Contains(t, differs[0].Asked, "claude-sonnet-5")
			assert.Contains(t, differs[0].Answered, "claude-fable-5-1")
			reserved := r.events.of(bedrockguard.EventReserved)
			assert.Greater(t, reserved[1].Worst[budget.UnitUSD], 4*reserved[0].Worst[budget.UnitUSD])
		})
	}
}

// TestModelUnderAnotherSpellingIsTheSame: an answer that names its model as its maker does is no other answer.
func TestModelUnderAnotherSpellingIsTheSame(t *testing.T) {
	for _, name := range []string{"claude-sonnet-5", "anthropic.claude-sonnet-5", "us.anthropic.claude-sonnet-5", "claude-sonnet-5-20260601"} {
		r := newRig(t, settings{config: answers(anthropicAnswer(name))})
		require.NoError(t, invoke(context.Background(), r.client, sonnet5, anthropicBody("hello")))
		assert.Empty(t, r.events.of(bedrockguard.EventAnswerDiffers), name)
		assert.Equal(t, []int64{nano(2.2, 11)}, r.settledUSD(t), name)
	}
}

// TestModelThatIsUnknownIsTold, and paid as what was asked for: nothing else is known.
func TestModelThatIsUnknownIsTold(t *testing.T) {
	r := newRig(t, settings{config: answers(anthropicAnswer("claude-nebula-9"))})
	for range 2 {
		require.NoError(t, invoke(context.Background(), r.client, sonnet5, anthropicBody("hello")))
	}
	differs := r.events.of(bedrockguard.EventAnswerDiffers)
	require.Len(t, differs, 1)
	assert.Contains(t, differs[0].Answered, "claude-nebula-9")
}

// TestWrongMappingIsFound: an ARN that was mapped to a cheap model is paid as the model that answers.
func TestWrongMappingIsFound(t *testing.T) {
	const arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
	r := newRig(t, settings{config: answers(anthropicAnswer("claude-fable-5-1")), guard: bedrockguard.Options{ModelFor: map[string]string{arn: "anthropic.claude-haiku-4-5-20251001-v1:0"}}})
	require.NoError(t, invoke(context.Background(), r.client, arn, anthropicBody("hello")))
	assert.Equal(t, []int64{nano(11, 55)}, r.settledUSD(t))
	assert.Len(t, r.events.of(bedrockguard.EventAnswerDiffers), 1)
}

// TestTierThatServedIsPaid, and where it was not asked for it is set aside from then on.
func TestTierThatServedIsPaid(t *testing.T) {
	r := newRig(t, settings{config: answers(fmt.Sprintf(converseAnswer, `,"serviceTier":{"type":"priority"}`))})
	in := converseInput("hello")
	in.ModelId = aws.String(gptOSS)
	for range 2 {
		_, err := r.client.Converse(context.Background(), in)
		require.NoError(t, err)
	}
	differs := r.events.of(bedrockguard.EventAnswerDiffers)
	require.Len(t, differs, 1)
	assert.Equal(t, "service tier default", differs[0].Asked)
	assert.Equal(t, "service tier priority", differs[0].Answered)
	settled := r.settledUSD(t)
	assert.Greater(t, settled[0], nano(0.15, 0.6)*17/10)
	reserved := r.events.of(bedrockguard.EventReserved)
	assert.Greater(t, reserved[1].Worst[budget.UnitUSD], reserved[0].Worst[budget.UnitUSD]*17/10)
}

// TestTierIsTheDearestOfAllPlaces: it can stand in the header, in the body, and in the fields that bypass Converse's own.
func TestTierIsTheDearestOfAllPlaces(t *testing.T) {
	reserved := func(call func(*rig) error) int64 {
		r := newRig(t, settings{config: answers(fmt.Sprintf(converseAnswer, ""))})
		require.NoError(t, call(r))
		return r.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitUSD]
	}
	converse := func(tier types.ServiceTierType, extra any) func(*rig) error {
		return func(r *rig) error {
			in := converseInput("hello")
			in.ModelId = aws.String(gptOSS)
			in.ServiceTier = &types.ServiceTier{Type: tier}
			in.AdditionalModelRequestFields = document.NewLazyDocument(extra)
			_, err := r.client.Converse(context.Background(), in)
			return err
		}
	}
	invokes := func(tier types.ServiceTierType, body string) func(*rig) error {
		return func(r *rig) error {
			_, err := r.client.InvokeModel(context.Background(), &bedrockruntime.InvokeModelInput{ModelId: aws.String(gptOSS), ServiceTier: tier, Body: []byte(body)})
			return err
		}
	}
	priority := map[string]any{"service_tier": "priority"}
	standard := reserved(converse(types.ServiceTierTypeDefault, map[string]any{"service_tier": "default_"[:7]}))
	assert.Greater(t, reserved(converse(types.ServiceTierTypeFlex, priority)), standard*17/10)
	assert.Greater(t, reserved(converse(types.ServiceTierTypePriority, map[string]any{"service_tier": "flex"})), standard*17/10)
	plain := reserved(invokes(types.ServiceTierTypeDefault, `{"max_tokens":100,"messages":[{"role":"user","content":"hello"}]}`))
	assert.Greater(t, reserved(invokes(types.ServiceTierTypeFlex, `{"max_tokens":100,"service_tier":"priority","messages":[{"role":"user","content":"hello"}]}`)), plain*17/10)
	assert.Greater(t, reserved(invokes(types.ServiceTierTypePriority, `{"max_tokens":100,"service_tier":"flex","messages":[{"role":"user","content":"hello"}]}`)), plain*17/10)
}

// TestLatencyIsTheDearestOfBothPlaces: the fields that bypass Converse's own don't make its optimised mode cheaper.
func TestLatencyIsTheDearestOfBothPlaces(t *testing.T) {
	reserved := func(own types.PerformanceConfigLatency, extra string) int64 {
		r := newRig(t, settings{config: answers(fmt.Sprintf(converseAnswer, ""))})
		in := converseInput("hello")
		in.ModelId = aws.String(novaPro)
		in.PerformanceConfig = &types.PerformanceConfiguration{Latency: own}
		in.AdditionalModelRequestFields = document.NewLazyDocument(map[string]any{"performanceConfig": map[string]any{"latency": extra}})
		_, err := r.client.Converse(context.Background(), in)
		require.NoError(t, err)
		return r.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitUSD]
	}
	standard := reserved(types.PerformanceConfigLatencyStandard, "standard")
	assert.Greater(t, reserved(types.PerformanceConfigLatencyOptimized, "standard"), standard*12/10)
	assert.Greater(t, reserved(types.PerformanceConfigLatencyStandard, "optimized"), standard*12/10)
}

// TestRefusalInTheFirstFrameIsFree: the service tells of throttling inside of a stream, too, before it has begun. Once it has, and
// where something else answers, the stream is charged.
func TestRefusalInTheFirstFrameIsFree(t *testing.T) {
	const exception, event = eventstreamapi.ExceptionMessageType, eventstreamapi.EventMessageType
	start := frame(t, event, "messageStart", `{"role":"assistant"}`)
	own := http.Header{"Content-Type": {"application/vnd.amazon.eventstream"}, "X-Amzn-Requestid": {"1"}}
	for name, tc := range map[string]struct {
		header http.Header
		body   string
		want   string
	}{
		"throttled":           {own, frame(t, exception, "throttlingException", `{"message":"no"}`), "voided http-429"},
		"unavailable":         {own, frame(t, exception, "serviceUnavailableException", `{"message":"no"}`), "voided http-503"},
		"invalid":             {own, frame(t, exception, "validationException", `{"message":"no"}`), "voided http-400"},
		"internal":            {own, frame(t, exception, "internalServerException", `{"message":"no"}`), "settled no-usage estimated"},
		"model error":         {own, frame(t, exception, "modelStreamErrorException", `{"message":"no"}`), "settled no-usage estimated"},
		"unknown":             {own, frame(t, exception, "surpriseException", `{"message":"no"}`), "settled no-usage estimated"},
		"after it has begun":  {own, start + frame(t, exception, "throttlingException", `{"message":"no"}`), "settled no-usage estimated"},
		"twice":               {own, frame(t, exception, "throttlingException", `{}`) + start, "settled no-usage estimated"},
		"from somebody else":  {http.Header{"Content-Type": own["Content-Type"]}, frame(t, exception, "throttlingException", `{"message":"no"}`), "settled no-usage estimated"},
		"with damage in it":   {own, frame(t, exception, "throttlingException", `{"message":"no"}`)[:40], "settled no-usage estimated"},
		"an event like it":    {own, frame(t, event, "throttlingException", `{"message":"no"}`), "settled no-usage estimated"},
		"an unmodelled error": {own, frame(t, eventstreamapi.ErrorMessageType, "x", `{}`), "settled no-usage estimated"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{config: withTransport(func(req *http.Request) (*http.Response, error) {
				_, _ = io.Copy(io.Discard, req.Body)
				return &http.Response{StatusCode: 200, Header: tc.header.Clone(), Body: io.NopCloser(strings.NewReader(tc.body)), Request: req}, nil
			})})
			_ = converseStream(context.Background(), r.client, streamInput("hello"))
			require.NoError(t, r.guard.Close(context.Background())) // the rest of a stream that its reader left is read on
			require.Len(t, r.resolutions(), 1)
			if strings.HasPrefix(tc.want, "voided") {
				assert.Equal(t, tc.want, r.resolutions()[0])
				assert.Zero(t, r.balance(t, total).Settled.N)
			} else {
				assert.Contains(t, r.resolutions()[0], "estimated")
			}
		})
	}
}
