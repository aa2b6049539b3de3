package chain

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
)

// Transmit checks a request for the last time, hands it to the transport, and reads the answer as far as it has to. direct says that the transport is
// net/http's own; any other may send the request more than once. The errors that are Refused keep the SDK from retrying what the guard has refused.
func (g *Guard) Transmit(ctx context.Context, s *Sending, in middleware.DeserializeInput, next middleware.DeserializeHandler, direct bool) (middleware.DeserializeOutput, middleware.Metadata, error) {
	req, _ := in.Request.(*smithyhttp.Request)
	req, err := g.lastLook(ctx, s, req)
	if err != nil {
		return middleware.DeserializeOutput{}, middleware.Metadata{}, Refused{Err: err}
	}
	d := &dispatch{guard: g, sending: s, direct: direct, next: next, in: in, cancel: func() {}}
	if req != nil {
		if err := d.setRequest(ctx, req); err != nil {
			return middleware.DeserializeOutput{}, middleware.Metadata{}, err
		}
	}
	own := d.noticing(ctx, d.ownContext(ctx), req)
	answer := d.run(ctx, own)
	d.endContext(ctx)
	// The trace has refused a repeated sending, whose answer, if there is one, goes to nobody.
	if refused := s.refusal(); refused != nil {
		discard(&answer)
		return middleware.DeserializeOutput{}, middleware.Metadata{}, Refused{Err: refused}
	}
	return answer.out, answer.md, answer.err
}

// setRequest puts the request into the transport's input, and keeps its body if that is in memory. If the caller can cancel, the body gets a gate, by
// which it can be withdrawn. An empty body is not kept: the transport never reads it, so that not having read it would prove nothing.
func (d *dispatch) setRequest(ctx context.Context, req *smithyhttp.Request) (err error) {
	d.in.Request = req
	d.body, _ = req.GetStream().(*bytes.Reader)
	if d.body != nil && d.body.Len() == 0 {
		d.body = nil
	}
	if d.body != nil && d.guard.detaches(ctx) {
		d.in.Request, d.gate, err = gated(req, d.body)
	}
	return err
}

// ownContext returns the context for the transport, which has the caller's values. It is the caller's own context ctx if that is enough. Otherwise
// it is one that cancel ends. If answers are read on without their callers, it does not end with ctx.
func (d *dispatch) ownContext(ctx context.Context) context.Context {
	detached := d.guard.detaches(ctx)
	if d.direct && !detached {
		return ctx
	}
	parent := ctx
	if detached {
		parent = context.WithoutCancel(ctx)
	}
	// A client that may send again (not direct) has to be stopped by cancel if a later sending is refused, even while the caller stays.
	var own context.Context
	own, d.cancel = context.WithCancel(parent)
	return own
}

// noticing makes sure that it is noticed whether the request is sent, and how often. It returns the transport's context: own, with a trace if one is
// needed. net/http's own transport sends nothing before it reads the body, which handOver sees (watched). In all other cases the trace tells.
func (d *dispatch) noticing(ctx, own context.Context, req *smithyhttp.Request) context.Context {
	a := d.sending.current()
	a.handedOver.Store(true)
	if d.direct && d.body != nil {
		a.watched.Store(true)
		return own
	}
	return traced(own, &wireTrace{guard: d.guard, sending: d.sending, ctx: ctx, cancel: d.cancel, id: invocationID(req)})
}

// endContext ends the transport's context once nothing is read under it any more.
func (d *dispatch) endContext(ctx context.Context) {
	switch m := d.sending.stream.Load(); {
	case d.sending.inBackground.Load(): // a goroutine goes on, and cancels when it is done
	case m == nil: // the answer is no stream
		d.cancel()
	case d.guard.detaches(ctx): // the stream goes on under the transport's own context, so that the caller's has to be watched
		m.follow(ctx)
	}
}

// lastLook reads the request as it goes to the transport, and makes a new reservation if it was changed since it was admitted. If it was
// handed to the transport before, this is a repeated sending, which gets a reservation of its own.
func (g *Guard) lastLook(ctx context.Context, s *Sending, req *smithyhttp.Request) (*smithyhttp.Request, error) {
	if s.current().handedOver.Load() {
		if err := g.again(ctx, s); err != nil {
			return req, err
		}
	}
	c := s.current().call
	// A repeated sending may have changed the request, too.
	req, changed, err := g.lookAgain(ctx, c, req)
	if err == nil && changed {
		return req, g.replace(ctx, s)
	}
	if err != nil && g.Shadows(err) {
		g.reportShadowed(ctx, c, s.current(), err) // the usage of the answer is posted to the reservation from before the change
		return req, nil
	}
	if err != nil {
		// It can't be a kill: reading the request does not ask the ledger.
		g.emitKind(ctx, c, s.current(), event.Denied, err)
	}
	return req, err
}

// gated returns the request with its body behind a gate, which lets it be withdrawn until the transport begins to read it. It shares everything else
// with the request: SetStream would copy that, which takes a tenth of the time of a guarded call.
func gated(req *smithyhttp.Request, body *bytes.Reader) (*smithyhttp.Request, *gate, error) {
	b := &gate{body: body}
	// SetStream copies the request that it belongs to. This one is empty, and gives its place to the real one below.
	empty := smithyhttp.Request{Request: new(http.Request)}
	behind, err := empty.SetStream(b)
	if err != nil {
		return req, nil, err
	}
	behind.Request = req.Request
	return behind, b, nil
}

// wireTrace traces one use of a client that may send a request several times: each time that the request is written to a connection is a
// sending, and every one after the first is reserved or stopped.
type wireTrace struct {
	guard   *Guard
	sending *Sending
	ctx     context.Context          // the caller's, for the reservations of later sendings
	cancel  context.CancelFunc       // ends the transport, which stops a sending that was refused
	id      string                   // the SDK's id of the call, in a header of the request; empty if it has none
	sent    atomic.Int32             // how often the request was written to a connection
	conn    atomic.Pointer[net.Conn] // the connection that was used last
}

// invocationHeader is the header in which the SDK sends an id of the call, the same in all of its attempts.
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
			// From here on bytes may be written to the connection.
			w.sending.current().mayHaveSent.Store(true)
			w.conn.Store(&info.Conn)
			if w.id == "" { // each connection counts as a sending
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

// written counts one sending. The first has its reservation already. If the ledger has no room for a later one, it is stopped before its body is
// sent: its context ends, and over HTTP/1 its connection is closed, too. Over HTTP/2 the connection stays open, because other requests share it.
func (w *wireTrace) written() {
	if w.sent.Add(1) == 1 {
		return
	}
	if w.guard.again(w.ctx, w.sending) == nil {
		// again has made a new attempt for this sending.
		w.sending.current().mayHaveSent.Store(true)
		return
	}
	// The request is on its way already, so that it has to be cut off.
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
