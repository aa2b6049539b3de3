package sdkdoor

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
)

const attemptID = "bedrockguard.Attempt"

// attemptMiddleware reserves the worst case of each attempt before it is made, and afterwards resolves the reservation: it settles or voids it.
// It is the first middleware inside of the SDK's retry loop. So it sees every attempt that can be billed, and whatever fails further in, such as
// signing, fails between its reservation and its resolution.
type attemptMiddleware struct{ guard *chain.Guard }

// ID implements middleware.FinalizeMiddleware.
func (*attemptMiddleware) ID() string { return attemptID }

// HandleFinalize implements middleware.FinalizeMiddleware.
func (m *attemptMiddleware) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (out middleware.FinalizeOutput, md middleware.Metadata, err error) {
	c := callFrom(ctx)
	if c == nil || c.Unmetered { // not guarded, or let through by shadow mode without a known cost
		return next.HandleFinalize(ctx, in)
	}
	req, _ := in.Request.(*smithyhttp.Request)
	// The sending holds the attempt that Begin makes, for observeMiddleware behind this one.
	s := new(chain.Sending)
	// Begin has emitted the event of a refusal. Refused keeps the SDK's retry loop from trying again.
	if req, err = m.guard.Begin(ctx, c, s, req); err != nil {
		return out, md, chain.Refused{Err: err}
	}
	if req != nil {
		in.Request = req // perhaps a copy, whose body Begin had to read into memory
	}
	if c.Unmetered { // Begin's refusal was one that shadow mode only reports
		return next.HandleFinalize(ctx, in)
	}
	m.guard.CacheSent(c) // tells the cache check that the call goes out
	return m.send(ctx, s, in, next)
}

// send runs the rest of the stack for an attempt that has its reservation, and resolves that on every way out.
func (m *attemptMiddleware) send(ctx context.Context, s *chain.Sending, in middleware.FinalizeInput, next middleware.FinalizeHandler) (out middleware.FinalizeOutput, md middleware.Metadata, err error) {
	returned := false
	defer func() {
		if !returned { // a panic or runtime.Goexit below
			m.guard.Abandon(ctx, s)
		}
	}()
	out, md, err = next.HandleFinalize(chain.WithSending(ctx, s), in)
	returned = true
	// Converse's answer is read as the SDK has decoded it. The usage of other answers was read from their bytes by observeMiddleware (observe.go).
	converse, _ := out.Result.(*bedrockruntime.ConverseOutput)
	m.guard.Conclude(ctx, s, chain.Result{HasStream: hasStream(out.Result), Converse: converse, Err: err}) // a stream resolves the attempt when it ends
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
