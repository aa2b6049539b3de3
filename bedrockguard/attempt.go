package bedrockguard

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

const attemptID = "bedrockguard.Attempt"

// attempt is one sending of a call, with the reservation that covers it.
type attempt struct {
	call    *call
	number  int
	bound   int64 // input tokens that the reservation covers at most
	receipt *budget.Receipt
	debit   *rateDebit
	header  http.Header // of the answer; written before the answer's body is read

	status      atomic.Int32 // of the answer; 0 without one
	handedOver  atomic.Bool  // to the transport
	watched     atomic.Bool  // the transport is one whose reading of the body tells whether it sent
	mayHaveLeft atomic.Bool  // bytes may have left
	dialing     atomic.Bool  // a transport that is traced tells what it does about connections

	resolving sync.Mutex      // held while the reservation is settled or voided
	resolved  bool            // guarded by resolving
	store     detachedContext // under which the store is asked
}

// claim reports whether the caller is the one to resolve the reservation; it then holds a.resolving, and has to unlock it.
// Anybody else has waited until that was done.
func (a *attempt) claim() bool {
	a.resolving.Lock()
	if a.resolved {
		a.resolving.Unlock()
		return false
	}
	a.resolved = true
	return true
}

// next returns the call's next attempt.
func (c *call) next() *attempt { return &attempt{call: c, number: int(c.attempts.Add(1))} }

type attemptKey struct{}

func attemptFrom(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// attemptMiddleware reserves before each attempt of the SDK's retry loop and resolves after it. Being inside the loop, it
// sees every request that can be billed; being outside of everything else, a failed signing resolves here too.
type attemptMiddleware struct{ guard *Guard }

// ID implements middleware.FinalizeMiddleware.
func (*attemptMiddleware) ID() string { return attemptID }

// HandleFinalize implements middleware.FinalizeMiddleware.
func (m *attemptMiddleware) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (out middleware.FinalizeOutput, md middleware.Metadata, err error) {
	c := callFrom(ctx)
	if c == nil {
		return next.HandleFinalize(ctx, in)
	}
	g := m.guard
	req, _ := in.Request.(*smithyhttp.Request)
	a, err := g.admit(ctx, c, bodyLength(req))
	if err != nil {
		return out, md, refusedError{err}
	}
	if g.opts.ReservationHeader != "" && req != nil {
		g.nameReservation(req, a)
	}
	if c.cache.prompt != nil {
		g.cacheSent(c)
	}
	returned := false
	defer func() {
		if !returned { // a panic or runtime.Goexit below: nobody knows what was sent
			g.finish(ctx, a, OutcomeBroken)
		}
	}()
	out, md, err = next.HandleFinalize(context.WithValue(ctx, attemptKey{}, a), in)
	returned = true
	switch {
	case err != nil:
		g.finish(ctx, a, a.outcomeOf(err))
	case streams(out.Result):
		// The stream owns the reservation now: see stream.go.
	default:
		g.settleResult(ctx, a, out.Result)
	}
	return out, md, err
}

func (g *Guard) nameReservation(req *smithyhttp.Request, a *attempt) {
	req.Header.Set(g.opts.ReservationHeader, a.receipt.Reservation.ID.String())
}

// unknownLength stands for a body that does not tell its length.
const unknownLength = -1

// bodyLength returns the length of the serialised body, which is known and costs nothing: the SDK sends from memory.
func bodyLength(req *smithyhttp.Request) int64 {
	if req == nil {
		return unknownLength
	}
	if n, ok, err := req.StreamLength(); err == nil && ok {
		return n
	}
	return unknownLength
}

// admit passes an attempt through the rate and the reservation, or returns the typed refusal.
func (g *Guard) admit(ctx context.Context, c *call, bodyBytes int64) (*attempt, error) {
	a := c.next()
	wide, err := c.wideInput(bodyBytes)
	if err == nil && g.rate.limits() {
		a.debit, err = g.rate.wait(ctx, c, g.ratios.Guess(c.scope.Model, wide))
	}
	if err == nil {
		err = g.reserve(ctx, a, wide)
	}
	if err != nil {
		a.debit.giveBack()
		g.emitKind(ctx, c, a, refusalKind(err), err)
		return nil, err
	}
	if g.listened() {
		g.emitKind(ctx, c, a, EventReserved, nil)
		for _, would := range a.receipt.Observed {
			g.emitKind(ctx, c, a, EventObserved, would)
		}
	}
	return a, nil
}

func refusalKind(err error) EventKind {
	if errors.Is(err, budget.ErrKilled) {
		return EventKilled
	}
	return EventDenied
}

// reserve sets aside the wide bound, and where a limit has no room for that, the tight one.
func (g *Guard) reserve(ctx context.Context, a *attempt, wide int64) error {
	c := a.call
	if c.tight > 0 && c.tight < wide { // an earlier attempt needed it
		return g.reserveInput(ctx, a, c.tight, false)
	}
	mayTighten := !g.opts.StrictBound && !c.ask.hidden
	err := g.reserveInput(ctx, a, wide, mayTighten)
	if err != nil && mayTighten && errors.Is(err, budget.ErrExceeded) {
		return g.reserveTight(ctx, a, wide, err)
	}
	return err
}

// reserveTight answers a tentative reservation's refusal with a tighter one, or makes it final.
func (g *Guard) reserveTight(ctx context.Context, a *attempt, wide int64, err error) error {
	c := a.call
	if tight := g.tightInput(c); tight > 0 && tight < wide {
		return g.reserveInput(ctx, a, tight, false)
	}
	var denied *budget.ExceededError
	if errors.As(err, &denied) && g.latches(denied.Limit) {
		return g.reserveInput(ctx, a, wide, false) // the refusal is final now, so it may latch
	}
	return err
}

func (g *Guard) reserveInput(ctx context.Context, a *attempt, inputTokens int64, tentative bool) error {
	req := budget.Request{Scope: a.call.scope, TTL: g.opts.ReservationTTL, Tentative: tentative}
	err := a.call.worst(&req.Worst, inputTokens)
	if err != nil {
		return err
	}
	a.bound = inputTokens
	a.receipt, err = g.ledger.Reserve(ctx, req)
	return err
}

func (g *Guard) latches(limit string) bool {
	for _, l := range g.ledger.Policy().Limits {
		if l.Name == limit {
			return l.Latch
		}
	}
	return false
}
