package bedrockguard

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"strings"
	"sync/atomic"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
)

const observeID = "bedrockguard.Observe"

// observeMiddleware is the last middleware before the transport. It looks at the request for the last time, records whether anything was
// sent and what came back, and runs the transport under a context of its own.
type observeMiddleware struct{ guard *Guard }

// ID implements middleware.DeserializeMiddleware.
func (*observeMiddleware) ID() string { return observeID }

// HandleDeserialize implements middleware.DeserializeMiddleware.
func (m *observeMiddleware) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	s := sendingFrom(ctx)
	if s == nil {
		return next.HandleDeserialize(ctx, in)
	}
	return m.guard.transmit(ctx, s, in, next, sendsByNetHTTP(next))
}

// transmit checks a request for the last time and hands it to the transport. direct says that this is net/http's own.
func (g *Guard) transmit(ctx context.Context, s *sending, in middleware.DeserializeInput, next middleware.DeserializeHandler, direct bool) (middleware.DeserializeOutput, middleware.Metadata, error) {
	req, _ := in.Request.(*smithyhttp.Request)
	req, err := g.lastLook(ctx, s, req)
	if err != nil {
		return middleware.DeserializeOutput{}, middleware.Metadata{}, refusedError{err}
	}
	d := &dispatch{guard: g, sending: s, direct: direct, next: next, in: in, cancel: func() {}}
	own := ctx
	if !direct || g.detaches(ctx) {
		own, d.cancel = context.WithCancel(ownContext(ctx, g.detaches(ctx)))
	}
	if req != nil {
		d.in.Request = req
		d.body, _ = req.GetStream().(*bytes.Reader)
	}
	if d.body != nil && d.body.Len() == 0 {
		d.body = nil
	}
	if d.body != nil && g.detaches(ctx) {
		if d.in.Request, d.gate, err = gated(req, d.body); err != nil {
			return middleware.DeserializeOutput{}, middleware.Metadata{}, err
		}
	}
	a := s.current()
	a.handedOver.Store(true)
	if direct && d.body != nil {
		a.watched.Store(true)
	} else {
		own = traced(own, &wireTrace{guard: g, sending: s, ctx: ctx, cancel: d.cancel, id: invocationID(req)})
	}
	answer := d.run(ctx, own)
	switch m := s.stream.Load(); {
	case s.handedOff.Load():
	case m == nil:
		d.cancel()
	case g.detaches(ctx):
		m.follow(ctx)
	}
	if refused := s.refusal(); refused != nil {
		discard(&answer)
		return middleware.DeserializeOutput{}, middleware.Metadata{}, refusedError{refused}
	}
	return answer.out, answer.md, answer.err
}

// ownContext returns the parent of the transport's context: it has the caller's values, and it ends with the caller's context only if
// nothing is read on without a caller.
func ownContext(ctx context.Context, detached bool) context.Context {
	if detached {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// lastLook reads the request as it goes to the transport, and makes a new reservation if it was changed since it was admitted. If it was
// handed to the transport before, this is a repeated sending, which gets a reservation of its own.
func (g *Guard) lastLook(ctx context.Context, s *sending, req *smithyhttp.Request) (*smithyhttp.Request, error) {
	if s.current().handedOver.Load() {
		if err := g.again(ctx, s); err != nil {
			return req, err
		}
	}
	c := s.current().call
	req, changed, err := g.lookAgain(ctx, c, req)
	if err == nil && changed {
		return req, g.replace(ctx, s)
	}
	if err != nil && g.shadows(err) {
		g.reportShadowed(ctx, c, s.current(), err) // the usage of the answer is posted to the reservation from before the change
		return req, nil
	}
	if err != nil {
		g.emitKind(ctx, c, s.current(), event.Denied, err)
	}
	return req, err
}

// gated returns the request with its body behind a gate. It shares everything else with the request: SetStream would copy it, which takes a
// tenth of the time of a guarded call.
func gated(req *smithyhttp.Request, body *bytes.Reader) (*smithyhttp.Request, *gate, error) {
	b := &gate{body: body}
	empty := smithyhttp.Request{Request: new(http.Request)}
	behind, err := empty.SetStream(b)
	if err != nil {
		return req, nil, err
	}
	behind.Request = req.Request
	return behind, b, nil
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

// wireTrace traces one use of a client that may send a request several times: each time that the request is written to a connection is a
// sending, and every one after the first is reserved or stopped.
type wireTrace struct {
	guard   *Guard
	sending *sending
	ctx     context.Context
	cancel  context.CancelFunc
	id      string // the SDK's id of the call, in a header of the request; empty if it has none
	sent    atomic.Int32
	conn    atomic.Pointer[net.Conn]
}

const invocationHeader = "Amz-Sdk-Invocation-Id"

func invocationID(req *smithyhttp.Request) string {
	if req == nil {
		return ""
	}
	return req.Header.Get(invocationHeader)
}

// traced returns a context with a trace that counts how often the request is written to a connection. Other requests that are made with this
// context have another id, and are not counted.
func traced(ctx context.Context, w *wireTrace) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.sending.current().dialing.Store(true) },
		GotConn: func(info httptrace.GotConnInfo) {
			w.sending.current().mayHaveSent.Store(true)
			w.conn.Store(&info.Conn)
			if w.id == "" {
				w.written()
			}
		},
		WroteHeaderField: func(key string, values []string) {
			if w.id != "" && strings.EqualFold(key, invocationHeader) && len(values) == 1 && values[0] == w.id {
				w.written()
			}
		},
	})
}

// written counts one sending. If the ledger has no room for it, it is stopped before its body is sent: its context ends, and over HTTP/1 its
// connection is closed too.
func (w *wireTrace) written() {
	if w.sent.Add(1) == 1 {
		return
	}
	if w.guard.again(w.ctx, w.sending) == nil {
		w.sending.current().mayHaveSent.Store(true)
		return
	}
	w.cancel()
	if conn := w.conn.Load(); conn != nil && !speaksHTTP2(*conn) {
		(*conn).Close()
	}
}

// speaksHTTP2 reports whether other requests share the connection.
func speaksHTTP2(conn net.Conn) bool {
	secure, ok := conn.(*tls.Conn)
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}

// clientField is where the handler of this version of smithy has its client; nil if it has none that is known.
var clientField = func() []int {
	f, ok := reflect.TypeFor[smithyhttp.ClientHandler]().FieldByName("client")
	if !ok || f.Type.Kind() != reflect.Interface {
		return nil
	}
	return f.Index
}()

// transportField is where an http.Client has its transport.
var transportField = func() []int {
	f, _ := reflect.TypeFor[http.Client]().FieldByName("Transport")
	return f.Index
}()

// sendsByNetHTTP reports whether the next handler hands the request to net/http's own transport and to nothing else, which could send it
// twice. A call can have another client than the one that the guard was installed on, so each call is checked; what can't be inspected
// counts as something else.
func sendsByNetHTTP(next middleware.DeserializeHandler) bool {
	if reflect.TypeOf(next) != transportHandler || clientField == nil {
		return false
	}
	wrapper := indirect(reflect.ValueOf(next))
	if wrapper.Kind() != reflect.Struct || wrapper.NumField() != 1 {
		return false
	}
	handler := indirect(wrapper.Field(0))
	if !handler.IsValid() || handler.Type() != reflect.TypeFor[smithyhttp.ClientHandler]() {
		return false
	}
	client := handler.FieldByIndex(clientField).Elem()
	if !client.IsValid() || client.Kind() != reflect.Pointer || client.IsNil() {
		return false
	}
	switch client.Type() {
	case reflect.TypeFor[*awshttp.BuildableClient]():
		return true
	case reflect.TypeFor[*http.Client]():
		transport := client.Elem().FieldByIndex(transportField)
		if transport.IsNil() {
			transport = reflect.ValueOf(&http.DefaultTransport).Elem()
		}
		return transport.Elem().IsValid() && transport.Elem().Type() == reflect.TypeFor[*http.Transport]()
	default:
		return false
	}
}

// indirect returns what an interface or a pointer holds.
func indirect(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v
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
