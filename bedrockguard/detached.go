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

	mu    sync.Mutex
	began time.Time // when somebody asked first; zero until then
	done  chan struct{}
	timer *time.Timer
	ended bool
}

// Deadline implements context.Context.
func (d *detachedContext) Deadline() (time.Time, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begin()
	return d.began.Add(d.timeout), true
}

// begin reports whether nobody has asked before. Requires mu held.
func (d *detachedContext) begin() bool {
	if !d.began.IsZero() {
		return false
	}
	d.began = time.Now()
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
			d.timer = time.AfterFunc(d.timeout-time.Since(d.began), d.cancel)
		}
	}
	return d.done
}

// Err implements context.Context.
func (d *detachedContext) Err() error {
	d.mu.Lock()
	var err error
	if !d.begin() && time.Since(d.began) >= d.timeout {
		err = context.DeadlineExceeded
	} else if d.ended {
		err = context.Canceled
	}
	d.mu.Unlock()
	return err
}

func (d *detachedContext) cancel() {
	d.mu.Lock()
	if !d.ended && d.done != nil {
		d.timer.Stop()
		close(d.done)
	}
	d.ended = true
	d.mu.Unlock()
}
