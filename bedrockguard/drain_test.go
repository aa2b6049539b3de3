package bedrockguard_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

// sizeOf reads a size of the judged tests from the environment.
func sizeOf(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return usual
}

// highWater follows how many answers the guard reads on at once. It samples: what the limit holds for certain is pinned by
// TestNoMoreAnswersAreReadOnThanMay.
type highWater struct{ most atomic.Int64 }

func (h *highWater) watch(g interface{ Draining() int }, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
			h.most.Store(max(h.most.Load(), int64(g.Draining())))
			time.Sleep(50 * time.Microsecond)
		}
	}
}

// TestCanceledCallsPostWhatTheyCost cancels calls of all operations at random moments, from before they are sent to after they have
// ended: the ledger holds the bill to the nano-USD, no more answers are read on than may be, and none is left after Close. With
// CANCELLATIONS=10000 it runs at the judged size.
func TestCanceledCallsPostWhatTheyCost(t *testing.T) {
	const workers, drains = 8, 256
	calls := sizeOf("CANCELLATIONS", 1000)
	r := newRig(t, settings{
		server: bedrocktest.Options{EventDelay: 300 * time.Microsecond, FirstByteDelay: 2 * time.Millisecond},
		guard:  bedrockguard.Options{MaxDrains: drains},
		config: func(c *aws.Config) { c.Retryer = func() aws.Retryer { return aws.NopRetryer{} } },
	})
	stop := make(chan struct{})
	var high highWater
	var watching, running sync.WaitGroup
	watching.Go(func() { high.watch(r.guard, stop) })
	var canceled atomic.Int64
	for w := range workers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			client := r.newClient()
			for i := w; i < calls; i += workers {
				op := operations()[i%4]
				ctx, cancel := context.WithCancel(context.Background())
				timer := time.AfterFunc(time.Duration(random.Int64N(int64(24*time.Millisecond))), cancel)
				if op.call(ctx, client) != nil {
					canceled.Add(1)
				}
				timer.Stop()
				cancel()
			}
		})
	}
	running.Wait()
	require.NoError(t, r.guard.Close(context.Background()))
	close(stop)
	watching.Wait()
	assert.Zero(t, r.guard.Draining())
	assert.LessOrEqual(t, high.most.Load(), int64(drains))
	assert.Positive(t, canceled.Load())
	t.Logf("%d calls, %d canceled, %d inferences, at most %d read on at once", calls, canceled.Load(), r.server.Bill().Inferences, high.most.Load())
	r.requireExact(t)
	for _, e := range r.events.of(bedrockguard.EventSettled) {
		assert.False(t, e.Estimated, "%s: %s", e.Operation, e.Outcome)
	}
}

// pastDeadline is a context whose end is that of a deadline, at a moment that the test chooses.
type pastDeadline struct{ context.Context }

func (pastDeadline) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }

func (c pastDeadline) Err() error {
	if c.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

// TestCanceledCallIsReadOn posts what a call cost whose caller did not wait: canceled, out of time, or closed.
func TestCanceledCallIsReadOn(t *testing.T) {
	for _, op := range operations() {
		for _, how := range []string{"cancel", "deadline"} {
			t.Run(op.name+"/"+how, func(t *testing.T) {
				began := make(chan struct{})
				r := newRig(t, settings{
					server: bedrocktest.Options{EventDelay: 5 * time.Millisecond, FirstByteDelay: 50 * time.Millisecond, Reply: func(bedrocktest.Request) bedrocktest.Reply {
						close(began)
						return bedrocktest.Reply{}
					}},
					config: func(c *aws.Config) { c.Retryer = func() aws.Retryer { return aws.NopRetryer{} } },
				})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if how == "deadline" {
					ctx = pastDeadline{ctx}
				}
				go func() {
					<-began
					cancel()
				}()
				start := time.Now()
				err := op.call(ctx, r.client)
				require.Error(t, err)
				require.Less(t, time.Since(start), time.Second, "a caller who leaves does not wait")
				require.NoError(t, r.guard.Close(context.Background()))
				assert.Equal(t, 1, r.server.Bill().Inferences)
				r.requireResolutions(t, paid)
				r.requireExact(t)
			})
		}
	}
}

// TestNoMoreAnswersAreReadOnThanMay: what is beyond is charged at its worst case at once.
func TestNoMoreAnswersAreReadOnThanMay(t *testing.T) {
	r := newRig(t, settings{
		server: bedrocktest.Options{EventDelay: time.Hour},
		guard:  bedrockguard.Options{MaxDrains: 2},
	})
	for i := range 5 {
		stream := openStream(t, context.Background(), r)
		<-stream.Events()
		require.NoError(t, stream.Close())
		assert.Equal(t, min(i+1, 2), r.guard.Draining())
	}
	assert.Len(t, r.resolutions(), 3)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorContains(t, r.guard.Close(ctx), "2 answers")
	assert.Zero(t, r.guard.Draining())
	for _, resolution := range r.resolutions() {
		assert.Equal(t, "settled abandoned estimated", resolution)
	}
	r.requireCovered(t)
}

// TestDrainIsBounded: an answer that does not come is charged at its worst case when its time is over.
func TestDrainIsBounded(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{
				server: bedrocktest.Options{EventDelay: time.Hour, Faults: bedrocktest.Script(bedrocktest.Stall), StallLimit: time.Hour},
				guard:  bedrockguard.Options{DrainTimeout: 50 * time.Millisecond},
				config: func(c *aws.Config) { c.Retryer = func() aws.Retryer { return aws.NopRetryer{} } },
			})
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			require.Error(t, op.call(ctx, r.client))
			require.NoError(t, r.guard.Close(context.Background()))
			r.requireResolutions(t, "settled broken estimated")
		})
	}
}

// slowBodies lets an answer's bytes come some time after its head. An event that the SDK has decoded before its stream is dropped waits
// for a reader for ever, with or without a guard.
func slowBodies(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		resp.Body = &slowBody{ReadCloser: resp.Body}
	}
	return resp, err
}

type slowBody struct {
	io.ReadCloser
	once sync.Once
}

func (b *slowBody) Read(p []byte) (int, error) {
	b.once.Do(func() { time.Sleep(100 * time.Millisecond) })
	return b.ReadCloser.Read(p)
}

// TestStreamThatAMiddlewareFailsIsEnded: nobody holds the stream then who could close it.
func TestStreamThatAMiddlewareFailsIsEnded(t *testing.T) {
	r := newRig(t, settings{config: withTransport(slowBodies)})
	fail := func(o *bedrockruntime.Options) { o.APIOptions = append(o.APIOptions, failAfterwards(fmt.Errorf("no"))) }
	_, err := r.client.ConverseStream(context.Background(), streamInput("hello"), fail)
	require.Error(t, err)
	require.NoError(t, r.guard.Close(context.Background()))
	r.requireResolutions(t, paid)
	r.requireExact(t)
	assert.Zero(t, r.balance(t, total).Pending.N)
}

// TestPanicAfterTheAnswerBegan: a middleware outside of the guard's last look panics when the answer is there. What it cost is posted,
// and no stream goes on unread (TestMain looks for its goroutine).
func TestPanicAfterTheAnswerBegan(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{config: withTransport(slowBodies)})
			for _, ctx := range []context.Context{context.Background(), t.Context()} {
				assert.PanicsWithValue(t, "no", func() {
					_ = op.call(ctx, r.client, func(o *bedrockruntime.Options) { o.APIOptions = append(o.APIOptions, panicAfterwards) })
				})
			}
			require.NoError(t, r.guard.Close(context.Background()))
			r.requireCovered(t)
			assert.Len(t, r.resolutions(), 2)
			if op.stream {
				r.requireExact(t)
			}
		})
	}
}

// Closing the guard, again and again, while streams are left and others begin to be read on.
func TestCloseBesideAnswersThatAreReadOn(t *testing.T) {
	r := newRig(t, settings{server: bedrocktest.Options{EventDelay: time.Millisecond}})
	stop := make(chan struct{})
	var closing, streams sync.WaitGroup
	for range 2 {
		closing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					assert.NoError(t, r.guard.Close(context.Background()))
				}
			}
		})
	}
	for range 8 {
		streams.Go(func() {
			for range 10 {
				out, err := r.client.ConverseStream(context.Background(), streamInput("hello"))
				if !assert.NoError(t, err) {
					return
				}
				<-out.GetStream().Events()
				_ = out.GetStream().Close()
			}
		})
	}
	streams.Wait()
	close(stop)
	closing.Wait()
	require.NoError(t, r.guard.Close(context.Background()))
	r.requireCovered(t)
}
