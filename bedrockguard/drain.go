package bedrockguard

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// drains owns the goroutines that read answers on after their callers have left. It is safe for concurrent use.
type drains struct {
	limit int // that run at once

	mu      sync.Mutex
	reading int                 // of those that run, the ones that read an answer on
	running map[*drain]struct{} // and goroutines that only have to end
	idle    chan struct{}       // closed when the last one ends; nil while nobody waits for that
	closed  bool
}

// drain is one answer that is read on. cut ends it early: its transport is told to give up.
type drain struct {
	cut     func()
	reading bool
}

// begin registers an answer that is read on from now, or returns nil when as many run as may, or the guard is closed.
func (d *drains) begin(cut func()) *drain {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.reading >= d.limit {
		return nil
	}
	d.reading++
	return d.add(&drain{cut, true})
}

// own registers a goroutine whose call is resolved already and that only has to end, whatever the limit says.
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

// end takes a drain off the books. A nil one was never on them.
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

// close lets no further drain begin, and waits for those that run. When the context ends first they are cut short, which
// charges their calls at the worst case, and close waits until they have done so.
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
		return fmt.Errorf("bedrockguard: %d answers are still being read on by an HTTP client that does not end with its context: %w", d.left(), ctx.Err())
	}
	return fmt.Errorf("bedrockguard: %d answers that were still being read on were cut short and charged at the worst case: %w", len(all), ctx.Err())
}

// cutTimeout bounds how long an HTTP client may take to end after its context has, and a settlement after that.
const cutTimeout = 10 * time.Second

func (d *drains) left() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.running)
}

// shut returns a channel that is closed once nothing runs, and what runs now.
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
