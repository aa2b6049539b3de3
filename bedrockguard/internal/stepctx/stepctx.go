// Package stepctx has contexts for steps of the store, whose timers start only if somebody waits for their end.
package stepctx

import (
	"context"
	"sync"
	"time"
)

// Detached is for store steps that must go on after a caller has canceled, such as a settlement. It does not end with its parent, but
// at its deadline, which counts from the first use of its methods. Its timer starts only if somebody waits for Done, because a store in
// memory never does.
type Detached struct {
	Parent  context.Context // for its values
	Timeout time.Duration

	mu    sync.Mutex
	began time.Time     // when it was first used; zero until then
	done  chan struct{} // nil until somebody waits for Done
	timer *time.Timer   // cancels at the deadline; set together with done
	ended bool          // Cancel was called, by its owner or by the timer
}

// Deadline implements context.Context.
func (d *Detached) Deadline() (time.Time, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begin()
	return d.began.Add(d.Timeout), true
}

// begin starts the time at the first use, and returns whether this was the first. Requires mu held.
func (d *Detached) begin() bool {
	if !d.began.IsZero() {
		return false
	}
	d.began = time.Now()
	return true
}

// Value implements context.Context. When a context is made from this one, package context asks by a key of its own which ancestor cancels the new
// one, too. WithoutCancel hides Parent from that question, so that the end of Parent does not end the new context.
func (d *Detached) Value(key any) any { return context.WithoutCancel(d.Parent).Value(key) }

// Done implements context.Context.
func (d *Detached) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
		// Cancel was called before anybody waited: it had no channel to close.
		if d.ended {
			close(d.done)
		} else {
			d.begin()
			d.timer = time.AfterFunc(d.Timeout-time.Since(d.began), d.Cancel)
		}
	}
	return d.done
}

// Err implements context.Context. It compares the times itself, because without Done no timer runs.
func (d *Detached) Err() error {
	d.mu.Lock()
	var err error
	// If this is the first use the time begins now, and can't be over.
	if !d.begin() && time.Since(d.began) >= d.Timeout {
		err = context.DeadlineExceeded
	} else if d.ended {
		err = context.Canceled
	}
	d.mu.Unlock()
	return err
}

// Cancel ends the context.
func (d *Detached) Cancel() {
	d.mu.Lock()
	// The timer is nil as long as done is.
	if !d.ended && d.done != nil {
		d.timer.Stop()
		close(d.done)
	}
	d.ended = true
	d.mu.Unlock()
}

// Lasted returns how long the context has been in use.
func (d *Detached) Lasted() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.began.IsZero() {
		return 0
	}
	return time.Since(d.began)
}

// Bounded is a context with a timeout that counts from the first use of its methods. Its timer starts only if somebody waits for
// Done, because a store in memory never does.
type Bounded struct {
	context.Context
	Timeout time.Duration

	mu     sync.Mutex
	began  time.Time       // when it was first used; zero until then
	timed  context.Context // a context with a timer; nil until somebody waits for Done
	cancel context.CancelFunc
}

// end returns when the timeout is over. Requires mu held.
func (b *Bounded) end() time.Time {
	if b.began.IsZero() {
		b.began = time.Now()
	}
	return b.began.Add(b.Timeout)
}

// Deadline implements context.Context.
func (b *Bounded) Deadline() (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := b.end()
	// A caller's own deadline counts if it is earlier.
	if parent, ok := b.Context.Deadline(); ok && parent.Before(end) {
		return parent, true
	}
	return end, true
}

// Done implements context.Context.
func (b *Bounded) Done() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timed == nil {
		b.timed, b.cancel = context.WithDeadline(b.Context, b.end())
	}
	return b.timed.Done()
}

// Err implements context.Context.
func (b *Bounded) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	// timed ends with the caller's context and at the deadline. Without timed both are looked at here, because no timer runs.
	if b.timed != nil {
		return b.timed.Err()
	}
	if err := b.Context.Err(); err != nil {
		return err
	}
	if !time.Now().Before(b.end()) {
		return context.DeadlineExceeded
	}
	return nil
}

// Release stops the timer, if there is one. It must be called when the step is over.
func (b *Bounded) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel != nil {
		b.cancel()
	}
}

// Lasted returns how long the context has been in use.
func (b *Bounded) Lasted() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.began.IsZero() {
		return 0
	}
	return time.Since(b.began)
}
