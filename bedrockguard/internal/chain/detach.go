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

// handlerResult is what the handler behind the guard, which runs the transport, has returned.
type handlerResult struct {
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
	body    *bytes.Reader                 // of the request; nil if it is empty, or not in memory
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

// run calls the transport under the context own, and reads its answer. If answers may be read on after the caller's context ctx ends, that happens
// in a goroutine, so that run can return to the caller before it is done.
func (d *dispatch) run(ctx, own context.Context) handlerResult {
	if !d.guard.detaches(ctx) {
		var got handlerResult
		d.send(ctx, own, &got)
		return got
	}
	done := make(chan struct{})
	var got handlerResult
	go func() {
		defer close(done)
		defer func() {
			if !got.returned {
				got.panicked = recover() // arrived panics again in the caller's goroutine; nil means runtime.Goexit
			}
		}()
		d.send(ctx, own, &got)
	}()
	select {
	case <-done:
		return d.arrived(&got)
	case <-ctx.Done():
		return d.returnEarly(ctx, done, &got)
	}
}

// send hands the request to the transport under the context own, puts what that returns into got, and reads the answer. ctx is the caller's context.
func (d *dispatch) send(ctx, own context.Context, got *handlerResult) {
	got.out, got.md, got.err = d.handOver(own)
	got.returned = true
	d.observe(ctx, got)
}

// arrived returns what the goroutine's handler returned. If that has panicked, arrived panics with the same value.
func (d *dispatch) arrived(got *handlerResult) handlerResult {
	if !got.returned && got.panicked != nil {
		d.cancel()
		panic(got.panicked)
	}
	// Without a panic, only runtime.Goexit ends a goroutine before it returns.
	if !got.returned {
		got.err = errors.New("bedrockguard: the HTTP client ended its goroutine")
	}
	return *got
}

// returnEarly returns to a caller who has canceled, while the transport is still running. A goroutine waits until the transport has returned and
// closed done. The goroutines are registered in Guard.drains, so that Guard.Close waits for them.
func (d *dispatch) returnEarly(ctx context.Context, done chan struct{}, got *handlerResult) handlerResult {
	if d.gate != nil && d.gate.callOff() {
		d.awaitUnsent(done, got)
	} else {
		d.resolveInBackground(ctx, done, got)
	}
	return handlerResult{err: &smithy.CanceledError{Err: ctx.Err()}}
}

// awaitUnsent ends a transport that has read nothing of the request's body, which was withdrawn. The caller's goroutine resolves the attempt.
func (d *dispatch) awaitUnsent(done chan struct{}, got *handlerResult) {
	d.cancel()
	// Own registers a goroutine that takes none of the places for answers that are read on (Options.MaxDrains).
	waiting := d.guard.drains.Own(d.cancel)
	go func() {
		defer d.guard.drains.End(waiting)
		<-done
		// The transport may have got an answer all the same, without reading the body.
		discard(got)
	}()
}

// resolveInBackground lets a goroutine resolve the attempt by what still arrives of the answer, within DrainTimeout.
func (d *dispatch) resolveInBackground(ctx context.Context, done chan struct{}, got *handlerResult) {
	drains := d.guard.drains
	// Begin takes a place for an answer that is read on. It returns nil if none is free, or if the guard is closed: then the answer is cut, and
	// charged with its worst case.
	reading := drains.Begin(d.cancel)
	if reading == nil {
		d.cancel()
		reading = drains.Own(d.cancel)
	}
	// From here on the goroutine resolves the attempt (inBackground), and tells the cache check of the call's end: streaming keeps the door from telling
	// it now, while the answer is still read.
	d.sending.inBackground.Store(true)
	d.sending.current().call.streaming.Store(true)
	// After DrainTimeout the answer is cut, by the end of the transport's context.
	timer := time.AfterFunc(d.guard.opts.DrainTimeout, d.cancel)
	go func() {
		defer drains.End(reading)
		<-done
		d.conclude(ctx, got)
		timer.Stop()
		d.cancel()
	}()
}

// conclude resolves an attempt whose caller has canceled, now that the transport has returned: a stream by reading it to its end, any other
// answer by what has arrived of it.
func (d *dispatch) conclude(ctx context.Context, got *handlerResult) {
	g, s := d.guard, d.sending
	// At the end cacheLost tells the cache check that no usage came; this does nothing more if settling, below, has handed the check a usage.
	defer g.cacheLost(ctx, s.current().call, nil)
	if m := s.stream.Load(); m != nil {
		m.readToEnd(context.Cause(ctx))
		return
	}
	at := s.current()
	if !got.returned { // the transport has panicked or ended its goroutine: nothing proves that the request was not sent
		g.finish(ctx, at, event.OutcomeBroken)
		return
	}
	g.settleAnswer(ctx, at, got.err)
}

// discard closes an answer that nobody reads.
func discard(got *handlerResult) {
	if resp, ok := got.out.RawResponse.(*smithyhttp.Response); ok && resp.Response != nil && resp.Body != nil {
		resp.Body.Close()
	}
}

// handOver hands the request to the transport, and records whether bytes of its body were read: otherwise net/http's own transport has sent
// nothing. A gate knows that; without one, the length that is left to read tells it.
func (d *dispatch) handOver(own context.Context) (middleware.DeserializeOutput, middleware.Metadata, error) {
	before := d.unread()
	out, md, err := d.next.HandleDeserialize(own, d.in)
	// The SDK has closed the request's body by now, so that nothing reads from it any more.
	if d.gate != nil && d.gate.wasRead() || d.unread() != before {
		d.sending.current().mayHaveSent.Store(true)
	}
	return out, md, err
}

// unread returns how many bytes of the request's body are left to read. It is always 0 for a request without a body, and for one with a gate.
func (d *dispatch) unread() int {
	if d.body == nil || d.gate != nil {
		return 0
	}
	return d.body.Len()
}

// observe notes the answer in the attempt, and reads it as far as the guard has to. It does so before any outer middleware returns, because the SDK's
// decoder reads a stream before that. An answer that is no stream is read completely, so that its usage is known whether or not the caller reads it.
func (d *dispatch) observe(ctx context.Context, got *handlerResult) {
	resp, ok := got.out.RawResponse.(*smithyhttp.Response)
	if got.err != nil || !ok || resp.Response == nil {
		return
	}
	if d.gate != nil && !d.gate.answered() {
		return // the caller has canceled before it was sent, and the call is resolved already
	}
	// If the client has sent the request again, the answer is that of the newest attempt.
	at := d.sending.current()
	at.header = resp.Header
	at.status.Store(int32(resp.StatusCode))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		_ = answerIntoMemory(resp) // an error has no usage: its status and its header decide
		return
	}
	at.call.cacheBegun() // tells the cache check that the answer begins
	if at.call.OverHTTP {
		at.call.Streams = StreamsAs(resp.Header) != 0 // 0 is no stream; what was asked for need not be what came
	}
	switch {
	case at.call.Streams:
		d.meterStream(ctx, at, resp)
	case d.sdkDecodes(ctx, at.call):
		// The usage is taken from what the SDK has decoded.
	default:
		at.body = answerIntoMemory(resp)
	}
}

// meterStream replaces a stream's body with one that is metered. From here on the stream resolves the attempt, and tells the cache check of the
// call's end, which the door does for all other answers.
func (d *dispatch) meterStream(ctx context.Context, a *attempt, resp *smithyhttp.Response) {
	m := d.guard.meter(ctx, a, resp.Body, d.cancel)
	resp.Body = m
	d.sending.stream.Store(m)
	a.call.streaming.Store(true)
}

// sdkDecodes reports whether the answer can be left to the SDK. Its types have to hold all that the answer can tell of its cost (Decodable), and the
// transport has to run under the caller's own context: Transmit ends any other when observe returns, and the SDK could read no more.
func (d *dispatch) sdkDecodes(ctx context.Context, c *Call) bool {
	hasOwnContext := !d.direct || d.guard.detaches(ctx)
	return c.Demand.Decodable && !hasOwnContext
}

// answerIntoMemory reads an answer completely, puts the bytes in the place of its body, and returns them. If the body breaks off it returns nil: the
// answer then has what came of it, with the error at its end.
func answerIntoMemory(resp *smithyhttp.Response) []byte {
	whole, err := readWhole(resp.Body, resp.ContentLength)
	resp.Body.Close()
	if err != nil {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(whole), brokenBody{err}))
		return nil
	}
	resp.Body = io.NopCloser(bytes.NewReader(whole))
	return whole
}

// readWhole is io.ReadAll with a buffer as large as the Content-Length, which saves growing it. The header may be wrong, so that no more than
// 1 MiB is allocated before anything was read. ReadFrom grows a buffer in which fewer than MinRead bytes are free, also at the end.
func readWhole(body io.Reader, length int64) ([]byte, error) {
	const maxAllocated = 1 << 20
	whole := bytes.NewBuffer(make([]byte, 0, min(max(length, 0), maxAllocated)+bytes.MinRead))
	_, err := whole.ReadFrom(body)
	return whole.Bytes(), err
}

// brokenBody returns the error that ended the original body.
type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }
