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

// listener is one function that is called with events. Options.OnEvent is called by the method now, while the call that the event is about waits;
// each of Options.Listeners has a queue, which enqueue fills. It is safe for concurrent use.
type listener struct {
	tell  func(context.Context, event.Event) // the user's function
	limit int                                // of OnEvent: how many calls of it may run at once (running); of others: how long the queue may be

	mu      sync.Mutex
	queue   []queued      // oldest first; empty for OnEvent
	running int           // how many goroutines run; at most one for a listener with a queue
	dropped int64         // events dropped since the last one that was accepted; the next one to be accepted tells how many (Event.Dropped)
	ended   chan struct{} // closed when the next event has been delivered; nil if nobody waits for that
}

// queued is an event that waits for a listener, with the context that it is called with.
type queued struct {
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

// New returns the listeners of Options: OnEvent, or nil, and Listeners, each with room for so many events in its queue.
func New(onEvent func(context.Context, event.Event), others []func(context.Context, event.Event), queueLength int) (all All) {
	if onEvent != nil {
		all.direct = &listener{tell: onEvent, limit: maxOnEvents}
	}
	for _, tell := range others {
		all.queued = append(all.queued, &listener{tell: tell, limit: queueLength})
	}
	return all
}

// Any reports whether there is a listener.
func (all *All) Any() bool { return all.direct != nil || all.queued != nil }

// Tell gives an event to all listeners. It waits for OnEvent, up to listenerPatience, and for no other.
func (all *All) Tell(ctx context.Context, e *event.Event) { all.tellOthers(ctx, e, nil) }

// Wait waits until all listeners have had all events, and returns how many of the listeners have not: because the context has ended, or because
// they make no progress.
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

// tellOthers is Tell for all listeners except one: the listener whose own failure the event reports, or nil. It also leaves out
// a listener that has itself made the call of this event, with the context that it was given: it would be told of its own calls without end.
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

// now calls the listener and waits for it, up to listenerPatience. The listener has a goroutine of
// its own for that, because it may end its goroutine, or never return.
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

// start takes a place for one more call of OnEvent, or counts the event as dropped if too many run. It puts the number of earlier drops into the
// event.
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

// stop gives back the place that start took.
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
	// e is a copy for this listener alone, because the number of drops differs between listeners.
	l.queue = append(l.queue, queued{ctx, &e})
	if l.running == 0 {
		l.running = 1
		go l.work(all)
	}
}

// work is the goroutine of a listener with a queue. It delivers the queued events, in order, and ends when there are none left. If the listener
// ends the goroutine by runtime.Goexit, another one continues.
func (l *listener) work(all *All) {
	idle := false // there was nothing left to deliver
	defer func() {
		if !idle { // the listener has ended this goroutine
			go l.work(all)
		}
	}()
	for {
		l.mu.Lock()
		// This wakes those who wait, because the event before was delivered. In the first round it does no harm.
		l.progressed()
		if len(l.queue) == 0 {
			l.queue, l.running, idle = nil, 0, true
			l.mu.Unlock()
			return
		}
		next := l.queue[0]
		l.queue[0] = queued{} // the queue's memory must not keep the event alive
		l.queue = l.queue[1:]
		l.mu.Unlock()
		l.fenced(next.ctx, all, next.event)
	}
}

// fenced delivers one event. A panic of the listener ends here, and is reported to the other listeners; a panic over such a report is not, because
// two listeners that always panic would report each other without end.
func (l *listener) fenced(ctx context.Context, all *All, e *event.Event) {
	defer func() {
		if panicked := recover(); panicked != nil {
			// The report has the fields of the event, except Dropped: each listener has a count of its own, which start or enqueue fills in.
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

// wait returns once everything was delivered, or when the context ends, or when for closePatience no event was delivered. It reports whether
// everything was delivered.
func (l *listener) wait(ctx context.Context) bool {
	if ctx.Value(listenerKey{l}) != nil {
		return true // the listener itself waits, in Close: it would wait for its own return
	}
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	for {
		delivered := l.next()
		if delivered == nil {
			return true
		}
		select {
		case <-delivered:
			timer.Reset(closePatience)
		case <-ctx.Done():
			return false
		case <-timer.C:
			return false
		}
	}
}

// next returns a channel that closes when the next event was delivered, the same one for all who wait; nil if there is nothing left to deliver.
func (l *listener) next() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == 0 {
		return nil
	}
	if l.ended == nil {
		l.ended = make(chan struct{})
	}
	return l.ended
}
