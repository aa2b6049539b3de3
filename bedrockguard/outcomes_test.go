package bedrockguard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// resolutions tells how each reservation ended, in order.
func (r *rig) resolutions() []string {
	var all []string
	for _, e := range r.events.of(bedrockguard.EventSettled, bedrockguard.EventVoided, bedrockguard.EventUnsettled) {
		s := fmt.Sprintf("%s %s", e.Kind, e.Outcome)
		if e.Estimated {
			s += " estimated"
		}
		all = append(all, s)
	}
	return all
}

// requireResolutions also checks that every reservation was resolved exactly once.
func (r *rig) requireResolutions(t *testing.T, want ...string) {
	t.Helper()
	assert.Equal(t, want, r.resolutions())
	assert.Len(t, r.events.of(bedrockguard.EventReserved), len(want), "reservations")
	resolved := map[budget.ID]int{}
	for _, e := range r.events.of(bedrockguard.EventSettled, bedrockguard.EventVoided) {
		resolved[e.Reservation]++
	}
	assert.Len(t, resolved, len(want), "each reservation has an id and an end of its own")
	for _, e := range r.events.of(bedrockguard.EventSettled) {
		if e.Estimated {
			assert.Equal(t, e.Worst, e.Actual, "an estimate is the whole reservation")
		}
	}
	r.requireCovered(t)
}

const paid = "settled usage"

// TestOutcomesOfFaults gives the first request a fault; what follows it is healthy.
func TestOutcomesOfFaults(t *testing.T) {
	tests := []struct {
		fault  bedrocktest.FaultKind
		want   []string
		failed bool
	}{
		{bedrocktest.Throttle, []string{"voided http-429", paid}, false},
		{bedrocktest.Unavailable, []string{"voided http-503", paid}, false},
		{bedrocktest.Internal, []string{"settled http-500 estimated", paid}, false},
		{bedrocktest.ModelTimeout, []string{"settled http-408 estimated"}, true},
		{bedrocktest.ModelError, []string{"settled http-424 estimated"}, true},
		{bedrocktest.Reset, []string{"settled broken estimated", paid}, false},
		{bedrocktest.Stall, []string{"settled broken estimated", paid}, false},
		{bedrocktest.Truncate, []string{"settled broken estimated"}, true},
		{bedrocktest.MissingUsage, []string{"settled no-usage estimated"}, false},
		{"", []string{paid}, false},
	}
	for _, op := range operations() {
		for _, tt := range tests {
			t.Run(op.name+"/"+string(tt.fault), func(t *testing.T) {
				r := newRig(t, settings{server: bedrocktest.Options{Faults: bedrocktest.Script(tt.fault)}, config: func(c *aws.Config) {
					if tt.fault == bedrocktest.Stall {
						c.HTTPClient.(*http.Client).Timeout = 300 * time.Millisecond
					}
				}})
				err := op.call(context.Background(), r.client)
				// The SDK reports a stream that is cut inside a frame as one that ended well.
				failed := tt.failed && !(op.stream && tt.fault == bedrocktest.Truncate)
				assert.Equal(t, failed, err != nil, "error: %v", err)
				r.requireResolutions(t, tt.want...)
				assert.Equal(t, len(tt.want), r.server.Requests())
			})
		}
	}
}

// TestEachAttemptIsReserved: the SDK sends three whole requests for one call, and each can be billed.
func TestEachAttemptIsReserved(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.Internal, bedrocktest.Reset, bedrocktest.Internal)}})
			require.Error(t, op.call(context.Background(), r.client))
			r.requireResolutions(t, "settled http-500 estimated", "settled broken estimated", "settled http-500 estimated")
			assert.Equal(t, 3, r.server.Requests())
			assert.Equal(t, 3, r.server.Bill().Inferences)
			for i, e := range r.events.of(bedrockguard.EventReserved) {
				assert.Equal(t, i+1, e.Attempt)
			}
		})
	}
}

// roundTripper is a transport made of a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func withTransport(f roundTripper) func(*aws.Config) {
	return func(c *aws.Config) { c.HTTPClient = &http.Client{Transport: f} }
}

// TestOutcomesOfStatuses answers every request with one status; the SDK decides how often it asks.
func TestOutcomesOfStatuses(t *testing.T) {
	tests := []struct {
		status   int
		want     string
		attempts int
	}{
		{400, "voided http-400", 1},
		{403, "voided http-403", 1},
		{404, "voided http-404", 1},
		{408, "settled http-408 estimated", 1},
		{424, "settled http-424 estimated", 1},
		{429, "voided http-429", 3},
		{500, "settled http-500 estimated", 3},
		{502, "settled http-502 estimated", 3},
		{503, "voided http-503", 3},
		{504, "settled http-504 estimated", 3},
		{418, "settled http-418 estimated", 1},
	}
	names := map[int]string{429: "ThrottlingException", 408: "ModelTimeoutException"}
	for _, op := range operations() {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/%d", op.name, tt.status), func(t *testing.T) {
				r := newRig(t, settings{config: withTransport(func(req *http.Request) (*http.Response, error) {
					h := http.Header{"Content-Type": {"application/json"}, "X-Amzn-Requestid": {"1"}, "X-Amzn-Errortype": {"UnknownError"}}
					if names[tt.status] != "" {
						h.Set("X-Amzn-Errortype", names[tt.status])
					}
					return &http.Response{StatusCode: tt.status, Header: h, Body: io.NopCloser(strings.NewReader(`{"message":"no"}`)), Request: req}, nil
				})})
				require.Error(t, op.call(context.Background(), r.client))
				want := make([]string, tt.attempts)
				for i := range want {
					want[i] = tt.want
				}
				r.requireResolutions(t, want...)
			})
		}
	}
}

// TestGatewayRefusalIsCharged: what stands between the client and Bedrock may have handed the request on before it answered by
// itself, so that its refusal is no proof. Bedrock's own shows both of its headers.
func TestGatewayRefusalIsCharged(t *testing.T) {
	headers := map[string]http.Header{
		"none":               {},
		"only a request id":  {"X-Amzn-Requestid": {"1"}},
		"only an error type": {"X-Amzn-Errortype": {"ThrottlingException"}},
	}
	for _, op := range operations() {
		for name, h := range headers {
			for _, status := range []int{400, 403, 404, 429, 503} {
				t.Run(fmt.Sprintf("%s/%s/%d", op.name, name, status), func(t *testing.T) {
					r := newRig(t, settings{config: func(c *aws.Config) {
						withTransport(func(req *http.Request) (*http.Response, error) {
							return &http.Response{StatusCode: status, Header: h.Clone(), Body: io.NopCloser(strings.NewReader(`{"message":"no"}`)), Request: req}, nil
						})(c)
						c.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
					}})
					require.Error(t, op.call(context.Background(), r.client))
					r.requireResolutions(t, fmt.Sprintf("settled proxy-http-%d estimated", status))
				})
			}
		}
	}
}

// refusedAddress returns an address of loopback that refuses each connection until the test ends. A port that was merely closed
// could be given to a server of another process at any moment; nobody can listen on the port of a connection that is open.
func refusedAddress(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	accepted, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { accepted.Close() })
	return conn.LocalAddr().String()
}

func TestOutcomeOfRefusedDial(t *testing.T) {
	refused := refusedAddress(t)
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{config: func(c *aws.Config) { c.BaseEndpoint = aws.String("http://" + refused) }})
			require.Error(t, op.call(context.Background(), r.client))
			r.requireResolutions(t, "voided not-sent", "voided not-sent", "voided not-sent")
			assert.Zero(t, r.balance(t, total).Settled.N)
		})
	}
}

// TestOutcomeOfFailedHandshake: the connection was made and never handed over, so no request left on it.
func TestOutcomeOfFailedHandshake(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{config: func(c *aws.Config) {
				c.BaseEndpoint = aws.String(strings.Replace(*c.BaseEndpoint, "http://", "https://", 1)) // which the simulator does not speak
				c.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
			}})
			require.Error(t, op.call(context.Background(), r.client))
			r.requireResolutions(t, "voided not-sent")
			assert.Zero(t, r.balance(t, total).Settled.N)
		})
	}
}

// TestOutcomeOfHangingDial: a cancel while the connection is being made sends nothing.
func TestOutcomeOfHangingDial(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			r := newRig(t, settings{config: func(c *aws.Config) {
				c.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
					cancel()
					<-ctx.Done()
					return nil, ctx.Err()
				}}}
			}})
			require.Error(t, op.call(ctx, r.client))
			r.requireResolutions(t, "voided not-sent")
			assert.Zero(t, r.server.Requests())
		})
	}
}

// TestTransportIsTracedWhereItsBodyTellsNothing: net/http's own transport next to the guard is watched by what it reads, which
// costs less; any other client is traced. A caller's middleware stands in front of the guard's last look, wherever it was added.
func TestTransportIsTracedWhereItsBodyTellsNothing(t *testing.T) {
	inner := func(s *middleware.Stack) error {
		return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("inner", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			return next.HandleDeserialize(ctx, in)
		}), middleware.After)
	}
	for name, tt := range map[string]struct {
		wrapped, between, traced bool
	}{
		"net/http":           {false, false, false},
		"a transport around": {true, false, true},
		"a middleware":       {false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var traced []bool
			r := newRig(t, settings{config: func(c *aws.Config) {
				own := &http.Transport{Proxy: func(req *http.Request) (*url.URL, error) {
					traced = append(traced, httptrace.ContextClientTrace(req.Context()) != nil)
					return nil, nil
				}}
				t.Cleanup(own.CloseIdleConnections)
				client := &http.Client{Transport: own}
				if tt.wrapped {
					client.Transport = roundTripper(own.RoundTrip)
				}
				c.HTTPClient = client
			}})
			client := r.client
			if tt.between {
				client = bedrockruntime.New(client.Options(), func(o *bedrockruntime.Options) { o.APIOptions = append(o.APIOptions, inner) })
			}
			_, err := client.Converse(t.Context(), converseInput("hello"))
			require.NoError(t, err)
			assert.Equal(t, []bool{tt.traced}, traced)
		})
	}
}

// TestSendingTwiceInsideOfAnAttempt: a caller's middleware next to the transport sends once, winds the body back and sends to
// where nobody listens. The first time was billed, whatever the second one shows; each is reserved.
func TestSendingTwiceInsideOfAnAttempt(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{
				server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.Reset)},
				config: func(c *aws.Config) { c.Retryer = func() aws.Retryer { return aws.NopRetryer{} } },
			})
			twice := middleware.DeserializeMiddlewareFunc("twice", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				_, _, err := next.HandleDeserialize(ctx, in)
				require.Error(t, err)
				req := in.Request.(*smithyhttp.Request)
				require.NoError(t, req.RewindStream())
				req.URL.Host = "127.0.0.1:1"
				return next.HandleDeserialize(ctx, in)
			})
			client := bedrockruntime.New(r.client.Options(), func(o *bedrockruntime.Options) {
				o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return s.Deserialize.Add(twice, middleware.After) })
			})
			require.Error(t, op.call(context.Background(), client))
			r.requireResolutions(t, "settled broken estimated", "voided not-sent")
			assert.Equal(t, 1, r.server.Bill().Inferences)
		})
	}
}

func TestOutcomeOfFailedSigning(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{config: func(c *aws.Config) {
				c.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{}, errors.New("no credentials today")
				})
			}})
			require.Error(t, op.call(context.Background(), r.client))
			r.requireResolutions(t, "voided not-sent")
			assert.Zero(t, r.server.Requests())
			assert.Zero(t, r.balance(t, total).Settled.N)
		})
	}
}

// TestOutcomeOfCanceledCalls: a cancel before the attempt sends nothing, one after it is charged, and the settlement
// survives the caller's cancel.
func TestOutcomeOfCanceledCalls(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name+"/before", func(t *testing.T) {
			r := newRig(t, settings{})
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			require.ErrorIs(t, op.call(ctx, r.client), context.Canceled)
			r.requireCovered(t)
			assert.Zero(t, r.server.Requests())
			assert.Zero(t, r.balance(t, total).Settled.N)
		})
		t.Run(op.name+"/while", func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			r := newRig(t, settings{guard: bedrockguard.Options{DrainTimeout: -1}, config: withTransport(func(req *http.Request) (*http.Response, error) {
				cancel()
				<-req.Context().Done()
				return nil, req.Context().Err()
			})})
			require.ErrorIs(t, op.call(ctx, r.client), context.Canceled)
			r.requireResolutions(t, "settled broken estimated")
		})
	}
}

// TestSilentTransportCountsAsSent: a transport that tells nothing of its connections is believed only when it names a
// failed dial itself.
func TestSilentTransportCountsAsSent(t *testing.T) {
	tests := []struct {
		name  string
		cause error
		want  string
	}{
		{"unknown", errors.New("something broke"), "settled broken estimated"},
		{"dial", &net.OpError{Op: "dial", Err: errors.New("refused")}, "voided not-sent"},
		{"read", &net.OpError{Op: "read", Err: errors.New("reset")}, "settled broken estimated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, settings{config: func(c *aws.Config) {
				withTransport(func(*http.Request) (*http.Response, error) { return nil, tt.cause })(c)
				c.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
			}})
			_, err := r.client.Converse(context.Background(), converseInput("hello"))
			require.Error(t, err)
			r.requireResolutions(t, tt.want)
		})
	}
}

// TestDenialIsNotRetried: a refusal costs one question to the ledger and none to Bedrock.
func TestDenialIsNotRetried(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{limits: []budget.Limit{{Name: "none", Max: budget.Calls(0), Window: budget.Daily}}})
			require.ErrorIs(t, op.call(context.Background(), r.client), bedrockguard.ErrBudgetExceeded)
			assert.Len(t, r.events.of(bedrockguard.EventDenied), 1)
			assert.Zero(t, r.server.Requests())
			r.requireCovered(t)
		})
	}
}

// TestRetryIsDeniedWhenTheBudgetRanOut: the estimate of the first attempt can use up what the second one needs.
func TestRetryIsDeniedWhenTheBudgetRanOut(t *testing.T) {
	r := newRig(t, settings{
		server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.Internal)},
		limits: []budget.Limit{{Name: "one", Max: budget.Calls(1), Window: budget.Daily}},
	})
	_, err := r.client.Converse(context.Background(), converseInput("hello"))
	require.ErrorIs(t, err, bedrockguard.ErrBudgetExceeded)
	r.requireResolutions(t, "settled http-500 estimated")
	assert.Equal(t, 1, r.server.Requests())
}

func TestPanicBelowIsChargedAndRaisedAgain(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{config: withTransport(func(*http.Request) (*http.Response, error) { panic("transport broke") })})
			assert.PanicsWithValue(t, "transport broke", func() { _ = op.call(context.Background(), r.client) })
			r.requireResolutions(t, "settled broken estimated")
		})
	}
}

// TestOutcomesCanBeOverridden: who knows better than the table says so for one row.
func TestOutcomesCanBeOverridden(t *testing.T) {
	r := newRig(t, settings{
		server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.ModelError, bedrocktest.Throttle)},
		guard: bedrockguard.Options{Outcomes: map[bedrockguard.Outcome]bedrockguard.Action{
			bedrockguard.OutcomeStatus(424): bedrockguard.Void,
			bedrockguard.OutcomeStatus(429): bedrockguard.ChargeReserved,
		}},
	})
	_, err := r.client.Converse(context.Background(), converseInput("hello"))
	require.Error(t, err)
	_, err = r.client.Converse(context.Background(), converseInput("hello"))
	require.NoError(t, err)
	assert.Equal(t, []string{"voided http-424", "settled http-429 estimated", paid}, r.resolutions())
}

// TestSettlementThatTheStoreRefuses is reported, and leaves the worst case pending until it expires.
func TestSettlementThatTheStoreRefuses(t *testing.T) {
	store := &failingStore{Store: memstore.New(memstore.Options{}), settle: errors.New("disk full")}
	r := newRig(t, settings{store: store, guard: bedrockguard.Options{SettleTimeout: time.Nanosecond}})
	_, err := r.client.Converse(context.Background(), converseInput("hello"))
	require.NoError(t, err, "the answer is paid for, so the caller gets it")
	unsettled := r.events.of(bedrockguard.EventUnsettled)
	require.Len(t, unsettled, 1)
	require.ErrorIs(t, unsettled[0].Err, budget.ErrStore)
	b := r.balance(t, total)
	assert.GreaterOrEqual(t, b.Pending.N, r.server.Bill().NanoUSD, "the worst case stays set aside")
}
