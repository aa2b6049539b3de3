package bedrockguard_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func dollars(max float64) []budget.Limit {
	return []budget.Limit{{Name: "small", Max: budget.USD(max), Window: budget.Daily}}
}

// lasting answers with as many tokens as a request allows.
func lasting(r bedrocktest.Request) bedrocktest.Reply {
	return bedrocktest.Reply{OutputTokens: r.MaxTokens}
}

// A budget that the model's own output limit is too dear for admits calls that set none, once there is a default.
func TestADefaultOutputLimitMakesSmallBudgetsUsable(t *testing.T) {
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(sonnet), Messages: []types.Message{userMessage("hello")}}
	without := newRig(t, settings{limits: dollars(0.25)})
	_, err := without.client.Converse(t.Context(), in)
	require.ErrorIs(t, err, budget.ErrExceeded)
	require.ErrorContains(t, err, "no maxTokens is set")

	options := bedrockguard.Options{Output: bedrockguard.Output{Default: 1000}}
	server := bedrocktest.Options{Reply: lasting, Record: true}
	r := newRig(t, settings{limits: dollars(0.25), guard: options, server: server})
	out, err := r.client.Converse(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, int32(1000), *out.Usage.OutputTokens)
	require.Nil(t, in.InferenceConfig, "the caller's own request stays as it is")
	limited := r.events.of(bedrockguard.EventOutputLimited)
	require.Len(t, limited, 1)
	require.Equal(t, [2]int64{0, 1000}, [2]int64{limited[0].OutputFrom, limited[0].OutputTo})

	_, err = r.client.Converse(t.Context(), converseInput("hello")) // which sets 100
	require.NoError(t, err)
	body := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":70,"messages":[{"role":"user","content":"hello"}]}`
	require.NoError(t, invoke(t.Context(), r.client, sonnet, body))
	require.NoError(t, invoke(t.Context(), r.client, "us.amazon.nova-pro-v1:0", `{"messages":[{"role":"user","content":[{"text":"hello"}]}]}`))
	require.Len(t, r.events.of(bedrockguard.EventOutputLimited), 2)
	var sent []int
	for _, q := range r.server.Received() {
		sent = append(sent, q.MaxTokens)
	}
	require.Equal(t, []int{1000, 100, 70, 1000}, sent)
	r.requireExact(t)
}

// With Clamp nearly all of a budget can be used: the last calls get shorter answers instead of refusals. Each door and form is lowered.
func TestClampUsesABudgetUp(t *testing.T) {
	calls := map[string]func(r *rig) error{
		"Converse": func(r *rig) error {
			in := converseInput("hello")
			in.InferenceConfig = maxTokens(4000)
			_, err := r.client.Converse(context.Background(), in)
			assert.Equal(t, int32(4000), *in.InferenceConfig.MaxTokens)
			return err
		},
		"ConverseStream": func(r *rig) error {
			in := streamInput("hello")
			in.InferenceConfig = maxTokens(4000)
			return converseStream(context.Background(), r.client, in)
		},
		"InvokeModel": func(r *rig) error {
			return invoke(context.Background(), r.client, sonnet, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":4000,"messages":[{"role":"user","content":"hello"}]}`)
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			for _, clamp := range []bool{false, true} {
				r := newRig(t, settings{
					limits: dollars(1), server: bedrocktest.Options{Reply: lasting},
					guard: bedrockguard.Options{Output: bedrockguard.Output{Clamp: clamp}},
				})
				var err error
				for range 1000 {
					if err = call(r); err != nil {
						break
					}
				}
				require.ErrorIs(t, err, budget.ErrExceeded)
				used := float64(r.balance(t, "small").Settled.N) / 1e9
				t.Logf("clamp %t: %.1f %% of the budget used", clamp, 100*used)
				require.LessOrEqual(t, used, 1.0)
				require.Equal(t, clamp, used > 0.97, "%.1f %%", 100*used)
				require.Len(t, r.events.of(bedrockguard.EventDenied), 1, "a refusal that is not final is none")
				r.requireExact(t)
			}
		})
	}
}

// A limit that is lowered is never lower than the floor, nor within a thinking budget; a call that does not fit with that is refused, once.
func TestClampHasAFloor(t *testing.T) {
	in := func(fields map[string]any) *bedrockruntime.ConverseInput {
		in := converseInput("hello")
		in.InferenceConfig = maxTokens(4000)
		if fields != nil {
			in.AdditionalModelRequestFields = document.NewLazyDocument(fields)
		}
		return in
	}
	thinking := map[string]any{"thinking": map[string]any{"type": "enabled", "budget_tokens": 3000}}
	for name, tt := range map[string]struct {
		output bedrockguard.Output
		max    float64 // of which 15 micro-USD are one token of output
		fields map[string]any
		least  int64 // what the request is sent with at least; 0 for refused
	}{
		"room for more than the floor":        {bedrockguard.Output{Clamp: true, Floor: 500}, 0.02, nil, 500},
		"no room for the floor":               {bedrockguard.Output{Clamp: true, Floor: 1500}, 0.02, nil, 0},
		"a floor that nobody set":             {bedrockguard.Output{Clamp: true}, 0.0035, nil, 0},
		"room for more than the thinking":     {bedrockguard.Output{Clamp: true, Floor: 1}, 0.055, thinking, 3001},
		"no room for anything after thinking": {bedrockguard.Output{Clamp: true, Floor: 1}, 0.04, thinking, 0},
	} {
		t.Run(name, func(t *testing.T) {
			limits := dollars(tt.max)
			limits[0].Latch = true
			r := newRig(t, settings{limits: limits, guard: bedrockguard.Options{Output: tt.output}, server: bedrocktest.Options{Record: true}})
			_, err := r.client.Converse(t.Context(), in(tt.fields))
			if tt.least == 0 {
				require.ErrorIs(t, err, budget.ErrExceeded)
				require.Empty(t, r.server.Received())
				require.True(t, r.balance(t, "small").Latched, "the last word latches")
				require.Len(t, r.events.of(bedrockguard.EventDenied), 1)
				return
			}
			require.NoError(t, err)
			require.False(t, r.balance(t, "small").Latched, "a refusal that is not final latches nothing")
			sent := r.events.of(bedrockguard.EventOutputLimited)
			require.Len(t, sent, 1)
			require.GreaterOrEqual(t, sent[0].OutputTo, tt.least)
			require.Equal(t, int(sent[0].OutputTo), r.server.Received()[0].MaxTokens)
			require.Empty(t, r.events.of(bedrockguard.EventDenied))
		})
	}
}

// Each limit that has no room lowers it further; what lowering can't help, a limit on calls or on input, refuses as ever.
func TestClampHeedsEveryLimit(t *testing.T) {
	output := bedrockguard.Options{Output: bedrockguard.Output{Clamp: true, Floor: 10}}
	in := converseInput("hello")
	in.InferenceConfig = maxTokens(4000)
	r := newRig(t, settings{guard: output, limits: []budget.Limit{
		{Name: "money", Max: budget.USD(0.03), Window: budget.Daily}, {Name: "output", Max: budget.OutputTokens(300), Window: budget.Daily},
	}})
	_, err := r.client.Converse(t.Context(), in)
	require.NoError(t, err)
	limited := r.events.of(bedrockguard.EventOutputLimited)
	require.Equal(t, int64(300), limited[len(limited)-1].OutputTo)

	for name, limit := range map[string]budget.Limit{
		"calls": {Name: "calls", Max: budget.Calls(0), Window: budget.Daily}, "input": {Name: "input", Max: budget.InputTokens(1), Window: budget.Daily},
	} {
		r := newRig(t, settings{guard: output, limits: []budget.Limit{limit}})
		_, err := r.client.Converse(t.Context(), in)
		require.ErrorIs(t, err, budget.ErrExceeded, name)
		require.Empty(t, r.events.of(bedrockguard.EventOutputLimited), name)
	}
}

// A limit that only observes lowers nothing.
func TestClampIsNotForObservedLimits(t *testing.T) {
	r := newRig(t, settings{
		guard:  bedrockguard.Options{Output: bedrockguard.Output{Clamp: true}},
		limits: []budget.Limit{{Name: "watched", Max: budget.USD(0.01), Window: budget.Daily, Observe: true}},
	})
	in := converseInput("hello")
	in.InferenceConfig = maxTokens(4000)
	_, err := r.client.Converse(t.Context(), in)
	require.NoError(t, err)
	require.Empty(t, r.events.of(bedrockguard.EventOutputLimited))
	require.NotEmpty(t, r.events.of(bedrockguard.EventObserved))
}

// A call of which something was sent is not made anew with another limit: its retries are the SDK's to count.
func TestClampIsForWhatWasNotSent(t *testing.T) {
	sent := 0
	r := newRig(t, settings{
		limits: dollars(0.10), guard: bedrockguard.Options{Output: bedrockguard.Output{Clamp: true, Floor: 1}},
		config: withTransport(func(req *http.Request) (*http.Response, error) {
			sent++
			return &http.Response{StatusCode: 500, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
		}),
	})
	in := converseInput("hello")
	in.InferenceConfig = maxTokens(5000)
	_, err := r.client.Converse(t.Context(), in) // the first attempt is charged, and leaves no room for a second one
	require.ErrorIs(t, err, budget.ErrExceeded)
	require.Equal(t, 1, sent)
	require.Empty(t, r.events.of(bedrockguard.EventOutputLimited))
}

// Nova at high effort is refused by the service with an output limit, so that it is given none.
func TestHighEffortGetsNoOutputLimit(t *testing.T) {
	r := newRig(t, settings{guard: bedrockguard.Options{Output: bedrockguard.Output{Default: 500, Clamp: true}}, server: bedrocktest.Options{Record: true}})
	in := &bedrockruntime.ConverseInput{
		ModelId: aws.String("us.amazon.nova-2-lite-v1:0"), Messages: []types.Message{userMessage("hello")},
		AdditionalModelRequestFields: document.NewLazyDocument(map[string]any{"reasoningConfig": map[string]any{"type": "enabled", "maxReasoningEffort": "high"}}),
	}
	_, _ = r.client.Converse(t.Context(), in)
	require.Empty(t, r.events.of(bedrockguard.EventOutputLimited))
}

// A clamped call leaves a killed scope, and an answer of the store's that is none, as they are.
func TestClampLeavesOtherRefusalsAlone(t *testing.T) {
	r := newRig(t, settings{limits: dollars(1), guard: bedrockguard.Options{Output: bedrockguard.Output{Clamp: true}}})
	require.NoError(t, storetest.Done(r.ledger.KillAll(t.Context(), "stop")))
	_, err := r.client.Converse(t.Context(), converseInput("hello"))
	require.ErrorIs(t, err, budget.ErrKilled)
	require.Len(t, r.events.of(bedrockguard.EventKilled), 1)
	_, err = bedrockguard.New(r.ledger, bedrockguard.Options{Output: bedrockguard.Output{Default: -1, Floor: -1}})
	require.ErrorIs(t, err, bedrockguard.ErrInvalidOptions)
	require.ErrorContains(t, err, "Output.Default -1 is negative")
	_, err = bedrockguard.New(r.ledger, bedrockguard.Options{Output: bedrockguard.Output{Floor: 10}})
	require.ErrorContains(t, err, "without Output.Clamp")
}

// Fifty calls at once, of which each sets aside a fifth of the budget and costs little: all are served, none beyond the budget.
func TestAFanOutIsServedWhole(t *testing.T) {
	run := func(wait time.Duration) (served int64, r *rig) {
		r = newRig(t, settings{
			limits: dollars(0.1), server: bedrocktest.Options{FirstByteDelay: 10 * time.Millisecond},
			guard: bedrockguard.Options{MaxWait: wait},
		})
		var all sync.WaitGroup
		var n atomic.Int64
		for range 50 {
			all.Go(func() {
				in := converseInput("hello")
				in.InferenceConfig = maxTokens(1300)
				if _, err := r.client.Converse(context.Background(), in); err == nil {
					n.Add(1)
				} else if !errors.Is(err, budget.ErrExceeded) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		r.requireExact(t)
		return n.Load(), r
	}
	served, _ := run(0)
	require.Less(t, served, int64(50))
	served, r := run(time.Minute)
	require.Equal(t, int64(50), served)
	require.LessOrEqual(t, r.balance(t, "small").Settled.N, budget.USD(0.1).N)
	require.Empty(t, r.events.of(bedrockguard.EventDenied))
}

// A call that waits in vain is refused when its time is up, with the reason; one that never fits, at once.
func TestMaxWaitEnds(t *testing.T) {
	r := newRig(t, settings{limits: dollars(0.1), guard: bedrockguard.Options{MaxWait: 50 * time.Millisecond}})
	held, err := r.ledger.Reserve(t.Context(), budget.Request{Worst: budget.Charge{budget.UnitUSD: budget.USD(0.0999).N}})
	require.NoError(t, err)
	begun := time.Now()
	_, err = r.client.Converse(t.Context(), converseInput("hello"))
	var e *budget.ExceededError
	require.ErrorAs(t, err, &e)
	require.True(t, e.Waiting)
	require.GreaterOrEqual(t, time.Since(begun), 50*time.Millisecond)
	require.NoError(t, r.ledger.Void(t.Context(), held))
	_, err = bedrockguard.New(r.ledger, bedrockguard.Options{MaxWait: time.Hour})
	require.ErrorContains(t, err, "MaxWait 1h0m0s is not in 0 to 5m0s")
}
