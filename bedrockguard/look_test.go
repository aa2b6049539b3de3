package bedrockguard_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// plentiful is more output than the limit of these tests has room for.
const plentiful = 4000

// raiseInput asks for plentiful output in the caller's own input.
func raiseInput(input any) {
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		in.InferenceConfig = maxTokens(plentiful)
	case *bedrockruntime.ConverseStreamInput:
		in.InferenceConfig = maxTokens(plentiful)
	case *bedrockruntime.InvokeModelInput:
		in.Body = raiseBody(in.Body)
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		in.Body = raiseBody(in.Body)
	}
}

func raiseBody(body []byte) []byte {
	s := strings.Replace(string(body), `"max_tokens":100`, `"max_tokens":4000`, 1)
	return []byte(strings.Replace(s, `"maxTokens":100`, `"maxTokens":4000`, 1))
}

// raiseRequest asks for it in the serialised request.
func raiseRequest(req *smithyhttp.Request, wrap func(io.Reader) io.Reader) *smithyhttp.Request {
	body, err := io.ReadAll(req.GetStream())
	if err != nil {
		panic(err)
	}
	req, err = req.SetStream(wrap(bytes.NewReader(raiseBody(body))))
	if err != nil {
		panic(err)
	}
	return req
}

func asIs(r io.Reader) io.Reader { return r }

// onlyOnce hides that a body can be read again.
func onlyOnce(r io.Reader) io.Reader { return struct{ io.Reader }{r} }

// interceptors calls a function at one of the SDK's hooks.
type interceptors struct {
	smithyhttp.InterceptorContext
	change func(*smithyhttp.InterceptorContext)
}

func (i interceptors) BeforeExecution(_ context.Context, in *smithyhttp.InterceptorContext) error {
	i.change(in)
	return nil
}

func (i interceptors) BeforeSerialization(_ context.Context, in *smithyhttp.InterceptorContext) error {
	i.change(in)
	return nil
}

func (i interceptors) AfterSerialization(_ context.Context, in *smithyhttp.InterceptorContext) error {
	i.change(in)
	return nil
}

func (i interceptors) BeforeRetryLoop(_ context.Context, in *smithyhttp.InterceptorContext) error {
	i.change(in)
	return nil
}

// changes are ways in which a request becomes another one after the caller has made it.
func changes() map[string]func(*bedrockruntime.Options) {
	input := interceptors{change: func(in *smithyhttp.InterceptorContext) { raiseInput(in.Input) }}
	request := interceptors{change: func(in *smithyhttp.InterceptorContext) { *in.Request = *raiseRequest(in.Request, asIs) }}
	option := func(add func(*middleware.Stack) error) func(*bedrockruntime.Options) {
		return func(o *bedrockruntime.Options) { o.APIOptions = append(o.APIOptions, add) }
	}
	initialize := middleware.InitializeMiddlewareFunc("change", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		raiseInput(in.Parameters)
		return next.HandleInitialize(ctx, in)
	})
	serialize := middleware.SerializeMiddlewareFunc("change", func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
		raiseInput(in.Parameters)
		return next.HandleSerialize(ctx, in)
	})
	build := func(wrap func(io.Reader) io.Reader) middleware.BuildMiddleware {
		return middleware.BuildMiddlewareFunc("change", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
			in.Request = raiseRequest(in.Request.(*smithyhttp.Request), wrap)
			return next.HandleBuild(ctx, in)
		})
	}
	finalize := middleware.FinalizeMiddlewareFunc("change", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		in.Request = raiseRequest(in.Request.(*smithyhttp.Request), asIs)
		return next.HandleFinalize(ctx, in)
	})
	deserialize := func(wrap func(io.Reader) io.Reader) middleware.DeserializeMiddleware {
		return middleware.DeserializeMiddlewareFunc("change", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			in.Request = raiseRequest(in.Request.(*smithyhttp.Request), wrap)
			return next.HandleDeserialize(ctx, in)
		})
	}
	return map[string]func(*bedrockruntime.Options){
		"interceptor before execution":      func(o *bedrockruntime.Options) { o.Interceptors.AddBeforeExecution(input) },
		"interceptor before serialization":  func(o *bedrockruntime.Options) { o.Interceptors.AddBeforeSerialization(input) },
		"interceptor after serialization":   func(o *bedrockruntime.Options) { o.Interceptors.AddAfterSerialization(request) },
		"interceptor before the loop":       func(o *bedrockruntime.Options) { o.Interceptors.AddBeforeRetryLoop(request) },
		"initialize":                        option(func(s *middleware.Stack) error { return s.Initialize.Add(initialize, middleware.After) }),
		"serialize":                         option(func(s *middleware.Stack) error { return s.Serialize.Add(serialize, middleware.Before) }),
		"build":                             option(func(s *middleware.Stack) error { return s.Build.Add(build(asIs), middleware.After) }),
		"build, body that can be read once": option(func(s *middleware.Stack) error { return s.Build.Add(build(onlyOnce), middleware.After) }),
		"finalize, before the loop":         option(func(s *middleware.Stack) error { return s.Finalize.Add(finalize, middleware.Before) }),
		"finalize, after signing":           option(func(s *middleware.Stack) error { return s.Finalize.Add(finalize, middleware.After) }),
		"deserialize, next to the transport": option(func(s *middleware.Stack) error {
			return s.Deserialize.Add(deserialize(asIs), middleware.After)
		}),
		"deserialize, body that can be read once": option(func(s *middleware.Stack) error {
			return s.Deserialize.Add(deserialize(onlyOnce), middleware.After)
		}),
	}
}

// TestRequestChangedAfterItWasMadeIsRefused: what is reserved is what is sent, wherever it was changed on the way.
func TestRequestChangedAfterItWasMadeIsRefused(t *testing.T) {
	for _, op := range operations() {
		for name, change := range changes() {
			t.Run(op.name+"/"+name, func(t *testing.T) {
				r := newRig(t, settings{
					limits: []budget.Limit{{Name: "output", Max: budget.OutputTokens(plentiful - 1), Window: budget.Daily}},
					guard:  bedrockguard.Options{StrictBound: true},
				})
				err := op.call(context.Background(), r.client, change)
				require.ErrorIs(t, err, bedrockguard.ErrBudgetExceeded)
				assert.Zero(t, r.server.Requests())
				b := r.balance(t, "output")
				assert.Zero(t, b.Settled.N)
				assert.Zero(t, b.Pending.N)
			})
		}
	}
}

// TestRequestChangedAfterItWasMadeIsReserved anew, and only once, where there is room for what it has become.
func TestRequestChangedAfterItWasMadeIsReserved(t *testing.T) {
	for _, op := range operations() {
		for name, change := range changes() {
			t.Run(op.name+"/"+name, func(t *testing.T) {
				r := newRig(t, settings{})
				require.NoError(t, op.call(context.Background(), r.client, change))
				reserved := r.events.of(bedrockguard.EventReserved)
				assert.Equal(t, int64(plentiful), reserved[len(reserved)-1].Worst[budget.UnitOutputTokens])
				for _, e := range r.events.of(bedrockguard.EventSettled) {
					assert.Equal(t, int64(plentiful), e.Worst[budget.UnitOutputTokens])
				}
				r.requireCovered(t)
			})
		}
	}
}

// TestPathAndHeadersChangedOnTheWay: the model stands in the path of the request, the tier of InvokeModel in a header.
func TestPathAndHeadersChangedOnTheWay(t *testing.T) {
	change := func(change func(*smithyhttp.Request)) func(*bedrockruntime.Options) {
		return func(o *bedrockruntime.Options) {
			o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
				return s.Build.Add(middleware.BuildMiddlewareFunc("change", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
					change(in.Request.(*smithyhttp.Request))
					return next.HandleBuild(ctx, in)
				}), middleware.After)
			})
		}
	}
	const dear = "us.anthropic.claude-opus-4-6-v1"
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			r := newRig(t, settings{})
			require.NoError(t, op.call(context.Background(), r.client, change(func(req *smithyhttp.Request) {
				req.URL.Path = strings.Replace(req.URL.Path, sonnet, dear, 1)
				req.URL.RawPath = ""
			})))
			r.requireExact(t)
			assert.Equal(t, "anthropic.claude-opus-4-6-v1", r.events.of(bedrockguard.EventSettled)[0].Model)
		})
	}
	reserved := func(o ...func(*bedrockruntime.Options)) int64 {
		r := newRig(t, settings{})
		_, err := r.client.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: aws.String(gptOSS), Body: []byte(`{"max_completion_tokens":64,"messages":[{"role":"user","content":"hello"}]}`)}, o...)
		require.NoError(t, err)
		r.requireExact(t)
		return r.events.of(bedrockguard.EventSettled)[0].Worst[budget.UnitUSD]
	}
	assert.Greater(t, reserved(change(func(req *smithyhttp.Request) { req.Header.Set("X-Amzn-Bedrock-Service-Tier", "priority") })), reserved())
	r := newRig(t, settings{})
	require.ErrorIs(t, operations()[0].call(t.Context(), r.client, change(func(req *smithyhttp.Request) { req.URL.Path = "/elsewhere" })), bedrockguard.ErrMalformedRequest)
	assert.Zero(t, r.server.Requests())
}
