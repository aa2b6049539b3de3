package bedrockguard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
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
	tight   bool  // the reservation was made from the tight bound
	receipt *budget.Receipt
	debit   *rateDebit
	began   time.Time // when it was first judged; zero if nobody listens

	header      http.Header  // of the answer; written before body and before the answer's bytes are read
	body        []byte       // of a whole answer that is no stream; nil when it did not arrive whole
	status      atomic.Int32 // of the answer; 0 without one
	handedOver  atomic.Bool  // to the transport
	watched     atomic.Bool  // the transport is one whose reading of the body tells whether it sent
	mayHaveLeft atomic.Bool  // bytes may have left
	dialing     atomic.Bool  // a transport that is traced tells what it does about connections

	resolving sync.Mutex      // held while the reservation is settled or voided
	resolved  bool            // guarded by resolving
	store     detachedContext // under which the store is told
}

// detached returns a context that survives the caller's cancel, for the time that a settlement may take. Requires a.resolving held.
func (a *attempt) detached(ctx context.Context, timeout time.Duration) *detachedContext {
	a.store.parent, a.store.timeout = ctx, a.call.remaining(timeout)
	return &a.store
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

// sending holds the attempt of one turn of the SDK's retry loop: one, unless somebody behind the guard sends again.
type sending struct {
	mu      sync.Mutex
	attempt *attempt
	refused error // why a repeated sending was not let out

	left   atomic.Bool // somebody else resolves the attempt now: a stream, or who reads an answer on
	stream atomic.Pointer[meteredBody]
}

func (s *sending) current() *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempt
}

// refusal returns why a repeated sending was not let out, or nil.
func (s *sending) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

type sendingKey struct{}

func sendingFrom(ctx context.Context) *sending {
	s, _ := middleware.GetStackValue(ctx, sendingKey{}).(*sending)
	return s
}

// attemptMiddleware reserves before each attempt of the SDK's retry loop and resolves after it. Being inside the loop, it
// sees every request that can be billed; being outside of everything else, a failed signing resolves here too.
type attemptMiddleware struct{ guard *Guard }

// ID implements middleware.FinalizeMiddleware.
func (*attemptMiddleware) ID() string { return attemptID }

// HandleFinalize implements middleware.FinalizeMiddleware.
func (m *attemptMiddleware) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (out middleware.FinalizeOutput, md middleware.Metadata, err error) {
	c := callFrom(ctx)
	if c == nil || c.unmetered {
		return next.HandleFinalize(ctx, in)
	}
	g := m.guard
	req, _ := in.Request.(*smithyhttp.Request)
	s := new(sending)
	if req, err = g.begin(ctx, c, s, req); err != nil {
		return out, md, refusedError{err}
	}
	if req != nil {
		in.Request = req
	}
	if c.unmetered {
		return next.HandleFinalize(ctx, in)
	}
	if c.cache.prompt != nil {
		g.cacheSent(c)
	}
	returned := false
	defer func() {
		if !returned { // a panic or runtime.Goexit below
			g.abandon(ctx, s)
		}
	}()
	out, md, err = next.HandleFinalize(middleware.WithStackValue(ctx, sendingKey{}, s), in)
	returned = true
	whole, _ := out.Result.(*bedrockruntime.ConverseOutput)
	g.conclude(ctx, s, streams(out.Result), whole, err)
	return out, md, err
}

// begin looks at the request that is about to be signed, and admits it.
func (g *Guard) begin(ctx context.Context, c *call, s *sending, req *smithyhttp.Request) (*smithyhttp.Request, error) {
	req, _, err := g.lookAgain(ctx, c, req)
	if err != nil {
		if g.shadows(err) {
			if err = g.passUnmetered(ctx, c, err); err == nil {
				return req, nil
			}
		}
		g.emitKind(ctx, c, nil, refusalKind(err), err)
		return nil, err
	}
	a, err := g.admit(ctx, c)
	if err != nil {
		return nil, err
	}
	s.attempt = a
	if g.opts.ReservationHeader != "" && req != nil {
		g.nameReservation(req, a)
	}
	return req, nil
}

// conclude resolves the attempt after everything below has returned, unless somebody else does. streams says that the caller holds the
// stream that the meter sees; whole is Converse's answer where the SDK has decoded it.
func (g *Guard) conclude(ctx context.Context, s *sending, streams bool, whole *bedrockruntime.ConverseOutput, err error) {
	switch m := s.stream.Load(); {
	case s.left.Load():
		// Whoever reads the answer on owns the reservation: see detach.go.
	case m != nil && err == nil && streams:
		// The stream owns the reservation: see stream.go.
	case m != nil: // something in between failed after the stream began: nobody holds it to close it
		m.leave(err)
	default:
		a := s.current()
		if whole != nil && err == nil && a.call.demand.decodable {
			g.settleConverse(ctx, a, whole)
			return
		}
		g.settleAnswer(ctx, a, err)
	}
}

// abandon resolves the attempt when nothing below returned: by what has come of the answer, else nobody knows what was sent.
func (g *Guard) abandon(ctx context.Context, s *sending) {
	switch m, a := s.stream.Load(), s.current(); {
	case s.left.Load():
		// As in conclude.
	case m != nil:
		m.leave(io.ErrClosedPipe)
	case a.body != nil:
		g.settleBody(ctx, a, a.body)
	default:
		g.finish(ctx, a, OutcomeBroken)
	}
}

// settleAnswer resolves an attempt that is no stream: by the answer, if a whole one came, whatever became of it afterwards.
func (g *Guard) settleAnswer(ctx context.Context, a *attempt, err error) {
	if a.body != nil {
		g.settleBody(ctx, a, a.body)
		return
	}
	g.finish(ctx, a, a.outcomeOf(err))
}

func (g *Guard) nameReservation(req *smithyhttp.Request, a *attempt) {
	req.Header.Set(g.opts.ReservationHeader, a.receipt.Reservation.ID.String())
}

// admit passes an attempt through the rate and the reservation, or returns the typed refusal.
func (g *Guard) admit(ctx context.Context, c *call) (*attempt, error) {
	a := c.next()
	if g.listened() {
		a.began = time.Now()
	}
	wide, err := g.wide(c)
	if err == nil {
		err = g.brake(ctx, c)
	}
	if err == nil && g.rate.limits() {
		a.debit, err = g.rate.wait(ctx, c, g.ratios.Guess(c.scope.Model, wide))
	}
	if err == nil {
		err = g.reserve(ctx, a, wide)
	}
	if err != nil {
		a.debit.giveBack()
		c.explain(a, err)
		if !(c.limiting.may && errors.Is(err, budget.ErrExceeded)) && g.shadows(err) {
			a.debit = nil
			if err = g.pass(ctx, a, err); err == nil {
				return a, nil
			}
		}
		if !c.limiting.may || !errors.Is(err, budget.ErrExceeded) { // else it is asked once more
			g.emitKind(ctx, c, a, refusalKind(err), err)
		}
		return nil, err
	}
	g.emitReserved(ctx, a)
	return a, nil
}

func (g *Guard) emitReserved(ctx context.Context, a *attempt) {
	if !g.listened() {
		return
	}
	g.emitKind(ctx, a.call, a, EventReserved, nil)
	for _, would := range a.receipt.Observed {
		a.call.explain(a, would)
		g.emitKind(ctx, a.call, a, EventObserved, would)
	}
}

func refusalKind(err error) EventKind {
	if errors.Is(err, budget.ErrKilled) {
		return EventKilled
	}
	return EventDenied
}

// replace covers the attempt by a new reservation, because the request was changed after it was admitted. The old one is
// given back first: both together would need room that the call does not.
func (g *Guard) replace(ctx context.Context, s *sending) error {
	old := s.current()
	c := old.call
	wide, err := g.wide(c)
	var worst budget.Charge
	if err == nil {
		err = c.worst(&worst, wide)
	}
	if err == nil {
		if _, exceeds := worst.Exceeds(&old.receipt.Reservation.Charge); !exceeds && c.scope.Model == old.receipt.Scope.Model {
			return nil // what is set aside covers it
		}
	}
	if old.claim() {
		old.debit.giveBack()
		g.voidClaimed(ctx, old, OutcomeNotSent)
	}
	if err != nil {
		g.emitKind(ctx, c, old, EventDenied, err)
		return err
	}
	a, err := g.admit(ctx, c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.attempt = a
	s.mu.Unlock()
	return nil
}

// again covers one more sending of the same request inside of one turn of the retry loop: by a client that sends again by
// itself, or a middleware next to the transport. The sending before it may have been billed, and nobody will tell.
func (g *Guard) again(ctx context.Context, s *sending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused != nil {
		return s.refused
	}
	old := s.attempt
	g.settleAnswer(ctx, old, nil)
	a := old.call.next()
	a.tight, a.began = old.tight, time.Now()
	passed := false
	err := g.reserveAs(ctx, a, old)
	if err != nil {
		old.call.explain(a, err)
		passed = g.shadows(err)
		if passed {
			err = g.pass(ctx, a, err)
		}
		if err != nil {
			s.refused = err
			g.emitKind(ctx, old.call, a, refusalKind(err), err)
			return err
		}
	}
	a.handedOver.Store(true)
	a.watched.Store(old.watched.Load())
	a.dialing.Store(old.dialing.Load())
	s.attempt = a
	if !passed {
		g.emitReserved(ctx, a)
	}
	return nil
}

// reserve sets aside the wide bound, and where a limit has no room for that, the tight one.
func (g *Guard) reserve(ctx context.Context, a *attempt, wide int64) error {
	c := a.call
	if c.tight > 0 && c.tight < wide { // an earlier attempt needed it
		a.tight = true
		return g.reserveInput(ctx, a, c.tight, false)
	}
	mayTighten := !g.opts.StrictBound && !c.demand.hidden
	err := g.reserveInput(ctx, a, wide, mayTighten)
	if err != nil && mayTighten && errors.Is(err, budget.ErrExceeded) {
		return g.reserveTight(ctx, a, wide)
	}
	return err
}

// reserveTight answers a tentative reservation's refusal with a tighter one, or makes it final.
func (g *Guard) reserveTight(ctx context.Context, a *attempt, wide int64) error {
	c := a.call
	tight, ended := g.tightInput(ctx, c)
	if ended != nil {
		return ended
	}
	if tight > 0 && tight < wide {
		a.tight = true
		return g.reserveInput(ctx, a, tight, false)
	}
	return g.reserveInput(ctx, a, wide, false) // the refusal is final now: it may latch, and observed limits refuse nothing
}

func (g *Guard) reserveInput(ctx context.Context, a *attempt, inputTokens int64, tentative bool) error {
	a.call.limiting.input = inputTokens
	req := budget.Request{Scope: a.call.scope, Operation: a.call.operation, TTL: g.opts.ReservationTTL, Tentative: tentative, NoLatch: a.call.limiting.may}
	err := a.call.worst(&req.Worst, inputTokens)
	if err != nil {
		return err
	}
	a.bound = req.Worst[budget.UnitInputTokens]
	return g.askLedger(ctx, a, req)
}

// askLedger asks the ledger, for a bounded time.
func (g *Guard) askLedger(ctx context.Context, a *attempt, req budget.Request) (err error) {
	timeout := a.call.remaining(g.opts.StoreTimeout)
	req.TakeBack = min(timeout/4, 500*time.Millisecond)
	if patience := g.opts.MaxWait - a.call.waited; patience > 0 && !req.Tentative {
		return g.wait(ctx, a, req, timeout-req.TakeBack, patience)
	}
	asking := &boundedContext{Context: ctx, timeout: timeout - req.TakeBack}
	defer asking.release()
	a.receipt, err = g.ledger.Reserve(asking, req)
	if errors.Is(err, budget.ErrStore) {
		a.call.storeLost += asking.lasted()
	}
	return err
}

// wait asks the ledger as ask does, each time for a bounded time, until there is room, or the call has waited for as long as it may.
func (g *Guard) wait(ctx context.Context, a *attempt, req budget.Request, step, patience time.Duration) (err error) {
	began := time.Now()
	req.StepTimeout, req.MaxWait = step, patience
	a.receipt, err = g.ledger.Wait(ctx, req)
	lasted := time.Since(began)
	a.call.waited += lasted
	if errors.Is(err, budget.ErrStore) {
		a.call.storeLost += min(lasted, step)
	}
	return err
}

// reserveAs sets aside what an earlier attempt of the same request has set aside.
func (g *Guard) reserveAs(ctx context.Context, a, old *attempt) error {
	a.bound = old.bound
	return g.askLedger(ctx, a, budget.Request{Scope: a.call.scope, Operation: a.call.operation, TTL: g.opts.ReservationTTL, Worst: old.receipt.Reservation.Charge})
}
