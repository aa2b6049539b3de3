package bedrockguard

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptrace"
	"reflect"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const observeID = "bedrockguard.Observe"

// observeMiddleware stands next to the transport. It notes whether anything was sent and what came back, and puts the
// meter between a stream's bytes and the SDK's decoder: the decoder starts reading before any outer middleware returns.
type observeMiddleware struct {
	guard   *Guard
	netHTTP bool // the client sends by net/http's own transport
}

// ID implements middleware.DeserializeMiddleware.
func (*observeMiddleware) ID() string { return observeID }

// HandleDeserialize implements middleware.DeserializeMiddleware.
func (m *observeMiddleware) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	a := attemptFrom(ctx)
	if a == nil {
		return next.HandleDeserialize(ctx, in)
	}
	a.handedOver.Store(true)
	var out middleware.DeserializeOutput
	var md middleware.Metadata
	var err error
	if body := m.watchable(in.Request, next); body != nil {
		a.watched.Store(true)
		unread := body.Len()
		out, md, err = next.HandleDeserialize(ctx, in)
		if body.Len() != unread { // the SDK has closed the request's body by now, so nobody reads on
			a.mayHaveLeft.Store(true)
		}
	} else {
		out, md, err = next.HandleDeserialize(a.traced(ctx), in)
	}
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || resp.Response == nil {
		return out, md, err
	}
	a.header = resp.Header
	a.status.Store(int32(resp.StatusCode))
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		a.call.cacheBegun()
	}
	if a.call.streams && resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		resp.Body = m.guard.meter(ctx, a, resp.Body)
		a.call.streaming.Store(true)
	}
	return out, md, nil
}

// watchable returns the body if what the transport reads of it tells what it sent, or nil. That is cheaper than a trace, and
// knows more: a connection that was made and never used has sent nothing. It takes a transport that is known, a body in memory,
// and nobody in between who could send twice and wind the body back.
func (m *observeMiddleware) watchable(request any, next middleware.DeserializeHandler) *bytes.Reader {
	if !m.netHTTP || reflect.TypeOf(next) != transportHandler {
		return nil
	}
	req, ok := request.(*smithyhttp.Request)
	if !ok {
		return nil
	}
	body, _ := req.GetStream().(*bytes.Reader)
	if body == nil || body.Len() == 0 {
		return nil
	}
	return body
}

// transportHandler is the type of the handler behind the last middleware of a stack.
var transportHandler = func() (t reflect.Type) {
	step := middleware.NewDeserializeStep()
	last := middleware.DeserializeMiddlewareFunc("last", func(_ context.Context, _ middleware.DeserializeInput, next middleware.DeserializeHandler) (out middleware.DeserializeOutput, md middleware.Metadata, err error) {
		t = reflect.TypeOf(next)
		return out, md, nil
	})
	if step.Add(last, middleware.After) == nil {
		_, _, _ = step.HandleMiddleware(context.Background(), nil, nil) // which never gets to the missing handler
	}
	return t
}()

// traced returns a context whose transport tells the attempt what it does about connections.
func (a *attempt) traced(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { a.dialing.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { a.mayHaveLeft.Store(true) },
	})
}

// isNetHTTP reports whether a client sends by net/http's own transport.
func isNetHTTP(client bedrockruntime.HTTPClient) bool {
	switch c := client.(type) {
	case *awshttp.BuildableClient:
		return true
	case *http.Client:
		transport := c.Transport
		if transport == nil {
			transport = http.DefaultTransport
		}
		_, ok := transport.(*http.Transport)
		return ok
	default:
		return false
	}
}

func streams(result any) bool {
	switch result.(type) {
	case *bedrockruntime.ConverseStreamOutput, *bedrockruntime.InvokeModelWithResponseStreamOutput:
		return true
	default:
		return false
	}
}
