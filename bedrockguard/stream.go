package bedrockguard

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// meteredBody is the body of a streaming answer. It passes every byte on unchanged, reads along for the usage, and
// resolves the reservation when the stream ends, however it ends. Read is called by one goroutine, Close by any.
type meteredBody struct {
	guard   *Guard
	attempt *attempt
	ctx     context.Context
	body    io.ReadCloser

	reading  sync.Mutex // held from a read to its metering, so that the meter sees the bytes in their order
	mu       sync.Mutex // guards meter
	meter    *wire.StreamMeter
	killed   atomic.Pointer[budget.KilledError]
	closing  atomic.Bool
	leave    func() // stops the watch
	closed   sync.Once
	closeErr error
}

func (g *Guard) meter(ctx context.Context, a *attempt, body io.ReadCloser) io.ReadCloser {
	m := &meteredBody{guard: g, attempt: a, ctx: ctx, body: body, meter: wire.NewStreamMeter(a.call.provider, a.call.ask.writes, a.header)}
	m.leave = g.watch.enter(a.call.scope, m.kill)
	return m
}

// Read implements io.Reader. The reservation is resolved before the end of the stream is reported, so that whoever has
// seen the end finds the spend in the ledger.
func (m *meteredBody) Read(p []byte) (int, error) {
	n, err := m.pass(p)
	killed := m.killed.Load()
	switch {
	case killed != nil:
		m.end(OutcomeKilled)
		return n, killed
	case errors.Is(err, io.EOF):
		m.end(OutcomeNoUsage)
	case err != nil && !m.closing.Load(): // Close resolves what it interrupts
		m.end(OutcomeBroken)
	}
	return n, err
}

// pass reads once and lets the meter see it.
func (m *meteredBody) pass(p []byte) (int, error) {
	m.reading.Lock()
	defer m.reading.Unlock()
	n, err := m.body.Read(p)
	if n > 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.meter.Write(p[:n]) //nolint:errcheck // it never fails: what it can't read is no usage
	}
	return n, err
}

// Close implements io.Closer.
func (m *meteredBody) Close() error {
	m.closed.Do(func() {
		m.closing.Store(true)
		if m.drainable() {
			m.guard.drains.Add(1)
			go m.drain()
			return
		}
		m.closeErr = m.body.Close()
		m.end(OutcomeAbandoned)
	})
	return m.closeErr
}

func (m *meteredBody) drainable() bool {
	return m.guard.opts.DrainTimeout > 0 && m.killed.Load() == nil && m.ctx.Err() == nil && !m.sawUsage()
}

func (m *meteredBody) sawUsage() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.meter.Usage()
	return ok
}

// drain reads an abandoned stream to its end or the timeout. The SDK's decoder may still take a read from the body
// meanwhile, which passes the meter as well.
func (m *meteredBody) drain() {
	defer m.guard.drains.Done()
	timer := time.AfterFunc(m.guard.opts.DrainTimeout, func() { m.body.Close() })
	buf := make([]byte, 32<<10)
	for {
		if _, err := m.pass(buf); err != nil {
			break
		}
	}
	timer.Stop()
	m.body.Close()
	m.end(OutcomeAbandoned)
}

// kill ends the stream from outside: closing the body wakes a reader that waits for the next frame.
func (m *meteredBody) kill(err *budget.KilledError) {
	if m.killed.CompareAndSwap(nil, err) {
		m.body.Close()
		m.guard.emit(m.ctx, m.attempt.call, m.attempt, Event{Kind: EventKilled, Err: err})
	}
}

// end resolves the reservation: with the usage if it has passed, else by the outcome.
func (m *meteredBody) end(without Outcome) {
	m.leave()
	m.mu.Lock()
	reported, ok := m.meter.Usage()
	m.mu.Unlock()
	if ok {
		m.guard.settleUsage(m.ctx, m.attempt, &reported)
		return
	}
	m.guard.finish(m.ctx, m.attempt, without)
	m.guard.cacheLost(m.ctx, m.attempt.call, nil)
}
