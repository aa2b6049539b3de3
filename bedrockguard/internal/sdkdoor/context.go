package sdkdoor

import (
	"context"

	"github.com/aws/smithy-go/middleware"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
)

type callKey struct{}

// withCall puts the call where the other middlewares of its own operation find it. The SDK clears such values when another
// operation begins, so that whatever is called with this context is never taken for a part of this call.
func withCall(ctx context.Context, c *chain.Call) context.Context {
	return middleware.WithStackValue(ctx, callKey{}, c)
}

// callFrom returns the call of a context, or nil.
func callFrom(ctx context.Context) *chain.Call {
	c, _ := middleware.GetStackValue(ctx, callKey{}).(*chain.Call)
	return c
}
