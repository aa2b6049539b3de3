// Package drain keeps track of answers that are read to their end although their callers have left.
package drain

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Drains keeps track of the goroutines that read an answer to its end after its caller has canceled. It is safe for concurrent use.
type Drains struct {
	limit int // how many answers may be read on at the same time

	mu      sync.Mutex
	reading int                 // how many of running count against the limit
	running map[*Drain]struct{} // all goroutines that Close has to wait for
	idle    chan struct{}       // closed when the last one ends; nil if nobody waits for that
	closed  bool                // Close was called: no answer is read on any more
}

// Drain is one goroutine that Drains keeps track of.
type Drain struct {
	cut     func() // ends it early, by canceling its transport
	reading bool   // it reads an answer, and counts against the limit
}

// New returns drains of which at most so many may read at the same time.
func New(limit int) *Drains { return &Drains{limit: limit} }

// Reading returns how many answers are being read on.
func (d *Drains) Reading() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reading
}

// Begin registers an answer that is read on from now. It returns nil when the limit is reached or the guard is closed.
func (d *Drains) Begin(cut func()) *Drain {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.reading >= d.limit {
		return nil
	}
	d.reading++
	return d.add(&Drain{cut, true})
}

// Own registers a goroutine that does not count against the limit, because it only waits for its transport to return: the transport was canceled
// already. It is registered even after Close was called.
func (d *Drains) Own(cut func()) *Drain {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.add(&Drain{cut, false})
}

// add registers a drain, and returns it. Requires mu held.
func (d *Drains) add(one *Drain) *Drain {
	if d.running == nil {
		d.running = make(map[*Drain]struct{})
	}
	d.running[one] = struct{}{}
	return one
}

// End removes a drain. Nil does nothing.
func (d *Drains) End(one *Drain) {
	if one == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.running, one)
	// Of a goroutine from Own this is false: it took no place.
	if one.reading {
		d.reading--
	}
	if len(d.running) == 0 && d.idle != nil {
		close(d.idle)
		d.idle = nil
	}
}

// Close prevents new drains and waits for the running ones. If the context ends first, they are cut, which charges their calls with the
// worst case, and Close waits for that, for up to cutTimeout.
func (d *Drains) Close(ctx context.Context) error {
	idle, all := d.shut()
	// The first select lets idle count even if the context has ended, too. The second one waits for either.
	select {
	case <-idle:
		return nil
	default:
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	for _, one := range all {
		one.cut()
	}
	timer := time.NewTimer(cutTimeout)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
		return fmt.Errorf("bedrockguard: %d answers are still being read on by an HTTP client that does not end with its context: %w", d.countRunning(), ctx.Err())
	}
	return fmt.Errorf("bedrockguard: %d answers that were still being read on were cut short and charged at the worst case: %w", len(all), ctx.Err())
}

// cutTimeout bounds how long Close waits after it has cut the drains: for HTTP clients to return, and for settlements.
const cutTimeout = 10 * time.Second

// countRunning returns how many goroutines have not ended.
func (d *Drains) countRunning() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.running)
}

// shut prevents new drains. It returns a channel that is closed once no drain runs any more, and the drains that run now.
func (d *Drains) shut() (idle chan struct{}, all []*Drain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	// An earlier Close may be waiting on its channel.
	if d.idle == nil {
		d.idle = make(chan struct{})
	}
	idle = d.idle
	if len(d.running) == 0 {
		close(idle)
		d.idle = nil
		return idle, nil
	}
	for one := range d.running {
		all = append(all, one)
	}
	return idle, all
}
