package bedrockguard_test

import (
	"context"
	"io"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// captureBody hands out the response body as a caller's own middleware, outside of the guard's, sees it.
func captureBody(to *io.ReadCloser) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("captureBody", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, md, err := next.HandleDeserialize(ctx, in)
			if resp, ok := out.RawResponse.(*smithyhttp.Response); ok {
				*to = resp.Body
			}
			return out, md, err
		}), middleware.Before)
	}
}

// failAfterwards fails a call whose answer has begun.
func failAfterwards(err error) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("failAfterwards", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, md, _ := next.HandleDeserialize(ctx, in)
			return out, md, err
		}), middleware.Before)
	}
}

// panicAfterwards panics in the place of a caller's own middleware once the answer has begun.
func panicAfterwards(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("panicAfterwards", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		if _, _, err := next.HandleDeserialize(ctx, in); err != nil {
			return middleware.DeserializeOutput{}, middleware.Metadata{}, err
		}
		panic("no")
	}), middleware.Before)
}
