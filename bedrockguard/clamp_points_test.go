package bedrockguard_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// pointedText is long enough to be cached, and holds nothing that is counted as more than it is.
var pointedText = strings.Repeat("a rule of the house that everybody follows. ", 200)

// pointed asks a question behind a cache point of an hour.
func pointed() ([]types.SystemContentBlock, []types.Message) {
	return []types.SystemContentBlock{
		&types.SystemContentBlockMemberText{Value: pointedText},
		&types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: types.CacheTTLOneHour}},
	}, []types.Message{userMessage("hello")}
}

// pointedCalls ask the same of Claude through each door and form.
func pointedCalls() map[string]func(t *testing.T, w *web) error {
	overHTTP := func(path, body string) func(*testing.T, *web) error {
		return func(t *testing.T, w *web) error {
			resp, text := w.post(t, path, fmt.Sprintf(body, pointedText))
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%w: %s", budget.ErrExceeded, text)
			}
			return nil
		}
	}
	const system = `"system":[{"type":"text","text":"%s","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":"hello"}]`
	return map[string]func(t *testing.T, w *web) error{
		"Converse": func(_ *testing.T, w *web) error {
			system, messages := pointed()
			in := &bedrockruntime.ConverseInput{ModelId: aws.String(webClaude), System: system, Messages: messages, InferenceConfig: maxTokens(300)}
			_, err := w.rig.client.Converse(context.Background(), in)
			if len(in.System) != 2 {
				return fmt.Errorf("the caller's own request was changed: %v", in.System)
			}
			return err
		},
		"ConverseStream": func(_ *testing.T, w *web) error {
			system, messages := pointed()
			return converseStream(context.Background(), w.rig.client, &bedrockruntime.ConverseStreamInput{
				ModelId: aws.String(webClaude), System: system, Messages: messages, InferenceConfig: maxTokens(300),
			})
		},
		"InvokeModel": func(_ *testing.T, w *web) error {
			return invoke(context.Background(), w.rig.client, webClaude, fmt.Sprintf(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":300,`+system+`}`, pointedText))
		},
		"Converse over HTTP": overHTTP("/model/"+webClaude+"/converse",
			`{"inferenceConfig":{"maxTokens":300},"system":[{"text":"%s"},{"cachePoint":{"type":"default","ttl":"1h"}}],"messages":[{"role":"user","content":[{"text":"hello"}]}]}`),
		"InvokeModel over HTTP": overHTTP("/model/"+webClaude+"/invoke", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":300,`+system+`}`),
		"Messages over HTTP":    overHTTP("/anthropic/v1/messages", `{"model":"`+webClaude+`","max_tokens":300,`+system+`}`),
	}
}

// Where the budget has no room for what a cache point may write, even with the lowest output limit, but for the same request without it, Clamp
// leaves the point out: the caller gets an answer, and more of the budget can be used.
func TestClampLeavesOutCachePointsThatDoNotFit(t *testing.T) {
	for name, call := range pointedCalls() {
		t.Run(name, func(t *testing.T) {
			run := func(max float64, o bedrockguard.Options) (*web, error) {
				w := newWeb(t, settings{limits: dollars(max), guard: o, server: bedrocktest.Options{Record: true}})
				return w, call(t, w)
			}
			clamp := bedrockguard.Options{Output: bedrockguard.Output{Clamp: true, Floor: 100}, StrictBound: true}

			roomy, err := run(1, clamp)
			require.NoError(t, err)
			require.Empty(t, roomy.events.of(bedrockguard.EventPointsRemoved), "there is room")
			reserved := roomy.events.of(bedrockguard.EventReserved)[0].Worst
			withPoint := float64(reserved[budget.UnitUSD]) / 1e9

			tight := withPoint * 0.75 // no room for the write, whatever the output limit; room for the input and an answer
			_, err = run(tight, bedrockguard.Options{StrictBound: true})
			require.ErrorIs(t, err, budget.ErrExceeded)
			w, err := run(tight, clamp)
			require.NoError(t, err)
			require.Len(t, w.events.of(bedrockguard.EventPointsRemoved), 1)
			require.Empty(t, w.events.of(bedrockguard.EventDenied))
			received := w.server.Received()
			require.Len(t, received, 1)
			require.NotContains(t, string(received[0].Body), "cache")
			require.Contains(t, string(received[0].Body), pointedText, "the prompt is whole")
			require.Zero(t, w.server.Bill().CacheWrite.Tokens)
			w.requireExact(t)

			short, err := run(withPoint*0.1, clamp)
			require.ErrorIs(t, err, budget.ErrExceeded)
			require.Empty(t, short.events.of(bedrockguard.EventPointsRemoved), "it does not fit even so")
			require.Empty(t, short.server.Received())
		})
	}
}

// The cache check was told of the points, and expects what they would have written. Nothing is expected of a request that is sent without
// them: no finding is made of it, and the next call with points is judged as if this one had not been.
func TestClampedPointsAreNotMissed(t *testing.T) {
	for _, mode := range []cache.Mode{cache.Report, cache.Fix} {
		r := newRig(t, settings{limits: dollars(0.08), guard: bedrockguard.Options{
			Output: bedrockguard.Output{Clamp: true, Floor: 10}, Cache: cache.Policy{Mode: mode}, StrictBound: true,
		}})
		system, messages := pointed()
		in := &bedrockruntime.ConverseInput{ModelId: aws.String(webClaude), System: system, Messages: messages, InferenceConfig: maxTokens(300)}
		ctx := inWorkflow("w")
		var err error
		for n := 0; err == nil; n++ {
			require.Less(t, n, 100)
			in.Messages = []types.Message{userMessage(fmt.Sprint("hello ", n))}
			_, err = r.client.Converse(ctx, in)
		}
		require.ErrorIs(t, err, budget.ErrExceeded)
		require.NotEmpty(t, r.events.of(bedrockguard.EventPointsRemoved))
		require.Empty(t, r.events.of(bedrockguard.EventCacheFinding))
		r.requireExact(t)
	}
}

// Estimate foretells that the points are left out.
func TestEstimateWithoutCachePoints(t *testing.T) {
	r := newRig(t, settings{limits: dollars(0.04), guard: bedrockguard.Options{Output: bedrockguard.Output{Clamp: true, Floor: 10}, StrictBound: true}})
	system, messages := pointed()
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(webClaude), System: system, Messages: messages, InferenceConfig: maxTokens(50)}
	e, err := r.guard.Estimate(t.Context(), in, inRegion)
	require.NoError(t, err)
	require.NoError(t, e.Refusal)
	_, err = r.client.Converse(t.Context(), in)
	require.NoError(t, err)
	require.NotEmpty(t, r.events.of(bedrockguard.EventPointsRemoved))
	require.Equal(t, r.events.of(bedrockguard.EventReserved)[0].Worst, e.Worst)
}
