package budget

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

// How long a waiting call lets pass before it asks again unasked: room may also come from other processes, which nobody tells of.
const (
	firstWait = 20 * time.Millisecond
	maxWait   = 500 * time.Millisecond
)

// Wait is Reserve for a call that can wait: where its limits have room but for what is pending, it waits until there is room, req.MaxWait
// is over or ctx ends, and returns the last refusal then. What time alone does not make fit by the end of pending calls is refused at once.
// Calls that wait for the same account are served in the order in which they came, as far as they wait in the same Ledger; one that comes
// while others wait stands behind them. Other processes are not asked who came first, but leave room to one whose calls have waited for more
// than a second. Each question to the store is bounded by req.StepTimeout, and not by req.MaxWait: a store that
// takes longer to answer than a call may wait is no store that is away.
func (l *Ledger) Wait(ctx context.Context, req Request) (*Receipt, error) {
	p, err := l.rules.Load().of(&req.Scope)
	if err = req.validate(err); err != nil {
		return nil, err
	}
	waiting := ctx
	if req.MaxWait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, req.MaxWait)
		defer cancel()
	}
	var t *ticket
	defer func() { l.waiting.leave(t) }()
	if account, busy := l.waiting.busy(p.lines); busy {
		t = l.waiting.join(account, nil)
	}
	for pause := firstWait; ; pause = min(2*pause, maxWait) {
		if t == nil || t.first() {
			if t != nil && !l.letOthers(waiting, p.lines, t) {
				return nil, t.refusal(&req)
			}
			receipt, account, err := l.reserveStep(ctx, req)
			var e *ExceededError
			if !errors.As(err, &e) || !e.Waiting {
				if t != nil && ctx.Err() != nil && errors.Is(err, ErrStore) { // the end of the wait has cut the question short
					err = cmp.Or(t.lastRefusal(&req), err)
				}
				return receipt, err
			}
			t = l.waiting.join(account, t)
			t.refused(e)
			next := pause
			if e.Paced && e.Pending.N == 0 { // only time makes room, and it is known when
				next = e.ResetAfter
			} else if l.starving(waiting, p.lines, t) {
				next = min(next, starvedAsks)
			}
			if ends, bounded := waiting.Deadline(); bounded && e.Paced && next > time.Until(ends) || !t.wait(waiting, next) {
				return nil, err
			}
			continue
		}
		if !t.wait(waiting, maxWait) { // those before it have their turn first
			return nil, t.refusal(&req)
		}
	}
}

// letOthers leaves room open for calls of other processes that have waited for too long. It reports false if ctx ended meanwhile.
func (l *Ledger) letOthers(ctx context.Context, lines []Line, t *ticket) bool {
	line, shared := l.sharedLine(lines, t.account)
	if !shared || !l.yields(ctx, &line) {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(yieldFor):
		return true
	}
}

// starving reports whether a ticket has been the first one for too long, and says so to other processes.
func (l *Ledger) starving(ctx context.Context, lines []Line, t *ticket) bool {
	if t.firstSince.IsZero() {
		t.firstSince = time.Now()
	}
	line, shared := l.sharedLine(lines, t.account)
	if !shared || time.Since(t.firstSince) < starveAfter {
		return false
	}
	l.starve(ctx, &line)
	return true
}

// reserveStep is Reserve within the time of a step. It also returns the account that refused.
func (l *Ledger) reserveStep(ctx context.Context, req Request) (r *Receipt, account Key, err error) {
	if req.StepTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.StepTimeout)
		defer cancel()
	}
	return l.reserve(ctx, req)
}

// waitingRoom is where calls wait, by the account that refused them. Its zero value is empty.
type waitingRoom struct {
	mu     sync.Mutex
	queues map[Key][]*ticket
	last   map[Key]*ExceededError // by what the first one of a queue was refused last
	next   uint64
}

// ticket is a place in a queue.
type ticket struct {
	room    *waitingRoom
	account Key
	number  uint64        // of its arrival
	called  chan struct{} // holds a token when it is worth asking again

	firstSince time.Time // when it was refused first as the first one of its queue; zero before
}

// busy returns an account of some lines for which others wait.
func (w *waitingRoom) busy(lines []Line) (Key, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queues) > 0 {
		for i := range lines {
			if len(w.queues[lines[i].Account]) > 0 {
				return lines[i].Account, true
			}
		}
	}
	return Key{}, false
}

// join takes a place in the queue of an account. Who waited for another one before keeps its rank.
func (w *waitingRoom) join(account Key, t *ticket) *ticket {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t != nil && t.account == account {
		return t
	}
	if t == nil {
		w.next++
		t = &ticket{room: w, number: w.next, called: make(chan struct{}, 1)}
	} else {
		w.remove(t)
	}
	if w.queues == nil {
		w.queues, w.last = make(map[Key][]*ticket), make(map[Key]*ExceededError)
	}
	t.account = account
	queue := w.queues[account]
	at := len(queue)
	for at > 0 && queue[at-1].number > t.number {
		at--
	}
	queue = append(queue, nil)
	copy(queue[at+1:], queue[at:])
	queue[at] = t
	w.queues[account] = queue
	return t
}

// leave gives a place up, and calls the next one: there may be room for it, too.
func (w *waitingRoom) leave(t *ticket) {
	if t == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(t)
	w.call(t.account)
}

// remove takes a ticket out of its queue. Requires mu held.
func (w *waitingRoom) remove(t *ticket) {
	queue := w.queues[t.account]
	for i := range queue {
		if queue[i] == t {
			queue = append(queue[:i:i], queue[i+1:]...)
			break
		}
	}
	if w.queues[t.account] = queue; len(queue) == 0 {
		delete(w.queues, t.account)
		delete(w.last, t.account)
	}
}

// call has the first one in an account's queue ask again. Requires mu held.
func (w *waitingRoom) call(account Key) {
	if queue := w.queues[account]; len(queue) > 0 {
		select {
		case queue[0].called <- struct{}{}:
		default: // it will ask anyway
		}
	}
}

// freed tells those who wait that something was settled or voided on these lines.
func (w *waitingRoom) freed(lines []Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queues) == 0 {
		return
	}
	for i := range lines {
		w.call(lines[i].Account)
	}
}

// refused notes what the first one in a queue was refused by. It keeps a copy: the error itself is the caller's, who may add to it.
func (t *ticket) refused(e *ExceededError) {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	last := *e
	t.room.last[t.account] = &last
}

// refusal is what one is told who never had its turn: what the first one in its queue was, for its own amount.
func (t *ticket) refusal(req *Request) error {
	return cmp.Or(t.lastRefusal(req), context.DeadlineExceeded)
}

// lastRefusal is what the first one in the ticket's queue was told last, for the ticket's own amount; nil for nothing yet.
func (t *ticket) lastRefusal(req *Request) error {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	last := t.room.last[t.account]
	if last == nil {
		return nil
	}
	own := *last
	own.Requested = req.Worst.In(last.Requested.Unit)
	return &own
}

// first reports whether it is the ticket's turn.
func (t *ticket) first() bool {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	return t.room.queues[t.account][0] == t
}

// wait returns when the ticket was called, or after a while. It reports false if ctx ended first.
func (t *ticket) wait(ctx context.Context, while time.Duration) bool {
	timer := time.NewTimer(while)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.called:
	case <-timer.C:
	}
	return ctx.Err() == nil
}
