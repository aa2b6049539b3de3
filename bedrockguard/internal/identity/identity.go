// Package identity asks once who makes the calls of a process, and remembers it.
package identity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
)

// Identity asks for the caller's principal, which is the name of who pays for the calls, and remembers it. Failures are not remembered. It is safe
// for concurrent use: callers who come together share one question, and none of them waits longer than its own context allows.
type Identity struct {
	Ask func(context.Context) (string, error) // Options.Identity; if it is nil, Principal must not be called

	mu      sync.Mutex
	name    string    // the principal; empty until it is known
	asking  *question // the question that new callers join; nil if they have to begin one
	running int       // calls of Ask that have not returned
}

// question is one call of Ask.
type question struct {
	answered chan struct{} // closed once name or err is set
	name     string
	err      error
	waiting  int             // callers who wait for it, guarded by Identity.mu
	ctx      context.Context // the context that Ask was called with; Ask may ignore its end
	cancel   context.CancelFunc
}

// maxQuestions is how many calls of Ask may run at once. Those that ignore the end of their context count until they return.
const maxQuestions = 16

// errStuck is returned instead of asking once more.
var errStuck = fmt.Errorf("%d questions were asked that nobody has answered", maxQuestions)

// timeout bounds one question for the caller's identity.
const timeout = 10 * time.Second

// Principal returns the principal that is remembered, or else waits for the question that is under way, or begins one.
func (i *Identity) Principal(ctx context.Context) (string, error) {
	name, q := i.join(ctx)
	if name != "" {
		return name, nil
	}
	err := errStuck
	if q != nil {
		name, err = q.wait(ctx)
		i.stopWaiting(q)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w: the call is refused because nobody knows who would pay: try again once Options.Identity answers, or leave it out and name the principal by budget.WithScope", refusal.ErrIdentity, err)
	}
	return name, nil
}

// join returns the principal if it is remembered. Otherwise it returns the question that is under way, or begins one, and counts the caller among
// those who wait for it. It returns no question if all places are taken by questions that were given up and have not returned.
func (i *Identity) join(ctx context.Context) (name string, q *question) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.name != "" {
		return i.name, nil
	}
	q = i.asking
	if q == nil {
		if i.running >= maxQuestions {
			return "", nil
		}
		q = i.begin(ctx)
	}
	q.waiting++
	return "", q
}

// begin calls Ask in a goroutine, under a context that ends with the timeout or when no caller waits any more, but not with ctx: other callers may
// have joined. The error that is set at first stays if Ask ends its goroutine. Requires mu held.
func (i *Identity) begin(ctx context.Context) *question {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	q := &question{answered: make(chan struct{}), ctx: ctx, cancel: cancel, err: errors.New("the function that was to tell ended its goroutine")}
	i.asking = q
	i.running++
	go func() {
		// The last of these runs first: it turns a panic into the error with which end answers the question.
		defer cancel()
		defer i.end(q)
		defer func() {
			if panicked := recover(); panicked != nil {
				q.err = fmt.Errorf("the function that was to tell panicked with a %T", panicked)
			}
		}()
		if q.name, q.err = i.Ask(ctx); q.err == nil && q.name == "" {
			q.err = errors.New("an empty name")
		}
	}()
	return q
}

// end remembers the answer to a question, and wakes those who wait for it. If the answer is an error, the next caller asks again.
func (i *Identity) end(q *question) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.running--
	if q.err == nil {
		i.name = q.name
	}
	// Another question may have taken its place, if this one was given up before.
	if i.asking == q {
		i.asking = nil
	}
	close(q.answered)
}

// stopWaiting removes one caller from a question. It cancels the question if nobody else waits for it, or if it has run out of time; after that
// the next caller asks again.
func (i *Identity) stopWaiting(q *question) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if q.waiting--; q.waiting > 0 && q.ctx.Err() == nil {
		return
	}
	q.cancel()
	if i.asking == q {
		i.asking = nil
	}
}

// wait returns the answer, or an error if the caller's context or the question's ends first.
func (q *question) wait(ctx context.Context) (name string, err error) {
	select {
	case <-q.answered:
	case <-ctx.Done():
		err = ctx.Err()
	case <-q.ctx.Done():
		err = q.ctx.Err()
	}
	select {
	case <-q.answered: // both happened at the same time: the answer counts
		return q.name, q.err
	default:
		return "", err
	}
}
