package chain

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

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
)

// The transport runs under a context of its own, so that the usage is still read when the caller cancels: Bedrock bills the answer in any
// case. A request whose caller cancels before the transport has read the first byte of its body is not sent at all.

// errNotSent is the error of a body's Read if its caller has canceled before the transport read from it.
var errNotSent = errors.New("bedrockguard: the caller left before the request was sent")

// gate is a request's body that can be withdrawn until the transport begins to read it, because its caller has canceled. The lock makes sure
// that the caller and the transport agree on whether the request was begun or withdrawn.
type gate struct {
	body io.Reader

	mu     sync.Mutex
	read   bool // the transport has read from it
	begun  bool // it was read, or an answer came without that
	closed bool // it was withdrawn
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

// callOff withdraws the body. It returns true if the transport has not read from it; the transport will then get errNotSent.
func (b *gate) callOff() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = !b.begun
	return b.closed
}

// answered records that an answer came, and returns whether it counts: after callOff it does not, because the attempt is resolved already.
func (b *gate) answered() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	// From now on callOff comes too late, even if the body was never read.
	b.begun = !b.closed
	return b.begun
}

// wasRead reports whether the transport has read from the body, so that bytes of it may have been sent.
func (b *gate) wasRead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

// answered is what the handler behind the guard, which runs the transport, has returned.
type answered struct {
	out      middleware.DeserializeOutput
	md       middleware.Metadata
	err      error
	panicked any  // the value with which it panicked
	returned bool // it has returned; false after a panic or runtime.Goexit
}

// dispatch is one use of the transport. There may be several attempts in it, if the HTTP client sends the request again by itself.
type dispatch struct {
	guard   *Guard
	sending *Sending
	body    *bytes.Reader                 // in memory; nil for a request without one
	gate    *gate                         // around body if the caller can cancel, else nil
	direct  bool                          // the HTTP client is net/http's own
	next    middleware.DeserializeHandler // runs the transport
	in      middleware.DeserializeInput
	cancel  context.CancelFunc // of the transport's own context
}

// detaches reports whether the transport gets a context of its own: if the caller can cancel, and answers may be read on after that.
func (g *Guard) detaches(ctx context.Context) bool {
	return g.opts.DrainTimeout > 0 && ctx.Done() != nil
}

// run calls the transport with its own context and reads its answer. If answers may be read on after the caller's context ctx ends, that happens
// in a goroutine, so that run can return to the caller before it is done.
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
				a.panicked = recover() // arrived panics again in the caller's goroutine; nil means runtime.Goexit
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
		return d.returnEarly(ctx, done, &a)
	}
}

// arrived returns what the goroutine's handler returned. If that has panicked, arrived panics with the same value.
func (d *dispatch) arrived(a *answered) answered {
	if !a.returned && a.panicked != nil {
		d.cancel()
		panic(a.panicked)
	}
	// Without a panic, only runtime.Goexit ends a goroutine before it returns.
	if !a.returned {
		a.err = errors.New("bedrockguard: the HTTP client ended its goroutine")
	}
	return *a
}

// returnEarly returns to a caller who has canceled, while the transport is still running. A goroutine waits for the transport and resolves the
// attempt.
func (d *dispatch) returnEarly(ctx context.Context, done chan struct{}, a *answered) answered {
	gone := answered{err: &smithy.CanceledError{Err: ctx.Err()}}
	drains := d.guard.drains               // makes Guard.Close wait for the goroutine
	if d.gate != nil && d.gate.callOff() { // nothing of the body was read: the caller's goroutine resolves the attempt
		d.cancel()
		// Close of the guard waits for this goroutine, too, which counts against no limit.
		waiting := drains.Own(d.cancel)
		go func() {
			defer drains.End(waiting)
			<-done
			// The transport may have got an answer all the same, without reading the body.
			discard(a)
		}()
		return gone
	}
	reading := drains.Begin(d.cancel)
	if reading == nil { // enough answers are being read on, or the guard is closed: this one is cut, and charged with its worst case
		d.cancel()
		reading = drains.Own(d.cancel)
	}
	d.sending.handedOff.Store(true) // from here on the goroutine resolves the attempt, and tells the cache check of the call's end
	d.sending.current().call.streaming.Store(true)
	// After DrainTimeout the answer is cut, by the end of the transport's context.
	timer := time.AfterFunc(d.guard.opts.DrainTimeout, d.cancel)
	go func() {
		defer drains.End(reading)
		<-done
		d.conclude(ctx, a)
		timer.Stop()
		d.cancel()
	}()
	return gone
}

// conclude resolves an attempt whose caller has canceled, now that the transport has returned: a stream by reading it to its end, any other
// answer by what has arrived of it.
func (d *dispatch) conclude(ctx context.Context, a *answered) {
	g, s := d.guard, d.sending
	// If the usage comes below, the cache check has it by the time that this runs, and learns nothing more.
	defer g.cacheLost(ctx, s.current().call, nil)
	if m := s.stream.Load(); m != nil {
		m.finish(context.Cause(ctx))
		return
	}
	at := s.current()
	if !a.returned { // the transport has panicked or ended its goroutine: nothing proves that the request was not sent
		g.finish(ctx, at, event.OutcomeBroken)
		return
	}
	g.settleAnswer(ctx, at, a.err)
}

// discard closes an answer that nobody reads.
func discard(a *answered) {
	if resp, ok := a.out.RawResponse.(*smithyhttp.Response); ok && resp.Response != nil && resp.Body != nil {
		resp.Body.Close()
	}
}

// handOver hands the request to the transport, and records whether bytes of its body were read: otherwise net/http's own transport has sent
// nothing. A gate knows that; without one, the length that is left to read tells it.
func (d *dispatch) handOver(own context.Context) (middleware.DeserializeOutput, middleware.Metadata, error) {
	unread := 0
	tellsByLength := d.body != nil && d.gate == nil
	if tellsByLength {
		unread = d.body.Len() // of a bytes.Reader: what is left to read
	}
	out, md, err := d.next.HandleDeserialize(own, d.in)
	// The SDK has closed the request's body by now, so that nothing reads from it any more.
	wasRead := d.gate != nil && d.gate.wasRead()
	if tellsByLength {
		wasRead = d.body.Len() != unread
	}
	if wasRead {
		d.sending.current().mayHaveSent.Store(true)
	}
	return out, md, err
}

// observe reads the answer. A stream's body is replaced here by one that is metered, because the SDK's decoder starts to read before any outer
// middleware returns. Any other answer is read completely, so that its usage is known whether or not the caller reads it. A body that breaks
// off is handed on as it came, with the error at its end.
func (d *dispatch) observe(ctx context.Context, a *answered) {
	resp, ok := a.out.RawResponse.(*smithyhttp.Response)
	if a.err != nil || !ok || resp.Response == nil {
		return
	}
	if d.gate != nil && !d.gate.answered() {
		return // the caller has canceled before it was sent, and the call is resolved already
	}
	// If the client has sent the request again, the answer is that of the newest attempt.
	at := d.sending.current()
	at.header = resp.Header
	at.status.Store(int32(resp.StatusCode))
	succeeded := resp.StatusCode >= 200 && resp.StatusCode <= 299
	if succeeded {
		at.call.cacheBegun() // tells the cache check that the answer begins
	}
	if succeeded && at.call.OverHTTP {
		at.call.Streams = StreamsAs(resp.Header) != 0 // 0 is no stream; what was asked for need not be what came
	}
	if succeeded && at.call.Streams {
		m := d.guard.meter(ctx, at, resp.Body, d.cancel)
		resp.Body = m
		d.sending.stream.Store(m)
		// From here on the stream tells the cache check of the call's end, and not the door.
		at.call.streaming.Store(true)
		return
	}
	// Decodable says that the SDK's types hold all that the answer can tell of its cost. The other two conditions say that the transport runs under
	// the caller's own context: Transmit ends any other when this returns, and the SDK could read no more.
	if succeeded && at.call.Demand.Decodable && d.direct && !d.guard.detaches(ctx) {
		return // the caller waits until the SDK has decoded the answer, and the usage is taken from that
	}
	whole, err := readWhole(resp.Body, resp.ContentLength)
	resp.Body.Close()
	if err != nil {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(whole), brokenBody{err}))
		return
	}
	resp.Body = io.NopCloser(bytes.NewReader(whole))
	if succeeded {
		at.body = whole
	}
}

// readWhole is io.ReadAll with a buffer as large as the Content-Length, which saves growing it. The header may be wrong, so that no more than
// 1 MiB is allocated before anything was read.
func readWhole(body io.Reader, length int64) ([]byte, error) {
	const maxAllocated = 1 << 20
	whole := bytes.NewBuffer(make([]byte, 0, min(max(length, 0), maxAllocated)+bytes.MinRead))
	_, err := whole.ReadFrom(body)
	return whole.Bytes(), err
}

// brokenBody returns the error that ended the original body.
type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }
