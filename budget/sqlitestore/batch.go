package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// queue lets waiting steps of one process share a transaction and its commit. The goroutine of one of them, the runner, runs all: it goes on until
// its own step is done, and then another one can become the runner.
type queue struct {
	runner chan struct{} // a mutex: it holds one value while a goroutine is the runner
	ended  chan struct{} // closed by close, after which nobody else becomes the runner

	mu      sync.Mutex // guards the fields below
	waiting []*step    // the oldest first
	closed  bool
}

// step is one operation of the store. It must find every reason for a refusal before it writes, so that a refusal leaves nothing behind in a
// transaction that it shares.
type step struct {
	ctx   context.Context
	until time.Time // until when it may wait for other processes
	run   func(*tx) error
	write bool          // it may write
	err   error         // the result, once done is closed
	done  chan struct{} // closed when the step has ended
}

// maxBatch bounds how many steps share a commit.
const maxBatch = 128

// do runs a step in a transaction, which it may share with other steps of this process, and returns the step's error. write says whether the step
// may write. A step that waits for its turn when ctx ends is taken out of the queue; one that runs is waited for.
func (s *Store) do(ctx context.Context, write bool, run func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	st := &step{ctx: ctx, until: time.Now().Add(s.opts.BusyTimeout), run: run, write: write, done: make(chan struct{})}
	if err := s.queue.add(st); err != nil {
		return err
	}
	select {
	case s.queue.runner <- struct{}{}: // this goroutine becomes the runner
		// The oldest steps are run first, so that st may come in a later batch; or the runner before this one has done it already.
		for !st.finished() {
			s.runBatch(s.queue.take())
		}
		<-s.queue.runner
	case <-st.done: // the runner has run it
	case <-ctx.Done():
		if s.queue.withdraw(st) {
			return ctx.Err()
		}
		// It is running, and its result is needed. If another process locks the file, stillWaiting ends it, because ctx has ended.
		<-st.done
	}
	return st.err
}

// add puts a step at the end of the queue, or returns errClosed.
func (q *queue) add(st *step) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed
	}
	q.waiting = append(q.waiting, st)
	return nil
}

// finished reports whether the step has ended.
func (st *step) finished() bool {
	select {
	case <-st.done:
		return true
	default:
		return false
	}
}

// take removes the steps of the next batch from the queue and returns them.
func (q *queue) take() []*step {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), maxBatch)
	batch := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return batch
}

// putBack puts steps that could not run, because another process locked the file, back at the head of the queue, since they are the oldest. If
// the queue was closed meanwhile, nobody would run them, and they end with errClosed.
func (q *queue) putBack(steps []*step) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.waiting = slices.Concat(steps, q.waiting)
		return
	}
	for _, st := range steps {
		st.err = errClosed
		close(st.done)
	}
}

// withdraw removes a step from the queue. It returns false if the step is not there any more, because it runs or has ended.
func (q *queue) withdraw(st *step) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting {
		if w == st {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// isClosed reports whether close was called.
func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// close refuses new steps, ends those that wait, and waits for the running batch. It returns whether this was the first call. It stays the runner,
// so that nothing runs afterwards.
func (q *queue) close() bool {
	q.mu.Lock()
	first := !q.closed
	q.closed = true
	waiting := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	if !first {
		return false
	}
	close(q.ended)
	for _, st := range waiting {
		st.err = errClosed
		close(st.done)
	}
	q.runner <- struct{}{}
	return true
}

// runBatch runs steps in one transaction. If another process locks the file for longer than one of them may wait, that step ends and the
// others go back to the queue, because a runner whose own step has ended runs no more, and another goroutine has to. If the transaction fails, each
// step is tried in a transaction of its own, so that no step fails because of another. The caller is the runner.
func (s *Store) runBatch(batch []*step) {
	if len(batch) == 0 {
		return
	}
	err := s.runTogether(batch)
	var busy *busyError
	switch {
	case errors.As(err, &busy):
		// The transaction did not begin: stillWaiting ends the steps whose time is over.
		s.queue.putBack(stillWaiting(batch, err))
	case err != nil && len(batch) > 1:
		for _, st := range batch {
			// This runs the step alone: if it fails once more, it ends with its error, in the default case.
			s.runBatch([]*step{st})
		}
	default: // the transaction was committed, and the steps have their results; or it failed with its only step
		for _, st := range batch {
			if err != nil {
				st.err = err
			}
			close(st.done)
		}
	}
}

// busyError says that a transaction did not begin, because another process locked the file for longer than one of its steps may wait.
type busyError struct{ cause error }

func (e *busyError) Error() string { return e.cause.Error() }
func (e *busyError) Unwrap() error { return e.cause }

// stillWaiting ends the steps whose waiting time is over and returns the others.
func stillWaiting(batch []*step, err error) (others []*step) {
	for _, st := range batch {
		gone := st.whyStop()
		if gone == nil {
			others = append(others, st)
			continue
		}
		st.err = errors.Join(gone, err)
		close(st.done)
	}
	return others
}

// whyStop returns why a step must not wait any longer, or nil.
func (st *step) whyStop() error {
	if err := st.ctx.Err(); err != nil {
		return err
	}
	if time.Now().After(st.until) {
		return context.DeadlineExceeded
	}
	return nil
}

// runTogether runs steps in one transaction, which locks out other writers from its beginning if any of the steps may write. It returns the error
// of the transaction, after which none of the steps was done. An error that is an answer to one step, such as a conflict, does not end the
// transaction, and is stored in the step.
func (s *Store) runTogether(batch []*step) error {
	begin, write := "BEGIN", false
	for _, st := range batch {
		// Each try begins without a result. One step that may write is enough to lock out other writers.
		if st.err = nil; st.write {
			begin, write = "BEGIN IMMEDIATE", true
		}
	}
	// After a loss this is an error until an operator has accepted the loss.
	if err := s.recover(); err != nil {
		return err
	}
	// The file counts its writing transactions, and checkLedger copies that count into s.sequence. A rollback undoes the count of this transaction in
	// the file, so that s.sequence has to go back, too: otherwise the file would seem to be an older one.
	sequence := s.sequence
	err := transaction(s.conn, func() error { return whyGiveUp(batch) }, begin, func() error { return s.runSteps(batch, write) })
	if err != nil {
		s.sequence = sequence
		// From now on recover refuses steps, and asks only some time after lookedAt whether the loss was accepted. The other loss, errPart, needs no
		// note: it is recorded in the file, and each transaction finds it there.
		if errors.Is(err, errReplaced) {
			s.lost, s.lookedAt = true, time.Now()
		}
		for _, st := range batch {
			st.err = nil // none of them was done
		}
	}
	return err
}

// whyGiveUp returns why the first of the steps that must not wait any longer must not; nil if all may.
func whyGiveUp(batch []*step) error {
	for _, st := range batch {
		if err := st.whyStop(); err != nil {
			return err
		}
	}
	return nil
}

// runSteps runs steps inside of a transaction that has begun, one after the other. An error makes the transaction roll back. write says whether any
// of the steps may write.
func (s *Store) runSteps(batch []*step, write bool) error {
	t := &tx{store: s, now: s.opts.Clock()}
	if err := t.checkLedger(write); err != nil {
		return err
	}
	for _, st := range batch {
		// contractual errors are answers to the step.
		if st.err = st.run(t); st.err != nil && !contractual(st.err) {
			return st.err
		}
	}
	// What the steps have added to rows of usage was only in memory until now.
	return t.writeUsage()
}

// contractual reports whether an error is an answer of driver's contract to one step, and not a failure of the transaction. A step that returns
// one has written nothing.
func contractual(err error) bool {
	for _, own := range [...]error{driver.ErrIDConflict, driver.ErrResolved, driver.ErrNotFound, driver.ErrOverflow, driver.ErrSuperseded, driver.ErrTooManyFlags} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}

// transaction runs fn between begin, a statement, and COMMIT, or rolls back. While other processes lock the file it waits for the beginning, until
// giveUp returns an error, which becomes a busyError. No context ends a statement, because a transaction must not be left open.
func transaction(conn *sql.Conn, giveUp func() error, begin string, fn func() error) error {
	background := context.Background()
	err := whileBusy(giveUp, func() error {
		_, err := conn.ExecContext(background, begin)
		return err
	})
	if err != nil {
		return err
	}
	if err = fn(); err == nil {
		_, err = conn.ExecContext(background, "COMMIT")
	}
	if err != nil {
		// This fails if SQLite has rolled back by itself, which leaves nothing to be done.
		_, _ = conn.ExecContext(background, "ROLLBACK")
	}
	return err
}

// whileBusy repeats fn while another process locks the file, with short random pauses that grow to 3 ms. It goes on while giveUp returns nil; an
// error of giveUp becomes a busyError.
func whileBusy(giveUp, fn func() error) error {
	pause := 100 * time.Microsecond
	for {
		err := fn()
		var failed *sqlite.Error
		if err == nil || !errors.As(err, &failed) {
			return err
		}
		// The low byte of an extended error code is the general code.
		if code := failed.Code() & 0xff; code != sqlite3.SQLITE_BUSY && code != sqlite3.SQLITE_LOCKED {
			return err
		}
		if gone := giveUp(); gone != nil {
			return &busyError{errors.Join(gone, err)}
		}
		time.Sleep(pause/2 + rand.N(pause))
		pause = min(pause*2, 3*time.Millisecond)
	}
}

// tx is a running transaction.
type tx struct {
	store           *Store
	now             time.Time                // by Options.Clock, the same for all steps in the transaction
	judged, reached int64                    // the time by which old rows are forgotten, and the one up to which they may be gone: see meta
	usage           map[usagePlace]*usageRow // rows of usage, the sums of a day, that were read; those that changed are written at the end
	rows            map[int64]int            // how many rows of usage a day has, counting those not yet written; only for days where it was asked
}

// stmt returns a prepared statement by its text.
func (t *tx) stmt(q string) *sql.Stmt { return t.store.stmts[q] }

// exec executes a prepared statement, which it finds by its text.
func (t *tx) exec(q string, args ...any) error {
	_, err := t.stmt(q).Exec(args...)
	return err
}
