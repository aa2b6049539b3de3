package bedrockguard

import (
	"context"
	"sync"
	"time"
)

// detachedContext survives its parent's cancel and ends at its deadline, which counts from the moment at which somebody
// first asks. Its timer starts only when somebody waits on it, because a store in memory never does.
type detachedContext struct {
	parent  context.Context // for its values
	timeout time.Duration

	mu       sync.Mutex
	deadline time.Time // zero until somebody asks
	done     chan struct{}
	timer    *time.Timer
	ended    bool
}

// Deadline implements context.Context.
func (d *detachedContext) Deadline() (time.Time, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begin()
	return d.deadline, true
}

// begin reports whether nobody has asked before. Requires mu held.
func (d *detachedContext) begin() bool {
	if !d.deadline.IsZero() {
		return false
	}
	d.deadline = time.Now().Add(d.timeout)
	return true
}

// Value implements context.Context.
func (d *detachedContext) Value(key any) any { return context.WithoutCancel(d.parent).Value(key) }

// Done implements context.Context.
func (d *detachedContext) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
		if d.ended {
			close(d.done)
		} else {
			d.begin()
			d.timer = time.AfterFunc(time.Until(d.deadline), d.cancel)
		}
	}
	return d.done
}

// Err implements context.Context.
func (d *detachedContext) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.begin() && !time.Now().Before(d.deadline):
		return context.DeadlineExceeded
	case d.ended:
		return context.Canceled
	default:
		return nil
	}
}

func (d *detachedContext) cancel() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return
	}
	d.ended = true
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.done != nil {
		close(d.done)
	}
}
