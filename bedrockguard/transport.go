package bedrockguard

import (
	"context"
	"net/http/httptrace"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const observeID = "bedrockguard.Observe"

// observeMiddleware stands next to the transport. It notes whether anything was sent and what came back, and puts the
// meter between a stream's bytes and the SDK's decoder: the decoder starts reading before any outer middleware returns.
type observeMiddleware struct{ guard *Guard }

// ID implements middleware.DeserializeMiddleware.
func (*observeMiddleware) ID() string { return observeID }

// HandleDeserialize implements middleware.DeserializeMiddleware.
func (m *observeMiddleware) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	a := attemptFrom(ctx)
	if a == nil {
		return next.HandleDeserialize(ctx, in)
	}
	a.handedOver.Store(true)
	a.trace.GetConn = func(string) { a.dialing.Store(true) }
	a.trace.GotConn = func(httptrace.GotConnInfo) { a.connected.Store(true) }
	out, md, err := next.HandleDeserialize(httptrace.WithClientTrace(ctx, &a.trace), in)
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

func streams(result any) bool {
	switch result.(type) {
	case *bedrockruntime.ConverseStreamOutput, *bedrockruntime.InvokeModelWithResponseStreamOutput:
		return true
	default:
		return false
	}
}
