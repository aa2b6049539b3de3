// Package listeners delivers events to the functions of users, which may do anything.
package listeners

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/smithy-go/middleware"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
)

// A listener is the caller's code, which may do anything: panic, end its goroutine, block, close the stream that its event is about, make
// guarded calls. It therefore runs in a goroutine of its own, which ends when there are no more events.

const (
	// listenerPatience is how long a call waits for OnEvent.
	listenerPatience = time.Second
	// closePatience is how long Close waits for a listener that makes no progress.
	closePatience = 5 * time.Second
	// maxOnEvents is how many calls of OnEvent may run at once, including those that no call waits for any more.
	maxOnEvents = 256
)

// listener is one function that is called with events: Options.OnEvent through now, each of Options.Listeners through enqueue. It is safe
// for concurrent use.
type listener struct {
	tell  func(context.Context, event.Event)
	limit int // for OnEvent how many calls of it may run at once, for others the length of the queue

	mu      sync.Mutex
	queue   []told
	running int           // how many goroutines run
	dropped int64         // how many events were dropped since the last one that was delivered
	ended   chan struct{} // closed when the next event has been delivered; nil if nobody waits for that
}

type told struct {
	ctx   context.Context
	event *event.Event
}

// listenerKey marks the contexts that a listener gets: events of calls that are made with them are not delivered to the same listener.
type listenerKey struct{ *listener }

// All is all functions that a guard tells of its calls. It is safe for concurrent use; its zero value tells nobody.
type All struct {
	direct *listener   // Options.OnEvent; nil if there is none
	queued []*listener // Options.Listeners
}

// New returns the listeners that are called while a call waits, and those whose events are queued, so many for each.
func New(onEvent func(context.Context, event.Event), queued []func(context.Context, event.Event), queue int) (all All) {
	if onEvent != nil {
		all.direct = &listener{tell: onEvent, limit: maxOnEvents}
	}
	for _, tell := range queued {
		all.queued = append(all.queued, &listener{tell: tell, limit: queue})
	}
	return all
}

// Any reports whether there is a listener.
func (all *All) Any() bool { return all.direct != nil || all.queued != nil }

// Tell queues an event for all listeners.
func (all *All) Tell(ctx context.Context, e *event.Event) { all.tellOthers(ctx, e, nil) }

// Wait waits until all listeners have had all events, and returns how many have not, because the context has ended or because they make no
// progress.
func (all *All) Wait(ctx context.Context) (busy int) {
	for _, l := range all.queued {
		if !l.wait(ctx) {
			busy++
		}
	}
	if all.direct != nil && !all.direct.wait(ctx) {
		busy++
	}
	return busy
}

// tellOthers queues an event for all listeners except one: the listener whose own failure the event reports, or nil.
func (all *All) tellOthers(ctx context.Context, e *event.Event, except *listener) {
	ctx = middleware.ClearStackValues(context.WithoutCancel(ctx)) // keeps the caller's values, without the SDK's state of the call
	for _, l := range all.queued {
		if l != except && ctx.Value(listenerKey{l}) == nil {
			l.enqueue(ctx, all, *e)
		}
	}
	if l := all.direct; l != nil && l != except && ctx.Value(listenerKey{l}) == nil {
		l.now(ctx, all, *e)
	}
}

// now calls the listener and waits for it, up to a bound.
func (l *listener) now(ctx context.Context, all *All, e event.Event) {
	if !l.start(&e) {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer l.stop()
		l.fenced(ctx, all, &e)
	}()
	timer := time.NewTimer(listenerPatience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C: // the listener keeps running on its own goroutine
	}
}

// start reserves a place for one more goroutine, or counts the event as dropped.
func (l *listener) start(e *event.Event) bool {
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
func (l *listener) enqueue(ctx context.Context, all *All, e event.Event) {
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
		go l.work(all)
	}
}

// work delivers the queued events, in order, and ends when there are none left. If the listener ends the goroutine, another one continues.
func (l *listener) work(all *All) {
	idle := false
	defer func() {
		if !idle {
			go l.work(all)
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
		l.fenced(next.ctx, all, next.event)
	}
}

// fenced delivers one event. A panic of the listener ends here, and is reported to the other listeners.
func (l *listener) fenced(ctx context.Context, all *All, e *event.Event) {
	defer func() {
		if panicked := recover(); panicked != nil {
			failure := *e
			failure.Kind, failure.Dropped = event.ListenerFailed, 0
			failure.Err = fmt.Errorf("bedrockguard: a listener panicked with a %T while it was told of %q", panicked, e.Kind)
			if e.Kind != event.ListenerFailed {
				all.tellOthers(ctx, &failure, l)
			}
		}
	}()
	l.tell(context.WithValue(ctx, listenerKey{l}, true), *e)
}

// wait returns once everything was delivered, or when the context ends, or after a while without progress; it reports whether everything was
// delivered.
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
