package bedrockguard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// bench is what a misbehaving listener can get hold of.
type bench struct {
	rig    *rig
	stream atomic.Pointer[bedrockruntime.ConverseStreamEventStream]
	ready  chan struct{} // closed once the rest is there
	fails  atomic.Int64
}

// misdeeds are what a listener may do.
var misdeeds = map[string]func(b *bench, ctx context.Context){
	"panics":             func(*bench, context.Context) { panic("listener") },
	"ends its goroutine": func(*bench, context.Context) { runtime.Goexit() },
	"blocks for a second": func(*bench, context.Context) {
		time.Sleep(time.Second)
	},
	"closes the stream": func(b *bench, _ context.Context) {
		if s := b.stream.Load(); s != nil {
			_ = s.Close()
		}
	},
	"calls the guard": func(b *bench, ctx context.Context) {
		<-b.ready
		if _, err := b.rig.client.Converse(ctx, converseInput("from a listener")); err != nil && !errors.Is(err, budget.ErrKilled) && !errors.Is(err, budget.ErrExceeded) {
			b.fails.Add(1)
		}
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Millisecond)
		defer cancel()
		_ = b.rig.guard.Close(closing)
	},
	"calls another service": func(b *bench, ctx context.Context) {
		<-b.ready
		if err := b.callSTS(ctx); err != nil {
			b.fails.Add(1)
		}
	},
}

// callSTS calls another service as the SDK does, by a client of a config that the guard was installed on.
func (b *bench) callSTS(ctx context.Context) error {
	cfg := b.rig.config.Copy()
	b.rig.guard.InstallConfig(&cfg)
	stack := middleware.NewStack("GetCallerIdentity", smithyhttp.NewStackRequest)
	if err := cfg.APIOptions[0](stack); err != nil {
		return err
	}
	handler := middleware.DecorateHandler(middleware.HandlerFunc(func(context.Context, any) (any, middleware.Metadata, error) {
		return &smithyhttp.Response{Response: &http.Response{StatusCode: 200, Body: http.NoBody}}, middleware.Metadata{}, nil
	}), stack)
	_, _, err := handler.Handle(awsmiddleware.SetServiceID(middleware.ClearStackValues(ctx), "STS"), struct{}{})
	return err
}

// occasion makes an event of a kind happen.
type occasion struct {
	settings settings
	pending  bool // what it sets aside stays so
	call     func(t *testing.T, b *bench)
}

func (b *bench) converse(t *testing.T, text string) {
	t.Helper()
	if _, err := b.rig.client.Converse(context.Background(), converseInput(text)); err != nil {
		require.ErrorIs(t, err, budget.ErrExceeded)
	}
}

func occasions() map[bedrockguard.EventKind]occasion {
	usual := func(t *testing.T, b *bench) { b.converse(t, "hello") }
	streamed := func(t *testing.T, b *bench) {
		out, err := b.rig.client.ConverseStream(context.Background(), streamInput("hello"))
		require.NoError(t, err)
		b.stream.Store(out.GetStream())
		for range out.GetStream().Events() {
		}
		_ = out.GetStream().Close()
	}
	limited := func(l budget.Limit) settings { return settings{limits: []budget.Limit{l}} }
	old := func() time.Time { return time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC) }
	return map[bedrockguard.EventKind]occasion{
		bedrockguard.EventReserved: {call: streamed},
		bedrockguard.EventSettled:  {call: streamed},
		bedrockguard.EventVoided:   {settings: settings{server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.Throttle)}}, call: usual},
		bedrockguard.EventUnsettled: {
			settings: settings{store: &failingStore{Store: memstore.New(memstore.Options{}), settle: errors.New("disk full")}, guard: bedrockguard.Options{SettleTimeout: time.Nanosecond}},
			pending:  true, call: usual,
		},
		bedrockguard.EventDenied:           {settings: limited(budget.Limit{Name: "none", Max: budget.Calls(0), Window: budget.Daily}), call: usual},
		bedrockguard.EventObserved:         {settings: limited(budget.Limit{Name: "none", Max: budget.Calls(0), Window: budget.Daily, Observe: true}), call: usual},
		bedrockguard.EventThresholdCrossed: {settings: limited(budget.Limit{Name: "few", Max: budget.Calls(100), Window: budget.Daily, Notify: []float64{0.01}}), call: usual},
		bedrockguard.EventKilled: {
			settings: settings{
				server: bedrocktest.Options{EventDelay: 300 * time.Millisecond, Reply: func(bedrocktest.Request) bedrocktest.Reply {
					return bedrocktest.Reply{Text: strings.Repeat("word ", 20), OutputTokens: 20} // so long that it is killed before it ends, however busy the machine is
				}},
				guard: bedrockguard.Options{KillPoll: 5 * time.Millisecond},
			},
			call: func(t *testing.T, b *bench) {
				ctx := budget.WithScope(context.Background(), budget.Scope{Workflow: "loop"})
				out, err := b.rig.client.ConverseStream(ctx, streamInput("hello"))
				require.NoError(t, err)
				b.stream.Store(out.GetStream())
				<-out.GetStream().Events()
				require.NoError(t, storetest.Done(b.rig.ledger.Kill(ctx, budget.Scope{Workflow: "loop"}, "runaway loop")))
				for range out.GetStream().Events() {
				}
				_ = out.GetStream().Close()
			},
		},
		bedrockguard.EventCacheFinding: {settings: settings{guard: bedrockguard.Options{Cache: cache.Policy{Mode: cache.Report}}}, call: func(t *testing.T, b *bench) {
			_ = onlySystemMarked(newScript(b.rig.client, newFastClock())).say(inWorkflow("w"), textBlock(passage(1, 30_000)))
		}},
		bedrockguard.EventEstimateViolated: {settings: settings{config: answers(fmt.Sprintf(converseAnswer, ""))}, call: usual},
		bedrockguard.EventAnswerDiffers: {settings: settings{config: answers(anthropicAnswer("claude-fable-5-1"))}, call: func(t *testing.T, b *bench) {
			require.NoError(t, invoke(context.Background(), b.rig.client, sonnet5, anthropicBody("hello")))
		}},
		bedrockguard.EventPriceAssumed: {settings: settings{config: func(c *aws.Config) {
			answers(fmt.Sprintf(converseAnswer, ""))(c)
			c.Region = "mx-central-1"
		}}, call: func(t *testing.T, b *bench) {
			in := converseInput("hello")
			in.ModelId = aws.String(gptOSS)
			_, err := b.rig.client.Converse(context.Background(), in)
			require.NoError(t, err)
		}},
		bedrockguard.EventOutputLimited: {settings: settings{guard: bedrockguard.Options{Output: bedrockguard.Output{Default: 50}}}, call: func(t *testing.T, b *bench) {
			in := converseInput("hello")
			in.InferenceConfig = nil
			_, err := b.rig.client.Converse(context.Background(), in)
			require.NoError(t, err)
		}},
		bedrockguard.EventInShadow: {settings: settings{guard: bedrockguard.Options{Shadow: true}}, call: usual},
		bedrockguard.EventListenerFailed: {settings: settings{guard: bedrockguard.Options{Listeners: []func(context.Context, bedrockguard.Event){
			func(context.Context, bedrockguard.Event) { panic("another listener") },
		}}}, call: usual},
		bedrockguard.EventCatalogOld: {settings: settings{guard: bedrockguard.Options{Clock: old}}, call: usual},
	}
}

// Whatever a listener does at whatever event, in the way of the call or beside it: the event was told, the call ends as it would have,
// nothing stays reserved, no goroutine stays behind.
func TestListenersMayDoAnything(t *testing.T) {
	for kind, o := range occasions() {
		for name, misdeed := range misdeeds {
			for _, queued := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/queued=%v", kind, name, queued), func(t *testing.T) {
					t.Parallel()
					b := &bench{ready: make(chan struct{})}
					var told atomic.Int64
					listener := func(ctx context.Context, e bedrockguard.Event) {
						if e.Kind == kind {
							told.Add(1)
							misdeed(b, ctx)
						}
					}
					s := occasions()[kind].settings
					if queued {
						s.guard.Listeners = append(s.guard.Listeners, listener)
					} else {
						s.guard.OnEvent = listener
					}
					r := newRig(t, s)
					b.rig = r
					close(b.ready)
					o.call(t, b)
					require.Eventually(t, func() bool { return told.Load() > 0 }, 10*time.Second, time.Millisecond)
					closing, cancel := context.WithTimeout(context.Background(), 30*time.Second)
					defer cancel()
					require.NoError(t, r.guard.Close(closing))
					require.Zero(t, b.fails.Load(), "calls of the listener that failed")
					if !o.pending {
						require.Zero(t, r.balance(t, total).Pending.N)
					}
				})
			}
		}
	}
}

// A listener that never comes back costs a call a second for each event at most, and holds neither it nor the next ones.
func TestAListenerThatHangsIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "none", Max: budget.Calls(0), Window: budget.Daily}}})
		require.NoError(t, err)
		var dropped atomic.Int64
		g, err := bedrockguard.New(ledger, bedrockguard.Options{OnEvent: func(_ context.Context, e bedrockguard.Event) {
			dropped.Add(e.Dropped)
			<-release
		}})
		require.NoError(t, err)
		client := g.NewFromConfig(aws.Config{Region: "us-east-1"})
		var calls sync.WaitGroup
		for range 300 {
			calls.Go(func() {
				began := time.Now()
				_, err := client.Converse(t.Context(), converseInput("hello"))
				assert.ErrorIs(t, err, budget.ErrExceeded)
				assert.LessOrEqual(t, time.Since(began), time.Second)
			})
		}
		calls.Wait()
		require.ErrorContains(t, g.Close(t.Context()), "1 listeners")
		close(release)
		synctest.Wait()
		require.NoError(t, g.Close(t.Context()))
		_, err = client.Converse(t.Context(), converseInput("hello"))
		require.ErrorIs(t, err, budget.ErrExceeded)
		require.Equal(t, int64(300-256), dropped.Load(), "what was not told is counted")
	})
}

// Listeners are told everything in order, each in its own time; what finds the queue full is counted.
func TestQueuedListenersHoldNoCall(t *testing.T) {
	release := make(chan struct{})
	var slow, quick recorder
	r := newRig(t, settings{guard: bedrockguard.Options{ListenerQueue: 10, Listeners: []func(context.Context, bedrockguard.Event){
		func(_ context.Context, e bedrockguard.Event) {
			<-release
			slow.add(e)
		},
		func(_ context.Context, e bedrockguard.Event) { quick.add(e) },
		func(context.Context, bedrockguard.Event) { panic("always") },
	}}})
	for range 3 {
		_, err := r.client.Converse(context.Background(), converseInput("hello"))
		require.NoError(t, err)
	}
	for range 5 { // the first one waits in the listener, ten in its queue
		_, err := r.client.Converse(context.Background(), converseInput("hello"))
		require.NoError(t, err)
	}
	close(release)
	require.NoError(t, r.guard.Close(context.Background()))
	_, err := r.client.Converse(context.Background(), converseInput("hello"))
	require.NoError(t, err)
	require.NoError(t, r.guard.Close(context.Background()))
	kinds := func(rec *recorder) (all []string) {
		for _, e := range rec.of(bedrockguard.EventReserved, bedrockguard.EventSettled) {
			all = append(all, fmt.Sprint(e.Reservation, e.Kind))
		}
		return all
	}
	require.Len(t, kinds(&quick), 18)
	require.Equal(t, kinds(r.events), kinds(&quick), "in the order of the calls")
	require.NotEmpty(t, quick.of(bedrockguard.EventListenerFailed))
	all := []bedrockguard.EventKind{bedrockguard.EventReserved, bedrockguard.EventSettled, bedrockguard.EventListenerFailed}
	for tries := 0; ; tries++ { // what was dropped last is told with the next event
		var dropped int
		for _, e := range slow.of(all...) {
			dropped += int(e.Dropped)
		}
		require.Positive(t, dropped)
		if len(quick.of(all...)) == len(slow.of(all...))+dropped {
			return
		}
		require.Less(t, tries, 20, "told or counted: %d events to one, %d and %d dropped to the other", len(quick.of(all...)), len(slow.of(all...)), dropped)
		_, err := r.client.Converse(context.Background(), converseInput("hello"))
		require.NoError(t, err)
		require.NoError(t, r.guard.Close(context.Background()))
	}
}

type userKey struct{}

// The context that a listener gets holds what the caller put there, and nothing of the call.
func TestListenersGetTheCallersValues(t *testing.T) {
	var values sync.Map
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), userKey{}, "mine"))
	r := newRig(t, settings{guard: bedrockguard.Options{OnEvent: func(ctx context.Context, e bedrockguard.Event) {
		if e.Kind == bedrockguard.EventSettled {
			values.Store("value", ctx.Value(userKey{}))
			values.Store("cancelable", ctx.Done() != nil)
		}
	}}})
	_, err := r.client.Converse(ctx, converseInput("hello"))
	cancel()
	require.NoError(t, err)
	value, _ := values.Load("value")
	require.Equal(t, "mine", value)
	cancelable, _ := values.Load("cancelable")
	require.Equal(t, false, cancelable)
}

// An event says when, where, by which request and at what usage, each token once, and reads well as JSON and in a log.
func TestEventsCanBeRead(t *testing.T) {
	r := newRig(t, settings{})
	ctx := budget.WithScope(context.Background(), budget.Scope{Principal: "ci", Workflow: "nightly", Tags: map[string]string{"team": "core"}})
	_, err := r.client.Converse(ctx, converseInput("hello"))
	require.NoError(t, err)
	e := r.events.of(bedrockguard.EventSettled)[0]
	require.WithinDuration(t, time.Now(), e.Time, time.Minute)
	require.Positive(t, e.Duration)
	require.Equal(t, "us-east-1", e.Region)
	require.NotEmpty(t, e.RequestID)
	require.Equal(t, e.Actual[budget.UnitInputTokens], e.Usage.InputTokens)
	require.Positive(t, e.Usage.OutputTokens)

	raw, err := json.Marshal(e)
	require.NoError(t, err)
	var read map[string]any
	require.NoError(t, json.Unmarshal(raw, &read))
	for _, name := range []string{"time", "kind", "operation", "model", "region", "request_id", "principal", "workflow", "tags", "attempt", "reservation", "duration", "worst_usd", "actual_usd", "usage", "outcome"} {
		require.Contains(t, read, name, string(raw))
	}
	require.NotContains(t, read, "error")
	require.NotContains(t, string(raw), "hello")

	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("guard", "event", e)
	var line map[string]any
	require.NoError(t, json.Unmarshal(logged.Bytes(), &line))
	event, _ := line["event"].(map[string]any)
	require.Equal(t, "settled", event["kind"])
	require.Equal(t, read["actual_usd"], event["actual_usd"])

	broken := newRig(t, settings{server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.Reset)}})
	_, _ = broken.client.Converse(context.Background(), converseInput("hello"))
	estimated := broken.events.of(bedrockguard.EventSettled)[0]
	require.True(t, estimated.Estimated)
	require.Equal(t, estimated.Worst[budget.UnitInputTokens], estimated.Usage.InputTokens)
	require.Equal(t, estimated.Usage.InputTokens, estimated.Usage.UncachedInputTokens(), "no token is in two classes")
}
