package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// While another process holds the file, no caller waits longer than its context, although it shares a batch with others
// that may; and those go on waiting.
func TestCallersInABatchKeepTheirDeadlines(t *testing.T) {
	path := tempFile(t)
	s, err := Open(t.Context(), path, Options{Create: true, BusyTimeout: time.Hour})
	require.NoError(t, err)
	defer s.Close()
	unlock := hold(t, path)
	ask := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() { done <- reserveOne(ctx, s) }()
		return done
	}
	first, giveUpFirst := context.WithCancel(t.Context())
	opener := ask(first) // is the runner, so that the others gather behind it
	require.Eventually(t, func() bool { return len(s.queue.runner) == 1 && s.queue.length() == 0 }, time.Minute, time.Millisecond)
	hasty, giveUp := context.WithCancel(t.Context())
	var impatient []<-chan error
	for n := range 4 {
		impatient = append(impatient, ask(hasty))
		require.Eventually(t, func() bool { return s.queue.length() == n+1 }, time.Minute, time.Millisecond)
	}
	patient := ask(t.Context())
	require.Eventually(t, func() bool { return s.queue.length() == 5 }, time.Minute, time.Millisecond)
	giveUpFirst()
	require.ErrorIs(t, <-opener, context.Canceled)
	require.Eventually(t, func() bool { return s.queue.length() == 0 }, time.Minute, time.Millisecond) // one batch waits
	giveUp()
	for _, done := range impatient {
		select {
		case err := <-done:
			require.ErrorIs(t, err, context.Canceled)
		case <-time.After(time.Minute):
			require.Fail(t, "a caller that gave up is still waiting")
		}
	}
	unlock()
	require.NoError(t, <-patient)
}

// What waited for as long as it may is told so at once, however many wait with it.
func TestABatchThatCouldNotBeginIsNotTriedOneByOne(t *testing.T) {
	path := tempFile(t)
	s, err := Open(t.Context(), path, Options{Create: true})
	require.NoError(t, err)
	defer s.Close()
	unlock := hold(t, path)
	defer unlock()
	var batch []*step
	for range 3 {
		st := &step{ctx: t.Context(), write: true, done: make(chan struct{}), run: func(*tx) error { return errors.New("must not run") }}
		batch = append(batch, st)
	}
	s.queue.runner <- struct{}{}
	s.runBatch(batch)
	<-s.queue.runner
	for _, st := range batch {
		<-st.done
		require.ErrorIs(t, st.err, context.DeadlineExceeded)
	}
}

// hold takes the file's lock as another process would.
func hold(t *testing.T, path string) (release func()) {
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec("BEGIN IMMEDIATE")
	require.NoError(t, err)
	return func() { require.NoError(t, db.Close()) }
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}
