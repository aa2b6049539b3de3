package bedrockguard_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// A call whose transport panicked has ended.
func TestAPanicEndsTheTurn(t *testing.T) {
	clock := newFastClock()
	r := newRig(t, settings{
		config: withTransport(func(*http.Request) (*http.Response, error) { panic("transport broke") }),
		guard:  bedrockguard.Options{Cache: cache.Policy{Mode: cache.Report}, Clock: clock.Now},
	})
	a := onlySystemMarked(newScript(r.client, clock))
	for range 3 {
		require.Panics(t, func() { _ = a.fork().say(inWorkflow("w"), textBlock("hello")) })
	}
	require.NotContains(t, r.foundRules(), cache.Rule("cold-fan-out"), "%v", r.findings())
}

// A listener that panics on a finding.
func TestAPanickingListenerHoldsNobody(t *testing.T) {
	clock := newFastClock()
	armed := true
	r := newRig(t, settings{guard: bedrockguard.Options{Cache: cache.Policy{Mode: cache.Report, HoldFanOut: 4 * time.Minute}, Clock: clock.Now, OnEvent: func(_ context.Context, e bedrockguard.Event) {
		if armed && e.Kind == bedrockguard.EventCacheFinding {
			panic("listener")
		}
	}}})
	a := onlySystemMarked(newScript(r.client, clock))
	require.NoError(t, a.fork().say(inWorkflow("w"), textBlock(passage(1, 30_000))))
	armed = false
	ctx, cancel := context.WithTimeout(inWorkflow("w"), 30*time.Second) // far less than the hold
	defer cancel()
	require.NoError(t, a.fork().say(ctx, textBlock(passage(1, 30_000))), "held by a call that is gone")
}

// A middleware of the caller's answers a stream from a store of its own: nothing is sent.
func TestAShortCircuitedStreamEndsTheTurn(t *testing.T) {
	clock := newFastClock()
	r := newRig(t, settings{guard: bedrockguard.Options{Cache: cache.Policy{Mode: cache.Report}, Clock: clock.Now}})
	a := onlySystemMarked(newScript(r.client, clock))
	answer := func(o *bedrockruntime.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Initialize.Add(middleware.InitializeMiddlewareFunc("answer", func(context.Context, middleware.InitializeInput, middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				return middleware.InitializeOutput{Result: &bedrockruntime.ConverseStreamOutput{}}, middleware.Metadata{}, nil
			}), middleware.After)
		})
	}
	for range 3 {
		_, err := r.client.ConverseStream(inWorkflow("w"), &bedrockruntime.ConverseStreamInput{
			ModelId: aws.String(opus46), System: a.system, Messages: []types.Message{userSays(textBlock("hello"))}, InferenceConfig: maxTokens(100),
		}, answer)
		require.NoError(t, err)
	}
	require.NotContains(t, r.foundRules(), cache.Rule("cold-fan-out"), "%v", r.findings())
}

// The workflow's name is what a caller has.
func TestReviveCacheByWorkflow(t *testing.T) {
	clock := newFastClock()
	r := newRig(t, settings{guard: bedrockguard.Options{Scope: budget.Scope{Principal: "ci"}, Cache: cache.Policy{Mode: cache.Refuse, Rules: map[cache.Rule]cache.Mode{}}, Clock: clock.Now}})
	ctx := budget.WithScope(context.Background(), budget.Scope{Workflow: "w"})
	_, err := r.client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(opus46), Messages: []types.Message{userSays(textBlock("x"))}, InferenceConfig: maxTokens(10)})
	require.NoError(t, err)
	var tripped error
	long := passage(1, 60_000)
	for range 12 {
		_, tripped = r.client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(opus46), Messages: []types.Message{userSays(textBlock(long))}, InferenceConfig: maxTokens(10)})
		clock.Advance(time.Second)
		if tripped != nil {
			break
		}
	}
	require.ErrorIs(t, tripped, cache.ErrRefused)
	require.Equal(t, 1, r.guard.ReviveCache(budget.Scope{Workflow: "w"}))
	_, err = r.client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(opus46), Messages: []types.Message{userSays(textBlock(long))}, InferenceConfig: maxTokens(10)})
	require.NoError(t, err)
}

// One region refuses points; the others take them.
func TestARefusalOfPointsIsOfOnePlace(t *testing.T) {
	clock := newFastClock()
	refuse := true
	r := newRig(t, settings{
		guard: bedrockguard.Options{Cache: cache.Policy{Mode: cache.Refuse}, Clock: clock.Now},
		config: func(c *aws.Config) {
			real := c.HTTPClient
			c.HTTPClient = clientFunc(func(q *http.Request) (*http.Response, error) {
				if refuse {
					return forbidden(q), nil
				}
				return real.Do(q)
			})
		},
	})
	say := func(region, workflow string) error {
		a := onlySystemMarked(newScript(r.client, clock))
		_, err := r.client.Converse(inWorkflow(workflow), &bedrockruntime.ConverseInput{
			ModelId: aws.String(opus46), System: a.system, Messages: []types.Message{userSays(textBlock("hello"))}, InferenceConfig: maxTokens(100),
		}, func(o *bedrockruntime.Options) { o.Region = region })
		return err
	}
	require.ErrorContains(t, say("us-west-2", "a"), "did not allow prompt caching")
	refuse = false
	require.NoError(t, say("us-east-1", "b"))
}

type clientFunc func(*http.Request) (*http.Response, error)

func (f clientFunc) Do(q *http.Request) (*http.Response, error) { return f(q) }

func forbidden(q *http.Request) *http.Response {
	return &http.Response{
		StatusCode: 403, Request: q, Header: http.Header{"X-Amzn-Errortype": {"AccessDeniedException"}, "Content-Type": {"application/json"}},
		Body: readCloser{strings.NewReader(`{"message":"You invoked an unsupported model or your request did not allow prompt caching."}`)},
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// One picture a request with the question behind it, as makers of models advise; the guard itself places the points.
func TestPicturesOneByOneAreNotRefused(t *testing.T) {
	for _, mode := range []cache.Mode{cache.Fix, cache.Refuse} {
		clock := newFastClock()
		policy := cache.Policy{Mode: mode}
		r := cacheRig(t, policy, clock)
		for i := range 4 {
			_, err := r.client.Converse(inWorkflow("pictures"), &bedrockruntime.ConverseInput{
				ModelId: aws.String(opus46), InferenceConfig: maxTokens(100),
				System:   []types.SystemContentBlock{textBlockOfSystem(passage(1, 40_000)), &types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}}},
				Messages: []types.Message{userSays(picture(t, 100+i), textBlock("Describe the picture in two sentences, name every object in it, and answer in JSON."))},
			})
			if err != nil {
				t.Errorf("%v, picture %d: %v", mode, i, err)
			}
			clock.Advance(time.Second)
		}
		if rules := r.foundRules(); len(rules) > 0 {
			t.Errorf("%v: %v, read %d tokens", mode, rules, r.server.Bill().CacheRead.Tokens)
		}
	}
}
