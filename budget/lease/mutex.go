package lease

import "context"

// contextMutex is a mutex whose lock gives up when a context ends. Make one with newContextMutex.
type contextMutex chan struct{}

// newContextMutex returns a mutex that is not locked.
func newContextMutex() contextMutex { return make(contextMutex, 1) }

// lock returns nil once the caller has the mutex, or the context's error.
func (m contextMutex) lock(ctx context.Context) error {
	select {
	case m <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryLock reports whether the caller has the mutex now. It does not wait.
func (m contextMutex) tryLock() bool {
	select {
	case m <- struct{}{}:
		return true
	default:
		return false
	}
}

// unlock releases the mutex, which the caller must have.
func (m contextMutex) unlock() { <-m }

// locked reports whether the mutex is locked.
func (m contextMutex) locked() bool { return len(m) > 0 }
