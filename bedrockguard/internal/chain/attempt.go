package chain

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/ratelimit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/stepctx"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// An attempt is reserved by the wide bound of its input tokens, which follows from the length of the request's body, or by the tight bound, which
// is computed from its text and takes longer. To resolve a reservation is to settle it, which charges an amount, or to void it, which gives all
// of it back. In shadow mode most refusals are only reported: Guard.Shadows tells which, and Guard.pass lets the attempt through.

// attempt is one try to send a call's request, with the reservation that covers it.
type attempt struct {
	call   *Call
	number int       // 1 for the call's first
	began  time.Time // when the attempt was made, for events; may be zero if there is no listener

	// What covers it.
	receipt *budget.Receipt
	bound   int64            // input tokens that the reservation covers at most
	tight   bool             // that bound is the tight one
	debit   *ratelimit.Debit // tokens taken from the rate limit; nil if none were taken: then its methods do nothing

	// What has become of the request.
	handedOver  atomic.Bool // the request was given to the transport
	watched     atomic.Bool // the transport is net/http's own: a body that it has not read proves that the request was not sent
	dialing     atomic.Bool // the transport has reported to its trace that it asks for a connection
	mayHaveSent atomic.Bool // bytes of the request may have been sent

	// What has come of the answer.
	status atomic.Int32 // the HTTP status; 0 without an answer
	header http.Header  // written before body is, and before any byte of a stream is read: whoever has these may read it without a lock
	body   []byte       // of an answer that is not a stream; nil if it did not arrive completely

	// How the reservation is resolved.
	resolving sync.Mutex       // held while the reservation is settled or voided
	resolved  bool             // guarded by resolving
	store     stepctx.Detached // the context of the store's step that resolves it; a part of the attempt, to save an allocation
}

// detached returns a context that does not end when the caller cancels, but when a settlement has taken too long. It is always a.store, which is
// why a.resolving has to be held.
func (a *attempt) detached(ctx context.Context, timeout time.Duration) *stepctx.Detached {
	// The steps before have taken time, too: remaining takes off what the call has lost to a store that did not answer.
	a.store.Parent, a.store.Timeout = ctx, a.call.remaining(timeout)
	return &a.store
}

// claim decides who resolves the reservation, because several goroutines may want to. It returns true once, with a.resolving locked:
// the caller settles or voids the reservation and unlocks it. Every later call waits until that is done, and returns false.
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
func (c *Call) next() *attempt { return &attempt{call: c, number: int(c.attempts.Add(1))} }

// Sending holds the current attempt of one pass through the SDK's retry loop. There is one attempt for each pass, unless the HTTP client or a
// middleware behind the guard sends the request again.
type Sending struct {
	mu      sync.Mutex
	attempt *attempt
	refused error // why a repeated sending was refused

	inBackground atomic.Bool                 // the caller has canceled, and a goroutine of dispatch.returnEarly resolves the attempt
	stream       atomic.Pointer[meteredBody] // the answer, if it is a stream; nil for any other answer, and before one came
}

// current returns the newest attempt; nil before Guard.Begin has made one.
func (s *Sending) current() *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempt
}

// refusal returns why a repeated sending was refused, or nil.
func (s *Sending) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// Covers reports whether a request to this address is the one for which the sending has reserved, and which is with the transport now. The HTTP
// door asks it, because the SDK's client may send through a guarded transport: such a request must not be reserved twice.
func (s *Sending) Covers(u *url.URL) bool {
	a := s.current()
	if a == nil || !a.handedOver.Load() {
		return false
	}
	// seen.path is where the request went when it was read for the reservation. An empty path would be the end of every address.
	seen := &a.call.seen
	// A later pass through the retry loop can have made the call unmetered (Unmetered). Its earlier attempts cover it even so.
	return a.call.Unmetered || seen.path != "" && strings.HasSuffix(u.Path, seen.path)
}

// Streamed returns the answer if it is a stream, whose reader resolves the reservation.
func (s *Sending) Streamed() (io.ReadCloser, bool) {
	m := s.stream.Load()
	return m, m != nil // without a stream the first value is of no use: an interface that holds a nil pointer
}

type sendingKey struct{}

// WithSending puts a sending where the code next to the transport finds it: the SDK's last middleware, or an HTTP door behind that.
func WithSending(ctx context.Context, s *Sending) context.Context {
	return middleware.WithStackValue(ctx, sendingKey{}, s)
}

// SendingFrom returns the sending of a context, or nil.
func SendingFrom(ctx context.Context) *Sending {
	s, _ := middleware.GetStackValue(ctx, sendingKey{}).(*Sending)
	return s
}

// Begin reads the request that is about to be signed, and reserves what it can cost. It returns the request that is to be sent. If it has set
// c.Unmetered, in shadow mode, nothing was reserved and there is no attempt.
func (g *Guard) Begin(ctx context.Context, c *Call, s *Sending, req *smithyhttp.Request) (*smithyhttp.Request, error) {
	// Whether the request has changed does not matter here: nothing is reserved for it yet.
	req, _, err := g.lookAgain(ctx, c, req)
	if err != nil {
		if g.Shadows(err) {
			// Even in shadow mode PassUnmetered returns an error, and the call is refused, if its scope was killed.
			if err = g.PassUnmetered(ctx, c, err); err == nil {
				return req, nil
			}
		}
		g.emitKind(ctx, c, nil, refusalKind(err), err)
		return nil, err
	}
	a, err := g.admit(ctx, c)
	if err != nil {
		return nil, err // admit has emitted the event
	}
	// No lock is needed: nobody else has the sending yet.
	s.attempt = a
	if g.opts.ReservationHeader != "" && req != nil {
		g.nameReservation(req, a)
	}
	return req, nil
}

// Result is what the inner handlers returned.
type Result struct {
	HasStream bool                           // the caller gets a stream, and has to close it
	Converse  *bedrockruntime.ConverseOutput // Converse's answer as the SDK has decoded it, or nil
	Err       error
}

// Conclude resolves the attempt once the inner handlers have returned, unless a stream or another goroutine has to.
func (g *Guard) Conclude(ctx context.Context, s *Sending, got Result) {
	switch m := s.stream.Load(); {
	case s.inBackground.Load():
		// A goroutine of dispatch.returnEarly resolves it.
	case m != nil && got.Err == nil && got.HasStream:
		// The stream resolves it when it ends: see stream.go.
	case m != nil: // a handler failed after the stream began, so the caller gets no stream to close
		m.giveUp(got.Err)
	default:
		a := s.current()
		// Decodable says that the SDK's types hold all that the answer can tell of its cost. If not, or without an output, its bytes decide.
		if got.Converse != nil && got.Err == nil && a.call.Demand.Decodable {
			g.settleConverse(ctx, a, got.Converse)
			return
		}
		g.settleAnswer(ctx, a, got.Err)
	}
}

// NotSent resolves an attempt that was given up before it was handed to the transport.
func (g *Guard) NotSent(ctx context.Context, s *Sending) {
	g.finish(ctx, s.current(), event.OutcomeNotSent)
}

// Abandon resolves the attempt if an inner handler has panicked or ended its goroutine. It uses what has arrived of the answer; if nothing
// has, the attempt counts as sent, because nothing proves otherwise.
func (g *Guard) Abandon(ctx context.Context, s *Sending) {
	switch m, a := s.stream.Load(), s.current(); {
	case s.inBackground.Load():
		// A goroutine of dispatch.returnEarly resolves it.
	case m != nil:
		// A Read that waits for the stream returns this error.
		m.giveUp(io.ErrClosedPipe)
	case a.body != nil:
		g.settleBody(ctx, a, a.body)
	default:
		g.finish(ctx, a, event.OutcomeBroken)
	}
}

// settleAnswer resolves an attempt whose answer is no stream. A complete answer decides, even if a later handler failed with err.
func (g *Guard) settleAnswer(ctx context.Context, a *attempt, err error) {
	if a.body != nil {
		g.settleBody(ctx, a, a.body)
		return
	}
	g.finish(ctx, a, a.outcomeOf(err))
}

// nameReservation puts the reservation's id into a header of the request, for proxies and simulators that keep their own bill.
func (g *Guard) nameReservation(req *smithyhttp.Request, a *attempt) {
	req.Header.Set(g.opts.ReservationHeader, a.receipt.Reservation.ID.String())
}

// admit makes the call's next attempt, and reserves for it. If anything refuses, it returns a typed error, unless shadow mode lets the attempt
// through.
func (g *Guard) admit(ctx context.Context, c *Call) (*attempt, error) {
	a := c.next()
	if g.listened() {
		a.began = time.Now()
	}
	err := g.ask(ctx, a)
	if err == nil {
		g.emitReserved(ctx, a)
		return a, nil
	}
	a.debit.GiveBack()
	a.debit = nil
	c.explain(a, err)
	// The refusal is not final, so that it is neither let through nor reported: Guard.Limited, which has set triesAgain, asks again for less.
	if c.limiting.triesAgain && errors.Is(err, budget.ErrExceeded) {
		return nil, err
	}
	if err = g.refuseUnlessShadow(ctx, a, err); err != nil {
		return nil, err
	}
	return a, nil
}

// ask asks all that can refuse an attempt, in this order: the brakes, the rate limit, and the budget, in which it reserves.
func (g *Guard) ask(ctx context.Context, a *attempt) error {
	c := a.call
	wide, err := g.wide(c)
	if err != nil {
		return err
	}
	if err := g.brake(ctx, c); err != nil {
		return err
	}
	if g.rate.On() {
		// The rate limit takes the tokens that prompts with such a bound are usually billed for, at most the bound.
		if a.debit, err = g.rate.Wait(ctx, &c.Scope, g.ratios.Guess(c.Scope.Model, wide)); err != nil {
			return err
		}
	}
	return g.reserve(ctx, a, wide)
}

// refuseUnlessShadow ends an attempt that was refused with err. It returns nil if shadow mode lets the attempt through: pass has then emitted the
// refusal, in the place of event.Reserved. Otherwise it emits the refusal's event, and returns the error: err, or what pass met, such as a kill.
func (g *Guard) refuseUnlessShadow(ctx context.Context, a *attempt, err error) error {
	if g.Shadows(err) {
		err = g.pass(ctx, a, err)
	}
	if err != nil {
		g.emitKind(ctx, a.call, a, refusalKind(err), err)
	}
	return err
}

// emitReserved emits the events of a reservation: its own, and one for each limit that only observes and would have refused the attempt.
func (g *Guard) emitReserved(ctx context.Context, a *attempt) {
	if !g.listened() {
		return
	}
	g.emitKind(ctx, a.call, a, event.Reserved, nil)
	for _, would := range a.receipt.Observed {
		a.call.explain(a, would)
		g.emitKind(ctx, a.call, a, event.Observed, would)
	}
}

// refusalKind returns the kind of event that reports a refusal.
func refusalKind(err error) event.Kind {
	if errors.Is(err, budget.ErrKilled) {
		return event.Killed
	}
	return event.Denied
}

// replace makes a new reservation for a request that was changed after it was admitted, unless the old one covers it. The old one is voided
// first, because both together would need more room in the limits than the call does. The old attempt stays the sending's current one if no
// new one is admitted.
func (g *Guard) replace(ctx context.Context, s *Sending) error {
	old := s.current()
	c := old.call
	covered, err := g.stillCovered(old)
	if covered {
		return nil
	}
	// claim returns false if another goroutine has resolved the old reservation. Nothing of its request was sent.
	if old.claim() {
		old.debit.GiveBack()
		g.voidClaimed(ctx, old, event.OutcomeNotSent)
	}
	if err != nil {
		// The cost of the changed request could not be worked out. That is never a kill, which only admit meets.
		g.emitKind(ctx, c, old, event.Denied, err)
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

// stillCovered reports whether an attempt's reservation covers the call's request as it is now: no unit needs more, and the model, which decides
// the accounts, is the same. The error says that the cost of the request can't be worked out.
func (g *Guard) stillCovered(a *attempt) (bool, error) {
	wide, err := g.wide(a.call)
	if err != nil {
		return false, err
	}
	// Worst fills in the charge that the request needs.
	var worst budget.Charge
	if err := a.call.Worst(&worst, wide); err != nil {
		return false, err
	}
	_, exceeds := worst.Exceeds(&a.receipt.Reservation.Charge)
	return !exceeds && a.call.Scope.Model == a.receipt.Scope.Model, nil
}

// again reserves for a repeated sending of the same request within one pass of the retry loop, by an HTTP client or a middleware that
// sends again by itself. The attempt before it is settled as if it had no usable answer: it may have been billed, and its usage
// will not be known. The new attempt reserves as much as that one did, and keeps what is known of the transport.
func (g *Guard) again(ctx context.Context, s *Sending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// An earlier repetition was refused: so is every later one.
	if s.refused != nil {
		return s.refused
	}
	old := s.attempt
	// nil: the transport has returned no error of that sending, so that its answer, if one came, and what was sent decide the outcome.
	g.settleAnswer(ctx, old, nil)
	a := old.call.next()
	a.tight, a.began = old.tight, time.Now()
	refusal := g.reserveAs(ctx, a, old)
	if refusal != nil {
		a.call.explain(a, refusal)
		if s.refused = g.refuseUnlessShadow(ctx, a, refusal); s.refused != nil {
			return s.refused
		}
	}
	// The transport has this sending already, and what is known of the transport from the attempt before is still true.
	a.handedOver.Store(true)
	a.watched.Store(old.watched.Load())
	a.dialing.Store(old.dialing.Load())
	s.attempt = a
	if refusal == nil { // a refusal that shadow mode has let through has had its own event
		g.emitReserved(ctx, a)
	}
	return nil
}

// reserve reserves the wide bound of the input, which is cheap to compute, and if a limit has no room for that, the tight bound. Only the wide one
// is used if StrictBound is set, or if the service adds text that the request does not hold (Hidden), which a count of the text would miss.
func (g *Guard) reserve(ctx context.Context, a *attempt, wide int64) error {
	c := a.call
	if c.tight > 0 && c.tight < wide { // an earlier attempt needed the tight bound; 0 says that it was not computed, or that there is none
		a.tight = true
		return g.reserveInput(ctx, a, c.tight, final)
	}
	if g.opts.StrictBound || c.Demand.Hidden {
		return g.reserveInput(ctx, a, wide, final)
	}
	err := g.reserveInput(ctx, a, wide, tentative)
	if errors.Is(err, budget.ErrExceeded) {
		return g.reserveTight(ctx, a, wide)
	}
	return err
}

// reserveTight is for a call whose wide bound was refused tentatively. It reserves the tight bound. If there is none it asks for the wide bound
// once more, as a final request, because the two kinds of request differ. A tentative one is also refused by limits that only observe, and closes
// no latch (Limit.Latch: a limit that has refused once stays closed). A final one may close latches, and limits that only observe let it pass.
func (g *Guard) reserveTight(ctx context.Context, a *attempt, wide int64) error {
	tight, err := g.tightInput(ctx, a.call)
	if err != nil {
		return err
	}
	if tight > 0 && tight < wide {
		a.tight = true
		return g.reserveInput(ctx, a, tight, final)
	}
	return g.reserveInput(ctx, a, wide, final)
}

// finality says whether a request to the ledger, if it is refused, is followed by another one with a tighter bound: see budget.Request.Tentative.
type finality uint8

const (
	tentative finality = iota // another one follows
	final                     // the refusal refuses the attempt
)

// reserveInput reserves the worst case of an attempt with this bound of input tokens. It notes the bound in c.limiting, by which a lower output
// limit is worked out after a refusal. NoLatch: a call that may ask again for less must not close the limit to others.
func (g *Guard) reserveInput(ctx context.Context, a *attempt, inputTokens int64, f finality) error {
	a.call.limiting.input = inputTokens
	req := budget.Request{Scope: a.call.Scope, Operation: a.call.Operation, TTL: g.opts.ReservationTTL, Tentative: f == tentative, NoLatch: a.call.limiting.triesAgain}
	err := a.call.Worst(&req.Worst, inputTokens)
	if err != nil {
		return err
	}
	// These can be more than inputTokens: Worst multiplies them for several completions and for compactions of the history.
	a.bound = req.Worst[budget.UnitInputTokens]
	return g.askLedger(ctx, a, req)
}

// askLedger reserves in the ledger, within what is left of StoreTimeout. With MaxWait a call waits for room. A tentative request does not, because
// the tighter bound that follows may fit at once.
func (g *Guard) askLedger(ctx context.Context, a *attempt, req budget.Request) (err error) {
	timeout := a.call.remaining(g.opts.StoreTimeout)
	// If the store does not answer in time, the reservation may have been made all the same. A quarter of the time is kept for taking it back, and
	// no more than the half second that the ledger needs for this by default.
	req.TakeBack = min(timeout/4, 500*time.Millisecond)
	if patience := g.opts.MaxWait - a.call.waited; patience > 0 && !req.Tentative {
		return g.wait(ctx, a, req, timeout-req.TakeBack, patience)
	}
	asking := &stepctx.Bounded{Context: ctx, Timeout: timeout - req.TakeBack}
	defer asking.Release()
	a.receipt, err = g.ledger.Reserve(asking, req)
	// As in Call.lost: only the time of a step that the store did not answer is taken off what the call may still wait.
	if errors.Is(err, budget.ErrStore) {
		a.call.storeLost += asking.Lasted()
	}
	return err
}

// wait reserves as askLedger does, again and again, until there is room or the call has waited for patience. step bounds each question to the
// store. If the store fails, only the last question was not answered, so that storeLost grows by step at most: the rest was a wait for room.
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

// reserveAs reserves as much as an earlier attempt of the same request did. Its refusal is final, because the request, which is with the transport
// already, can't be made smaller any more.
func (g *Guard) reserveAs(ctx context.Context, a, old *attempt) error {
	a.bound = old.bound
	return g.askLedger(ctx, a, budget.Request{Scope: a.call.Scope, Operation: a.call.Operation, TTL: g.opts.ReservationTTL, Worst: old.receipt.Reservation.Charge})
}

// brake counts a call, once for all of its attempts, and refuses it if a brake allows no more. A call whose body was not read is not counted.
func (g *Guard) brake(ctx context.Context, c *Call) error {
	// silent: the call is only estimated. braked: an earlier attempt was counted.
	if g.loops == nil || c.silent || c.braked || c.Demand.Raw == nil { // Raw is the body
		return nil
	}
	c.braked = true
	err := g.loops.Judge(&c.Scope, c.Demand.Raw)
	if err == nil {
		return nil
	}
	if g.opts.Brakes.Report {
		g.emitKind(ctx, c, nil, event.Looping, err)
		return nil
	}
	return err
}

// explain fills in ExceededError.Reason unless it is set: which part of the call made the reserved amount large, and how to lower it. Other
// errors stay as they are.
func (c *Call) explain(a *attempt, err error) {
	var e *budget.ExceededError
	if errors.As(err, &e) && e.Reason == "" {
		e.Reason = c.Reason(a.bound, a.tight, e.Requested.Unit)
	}
}
