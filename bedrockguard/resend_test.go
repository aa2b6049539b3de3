package bedrockguard_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// stubborn is an HTTP client that sends a request again by itself until it is answered with 200.
type stubborn struct {
	client *http.Client
	times  int
}

func (s stubborn) RoundTrip(req *http.Request) (*http.Response, error) { return s.Do(req) }

func (s stubborn) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	for i := 1; ; i++ {
		next := req.Clone(req.Context())
		next.Body = io.NopCloser(bytes.NewReader(body))
		resp, err := s.client.Do(next)
		if i == s.times || err == nil && resp.StatusCode == http.StatusOK {
			return resp, err
		}
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}

// stubbornClients are the forms in which a client sends again by itself.
func stubbornClients(plain *http.Client) map[string]bedrockruntime.HTTPClient {
	return map[string]bedrockruntime.HTTPClient{
		"client":    stubborn{plain, 3},
		"transport": &http.Client{Transport: stubborn{plain, 3}},
	}
}

// TestEachSendingOfAnHTTPClientIsReserved: what a client sends again by itself is billed again.
func TestEachSendingOfAnHTTPClientIsReserved(t *testing.T) {
	for _, op := range operations() {
		for _, form := range []string{"client", "transport"} {
			t.Run(op.name+"/"+form, func(t *testing.T) {
				r := newRig(t, settings{
					server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.Internal, bedrocktest.Reset)},
					config: func(c *aws.Config) { c.HTTPClient = stubbornClients(c.HTTPClient.(*http.Client))[form] },
				})
				require.NoError(t, op.call(context.Background(), r.client))
				assert.Equal(t, 3, r.server.Bill().Inferences)
				r.requireResolutions(t, "settled broken estimated", "settled broken estimated", paid)
			})
		}
	}
}

// TestSendingOverHTTP2IsStoppedWithoutRoom: there a connection carries many requests, and only the one that has no room ends.
func TestSendingOverHTTP2IsStoppedWithoutRoom(t *testing.T) {
	for _, room := range []int64{1, 3} {
		for _, op := range operations() {
			t.Run(fmt.Sprintf("%s/%d", op.name, room), func(t *testing.T) {
				protocols := new(http.Protocols)
				protocols.SetUnencryptedHTTP2(true)
				transport := &http.Transport{Protocols: protocols}
				t.Cleanup(transport.CloseIdleConnections)
				r := newRig(t, settings{
					server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.Internal, bedrocktest.Internal)},
					limits: []budget.Limit{{Name: "some", Max: budget.Calls(room), Window: budget.Daily}},
					config: func(c *aws.Config) { c.HTTPClient = stubborn{&http.Client{Transport: transport}, 3} },
				})
				err := op.call(context.Background(), r.client)
				assert.Equal(t, int(room), r.server.Bill().Inferences)
				if room == 1 {
					require.ErrorIs(t, err, bedrockguard.ErrBudgetExceeded)
					r.requireResolutions(t, "settled broken estimated")
				} else {
					require.NoError(t, err)
					r.requireResolutions(t, "settled broken estimated", "settled broken estimated", paid)
				}
			})
		}
	}
}

// TestClientOfOneCallIsSeen: a call may bring an HTTP client of its own, which is not the one that the guard was installed on.
func TestClientOfOneCallIsSeen(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.Internal, bedrocktest.Internal)}})
			require.NoError(t, op.call(context.Background(), r.client, func(o *bedrockruntime.Options) {
				o.HTTPClient = stubborn{r.config.HTTPClient.(*http.Client), 3}
			}))
			r.requireResolutions(t, "settled broken estimated", "settled broken estimated", paid)
		})
	}
}

// TestSendingOfAnHTTPClientIsStoppedWithoutRoom: the ledger is asked before the second body leaves.
func TestSendingOfAnHTTPClientIsStoppedWithoutRoom(t *testing.T) {
	for _, op := range operations() {
		for _, form := range []string{"client", "transport"} {
			for _, cancelable := range []bool{false, true} {
				t.Run(op.name+"/"+form, func(t *testing.T) {
					r := newRig(t, settings{
						server: bedrocktest.Options{Faults: bedrocktest.Script(bedrocktest.Internal, bedrocktest.Internal)},
						limits: []budget.Limit{{Name: "one", Max: budget.Calls(1), Window: budget.Daily}},
						config: func(c *aws.Config) { c.HTTPClient = stubbornClients(c.HTTPClient.(*http.Client))[form] },
					})
					ctx := context.Background()
					if cancelable {
						ctx = t.Context()
					}
					require.ErrorIs(t, op.call(ctx, r.client), bedrockguard.ErrBudgetExceeded)
					assert.Equal(t, 1, r.server.Bill().Inferences, "the second one never arrived whole")
					r.requireResolutions(t, "settled broken estimated")
				})
			}
		}
	}
}

// TestConnectionsOfOthersAreNoSendings: a transport that asks somebody else something with the context of the request, for a
// token or a count, has not sent the request again.
func TestConnectionsOfOthersAreNoSendings(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{config: func(c *aws.Config) {
				plain, endpoint := c.HTTPClient.(*http.Client), *c.BaseEndpoint
				c.HTTPClient = &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
					for range 3 {
						ask, err := http.NewRequestWithContext(req.Context(), http.MethodGet, endpoint+"/token", http.NoBody)
						if err != nil {
							return nil, err
						}
						resp, err := plain.Do(ask)
						if err != nil {
							return nil, err
						}
						resp.Body.Close()
					}
					return plain.Do(req)
				})}
			}})
			require.NoError(t, op.call(context.Background(), r.client))
			r.requireResolutions(t, paid)
		})
	}
}

// callsOfOthers makes calls of other operations with the context of a guarded call: CountTokens on the same client, and one of
// another service whose client was built from the same config.
func callsOfOthers(t *testing.T, r *rig, ctx context.Context) {
	t.Helper()
	_, err := r.client.CountTokens(ctx, &bedrockruntime.CountTokensInput{ModelId: aws.String(bareSonnet), Input: &types.CountTokensInputMemberConverse{
		Value: types.ConverseTokensRequest{Messages: []types.Message{userMessage("hello")}},
	}})
	require.NoError(t, err)
	cfg := r.config.Copy()
	r.guard.InstallConfig(&cfg)
	stack := middleware.NewStack("GetCallerIdentity", smithyhttp.NewStackRequest)
	require.NoError(t, cfg.APIOptions[0](stack))
	handler := middleware.DecorateHandler(middleware.HandlerFunc(func(context.Context, any) (any, middleware.Metadata, error) {
		return &smithyhttp.Response{Response: &http.Response{StatusCode: 200, Body: http.NoBody}}, middleware.Metadata{}, nil
	}), stack)
	other := awsmiddleware.SetServiceID(middleware.ClearStackValues(ctx), "STS") // as each client of the SDK begins a call
	_, _, err = handler.Handle(other, struct{}{})
	require.NoError(t, err)
}

// TestCallsWithTheContextOfAGuardedCallAreNoPartOfIt, wherever they are made: they reserve nothing and settle nothing.
func TestCallsWithTheContextOfAGuardedCallAreNoPartOfIt(t *testing.T) {
	places := map[string]func(*testing.T, *rig) func(*bedrockruntime.Options){
		"middleware": func(t *testing.T, r *rig) func(*bedrockruntime.Options) {
			return func(o *bedrockruntime.Options) {
				o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
					return s.Finalize.Add(middleware.FinalizeMiddlewareFunc("others", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
						callsOfOthers(t, r, ctx)
						return next.HandleFinalize(ctx, in)
					}), middleware.After)
				})
			}
		},
		"transport": func(t *testing.T, r *rig) func(*bedrockruntime.Options) {
			return func(o *bedrockruntime.Options) {
				plain := o.HTTPClient
				o.HTTPClient = &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
					callsOfOthers(t, r, req.Context())
					return plain.Do(req)
				})}
			}
		},
	}
	for _, op := range operations() {
		for name, place := range places {
			t.Run(op.name+"/"+name, func(t *testing.T) {
				r := newRig(t, settings{limits: []budget.Limit{{Name: "one", Max: budget.Calls(1), Window: budget.Daily}}})
				require.NoError(t, op.call(context.Background(), r.client, place(t, r)))
				r.requireResolutions(t, paid)
				r.requireExact(t)
			})
		}
	}
}

// TestListenerMayCallServices: a listener that calls AWS with the context of its event does not call itself again.
func TestListenerMayCallServices(t *testing.T) {
	var r *rig
	depth := 0
	r = newRig(t, settings{guard: bedrockguard.Options{OnEvent: func(ctx context.Context, e bedrockguard.Event) {
		depth++
		require.Less(t, depth, 10, "events of events")
		callsOfOthers(t, r, ctx)
	}}})
	_, err := r.client.Converse(context.Background(), converseInput("hello"))
	require.NoError(t, err)
	assert.Equal(t, 2, depth, "reserved and settled")
	r.requireExact(t)
}
