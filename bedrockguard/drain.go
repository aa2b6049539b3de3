package bedrockguard

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// drains keeps track of the goroutines that read an answer to its end after its caller has canceled. It is safe for concurrent use.
type drains struct {
	limit int // how many answers may be read on at the same time

	mu      sync.Mutex
	reading int                 // how many of running count against the limit
	running map[*drain]struct{} // all goroutines that close has to wait for
	idle    chan struct{}       // closed when the last one ends; nil if nobody waits for that
	closed  bool
}

// drain is one of these goroutines.
type drain struct {
	cut     func() // ends it early, by canceling its transport
	reading bool   // it reads an answer, and counts against the limit
}

// begin registers an answer that is read on from now. It returns nil when the limit is reached or the guard is closed.
func (d *drains) begin(cut func()) *drain {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.reading >= d.limit {
		return nil
	}
	d.reading++
	return d.add(&drain{cut, true})
}

// own registers a goroutine that does not count against the limit: it only waits for its transport to return.
func (d *drains) own(cut func()) *drain {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.add(&drain{cut, false})
}

// add requires mu held.
func (d *drains) add(one *drain) *drain {
	if d.running == nil {
		d.running = make(map[*drain]struct{})
	}
	d.running[one] = struct{}{}
	return one
}

// end removes a drain. Nil does nothing.
func (d *drains) end(one *drain) {
	if one == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.running, one)
	if one.reading {
		d.reading--
	}
	if len(d.running) == 0 && d.idle != nil {
		close(d.idle)
		d.idle = nil
	}
}

// close prevents new drains and waits for the running ones. If the context ends first, they are cut, which charges their calls with the
// worst case, and close waits for that.
func (d *drains) close(ctx context.Context) error {
	idle, all := d.shut()
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

// cutTimeout bounds how long close waits after it has cut the drains: for HTTP clients to return, and for settlements.
const cutTimeout = 10 * time.Second

func (d *drains) countRunning() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.running)
}

// shut prevents new drains. It returns a channel that is closed once none runs any more, and the running ones.
func (d *drains) shut() (idle chan struct{}, all []*drain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
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
