package bedrockguard

import (
	"context"
	"sync"
	"time"
)

// detachedContext survives its parent's cancel and ends at its deadline. Its timer starts only when somebody waits on it,
// because a store in memory never does.
type detachedContext struct {
	context.Context // the parent's values
	deadline        time.Time

	mu    sync.Mutex
	done  chan struct{}
	timer *time.Timer
	ended bool
}

// detach returns a context with the values of ctx and a deadline of its own. The function that it returns releases it.
func detach(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	d := &detachedContext{Context: context.WithoutCancel(ctx), deadline: time.Now().Add(timeout)}
	return d, d.cancel
}

// Deadline implements context.Context.
func (d *detachedContext) Deadline() (time.Time, bool) { return d.deadline, true }

// Done implements context.Context.
func (d *detachedContext) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
		if d.ended {
			close(d.done)
		} else {
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
	case !time.Now().Before(d.deadline):
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
