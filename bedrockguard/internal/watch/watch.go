// Package watch ends running streams whose scope is killed.
package watch

import (
	"context"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Streams are the streams that run. While there are any, the store is asked for its kill flags, each of which stops the calls of one scope. One
// request serves all streams; it is made at intervals, and at once if the store signals a new flag. The goroutines for that start with the first
// stream and end with the last.
type Streams struct {
	ledger *budget.Ledger
	every  time.Duration // between two requests

	mu      sync.Mutex
	streams map[*watched]struct{}
	stop    context.CancelFunc // ends the goroutines; nil if none run
}

// watched is one stream. kill ends it, and must not block; it may be called more than once.
type watched struct {
	scope budget.Scope
	kill  func(*budget.KilledError)
}

// New returns a watch over no streams yet, which asks the ledger at this interval.
func New(ledger *budget.Ledger, every time.Duration) *Streams {
	return &Streams{ledger: ledger, every: every, streams: make(map[*watched]struct{})}
}

// Add begins to watch a stream. The function that it returns stops watching it, and may be called more than once.
func (w *Streams) Add(scope budget.Scope, kill func(*budget.KilledError)) (remove func()) {
	s := &watched{scope: scope, kill: kill}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.streams[s] = struct{}{}
	if w.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w.stop = cancel
		go w.run(ctx)
	}
	return func() { w.remove(s) }
}

// remove stops watching a stream, and ends the goroutines after the last one.
func (w *Streams) remove(s *watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.streams, s)
	if len(w.streams) == 0 && w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// run asks the store at each tick and after each signal, until ctx ends. Another goroutine listens for the signals.
func (w *Streams) run(ctx context.Context) {
	told := make(chan struct{}, 1)
	var listening sync.WaitGroup
	defer listening.Wait()
	// Signal calls the function soon after a kill flag was set or removed, until ctx ends. It returns at once if the store has no signals.
	listening.Go(func() {
		_ = w.ledger.Signal(ctx, func() { // without signals, polling remains
			select {
			case told <- struct{}{}:
			default: // an earlier signal has not been served yet: one request serves both
			}
		})
	})
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-told:
		}
		w.poll(ctx)
	}
}

// poll ends the streams that a kill flag covers. If the store does not answer, they go on: their cost is reserved already, and new calls are
// refused.
func (w *Streams) poll(ctx context.Context) {
	kills, err := w.ledger.Kills(ctx)
	if err != nil || len(kills) == 0 {
		return
	}
	for _, s := range w.running() {
		for _, k := range kills {
			if k.Holds(s.scope) {
				s.kill(k.Err())
				break
			}
		}
	}
}

// running returns a copy of the set, so that kill is called without the lock.
func (w *Streams) running() []*watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*watched, 0, len(w.streams))
	for s := range w.streams {
		all = append(all, s)
	}
	return all
}
