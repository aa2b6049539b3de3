package sdkdoor

import (
	"context"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
)

const describeID = "bedrockguard.Describe"

// describeMiddleware reads what a call asks for, which decides what is reserved. It stands directly behind the serializer, so that it sees the
// operation's input and the HTTP request that was made from it.
type describeMiddleware struct{ guard *chain.Guard }

// ID implements middleware.SerializeMiddleware.
func (*describeMiddleware) ID() string { return describeID }

// HandleSerialize implements middleware.SerializeMiddleware. A request that can't be bounded or priced is refused here. In shadow mode, where
// most refusals are only reported, PassUnmetered lets it through without a reservation unless its scope was killed.
func (m *describeMiddleware) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (out middleware.SerializeOutput, md middleware.Metadata, err error) {
	c := callFrom(ctx)
	if c == nil || c.Unmetered { // not guarded, or let through by shadow mode before
		return next.HandleSerialize(ctx, in)
	}
	req, _ := in.Request.(*smithyhttp.Request)
	if err = m.guard.Describe(ctx, c, in.Parameters, req); err != nil {
		if m.guard.Shadows(err) {
			if err = m.guard.PassUnmetered(ctx, c, err); err == nil {
				return next.HandleSerialize(ctx, in)
			}
		}
		m.guard.EmitRefused(ctx, c, err)
		return out, md, err
	}
	return next.HandleSerialize(ctx, in)
}
