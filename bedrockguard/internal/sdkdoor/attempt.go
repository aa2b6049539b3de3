package sdkdoor

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
)

const attemptID = "bedrockguard.Attempt"

// attemptMiddleware reserves before each attempt of the SDK's retry loop and resolves after it. Being inside the loop, it
// sees every request that can be billed; being outside of everything else, a failed signing resolves here too.
type attemptMiddleware struct{ guard *chain.Guard }

// ID implements middleware.FinalizeMiddleware.
func (*attemptMiddleware) ID() string { return attemptID }

// HandleFinalize implements middleware.FinalizeMiddleware.
func (m *attemptMiddleware) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (out middleware.FinalizeOutput, md middleware.Metadata, err error) {
	c := chain.CallFrom(ctx)
	if c == nil || c.Unmetered {
		return next.HandleFinalize(ctx, in)
	}
	g := m.guard
	req, _ := in.Request.(*smithyhttp.Request)
	s := new(chain.Sending)
	if req, err = g.Begin(ctx, c, s, req); err != nil {
		return out, md, chain.Refused{Err: err}
	}
	if req != nil {
		in.Request = req
	}
	if c.Unmetered {
		return next.HandleFinalize(ctx, in)
	}
	g.CacheSent(c)
	returned := false
	defer func() {
		if !returned { // a panic or runtime.Goexit below
			g.Abandon(ctx, s)
		}
	}()
	out, md, err = next.HandleFinalize(chain.WithSending(ctx, s), in)
	returned = true
	whole, _ := out.Result.(*bedrockruntime.ConverseOutput)
	g.Conclude(ctx, s, chain.Result{HasStream: hasStream(out.Result), Converse: whole, Err: err})
	return out, md, err
}

// hasStream reports whether a decoded answer has a stream.
func hasStream(result any) bool {
	switch result.(type) {
	case *bedrockruntime.ConverseStreamOutput, *bedrockruntime.InvokeModelWithResponseStreamOutput:
		return true
	default:
		return false
	}
}
