package sdkdoor

import (
	"context"
	"net/http"
	"reflect"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
)

const observeID = "bedrockguard.Observe"

// observeMiddleware is the last middleware before the transport. Guard.Transmit does its work: it compares the request with what was reserved
// for, and reserves anew if it was changed; it records whether anything was sent and what came back, and it runs the transport under a context
// of its own, so that an answer can be read on when its caller has left.
type observeMiddleware struct{ guard *chain.Guard }

// ID implements middleware.DeserializeMiddleware.
func (*observeMiddleware) ID() string { return observeID }

// HandleDeserialize implements middleware.DeserializeMiddleware.
func (m *observeMiddleware) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	s := chain.SendingFrom(ctx)
	if s == nil { // nothing is reserved for this call
		return next.HandleDeserialize(ctx, in)
	}
	return m.guard.Transmit(ctx, s, in, next, sendsByNetHTTP(next))
}

// transportHandler is the type of the SDK's handler after the last middleware of a stack: if the next handler has it, the guard is last. The
// type is not exported, so it is taken once from a stack with one middleware. Stack.Deserialize.List would show the same by names, but it
// makes a slice and its copy for each call (0.2 µs and 2 allocations for six names; comparing types takes 0.07 µs and none), and
// sendsByNetHTTP needs the handler in any case.
var transportHandler = func() (t reflect.Type) {
	step := middleware.NewDeserializeStep()
	last := middleware.DeserializeMiddlewareFunc("last", func(_ context.Context, _ middleware.DeserializeInput, next middleware.DeserializeHandler) (out middleware.DeserializeOutput, md middleware.Metadata, err error) {
		t = reflect.TypeOf(next)
		return out, md, nil
	})
	if step.Add(last, middleware.After) == nil {
		_, _, _ = step.HandleMiddleware(context.Background(), nil, nil) // it never gets to the missing handler
	}
	return t
}()

// clientField is the index of the unexported field "client" in smithy's ClientHandler, the handler that sends requests; nil if this version of
// smithy has no such field, so that nothing is known of the client.
var clientField = func() []int {
	f, ok := reflect.TypeFor[smithyhttp.ClientHandler]().FieldByName("client")
	if !ok || f.Type.Kind() != reflect.Interface {
		return nil
	}
	return f.Index
}()

// transportField is the index of the field Transport in an http.Client.
var transportField = func() []int {
	f, _ := reflect.TypeFor[http.Client]().FieldByName("Transport")
	return f.Index
}()

// sendsByNetHTTP reports whether the next handler hands the request to net/http's own transport, and to nothing that could send it twice by
// itself. A per-call option can replace the client that the guard was installed on, so each call is checked. The result is false for whatever
// can't be inspected.
func sendsByNetHTTP(next middleware.DeserializeHandler) bool {
	client := clientOf(next)
	if !client.IsValid() {
		return false
	}
	switch client.Type() {
	case reflect.TypeFor[*awshttp.BuildableClient](): // the SDK's default client, which has no other transport
		return true
	case reflect.TypeFor[*http.Client]():
		transport := client.Elem().FieldByIndex(transportField)
		if transport.IsNil() { // the client uses http.DefaultTransport, which a program can replace
			transport = reflect.ValueOf(&http.DefaultTransport).Elem()
		}
		// Only this very type counts: any other may wrap one, and send twice.
		return transport.Elem().IsValid() && transport.Elem().Type() == reflect.TypeFor[*http.Transport]()
	default:
		return false
	}
}

// clientOf returns the client, a pointer, with which a handler sends requests; the zero Value if it can't be found. By reflection it follows smithy's
// wrapper, a struct whose only field is the handler proper, and that handler, which holds the client.
func clientOf(next middleware.DeserializeHandler) (none reflect.Value) {
	if reflect.TypeOf(next) != transportHandler || clientField == nil {
		return none
	}
	wrapper := indirect(reflect.ValueOf(next))
	if wrapper.Kind() != reflect.Struct || wrapper.NumField() != 1 {
		return none
	}
	handler := indirect(wrapper.Field(0))
	if !handler.IsValid() || handler.Type() != reflect.TypeFor[smithyhttp.ClientHandler]() {
		return none
	}
	// The field holds an interface, whose Elem is the client; the zero Value if it is nil.
	client := handler.FieldByIndex(clientField).Elem()
	if !client.IsValid() || client.Kind() != reflect.Pointer || client.IsNil() {
		return none
	}
	return client
}

// indirect returns what an interface or a pointer holds, through any number of them; the zero Value for nil.
func indirect(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v
}
