package bedrockguard_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// What a guard in shadow foretells is what enforcing does, call by call, on the same traffic; and what it lets through is usage.
func TestShadowForetellsWhatEnforcingDoes(t *testing.T) {
	run := func(shadow bool) (refused []bool, r *rig) {
		r = newRig(t, settings{limits: dollars(0.05), guard: bedrockguard.Options{Shadow: shadow}, server: bedrocktest.Options{Reply: lasting}})
		for n := range 60 {
			in := converseInput("hello")
			in.InferenceConfig = maxTokens(int32(50 + 37*n%400))
			before := len(r.events.of(bedrockguard.EventDenied))
			_, err := r.client.Converse(t.Context(), in)
			if shadow {
				require.NoError(t, err)
			}
			refused = append(refused, len(r.events.of(bedrockguard.EventDenied)) > before)
		}
		return refused, r
	}
	want, enforcing := run(false)
	got, r := run(true)
	require.Equal(t, want, got)
	require.Contains(t, got, true)
	require.Contains(t, got, false)
	require.Equal(t, enforcing.balance(t, "small").Settled, r.balance(t, "small").Settled, "what is let through counts in no limit")
	rows, err := storetest.Collect(r.ledger.Usage(t.Context(), budget.UsageQuery{}))
	require.NoError(t, err)
	require.Equal(t, r.server.Bill().NanoUSD, rows[0].Charge[budget.UnitUSD], "and is usage")
	report := r.guard.ShadowReport()
	require.Len(t, report, 1)
	require.Equal(t, bedrockguard.ShadowLine{Limit: "small", Cause: "limit", Calls: int64(len(r.events.of(bedrockguard.EventDenied)))}, report[0])
	require.Len(t, r.events.of(bedrockguard.EventInShadow), 1)
	for _, e := range r.events.of(bedrockguard.EventDenied, bedrockguard.EventSettled, bedrockguard.EventReserved) {
		require.True(t, e.Shadow)
	}
}

// Whatever would refuse a call, in shadow it goes through, once, whole or as a stream; a kill and what is malformed do not.
func TestShadowRefusesNothingButKills(t *testing.T) {
	unpriced := func(r *rig) error {
		in := converseInput("hello")
		in.ModelId = aws.String("somebody.unknown-model-v1:0")
		_, err := r.client.Converse(context.Background(), in)
		return err
	}
	hello := func(r *rig) error {
		_, err := r.client.Converse(context.Background(), converseInput("hello"))
		return err
	}
	stream := func(r *rig) error { return converseStream(context.Background(), r.client, streamInput("hello")) }
	down := &failingStore{Store: memstore.New(memstore.Options{}), reserve: errors.New("connection refused"), settle: errors.New("connection refused")}
	none := []budget.Limit{{Name: "none", Max: budget.Calls(0), Window: budget.Daily}}
	for name, tt := range map[string]struct {
		settings settings
		call     func(*rig) error
		cause    string
		answered bool // by the service, which knows no such model
	}{
		"a limit":                     {settings{limits: none}, hello, "limit", true},
		"a limit, of a stream":        {settings{limits: none}, stream, "limit", true},
		"a rate":                      {settings{guard: bedrockguard.Options{Rate: bedrockguard.Rate{UncachedInputTokensPerMinute: 1, Burst: 1}}}, hello, "rate", true},
		"a price":                     {settings{}, unpriced, "price", false},
		"a price, with a cache check": {settings{guard: bedrockguard.Options{Cache: cache.Policy{Mode: cache.Report}}}, unpriced, "price", false},
		"an operation": {settings{}, func(r *rig) error {
			_, err := r.client.StartAsyncInvoke(context.Background(), &bedrockruntime.StartAsyncInvokeInput{
				ModelId: aws.String("amazon.nova-reel-v1:1"), ModelInput: document.NewLazyDocument(map[string]any{}),
				OutputDataConfig: &types.AsyncInvokeOutputDataConfigMemberS3OutputDataConfig{Value: types.AsyncInvokeS3OutputDataConfig{S3Uri: aws.String("s3://bucket")}},
			})
			return err
		}, "operation", false},
		"an operation that is refused while its stack is built": {settings{}, func(r *rig) error {
			passed := errors.New("passed")
			_, err := r.client.InvokeModelWithBidirectionalStream(context.Background(), &bedrockruntime.InvokeModelWithBidirectionalStreamInput{ModelId: aws.String("amazon.nova-sonic-v1:0")},
				func(o *bedrockruntime.Options) {
					o.APIOptions = append(o.APIOptions, func(*middleware.Stack) error { return passed }) // what it would do here is nobody's to end
				})
			if errors.Is(err, passed) {
				return nil
			}
			return err
		}, "operation", false},
		"a store": {settings{store: down}, hello, "store", true},
	} {
		t.Run(name, func(t *testing.T) {
			tt.settings.guard.Shadow = true
			r := newRig(t, tt.settings)
			err := tt.call(r)
			for _, of := range []error{budget.ErrExceeded, budget.ErrStore, bedrockguard.ErrUnpriced, bedrockguard.ErrRateLimited, bedrockguard.ErrUnsupportedOperation} {
				require.NotErrorIs(t, err, of)
			}
			if tt.answered {
				require.NoError(t, err)
				require.Equal(t, 1, r.server.Bill().Inferences)
			}
			require.Len(t, r.events.of(bedrockguard.EventDenied), 1)
			report := r.guard.ShadowReport()
			require.Len(t, report, 1)
			require.Equal(t, [2]any{tt.cause, int64(1)}, [2]any{report[0].Cause, report[0].Calls})
		})
		if tt.settings.store != nil {
			continue // which can't be asked what was killed
		}
		t.Run(name+", killed", func(t *testing.T) {
			tt.settings.guard.Shadow = true
			r := newRig(t, tt.settings)
			require.NoError(t, storetest.Done(r.ledger.KillAll(t.Context(), "stop")))
			require.ErrorIs(t, tt.call(r), budget.ErrKilled)
			require.Zero(t, r.server.Bill().Inferences)
			require.Empty(t, r.guard.ShadowReport())
			require.Len(t, r.events.of(bedrockguard.EventKilled), 1)
		})
	}
	r := newRig(t, settings{guard: bedrockguard.Options{Shadow: true}})
	require.ErrorIs(t, invoke(t.Context(), r.client, sonnet, `{"max_tokens":1.5}`), bedrockguard.ErrMalformedRequest)
	require.Empty(t, r.guard.ShadowReport())
}

// A request that is changed behind the guard's first look, into one without a price, is sent whole, told of once, and settled.
func TestShadowSendsWhatWasChangedOnTheWay(t *testing.T) {
	r := newRig(t, settings{guard: bedrockguard.Options{Shadow: true}})
	change := func(o *bedrockruntime.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("change", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				req := raiseRequest(in.Request.(*smithyhttp.Request), onlyOnce)
				req.Header.Set("X-Amzn-Bedrock-GuardrailIdentifier", "abcdefghij")
				req.Header.Set("X-Amzn-Bedrock-GuardrailVersion", "1")
				in.Request = req
				return next.HandleDeserialize(ctx, in)
			}), middleware.After)
		})
	}
	body := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":"hello"}]}`
	_, err := r.client.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: aws.String(sonnet), Body: []byte(body)}, change)
	require.NoError(t, err)
	require.Equal(t, 1, r.server.Bill().Inferences)
	require.Len(t, r.events.of(bedrockguard.EventDenied), 1)
	require.Equal(t, []bedrockguard.ShadowLine{{Cause: "price", Calls: 1}}, r.guard.ShadowReport())
	require.Len(t, r.events.of(bedrockguard.EventSettled), 1)
	rows, err := storetest.Collect(r.ledger.Usage(t.Context(), budget.UsageQuery{}))
	require.NoError(t, err)
	require.Positive(t, rows[0].Charge[budget.UnitUSD])
}

// What the cache check would have refused gets the default output limit all the same, whether the path names the model or the body does.
func TestShadowSetsTheOutputLimitOfWhatTheCacheCheckRefuses(t *testing.T) {
	system, turn := strings.Repeat("the rules of the house ", 2000), passage(1, 30_000)
	for name, route := range map[string][2]string{
		"converse": {"/model/" + opus46 + "/converse", `{"toolConfig":{"tools":[{"toolSpec":{"name":"run","inputSchema":{"json":{"type":"object"}}}}]},"system":[{"text":"` + system + `"},{"cachePoint":{"type":"default"}}],"messages":[{"role":"user","content":[{"text":"` + turn + `"}]}]}`},
		"messages": {"/anthropic/v1/messages", `{"model":"` + opus46 + `","max_tokens":77,"tools":[{"name":"run","input_schema":{"type":"object"}}],"system":[{"type":"text","text":"` + system + `","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"` + turn + `"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, settings{guard: bedrockguard.Options{
				Shadow: true, Scope: budget.Scope{Workflow: "w"}, Cache: cache.Policy{Mode: cache.Refuse}, Output: bedrockguard.Output{Default: 77},
			}})
			resp, text := w.post(t, route[0], route[1])
			require.Equal(t, http.StatusOK, resp.StatusCode, text)
			denied := w.events.of(bedrockguard.EventDenied)
			require.Len(t, denied, 1)
			require.ErrorIs(t, denied[0].Err, cache.ErrRefused)
			require.Equal(t, int64(77), w.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitOutputTokens])
		})
	}
}
