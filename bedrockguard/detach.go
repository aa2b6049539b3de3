package bedrockguard

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The transport runs under a context of its own, so that a caller who leaves does not lose the figures: Bedrock bills the
// answer either way. A call whose caller leaves before the first byte of the body was taken is not sent at all.

// errNotSent is what a transport gets that asks for a body whose caller has left.
var errNotSent = errors.New("bedrockguard: the caller left before the request was sent")

// gate hands the body of a request to the transport, and decides once, for both sides, whether it was begun or called off.
type gate struct {
	body io.Reader

	mu     sync.Mutex
	read   bool // by the transport
	begun  bool // read, or answered without
	closed bool
}

// Read implements io.Reader.
func (b *gate) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return 0, errNotSent
	}
	b.read, b.begun = true, true
	b.mu.Unlock()
	return b.body.Read(p)
}

// callOff reports whether nothing was read, and nothing will be.
func (b *gate) callOff() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = !b.begun
	return b.closed
}

// answered reports whether the request still counts when its answer comes. A transport that was called off is not heard.
func (b *gate) answered() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun = !b.closed
	return b.begun
}

func (b *gate) wasRead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

// answered is what the handler behind the guard returned.
type answered struct {
	out      middleware.DeserializeOutput
	md       middleware.Metadata
	err      error
	panicked any
	returned bool
}

// dispatch is one use of the transport.
type dispatch struct {
	guard   *Guard
	sending *sending
	body    *bytes.Reader // in memory; nil for a request without one
	gate    *gate         // in front of body, where the caller can leave; else nil
	direct  bool          // the HTTP client is net/http's own
	next    middleware.DeserializeHandler
	in      middleware.DeserializeInput
	cancel  context.CancelFunc // of the transport's own context
}

// detaches reports whether the transport gets a context of its own: there is a caller who can leave, and an answer to wait for.
func (g *Guard) detaches(ctx context.Context) bool {
	return g.opts.DrainTimeout > 0 && ctx.Done() != nil
}

// run asks the transport and takes in what it answers. Only a caller who can leave costs a goroutine.
func (d *dispatch) run(ctx, own context.Context) answered {
	if !d.guard.detaches(ctx) {
		var a answered
		a.out, a.md, a.err = d.handOver(own)
		a.returned = true
		d.observe(ctx, &a)
		return a
	}
	done := make(chan struct{})
	var a answered
	go func() {
		defer close(done)
		defer func() {
			if !a.returned {
				a.panicked = recover() // raised again where the caller is; nil stands for runtime.Goexit
			}
		}()
		a.out, a.md, a.err = d.handOver(own)
		a.returned = true
		d.observe(ctx, &a)
	}()
	select {
	case <-done:
		return d.arrived(&a)
	case <-ctx.Done():
		return d.leave(ctx, done, &a)
	}
}

// arrived hands over what the goroutine brought, its panic included.
func (d *dispatch) arrived(a *answered) answered {
	if !a.returned && a.panicked != nil {
		d.cancel()
		panic(a.panicked)
	}
	if !a.returned {
		a.err = errors.New("bedrockguard: the HTTP client ended its goroutine")
	}
	return *a
}

// leave returns to a caller who does not wait any longer.
func (d *dispatch) leave(ctx context.Context, done chan struct{}, a *answered) answered {
	gone := answered{err: &smithy.CanceledError{Err: ctx.Err()}}
	drains := &d.guard.drains
	if d.gate != nil && d.gate.callOff() {
		d.cancel()
		one := drains.own(d.cancel)
		go func() {
			defer drains.end(one)
			<-done
			discard(a)
		}()
		return gone
	}
	one := drains.begin(d.cancel)
	if one == nil { // as many are read on as may: this one is charged at its worst case
		d.cancel()
		one = drains.own(d.cancel)
	}
	d.sending.left.Store(true)
	d.sending.current().call.streaming.Store(true)
	timer := time.AfterFunc(d.guard.opts.DrainTimeout, d.cancel)
	go func() {
		defer drains.end(one)
		<-done
		d.conclude(ctx, a)
		timer.Stop()
		d.cancel()
	}()
	return gone
}

// conclude resolves an attempt whose caller has left, now that the transport has returned.
func (d *dispatch) conclude(ctx context.Context, a *answered) {
	g, s := d.guard, d.sending
	defer g.cacheLost(ctx, s.current().call, nil)
	if m := s.stream.Load(); m != nil {
		m.finish(context.Cause(ctx))
		return
	}
	at := s.current()
	if !a.returned {
		g.finish(ctx, at, OutcomeBroken)
		return
	}
	g.settleAnswer(ctx, at, a.err)
}

// discard closes an answer that nobody wants.
func discard(a *answered) {
	if resp, ok := a.out.RawResponse.(*smithyhttp.Response); ok && resp.Response != nil && resp.Body != nil {
		resp.Body.Close()
	}
}

// handOver hands the request to the transport.
func (d *dispatch) handOver(own context.Context) (middleware.DeserializeOutput, middleware.Metadata, error) {
	unread := 0
	tellsByLength := d.body != nil && d.gate == nil
	if tellsByLength {
		unread = d.body.Len()
	}
	out, md, err := d.next.HandleDeserialize(own, d.in)
	// The SDK has closed the request's body by now, so that nobody reads on.
	wasRead := d.gate != nil && d.gate.wasRead()
	if tellsByLength {
		wasRead = d.body.Len() != unread
	}
	if wasRead {
		d.sending.current().mayHaveLeft.Store(true)
	}
	return out, md, err
}

// observe takes in what came back: the meter goes between a stream's bytes and the SDK's decoder, which starts to read before
// any outer middleware returns; any other answer is read whole, so that its
// figures are known whatever becomes of its reader.
func (d *dispatch) observe(ctx context.Context, a *answered) {
	resp, ok := a.out.RawResponse.(*smithyhttp.Response)
	if a.err != nil || !ok || resp.Response == nil {
		return
	}
	if d.gate != nil && !d.gate.answered() {
		return // the caller has left before it was sent, and the call is resolved already
	}
	at := d.sending.current()
	at.header = resp.Header
	at.status.Store(int32(resp.StatusCode))
	fine := resp.StatusCode >= 200 && resp.StatusCode <= 299
	if fine {
		at.call.cacheBegun()
	}
	if fine && at.call.overHTTP {
		at.call.streams = streamsAs(resp.Header) != 0
	}
	if fine && at.call.streams {
		m := d.guard.meter(ctx, at, resp.Body, d.cancel)
		resp.Body = m
		d.sending.stream.Store(m)
		at.call.streaming.Store(true)
		return
	}
	if fine && at.call.demand.decodable && d.direct && !d.guard.detaches(ctx) {
		return // the transport runs under its caller's own context, who can't leave, and the SDK's decoder brings the figures
	}
	whole, err := readWhole(resp.Body, resp.ContentLength)
	resp.Body.Close()
	if err != nil {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(whole), brokenBody{err}))
		return
	}
	resp.Body = io.NopCloser(bytes.NewReader(whole))
	if fine {
		at.body = whole
	}
}

// readWhole is io.ReadAll with room for what the header tells of the length, up to a bound: it may lie.
func readWhole(body io.Reader, length int64) ([]byte, error) {
	const most = 1 << 20
	whole := bytes.NewBuffer(make([]byte, 0, min(max(length, 0), most)+bytes.MinRead))
	_, err := whole.ReadFrom(body)
	return whole.Bytes(), err
}

// brokenBody fails as the body failed that stood in its place.
type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }
