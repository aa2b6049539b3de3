package budget

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Calls that wait for room stand in queues, one for each account that has refused a call. Only the first of a queue asks the store. It asks when a
// call of this process ends, which may free room, and after a pause, because other processes may free room without this process hearing of it.
// The pause begins with firstWait and doubles up to maxWait.
const (
	firstWait = 20 * time.Millisecond
	maxWait   = 500 * time.Millisecond
)

// Wait is Reserve for a call that can wait. If its limits have no room only because of pending calls, it waits until there is room,
// req.MaxWait is over or ctx ends; then it returns the last refusal. A call that would not fit even without pending calls is refused at
// once. Calls that wait for the same account in the same Ledger are served in the order in which they came, and new calls queue behind them.
// Other processes' calls are not in that order, but each process leaves room for a call that has waited for more than a second elsewhere.
// Each request to the store is bounded by req.StepTimeout, not by req.MaxWait: a store that takes longer to answer than a call may wait is
// not an unavailable store.
func (l *Ledger) Wait(ctx context.Context, req Request) (*Receipt, error) {
	// p is the plan of the scope: in which accounts its calls count. validate also returns the error, if the scope has caused one.
	p, err := l.rules.Load().of(&req.Scope)
	if err = req.validate(err); err != nil {
		return nil, err
	}
	waiting, cancel := bounded(ctx, req.MaxWait) // bounds the waiting, and ctx alone the requests to the store
	defer cancel()
	var t *ticket // the call's place in a queue; nil as long as no account has refused it and no other call waits
	defer func() { l.waiting.leave(t) }()
	if account, busy := l.waiting.busy(p.lines); busy {
		t = l.waiting.join(account, nil)
	}
	for pause := firstWait; ; pause = min(2*pause, maxWait) {
		if t != nil && !t.first() { // those before it in the queue ask first
			// The call is woken when the call before it leaves the queue, and looks again after maxWait in any case.
			if !t.wait(waiting, maxWait) {
				return nil, t.refusal(&req)
			}
			continue
		}
		if t != nil && !l.letOthers(waiting, p.lines, t) {
			return nil, t.refusal(&req)
		}
		receipt, account, err := l.reserveStep(ctx, req)
		refusal := worthWaiting(err)
		if refusal == nil { // it is admitted, or waiting does not help
			if t != nil && ctx.Err() != nil && errors.Is(err, ErrStore) { // the request failed only because ctx ended
				err = cmp.Or(t.lastRefusal(&req), err) // the store's error if no call of its queue has been refused yet
			}
			return receipt, err
		}
		t = l.waiting.join(account, t) // it may be another account than before that is full now
		t.refused(refusal)
		next := l.nextAsk(waiting, refusal, p.lines, t, pause)
		// wait returns false if the time for waiting is over, and true if the call is to ask again.
		if comesTooLate(waiting, refusal, next) || !t.wait(waiting, next) {
			return nil, err
		}
	}
}

// worthWaiting returns the refusal of a call for which waiting may help, because its limits are full of pending calls only, or are rates; nil if err
// is no such refusal.
func worthWaiting(err error) *ExceededError {
	var e *ExceededError
	if errors.As(err, &e) && e.Waiting {
		return e
	}
	return nil
}

// nextAsk returns how long the first call of a queue, which was refused with e, waits until it asks the store again: usually the pause.
func (l *Ledger) nextAsk(ctx context.Context, e *ExceededError, lines []driver.Line, t *ticket, pause time.Duration) time.Duration {
	onlyTimeMakesRoom := e.Paced && e.Pending.N == 0 // the limit is a rate, and nothing is pending whose end could make room
	if onlyTimeMakesRoom {
		return e.ResetAfter
	}
	if l.starving(ctx, lines, t) { // other processes now leave room for this call: it asks more often
		return min(pause, starvedAsks)
	}
	return pause
}

// comesTooLate reports whether a rate will have room only after the time for waiting is over.
func comesTooLate(ctx context.Context, e *ExceededError, next time.Duration) bool {
	ends, hasEnd := ctx.Deadline()
	return hasEnd && e.Paced && next > time.Until(ends)
}

// letOthers waits for a moment (yieldFor) if a call of another process has waited too long for the account of a ticket, so that it gets the room
// first. It returns false if ctx has ended.
func (l *Ledger) letOthers(ctx context.Context, lines []driver.Line, t *ticket) bool {
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

// starving reports whether a ticket has been first in its queue for too long (starveAfter). If so, it tells other processes, which then leave room
// for this call: see wait_share.go. It reports false where that would not help (sharedLine).
func (l *Ledger) starving(ctx context.Context, lines []driver.Line, t *ticket) bool {
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

// reserveStep is Reserve with req.StepTimeout. It also returns the account that refused the call.
func (l *Ledger) reserveStep(ctx context.Context, req Request) (r *Receipt, account Key, err error) {
	ctx, cancel := bounded(ctx, req.StepTimeout)
	defer cancel()
	return l.reserve(ctx, req)
}

// bounded returns a context that ends after d at the latest. A d of zero sets no bound.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// waitingRoom holds the calls that wait, in one queue for each account that refused them. Its zero value is empty.
type waitingRoom struct {
	mu     sync.Mutex
	queues map[Key][]*ticket      // by account, in the order in which they came; an account without tickets has no queue
	last   map[Key]*ExceededError // by account: the last refusal of the first call in its queue
	next   uint64                 // the number of the ticket that was made last
}

// ticket is a call's place in a queue.
type ticket struct {
	room    *waitingRoom
	account Key
	number  uint64        // tickets are numbered in the order in which their calls came
	called  chan struct{} // holds a token if the call should ask the store again

	firstSince time.Time // when it was first refused while at the head of its queue; zero before
}

// busy returns one of the lines' accounts for which other calls wait.
func (w *waitingRoom) busy(lines []driver.Line) (Key, bool) {
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

// join puts a ticket into the queue of an account, and makes one if t is nil. A ticket that waited for another account before moves; it stands
// before tickets with larger numbers, so that its call does not lose its turn.
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
	for at > 0 && queue[at-1].number > t.number { // to the place behind all tickets with smaller numbers
		at--
	}
	w.queues[account] = slices.Insert(queue, at, t)
	return t
}

// leave removes a ticket from its queue and wakes the next one, for which there may be room too.
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
	w.queues[t.account] = queue
	if len(queue) == 0 {
		delete(w.queues, t.account)
		delete(w.last, t.account)
	}
}

// call makes the first ticket in an account's queue ask the store again. Requires mu held.
func (w *waitingRoom) call(account Key) {
	if queue := w.queues[account]; len(queue) > 0 {
		select {
		case queue[0].called <- struct{}{}:
		default: // it has a token already
		}
	}
}

// freed wakes the queues of these lines after something was settled or voided.
func (w *waitingRoom) freed(lines []driver.Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queues) == 0 {
		return
	}
	for i := range lines {
		w.call(lines[i].Account)
	}
}

// refused records the refusal of the first ticket in a queue. It keeps a copy, because the caller owns the error and may change it.
func (t *ticket) refused(e *ExceededError) {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	last := *e
	t.room.last[t.account] = &last
}

// refusal returns the error for a ticket that never came to the head of its queue: the refusal of the ticket that was there, with this
// call's amount. If that one was not refused yet either, it is context.DeadlineExceeded.
func (t *ticket) refusal(req *Request) error {
	return cmp.Or(t.lastRefusal(req), context.DeadlineExceeded)
}

// lastRefusal returns the last refusal of the first ticket in this ticket's queue, with this call's amount; nil if there was none yet.
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

// first reports whether the ticket is at the head of its queue.
func (t *ticket) first() bool {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	return t.room.queues[t.account][0] == t
}

// wait returns when the ticket is woken, or after a while. It returns false if ctx ended first.
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
