package bedrockguard_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func openStream(t *testing.T, ctx context.Context, r *rig) *bedrockruntime.ConverseStreamEventStream {
	t.Helper()
	out, err := r.newClient().ConverseStream(ctx, streamInput("hello"))
	require.NoError(t, err)
	return out.GetStream()
}

func TestStreamSettlesAtItsEnd(t *testing.T) {
	r := newRig(t, settings{})
	stream := openStream(t, context.Background(), r)
	for range stream.Events() {
	}
	require.NoError(t, stream.Err())
	r.requireExact(t) // whoever saw the end finds the spend, before Close
	require.NoError(t, stream.Close())
	r.requireResolutions(t, paid)
}

// TestStreamClosedEarly is charged its worst case where nothing is read on: Bedrock bills what the reader did not wait for.
func TestStreamClosedEarly(t *testing.T) {
	r := newRig(t, settings{server: bedrocktest.Options{EventDelay: 20 * time.Millisecond}, guard: bedrockguard.Options{DrainTimeout: -1}})
	stream := openStream(t, context.Background(), r)
	<-stream.Events()
	require.NoError(t, stream.Close())
	r.requireResolutions(t, "settled abandoned estimated")
	require.NoError(t, stream.Close(), "a second Close changes nothing")
	r.requireResolutions(t, "settled abandoned estimated")
}

// TestStreamClosedAfterItsUsage is charged what it cost, though its end was never read.
func TestStreamClosedAfterItsUsage(t *testing.T) {
	r := newRig(t, settings{server: bedrocktest.Options{EventDelay: 5 * time.Millisecond}})
	stream := openStream(t, context.Background(), r)
	for e := range stream.Events() {
		if _, last := e.(*types.ConverseStreamOutputMemberMetadata); last {
			break
		}
	}
	require.NoError(t, stream.Close())
	r.requireResolutions(t, paid)
	r.requireExact(t)
}

// TestStreamIsKilledWhileItRuns: the reader gets the typed error, and the reservation is charged.
func TestStreamIsKilledWhileItRuns(t *testing.T) {
	r := newRig(t, settings{server: bedrocktest.Options{EventDelay: 20 * time.Millisecond}, guard: bedrockguard.Options{KillPoll: 5 * time.Millisecond}})
	ctx := budget.WithScope(context.Background(), budget.Scope{Workflow: "loop"})
	spared := openStream(t, budget.WithScope(context.Background(), budget.Scope{Workflow: "other"}), r)
	stream := openStream(t, ctx, r)
	<-stream.Events()
	require.NoError(t, storetest.Done(r.ledger.Kill(ctx, budget.Scope{Workflow: "loop"}, "runaway loop")))
	for range stream.Events() {
	}
	requireKilled(t, stream.Err())
	_ = stream.Close()
	for range spared.Events() {
	}
	require.NoError(t, spared.Err(), "another workflow goes on")
	require.NoError(t, spared.Close())
	assert.ElementsMatch(t, []string{"settled killed estimated", paid}, r.resolutions())
	assert.Len(t, r.events.of(bedrockguard.EventKilled), 1)
	r.requireCovered(t)
	_, err := r.client.ConverseStream(ctx, streamInput("again"))
	require.ErrorIs(t, err, budget.ErrKilled)
}

// tellingStore tells of kill flags unasked, as a server with subscriptions does.
type tellingStore struct {
	budget.Store
	changed chan struct{}
}

func (s tellingStore) Signal(ctx context.Context, changed func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
			changed()
		}
	}
}

func (s tellingStore) Kill(ctx context.Context, k budget.Kill, c driver.Change) error {
	err := s.Store.Kill(ctx, k, c)
	s.changed <- struct{}{}
	return err
}

// TestStreamIsKilledBeforeTheNextPoll: a store that can tell of a flag ends a running stream at once.
func TestStreamIsKilledBeforeTheNextPoll(t *testing.T) {
	r := newRig(t, settings{
		server: bedrocktest.Options{EventDelay: 20 * time.Millisecond}, store: tellingStore{memstore.New(memstore.Options{}), make(chan struct{})},
		guard: bedrockguard.Options{KillPoll: time.Hour},
	})
	ctx := budget.WithScope(context.Background(), budget.Scope{Workflow: "loop"})
	stream := openStream(t, ctx, r)
	<-stream.Events()
	require.NoError(t, storetest.Done(r.ledger.Kill(ctx, budget.Scope{Workflow: "loop"}, "runaway loop")))
	for range stream.Events() {
	}
	requireKilled(t, stream.Err())
}

func requireKilled(t *testing.T, err error) {
	t.Helper()
	var killed *budget.KilledError
	require.ErrorAs(t, err, &killed)
	require.ErrorIs(t, err, budget.ErrKilled)
	assert.Equal(t, "runaway loop", killed.Reason)
	assert.Equal(t, "loop", killed.Scope.Workflow)
}

// TestSilentStreamIsKilled: a reader that waits for the next event is woken.
func TestSilentStreamIsKilled(t *testing.T) {
	r := newRig(t, settings{server: bedrocktest.Options{EventDelay: time.Hour}, guard: bedrockguard.Options{KillPoll: 5 * time.Millisecond}})
	ctx := budget.WithScope(context.Background(), budget.Scope{Workflow: "loop"})
	stream := openStream(t, ctx, r)
	<-stream.Events()
	require.NoError(t, storetest.Done(r.ledger.Kill(ctx, budget.Scope{Workflow: "loop"}, "runaway loop")))
	_, more := <-stream.Events()
	require.False(t, more)
	requireKilled(t, stream.Err())
	_ = stream.Close()
	r.requireResolutions(t, "settled killed estimated")
}

// TestCanceledStream is charged where nothing is read on, because it ran.
func TestCanceledStream(t *testing.T) {
	r := newRig(t, settings{server: bedrocktest.Options{EventDelay: time.Hour}, guard: bedrockguard.Options{DrainTimeout: -1}})
	ctx, cancel := context.WithCancel(context.Background())
	stream := openStream(t, ctx, r)
	<-stream.Events()
	cancel()
	for range stream.Events() {
	}
	require.Error(t, stream.Err())
	_ = stream.Close()
	r.requireResolutions(t, "settled broken estimated")
}

func TestAbandonedStreamIsDrained(t *testing.T) {
	tests := []struct {
		name  string
		delay time.Duration
		drain time.Duration
		want  string
	}{
		{"to its end", 5 * time.Millisecond, time.Minute, paid},
		{"in vain", time.Hour, time.Millisecond, "settled abandoned estimated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, settings{server: bedrocktest.Options{EventDelay: tt.delay}, guard: bedrockguard.Options{DrainTimeout: tt.drain}})
			stream := openStream(t, context.Background(), r)
			<-stream.Events()
			require.NoError(t, stream.Close())
			require.NoError(t, r.guard.Close(context.Background()))
			r.requireResolutions(t, tt.want)
			if tt.want == paid {
				r.requireExact(t)
			}
		})
	}
}

func TestCloseOfTheGuardIsBounded(t *testing.T) {
	r := newRig(t, settings{server: bedrocktest.Options{EventDelay: time.Hour}, guard: bedrockguard.Options{DrainTimeout: time.Hour}})
	stream := openStream(t, context.Background(), r)
	<-stream.Events()
	require.NoError(t, stream.Close())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, r.guard.Close(ctx), context.Canceled)
	require.NoError(t, r.guard.Close(context.Background()), "none is left")
	r.requireResolutions(t, "settled abandoned estimated")
}

// TestBodyAfterItsEnd reads and closes a stream's body beyond its end, as decoders may: it is resolved once.
func TestBodyAfterItsEnd(t *testing.T) {
	var body io.ReadCloser
	r := newRig(t, settings{client: []func(*bedrockruntime.Options){func(o *bedrockruntime.Options) { o.APIOptions = append(o.APIOptions, captureBody(&body)) }}})
	out, err := r.client.ConverseStream(context.Background(), streamInput("hello"))
	require.NoError(t, err)
	for range out.GetStream().Events() {
	}
	n, err := body.Read(make([]byte, 16))
	assert.Zero(t, n)
	require.Error(t, err)
	require.NoError(t, out.GetStream().Close())
	_ = body.Close()
	r.requireResolutions(t, paid)
}

// TestStreamThatCannotBeDecoded is charged, and leaves no goroutine behind (TestMain looks).
func TestStreamThatCannotBeDecoded(t *testing.T) {
	for _, op := range operations() {
		if !op.stream {
			continue
		}
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{config: withTransport(func(req *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("not a frame, but long enough for a prelude")), Request: req}, nil
			})})
			require.Error(t, op.call(context.Background(), r.client))
			require.NoError(t, r.guard.Close(context.Background()))
			require.Len(t, r.resolutions(), 1)
			assert.Contains(t, r.resolutions()[0], "estimated")
			r.requireCovered(t)
		})
	}
}

// TestManyStreamsAtOnce under the race detector: every one is settled exactly.
func TestManyStreamsAtOnce(t *testing.T) {
	r := newRig(t, settings{})
	errs := make(chan error)
	const streams = 40
	for i := range streams {
		go func() {
			in := streamInput(fmt.Sprint("hello ", i))
			in.ModelId = aws.String("us.anthropic.claude-haiku-4-5-20251001-v1:0")
			errs <- converseStream(context.Background(), r.newClient(), in)
		}()
	}
	for range streams {
		require.NoError(t, <-errs)
	}
	assert.Len(t, r.events.of(bedrockguard.EventSettled), streams)
	r.requireExact(t)
}
