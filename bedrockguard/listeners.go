package bedrockguard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/smithy-go/middleware"
)

// A listener is the caller's code, which may do anything: panic, end its goroutine, block, close the stream that it hears of, make
// guarded calls. It therefore runs in a goroutine of its own, which ends when there is nothing to tell.

const (
	// listenerPatience is how long a call waits for OnEvent.
	listenerPatience = time.Second
	// closePatience is how long Close waits for a listener that gets nowhere.
	closePatience = 5 * time.Second
	// defaultListenerQueue is how many events wait for one of Options.Listeners.
	defaultListenerQueue = 1024
	// maxOnEvents is how many uses of OnEvent run at once, those that were left behind included.
	maxOnEvents = 256
)

// listener is one function that is told of events. It is safe for concurrent use.
type listener struct {
	tell  func(context.Context, Event)
	limit int // of the queue, or of what runs at once

	mu      sync.Mutex
	queue   []told
	running int           // goroutines
	dropped int64         // events that were not told since the last one that was
	ended   chan struct{} // closed when the next event was told; nil while nobody waits for that
}

type told struct {
	ctx   context.Context
	event *Event
}

// listenerKey marks the contexts that a listener gets: what is called with them is not told to it again.
type listenerKey struct{ *listener }

// newListeners returns OnEvent, nil if there is none, and the others.
func newListeners(o *Options) (direct *listener, queued []*listener) {
	if o.OnEvent != nil {
		direct = &listener{tell: o.OnEvent, limit: maxOnEvents}
	}
	for _, tell := range o.Listeners {
		queued = append(queued, &listener{tell: tell, limit: o.ListenerQueue})
	}
	return direct, queued
}

// tellAll queues an event for all listeners except one: the listener whose own failure the event reports, or nil.
func (g *Guard) tellAll(ctx context.Context, e *Event, except *listener) {
	ctx = middleware.ClearStackValues(context.WithoutCancel(ctx)) // the caller's values, and no state of the call
	for _, l := range g.queued {
		if l != except && ctx.Value(listenerKey{l}) == nil {
			l.enqueue(g, ctx, *e)
		}
	}
	if l := g.direct; l != nil && l != except && ctx.Value(listenerKey{l}) == nil {
		l.now(g, ctx, *e)
	}
}

// now tells the listener and waits for it, up to a bound.
func (l *listener) now(g *Guard, ctx context.Context, e Event) {
	if !l.start(&e) {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer l.stop()
		l.fenced(g, ctx, &e)
	}()
	timer := time.NewTimer(listenerPatience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C: // the listener keeps running on its own goroutine
	}
}

// start takes a place for one more goroutine, or counts the event as dropped.
func (l *listener) start(e *Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running >= l.limit {
		l.dropped++
		return false
	}
	l.running++
	e.Dropped, l.dropped = l.dropped, 0
	return true
}

func (l *listener) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.progressed()
}

// progressed wakes goroutines that wait for the listener to finish an event. Requires mu held.
func (l *listener) progressed() {
	if l.ended != nil {
		close(l.ended)
		l.ended = nil
	}
}

// enqueue leaves an event for the listener's goroutine, or counts it as dropped.
func (l *listener) enqueue(g *Guard, ctx context.Context, e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= l.limit {
		l.dropped++
		return
	}
	e.Dropped, l.dropped = l.dropped, 0
	l.queue = append(l.queue, told{ctx, &e})
	if l.running == 0 {
		l.running = 1
		go l.work(g)
	}
}

// work tells what is queued, in order, and ends when there is nothing left. Where the listener ends the goroutine, another one goes on.
func (l *listener) work(g *Guard) {
	idle := false
	defer func() {
		if !idle {
			go l.work(g)
		}
	}()
	for {
		l.mu.Lock()
		l.progressed()
		if len(l.queue) == 0 {
			l.queue, l.running, idle = nil, 0, true
			l.mu.Unlock()
			return
		}
		next := l.queue[0]
		l.queue[0] = told{}
		l.queue = l.queue[1:]
		l.mu.Unlock()
		l.fenced(g, next.ctx, next.event)
	}
}

// fenced tells one event. A panic ends here, and the other listeners hear of it.
func (l *listener) fenced(g *Guard, ctx context.Context, e *Event) {
	defer func() {
		if panicked := recover(); panicked != nil {
			failure := *e
			failure.Kind, failure.Dropped = EventListenerFailed, 0
			failure.Err = fmt.Errorf("bedrockguard: a listener panicked with a %T while it was told of %q", panicked, e.Kind)
			if e.Kind != EventListenerFailed {
				g.tellAll(ctx, &failure, l)
			}
		}
	}()
	l.tell(context.WithValue(ctx, listenerKey{l}, true), *e)
}

// wait returns once everything was told, or when the context ends, or after a while without progress; it reports whether all was told.
func (l *listener) wait(ctx context.Context) bool {
	if ctx.Value(listenerKey{l}) != nil {
		return true // it is the listener itself that waits
	}
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	for {
		l.mu.Lock()
		if l.running == 0 {
			l.mu.Unlock()
			return true
		}
		if l.ended == nil {
			l.ended = make(chan struct{})
		}
		ended := l.ended
		l.mu.Unlock()
		select {
		case <-ended:
			timer.Reset(closePatience)
		case <-ctx.Done():
			return false
		case <-timer.C:
			return false
		}
	}
}
