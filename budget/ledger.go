package budget

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// DefaultTTL is how long a reservation stays pending if its Request has no TTL. A TTL that is too short never lets a call go uncounted: an
// expired reservation is charged with its worst case, and a late Settle corrects that.
const DefaultTTL = 15 * time.Minute

// Ledger enforces a policy over a store. It is also an Operator of that store. It is safe for concurrent use; only SetPolicy changes it. All
// processes that open ledgers with the same policy over the same store share its accounts.
type Ledger struct {
	Operator
	rules    atomic.Pointer[rules] // the policy in force, with what was worked out from it
	beside   []Limit               // of OpenOptions; never changes
	owner    Key                   // random; names this Ledger in its reservations, which nobody else may settle
	killed   knownKills            // kill flags that refused a call lately
	waiting  waitingRoom           // calls of this Ledger that wait for room
	sharing  sharing               // what is known of waiting calls of other processes
	children siblings              // how many children are open
	paces    paces                 // what was spent in the last hour, for forecasts
	opened   time.Time
	sweptAt  atomic.Int64 // when expired reservations were last charged, in nanoseconds since opened
	sweepGap atomic.Int64 // how long after sweptAt that is done again, in nanoseconds; zero until the first time
}

// OpenOptions configures Open. The zero value is ready to use.
type OpenOptions struct {
	// OwnPolicy lets a ledger enforce another policy than the one in the store. Without it that is refused, because the stored policy is
	// meant for all processes.
	OwnPolicy bool
	// Beside are limits that this ledger enforces beside those of the policy, and beside each policy that SetPolicy and FollowPolicy set later:
	// what one process adds to a policy that it shares with others. No limit of a policy may have one of their names.
	Beside []Limit
}

// Open returns a ledger, or every reason why the policy can't be enforced (ErrInvalidPolicy), or ErrStore. It charges reservations that have
// expired. A policy without limits means the one in the store; if there is one in the store, any other policy must be equal to it, unless
// OwnPolicy is set. The caller has to close the store.
func Open(ctx context.Context, store Store, policy Policy, optFns ...func(*OpenOptions)) (*Ledger, error) {
	var o OpenOptions
	for _, fn := range optFns {
		fn(&o)
	}
	if store == nil {
		return nil, fmt.Errorf("%w: no store", ErrInvalidPolicy)
	}
	l := &Ledger{Operator: Operator{store}, opened: time.Now(), beside: slices.Clone(o.Beside)}
	if len(policy.Limits) > 0 { // checked before the store is asked; an empty one is taken from the store, and checked by SetPolicy
		if err := l.with(policy).Validate(); err != nil {
			return nil, err
		}
	}
	rand.Read(l.owner[:])
	policy, err := l.agreed(ctx, policy, o.OwnPolicy) // without the limits of Beside: SetPolicy adds them
	if err != nil {
		return nil, err
	}
	if err := l.SetPolicy(policy); err != nil {
		return nil, err
	}
	if err := l.expireAll(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// with returns a policy with the limits of OpenOptions.Beside added.
func (l *Ledger) with(p Policy) Policy { return Policy{Limits: slices.Concat(p.Limits, l.beside)} }

// Policy returns the limits that the ledger enforces, those of OpenOptions.Beside behind the others: SetPolicy does not take these again.
func (l *Ledger) Policy() Policy {
	return Policy{Limits: append([]Limit(nil), l.rules.Load().policy.Limits...)}
}

// defaultTakeBack is used if a Request's TakeBack is zero.
const defaultTakeBack = 500 * time.Millisecond

// Request asks for room for one attempt.
type Request struct {
	Scope     Scope
	Operation string        // the provider's name for it, such as Converse; stored with the entry
	Worst     Charge        // the worst case: the most that the attempt can cost, in every unit
	TTL       time.Duration // how long the reservation stays pending before it is charged; zero is DefaultTTL
	// TakeBack bounds how long Reserve tries to void a reservation whose answer did not arrive, even after the context has ended. If it
	// can't be voided it expires. Zero is half a second.
	TakeBack time.Duration
	// StepTimeout bounds each request that Wait makes to the store. With zero only the context bounds it.
	StepTimeout time.Duration
	// MaxWait bounds how long Wait waits for room. With zero only the context bounds it.
	MaxWait time.Duration
	// NoLatch says that the caller may ask again for less, so that a refusal must not close any latch.
	NoLatch bool
	// Tentative says that the caller will ask again with a tighter bound if this one is refused. So a refusal must not close any latch, and
	// observe-only limits refuse too: what they report must come from the tighter bound.
	Tentative bool
}

// validate returns an error if the request is invalid. invalidScope is the error that its scope has caused, or nil.
func (r *Request) validate(invalidScope error) error {
	invalidCharge := r.Worst.Validate()
	if invalidScope != nil || invalidCharge != nil {
		return errors.Join(invalidScope, invalidCharge)
	}
	if r.TTL < 0 {
		return fmt.Errorf("%w: a TTL of %s", driver.ErrInvalidCharge, r.TTL)
	}
	if r.TakeBack < 0 {
		return fmt.Errorf("%w: a TakeBack of %s", driver.ErrInvalidCharge, r.TakeBack)
	}
	return nil
}

// Receipt is an admitted reservation. It must be handed to Settle or Void exactly once; if the process dies first, the worst case is charged
// after ExpiresAt. A Receipt is immutable.
type Receipt struct {
	Reservation driver.Reservation
	Scope       Scope
	ExpiresAt   time.Time
	// Observed holds the refusals that observe-only limits would have given.
	Observed []*ExceededError

	plan *plan // of the call's scope; crossed thresholds are reported by its limits
}

// Reserve reserves the worst case in every limit that matches the scope, or in none, in one atomic step of the store. The errors are
// *ExceededError, *KilledError, *StoreError, and, for invalid requests, ErrInvalidScope, driver.ErrInvalidCharge or ErrOverflow. After an
// error nothing is reserved, and the call must not be made.
func (l *Ledger) Reserve(ctx context.Context, req Request) (*Receipt, error) {
	r, _, err := l.reserve(ctx, req)
	return r, err
}

// Unlimited records a call that counts in no limit. It has an entry, and what is settled with its receipt counts as usage. Only kill flags
// refuse it, with a *KilledError; an invalid request is an error as in Reserve. A store that does not answer does not refuse it: it learns
// of the call when that is settled. It is meant for trying out a policy.
func (l *Ledger) Unlimited(ctx context.Context, req Request) (*Receipt, error) {
	p, err := l.prepare(&req)
	if err != nil {
		return nil, err
	}
	unlimited := &plan{of: p.of, dims: p.dims} // without lines: the call counts in no account
	r := &Receipt{
		Reservation: driver.Reservation{ID: driver.NewID(), Owner: l.owner, Charge: req.Worst, Dims: p.dims, Call: p.callOf(&req), TTL: req.TTL},
		Scope:       req.Scope, plan: unlimited,
	}
	if d, err := l.store.Reserve(ctx, r.Reservation); err == nil { // if the store did not answer, ExpiresAt stays zero
		if !d.Admitted { // without lines only a kill flag can refuse, which refusal turns into the error
			_, err := l.refusal(unlimited, &r.Reservation, &d)
			return nil, err
		}
		r.ExpiresAt = d.ExpiresAt
	}
	return r, nil
}

// prepare fills in a request's defaults and returns the plan of its scope: the accounts in which such calls count. An error refuses the request
// before the store is asked: it is invalid, or a remembered kill flag refuses it.
func (l *Ledger) prepare(req *Request) (*plan, error) {
	p, err := l.rules.Load().of(&req.Scope)
	if err = req.validate(err); err != nil {
		return nil, err
	}
	req.TTL = cmp.Or(req.TTL, DefaultTTL)
	return p, l.killed.check(p.dims, &req.Scope)
}

// reserve is Reserve. It also returns the account that refused the call, for Wait, which queues there; zero if none did.
func (l *Ledger) reserve(ctx context.Context, req Request) (*Receipt, Key, error) {
	p, err := l.prepare(&req)
	if err != nil {
		return nil, Key{}, err
	}
	// sweep charges what has expired, if that is due.
	l.sweep(ctx)
	// With Tentative or NoLatch the caller may ask again, so that a refusal must close no latch; with Tentative observe-only limits refuse, too.
	r := &Receipt{
		Reservation: driver.Reservation{ID: driver.NewID(), Owner: l.owner, Charge: req.Worst, Lines: p.lines, Dims: p.dims, Call: p.callOf(&req), TTL: req.TTL, Tentative: req.Tentative || req.NoLatch, RefuseObserved: req.Tentative},
		Scope:       req.Scope, plan: p,
	}
	d, err := l.store.Reserve(ctx, r.Reservation)
	if err != nil {
		return nil, Key{}, l.unanswered(ctx, &req, r.Reservation.ID, err)
	}
	if !d.Admitted {
		account, err := l.refusal(p, &r.Reservation, &d)
		return nil, account, err
	}
	r.ExpiresAt = d.ExpiresAt
	if len(d.Observed) > 0 {
		r.Observed = p.observed(&r.Reservation, d.Observed)
	}
	return r, Key{}, nil
}

// unanswered voids what the store may have reserved although its answer did not arrive, and returns the caller's error. It is not inlined,
// so that answered calls do not pay for its stack frame.
//
//go:noinline
func (l *Ledger) unanswered(ctx context.Context, req *Request, id ID, err error) error {
	err = storeError("reserve", err)
	if errors.Is(err, ErrStore) { // any other error is an answer, by which nothing was reserved
		l.abandon(ctx, id, cmp.Or(req.TakeBack, defaultTakeBack))
	}
	return err
}

// abandon voids a reservation that may or may not have been made. If that fails too, the reservation expires and is charged: the ledger then
// shows too much spend until somebody corrects it, never too little.
func (l *Ledger) abandon(ctx context.Context, id ID, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	_ = l.store.Void(ctx, id, l.owner)
}

// refusal turns a store's decision not to admit a call into the caller's error. If several accounts had no room, the error is about the one that
// lastToFit picks, and account is its key. It is not inlined, for the same reason as unanswered.
//
//go:noinline
func (l *Ledger) refusal(p *plan, r *driver.Reservation, d *driver.Decision) (account Key, err error) {
	switch {
	case d.Killed != nil:
		err := d.Killed.Err()
		l.killed.remember(err)
		return Key{}, err
	case len(d.Denied) > 0 && p.hasLinesOf(d.Denied):
		last, waiting := p.lastToFit(r, d.Denied)
		err := p.exceeded(r, &d.Denied[last])
		err.Waiting = waiting
		return p.lines[d.Denied[last].Line].Account, err
	default:
		return Key{}, &StoreError{Op: "reserve", Cause: errors.New("the store neither admitted nor refused")}
	}
}

// hasLinesOf reports whether the plan has all lines that a store has denied. If not, the store is broken, and nothing that it says is used.
func (p *plan) hasLinesOf(denied []driver.Denial) bool {
	for i := range denied {
		if !p.hasLine(denied[i].Line) {
			return false
		}
	}
	return true
}

// lastToFit returns the index in denied of the line to tell the caller about: the one that gets room last. A line may be only waiting: it gets room
// when pending calls end, or soon, as a paced limit does. Any other line is full of settled spend, or latched, and gets room only when its window has
// passed, if ever; so it comes after all lines that are only waiting. waiting reports whether all lines are only waiting.
func (p *plan) lastToFit(r *driver.Reservation, denied []driver.Denial) (last int, waiting bool) {
	waiting = p.waiting(r, &denied[0]) // the line at last is only waiting
	for i := 1; i < len(denied); i++ {
		thisWaits := p.waiting(r, &denied[i])
		laterOfItsKind := thisWaits == waiting && roomAfter(&denied[i]) > roomAfter(&denied[last])
		firstOfTheOthers := waiting && !thisWaits
		if laterOfItsKind || firstOfTheOthers {
			last, waiting = i, thisWaits
		}
	}
	return last, waiting
}

// roomAfter returns how long it takes until time alone makes room on a line that denied a call; MaxInt64 if it never does.
func roomAfter(d *driver.Denial) time.Duration {
	if d.ResetAfter <= 0 {
		return math.MaxInt64
	}
	return d.ResetAfter
}

// waiting reports whether a line without room would have it if no call were pending or, if its limit is paced, will have it after some time. The line
// belongs to the limit under[limits[line]] of the plan; a ResetAfter of zero says that time alone never makes room.
func (p *plan) waiting(r *driver.Reservation, d *driver.Denial) bool {
	amount := r.Charge[r.Lines[d.Line].Unit]
	if d.Latched || amount > d.Max {
		return false
	}
	return d.Settled <= d.Max-amount || p.under[p.limits[d.Line]].Paced && d.ResetAfter > 0
}

// Outcome says what a settlement did.
type Outcome struct {
	Replayed bool         // it was settled with the same amount before: nothing was posted now
	From     driver.State // the reservation's state before; zero if the store did not know it and posted an orphan
	Crossed  []Crossed    // the thresholds that were reached for the first time in their window
	Violated Unit         // the first unit in which the actual amount exceeded the worst case; zero if none did
}

// Crossed is a Notify threshold that settled spend reached.
type Crossed struct {
	Limit    string   // the limit's name
	Scope    Scope    // the values of the account; empty for a limit that is not split
	Fraction float64  // the element of Limit.Notify
	Settled  Quantity // in the present window
	Max      Quantity // in force, an override included
	Forecast Forecast
}

// Settle posts what the attempt really cost, even beyond a limit: the amount is never reduced. With estimated set, it is a worst case that
// Correct may replace. If the store fails it is asked up to three times more while the context lasts, with pauses of half a second in all; after that
// the error is ErrStore, and the worst case is charged when the reservation expires.
func (l *Ledger) Settle(ctx context.Context, r *Receipt, actual Charge, estimated bool) (Outcome, error) {
	return l.SettleAs(ctx, r, actual, estimated, "")
}

// SettleAs is Settle with the provider's id of the request, by which an invoice or a log can find the entry later.
func (l *Ledger) SettleAs(ctx context.Context, r *Receipt, actual Charge, estimated bool, reference string) (Outcome, error) {
	if err := actual.Validate(); err != nil {
		return Outcome{}, err
	}
	s := driver.Settlement{ID: r.Reservation.ID, Owner: l.owner, Actual: actual, Estimated: estimated, Lines: r.Reservation.Lines, Call: r.Reservation.Call, Reference: reference}
	posting, err := l.store.Settle(ctx, s)
	if err != nil {
		if posting, err = l.settleAgain(ctx, s, err); err != nil {
			return Outcome{}, err
		}
	}
	l.waiting.freed(r.Reservation.Lines) // calls of this ledger that wait for room there ask again
	if !posting.Replayed {               // a repeat has posted nothing, and must not count twice in the forecasts
		l.paces.note(r.Reservation.Lines, &actual)
	}
	out := Outcome{Replayed: posting.Replayed, From: posting.From}
	if len(posting.Crossed) > 0 {
		out.Crossed = r.plan.crossed(posting, &l.paces, time.Now())
	}
	if unit, violated := actual.Exceeds(&r.Reservation.Charge); violated {
		out.Violated = unit
	}
	return out, nil
}

// settleAgain repeats a settlement whose first try failed.
func (l *Ledger) settleAgain(ctx context.Context, s driver.Settlement, failed error) (posting driver.Posting, err error) {
	err = again(ctx, storeError("settle", failed), func() (err error) {
		posting, err = l.store.Settle(ctx, s)
		return storeError("settle", err)
	})
	return posting, err
}

// Void gives the whole reservation back. Only an attempt that certainly consumed nothing may be voided.
func (l *Ledger) Void(ctx context.Context, r *Receipt) error {
	err := persist(ctx, func() error {
		return storeError("void", l.store.Void(ctx, r.Reservation.ID, l.owner))
	})
	l.waiting.freed(r.Reservation.Lines) // after an error, too: the store may have voided it without its answer arriving
	return err
}

// AccountBalance is where one limit stands for one account.
type AccountBalance struct {
	Limit      string        // the limit's name
	Scope      Scope         // the values of the account; empty for a limit that is not split
	Max        Quantity      // in force, an override included
	Settled    Quantity      // spent in the current window
	Pending    Quantity      // reserved for calls in flight
	ResetAfter time.Duration // until everything that is used now has left the window; 0 for a lifetime limit
	Latched    bool          // an earlier refusal keeps the account closed: see Limit.Latch
	Observe    bool          // the limit never refuses: see Limit.Observe
}

// Left is what may still be reserved: nothing if the account is latched or beyond its Max.
func (b *AccountBalance) Left() Quantity {
	if b.Latched {
		return Quantity{N: 0, Unit: b.Max.Unit}
	}
	left := b.Max.N - min(b.Settled.N, b.Max.N)
	return Quantity{N: left - min(b.Pending.N, left), Unit: b.Max.Unit}
}

// Balances returns one balance for each limit that calls of this scope can fall under, in the policy's order. A field that the scope leaves
// empty satisfies every Match, and selects the account of the empty value.
func (l *Ledger) Balances(ctx context.Context, s Scope) ([]AccountBalance, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	// What has expired is charged first, so that it shows as settled and not as pending.
	if err := l.expireAll(ctx); err != nil {
		return nil, err
	}
	p := newPlan(l.rules.Load().policy.Limits, s, Match.mayApply)
	raw, err := l.store.Balances(ctx, p.lines)
	if err != nil {
		return nil, storeError("balances", err)
	}
	return p.balances(raw)
}

// Override gives one account another Max until a moment of the store's clock, in every process. The Max must have the limit's unit; a moment
// in the past removes the override. It returns how many known accounts it affects: none may mean that the scope is misspelled, or that
// nobody has made calls under it yet.
func (l *Ledger) Override(ctx context.Context, limit string, s Scope, max Quantity, until time.Time) (accounts int, err error) {
	if err := s.Validate(); err != nil {
		return 0, err
	}
	// limits adds those of the child that the scope belongs to, and of its parents, to those of the policy.
	for _, lim := range branchOf(&s).limits(l.rules.Load().policy.Limits) {
		if lim.Name != limit {
			continue
		}
		if max.Unit != lim.Max.Unit || max.N < 0 {
			return 0, fmt.Errorf("%w: limit %q counts %s, the override is %s", ErrInvalidPolicy, limit, lim.Max.Unit, max)
		}
		_, keys := lim.accounts(s) // two if the zone has another spelling, under which an older version kept the account
		for _, account := range keys {
			// change gives the change an id and the revision that it follows, and repeats it if the store does not answer.
			err := change(ctx, l.store, "override", "", func(c driver.Change) error {
				return l.store.Override(ctx, account, &Override{Max: max.N, Until: until}, c)
			})
			if err != nil {
				return 0, err
			}
		}
		return l.countAccounts(ctx, func(a *Account) bool { return a.Limit == limit && slices.Contains(keys, a.Key) })
	}
	return 0, fmt.Errorf("%w: no limit is named %q", ErrInvalidPolicy, limit)
}

// Revive removes the Kill of exactly this scope and opens the latches of its accounts. Other processes may refuse calls from memory for up
// to another second. If somebody kills the scope at the same time, that may win: then the error is ErrSuperseded.
func (l *Ledger) Revive(ctx context.Context, s Scope) error {
	return l.ReviveFlag(ctx, Flag{Scope: s})
}

// ReviveFlag is Revive for a flag that may have patterns. They have to be exactly those that Kills returns. It does not open the latches of
// accounts that only patterns select.
func (l *Ledger) ReviveFlag(ctx context.Context, f Flag) error {
	if err := l.Operator.ReviveFlag(ctx, f); err != nil {
		return err
	}
	// Flags that are remembered would refuse calls for up to another second.
	l.killed.forget()
	if f.Patterns { // which accounts they select is not known here
		return nil
	}
	p := newPlan(l.rules.Load().policy.Limits, f.Scope, Match.mayApply) // its lines are of the accounts with exactly the flag's values
	var latched []Key
	for _, line := range p.lines {
		if line.Latch {
			latched = append(latched, line.Account)
		}
	}
	if len(latched) == 0 {
		return nil
	}
	return change(ctx, l.store, "unlatch", "", func(c driver.Change) error { return l.store.Unlatch(ctx, latched, c) })
}

// Now and then a Reserve also charges the reservations that have expired, which is called a sweep. The next sweep comes sweepEvery after one that
// charged something. While there is nothing to charge, the gap doubles, up to sweepRarely, so that many processes do not keep their store busy.
// Sweeps only keep balances up to date: what has expired counts in full before it is charged, too, and Balances charges first.
const (
	sweepEvery  = time.Minute
	sweepRarely = 16 * time.Minute
)

// sweepBatch bounds how many expired reservations one call charges, so that a long backlog does not slow it down.
const sweepBatch = 256

// sweep charges what has expired if a sweep is due, in one of the goroutines that ask for it. If the store fails or something was charged, the
// gap is set back to sweepEvery. Errors are ignored: the next sweep tries again.
func (l *Ledger) sweep(ctx context.Context) {
	now, last := int64(time.Since(l.opened)), l.sweptAt.Load() // both count from opened
	gap := max(l.sweepGap.Load(), int64(sweepEvery))
	// Of several goroutines that find a sweep due, the one whose swap succeeds does it.
	if now-last < gap || !l.sweptAt.CompareAndSwap(last, now) {
		return
	}
	if n, err := l.store.Expire(ctx, sweepBatch); n > 0 || err != nil {
		gap = 0 // the next call of sweep raises it to sweepEvery
	}
	l.sweepGap.Store(min(2*gap, int64(sweepRarely)))
}

// expireAll charges every reservation that has expired.
func (l *Ledger) expireAll(ctx context.Context) error {
	l.sweptAt.Store(int64(time.Since(l.opened))) // this does what a sweep does, so that none is due for a while
	for {
		n, err := l.store.Expire(ctx, sweepBatch)
		if err != nil {
			return storeError("expire", err)
		}
		if n < sweepBatch { // the store charged fewer than it was allowed to, so that none is left
			return nil
		}
	}
}

// persist tries a step, and repeats it up to three times as long as the store does not answer and the context lasts. It may, because every step
// is idempotent; a settlement that never succeeds leaves the worst case in the ledger.
func persist(ctx context.Context, step func() error) error { return again(ctx, step(), step) }

// again is persist after a first try that returned err.
func again(ctx context.Context, err error, step func() error) error {
	for _, pause := range [...]time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond} {
		// Only a store that did not answer is asked again. ErrLost, which is an ErrStore too, stays until an operator accepts the loss.
		if !errors.Is(err, ErrStore) || errors.Is(err, ErrLost) || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		err = step()
	}
	return err
}

// storeError returns a store's error as the caller gets it. An error by which a store answers, such as ErrNotFound, keeps its meaning and gets op
// in front. Any other error means that the store did not answer, and becomes a *StoreError, which is ErrStore.
func storeError(op string, err error) error {
	if err == nil {
		return nil
	}
	for _, own := range [...]error{driver.ErrIDConflict, driver.ErrResolved, ErrNotFound, ErrOverflow, driver.ErrInvalidCharge, ErrSuperseded, driver.ErrInvalidChange, driver.ErrTooManyFlags, ErrInvalidPolicy, ErrStore} {
		if errors.Is(err, own) {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return &StoreError{Op: op, Cause: err}
}
