package chain

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// meteredBody is the body of a streaming answer. Its goroutine reads from the network, passes the bytes through the meter, and hands them to
// the reader unchanged, no faster than they are read. When the stream ends, in whatever way, it resolves the reservation. After the reader
// has closed the body, the goroutine may read on. Read is called by one goroutine, Close by any.
type meteredBody struct {
	guard   *Guard
	attempt *attempt
	ctx     context.Context // the caller's, for events and settlements; it may end before the stream
	body    io.ReadCloser
	cancel  context.CancelFunc // ends the transport
	meter   streamMeter
	from    *io.PipeReader // the caller's end of the pipe
	to      *io.PipeWriter // the goroutine's end
	done    chan struct{}  // closed when the goroutine has ended
	unwatch func()         // stops watching for kills of the scope

	killed     atomic.Pointer[budget.KilledError] // why the stream was ended; nil if it was not killed
	killTold   sync.Once                          // for event.Killed, which is emitted once
	readerGone atomic.Bool                        // the caller has closed the stream or canceled
	givingUp   sync.Once                          // for giveUp and readToEnd, of which only the first call counts
	unfollow   atomic.Pointer[func() bool]        // stops waiting for the end of the caller's context
}

// streamMeter reads usage from a stream while it passes.
type streamMeter interface {
	io.Writer
	Usage() (wire.Reported, bool) // false until the stream has reported its usage
	Refused() int                 // the HTTP status of a refusal before any inference, which the service sent as the first event; 0 for none
}

// newStreamMeter returns the meter for the way in which the stream is cut into events: AWS's, or, over HTTP only, server-sent events. Demand.Writes,
// the cache points that the request has asked for, decides the lifetime of those cache writes for which the stream tells none.
func newStreamMeter(a *attempt) streamMeter {
	if a.call.OverHTTP && StreamsAs(a.header) == ServerSentEvents {
		return wire.NewSSEMeter(a.call.Provider, a.call.Demand.Writes, a.header)
	}
	return wire.NewStreamMeter(a.call.Provider, a.call.Demand.Writes, a.header)
}

// meter puts a metered body in the place of a stream's own body, and starts its goroutine. From here on a kill of the call's scope ends the stream.
func (g *Guard) meter(ctx context.Context, a *attempt, body io.ReadCloser, cancel context.CancelFunc) *meteredBody {
	m := &meteredBody{
		guard: g, attempt: a, ctx: ctx, body: body, cancel: cancel, done: make(chan struct{}),
		meter: newStreamMeter(a),
	}
	m.from, m.to = io.Pipe()
	m.unwatch = g.watch.Add(a.call.Scope, m.kill)
	go m.pump()
	return m
}

// follow gives the stream up when the caller's context ends, as Close does.
func (m *meteredBody) follow(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { m.giveUp(ctx.Err()) })
	m.unfollow.Store(&stop)
	select {
	case <-m.done: // the goroutine calls followNoMore at its end, which may have found no unfollow yet
		stop()
	default:
	}
}

// followNoMore undoes follow, for a stream that has ended or was given up.
func (m *meteredBody) followNoMore() {
	if stop := m.unfollow.Load(); stop != nil {
		(*stop)()
	}
}

// pumpBytes is how much the goroutine of a stream reads at once.
const pumpBytes = 16 << 10

// pump is the goroutine of the stream. It resolves the reservation before it reports the end of the stream, so that the ledger has the spend
// once a reader has seen the end.
func (m *meteredBody) pump() {
	defer m.followNoMore()
	defer close(m.done)
	buf := make([]byte, pumpBytes)
	for {
		n, err := m.body.Read(buf)
		if n > 0 {
			m.meter.Write(buf[:n]) //nolint:errcheck // can't fail: what it can't parse has no usage
			if !m.readerGone.Load() {
				_, _ = m.to.Write(buf[:n]) // fails once the reader is gone, while the meter goes on
			}
		}
		if err != nil {
			m.body.Close()
			m.end(m.outcomeOf(err))
			m.to.CloseWithError(err)
			m.cancel()
			return
		}
	}
}

// outcomeOf returns the outcome of a stream that ended with err and has reported no usage.
func (m *meteredBody) outcomeOf(err error) event.Outcome {
	switch {
	case m.killed.Load() != nil:
		// A kill decides even if the reader has left, too.
		return event.OutcomeKilled
	case m.readerGone.Load():
		return event.OutcomeAbandoned
	case errors.Is(err, io.EOF):
		return event.OutcomeNoUsage
	default:
		return event.OutcomeBroken
	}
}

// Read implements io.Reader.
func (m *meteredBody) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	if killed := m.killed.Load(); killed != nil && err != nil {
		// The goroutine, which also calls end, may still wait for the network. The first of the two calls resolves the reservation, so that this has
		// happened once Read returns.
		m.end(event.OutcomeKilled)
		return n, killed
	}
	return n, err
}

// Close implements io.Closer.
func (m *meteredBody) Close() error {
	m.giveUp(io.ErrClosedPipe)
	return nil
}

// giveUp ends the caller's reading, once; a blocked Read returns cause. If the usage has not come yet and the answer may be read on, the goroutine
// does that; otherwise the answer is cut, and the reservation is resolved before giveUp returns.
func (m *meteredBody) giveUp(cause error) {
	m.givingUp.Do(func() {
		m.followNoMore()
		m.readerGone.Store(true)
		m.to.CloseWithError(cause)
		select {
		case <-m.done:
			// The goroutine has come to the end, and resolved the reservation.
			return
		default:
		}
		// readOn is asked last, because it takes one of the places for answers that are read on (Options.MaxDrains).
		if m.killed.Load() == nil && !m.sawUsage() && m.readOn() {
			return
		}
		m.cut()
		m.end(m.outcomeOf(cause))
	})
}

// readOn lets the goroutine read the rest of the answer without a caller, for Options.DrainTimeout. It returns false if that is switched
// off, or if too many answers are being read on.
func (m *meteredBody) readOn() bool {
	g := m.guard
	if g.opts.DrainTimeout <= 0 {
		return false
	}
	drain := g.drains.Begin(m.cut)
	if drain == nil {
		return false
	}
	// After the timeout the cut makes the goroutine end, which closes done.
	timer := time.AfterFunc(g.opts.DrainTimeout, m.cut)
	go func() {
		defer g.drains.End(drain)
		<-m.done
		timer.Stop()
	}()
	return true
}

// readToEnd waits until the goroutine has read the answer to its end, without the caller, who has canceled. Unlike readOn it does not register with
// Guard.drains: whoever calls it has done that.
func (m *meteredBody) readToEnd(cause error) {
	// After this a Close of the stream does nothing: it would cut the answer.
	m.givingUp.Do(func() {
		m.readerGone.Store(true)
		m.to.CloseWithError(cause)
	})
	<-m.done
}

// cut stops reading the answer.
func (m *meteredBody) cut() {
	m.cancel()
	m.body.Close()
}

// sawUsage reports whether the stream has reported its usage, so that nothing needs to be read on.
func (m *meteredBody) sawUsage() bool {
	_, ok := m.meter.Usage()
	return ok
}

// kill ends the stream because its scope was killed. Closing the body wakes a Read that waits for the next frame. kill itself does not block.
func (m *meteredBody) kill(err *budget.KilledError) {
	if m.killed.CompareAndSwap(nil, err) {
		m.to.CloseWithError(err)
		m.cut()
	}
}

// emitKilled emits event.Killed, once, if the stream was killed.
func (m *meteredBody) emitKilled() {
	if killed := m.killed.Load(); killed != nil {
		m.killTold.Do(func() { m.guard.emitKind(m.ctx, m.attempt.call, m.attempt, event.Killed, killed) })
	}
}

// end resolves the reservation: with the usage if it was read; by the status of the service's refusal if nothing else came; otherwise with
// noUsage, the outcome for a stream that has reported no usage. It may be called several times, because only the first call resolves.
func (m *meteredBody) end(noUsage event.Outcome) {
	m.unwatch()
	m.emitKilled()
	reported, ok := m.meter.Usage()
	if ok {
		// settleUsage also hands the usage to the cache check. Below, cacheLost tells the check that there is none.
		m.guard.settleUsage(m.ctx, m.attempt, &reported)
		return
	}
	// Refused is the status of the error with which the stream began, else zero. Only an answer with a request id is Bedrock's own.
	if status := m.meter.Refused(); status != 0 && m.attempt.fromBedrock() {
		noUsage = event.OutcomeStatus(status)
	}
	m.guard.finish(m.ctx, m.attempt, noUsage)
	m.guard.cacheLost(m.ctx, m.attempt.call, nil)
}
