package pgstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

const (
	// maxShared is how many steps share a transaction at most. It bounds how long their accounts stay locked.
	maxShared = 16
	// maxRunners is how many transactions run at the same time for one list of accounts: while one holds the row locks, the next is on its
	// way to the server.
	maxRunners = 2
)

// queue lets steps of this process that wait for the same accounts share a transaction, which saves round trips, locks and commits. Each
// step is still a call of its own that decides by itself. If the transaction fails, each step is tried again in its own transaction. Steps
// on other accounts never wait for it. A queue's zero value is ready to use.
type queue struct {
	mu     sync.Mutex
	closed bool
	lists  map[string]*list // by the accounts' keys, joined; a list is removed when its last runner ends
	runs   sync.WaitGroup   // the runners of all lists
}

// list holds the steps that wait for one list of accounts, and how many goroutines run them.
type list struct {
	waiting []*waiter // the oldest first
	runners int       // at most maxRunners
}

// waiter is a step that waits, and then its outcome.
type waiter struct {
	ctx       context.Context // the step's: when it ends, its caller has left
	statement statement
	done      chan struct{} // closed once the fields below are set
	answer    answer
	err       error
	alone     bool // the shared transaction failed: try the step in its own
}

// share runs a statement in one transaction with others that wait for the same accounts. alone says that this failed, and that the statement
// should be tried in its own transaction. If ctx ends first, the outcome is unknown: the transaction may go on.
func (s *Store) share(ctx context.Context, accounts []pgtype.UUID, st statement) (a answer, alone bool, err error) {
	w := &waiter{ctx: ctx, statement: st, done: make(chan struct{})}
	if !s.enqueue(accounts, w) {
		return answer{}, false, errClosed
	}
	select {
	case <-w.done:
		return w.answer, w.alone, w.err
	case <-ctx.Done():
		return answer{}, false, ctx.Err()
	}
}

// enqueue adds a waiter to the list of its accounts, and starts a runner for the list if it has fewer than maxRunners. It returns false if the store
// is closed.
func (s *Store) enqueue(accounts []pgtype.UUID, w *waiter) bool {
	key := make([]byte, 0, 16*len(accounts))
	for _, a := range accounts {
		key = append(key, a.Bytes[:]...)
	}
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	l := q.lists[string(key)]
	if l == nil {
		if q.lists == nil {
			q.lists = make(map[string]*list)
		}
		l = &list{}
		q.lists[string(key)] = l
	}
	l.waiting = append(l.waiting, w)
	if l.runners < maxRunners {
		l.runners++
		q.runs.Go(func() { s.run(string(key), l, accounts) })
	}
	return true
}

// run is a runner: it runs the steps that wait in a list until none is left. Before it takes steps out of the list it waits until few enough
// transactions of this process work on the accounts, so that more steps can join its own meanwhile.
func (s *Store) run(key string, l *list, accounts []pgtype.UUID) {
	for {
		release := s.slots.acquire(accounts)
		together := s.queue.take(key, l)
		if len(together) > 0 {
			s.runTogether(together)
		}
		release()
		if len(together) == 0 {
			return
		}
	}
}

// take returns the waiters of the next transaction. If there are none, it notes that the runner that asks will end. It does so in the same critical
// section, so that enqueue starts another runner for a waiter that comes later.
func (q *queue) take(key string, l *list) (together []*waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(l.waiting) > 0 && len(together) < maxShared {
		if w := l.waiting[0]; w.ctx.Err() == nil { // otherwise its caller does not wait any more, and nothing was sent
			together = append(together, w)
		}
		l.waiting = l.waiting[1:]
	}
	if len(together) > 0 {
		return together
	}
	if l.runners--; l.runners == 0 {
		delete(q.lists, key)
	}
	return nil
}

// runTogether runs waiters in one transaction. It cancels the transaction when none of them waits any more.
func (s *Store) runTogether(together []*waiter) {
	var latest time.Time
	statements := make([]statement, len(together))
	for i, w := range together {
		statements[i] = w.statement
		if at, ok := w.ctx.Deadline(); ok && at.After(latest) {
			latest = at
		}
	}
	// Each waiter has a deadline, which do has set. The transaction ends with the latest of them, or when the last waiter has left.
	ctx, cancel := context.WithDeadline(context.Background(), latest)
	defer cancel()
	var stillWaiting atomic.Int64
	stillWaiting.Store(int64(len(together)))
	for _, w := range together {
		stop := context.AfterFunc(w.ctx, func() {
			if stillWaiting.Add(-1) == 0 {
				cancel()
			}
		})
		defer stop()
	}
	answers, err := s.transaction(ctx, statements)
	for i, w := range together {
		if err != nil { // perhaps for another step; one without company need not be tried alone
			w.err, w.alone = err, len(together) > 1
		} else {
			w.answer = answers[i]
		}
		close(w.done)
	}
}

// close refuses new waiters and returns when those under way are done.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.runs.Wait()
}

// statement is the SQL text of one call of a function, with its arguments as literals. Nothing is prepared, so that neither the session nor
// a pooler has to keep state.
type statement struct {
	text string // up to its closing bracket
	// settles is the reservation that the statement settles, nil if it settles none. If it shares a transaction, it gets one more argument, which
	// makes the function leave its additions to rows of usage, the sums of a day, to flush_usage at the end of the transaction: several
	// settlements that lock such rows one after the other could wait for those of another transaction in a circle.
	settles *driver.ID
}

// sqlIsolation comes before anything that takes a snapshot: under REPEATABLE READ, which can be the default of a role or a database, a step
// that waited for a lock would decide by the state before it. It ends with the transaction.
const sqlIsolation = "SET transaction_isolation = 'read committed'; "

// sqlLimits sets the timeouts of the transaction, in milliseconds. It has to be a statement of its own: the timeout of a statement counts
// from its beginning, and a function can't change that of the statement that calls it.
const sqlLimits = "SELECT pg_catalog.set_config('statement_timeout', '%s', true), pg_catalog.set_config('lock_timeout', '%s', true)"

// transaction runs statements in one message, which the server runs as one transaction: first the isolation and the timeouts, then the
// statements, then flush_usage if any of them asks for it. Answers are read to the end, because only that shows that the transaction was committed.
func (s *Store) transaction(ctx context.Context, statements []statement) ([]answer, error) {
	// There is a deadline: do has set it.
	deadline, _ := ctx.Deadline()
	left := max(time.Until(deadline)*9/10, time.Millisecond) // so that the server's timeout comes first, and the connection stays usable
	message, err := s.message(statements, left)
	if err != nil {
		return nil, err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	// If the network is cut, the connection breaks soon, and the step is repeated on another.
	boundSilence(conn.Conn().PgConn())
	results, err := conn.Conn().PgConn().Exec(ctx, message).ReadAll()
	if err != nil {
		return nil, err
	}
	results = results[min(2, len(results)):] // without those of the isolation and the timeouts; that of flush_usage is behind the answers
	if len(results) < len(statements) {
		return nil, errAnswer
	}
	return s.answers(results[:len(statements)])
}

// answers decodes the results of statements, and remembers what they tell of the server's clock and of the steps' own writing: later steps send that.
func (s *Store) answers(results []*pgconn.Result) (answers []answer, err error) {
	answers = make([]answer, len(results))
	for i, r := range results {
		if len(r.Rows) != 1 {
			return nil, errAnswer
		}
		if answers[i], err = decodeAnswer(r.Rows[0]); err != nil {
			return nil, err
		}
		s.remember(answers[i])
	}
	return answers, nil
}

// message returns the SQL text of a transaction. left is how long it may take. Statements that settle only get their last argument, and flush_usage
// is only called, if there are several statements: see statement.
func (s *Store) message(statements []statement, left time.Duration) (string, error) {
	var message strings.Builder
	message.WriteString(sqlIsolation)
	fmt.Fprintf(&message, sqlLimits, milliseconds(left), milliseconds(min(left, s.opts.LockTimeout)))
	shared := len(statements) > 1
	var settled []pgtype.UUID
	for _, st := range statements {
		message.WriteString("; ")
		message.WriteString(st.text)
		if shared && st.settles != nil {
			message.WriteString(", true")
			settled = append(settled, uuid(*st.settles))
		}
		message.WriteString(")")
	}
	if len(settled) > 0 {
		ids, err := appendLiteral(nil, settled)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&message, "; SELECT %s.flush_usage(%s, %d)", s.opts.quoted(), ids, s.opts.UsageRows)
	}
	return message.String(), nil
}
