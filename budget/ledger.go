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
)

// DefaultTTL is how long a reservation stays pending when its Request names no TTL. Too short costs precision, never
// safety: an expired reservation is charged, and corrected by its late Settle.
const DefaultTTL = 15 * time.Minute

// Ledger enforces a policy over a store, and is an Operator of it. It is safe for concurrent use; SetPolicy alone changes it. All processes that open ledgers of
// the same policy over the same store share its accounts.
type Ledger struct {
	Operator
	rules    atomic.Pointer[rules]
	owner    Key
	killed   knownKills
	waiting  waitingRoom
	sharing  sharing
	children siblings
	paces    paces
	opened   time.Time
	sweptAt  atomic.Int64 // nanoseconds after opened
	// sweepGap is how long to wait for the next sweep, in nanoseconds; zero until the first one.
	sweepGap atomic.Int64
}

// OpenOptions configures Open. The zero value is ready to use.
type OpenOptions struct {
	// OwnPolicy lets a ledger enforce another policy than the store holds. Without it that is refused, because the store's is the one
	// that counts for all processes.
	OwnPolicy bool
}

// Open returns a ledger, or every reason why the policy can't be enforced (ErrInvalidPolicy), or ErrStore. It charges
// reservations that expired while nobody looked. A policy without limits stands for the one that the store holds; any other has to be that one,
// if there is one: see OpenOptions. The store stays the caller's to close.
func Open(ctx context.Context, store Store, policy Policy, optFns ...func(*OpenOptions)) (*Ledger, error) {
	var o OpenOptions
	for _, fn := range optFns {
		fn(&o)
	}
	if store == nil {
		return nil, fmt.Errorf("%w: no store", ErrInvalidPolicy)
	}
	if len(policy.Limits) > 0 { // else it may be the store's
		if err := policy.Validate(); err != nil {
			return nil, err
		}
	}
	l := &Ledger{Operator: Operator{store}, opened: time.Now()}
	rand.Read(l.owner[:])
	policy, err := l.agreed(ctx, policy, o.OwnPolicy)
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

// Policy returns the limits that the ledger enforces.
func (l *Ledger) Policy() Policy {
	return Policy{Limits: append([]Limit(nil), l.rules.Load().policy.Limits...)}
}

// defaultTakeBack stands for a Request's TakeBack of zero.
const defaultTakeBack = 500 * time.Millisecond

// Request asks for room for one attempt.
type Request struct {
	Scope     Scope
	Operation string        // the provider's name of it; kept with the entry
	Worst     Charge        // an upper bound in every unit
	TTL       time.Duration // zero stands for DefaultTTL
	// TakeBack bounds how long a reservation whose answer did not arrive is tried to be taken back, after the context has ended, too.
	// What can't be taken back expires. Zero stands for half a second.
	TakeBack time.Duration
	// StepTimeout bounds each question of Wait to the store. Zero leaves it to the context.
	StepTimeout time.Duration
	// MaxWait bounds how long Wait waits for room. Zero leaves it to the context.
	MaxWait time.Duration
	// NoLatch says that a refusal is not the caller's last word, so that it must not latch anything: it may ask again for less.
	NoLatch bool
	// Tentative says that the caller will ask again with a tighter bound if this one is refused, so that the refusal
	// must not latch anything, and that observe-only limits refuse as well: they have to be asked with the tighter bound, too.
	Tentative bool
}

// validate reports every reason why the request makes no sense, after what is wrong with its scope.
func (r *Request) validate(scope error) error {
	charge := r.Worst.Validate()
	if scope != nil || charge != nil {
		return errors.Join(scope, charge)
	}
	if r.TTL < 0 {
		return fmt.Errorf("%w: a TTL of %s", ErrInvalidCharge, r.TTL)
	}
	if r.TakeBack < 0 {
		return fmt.Errorf("%w: a TakeBack of %s", ErrInvalidCharge, r.TakeBack)
	}
	return nil
}

// Receipt is an admitted reservation. It must be handed to Settle or Void exactly once; if the process dies first, the
// worst case is charged after ExpiresAt. A Receipt is immutable.
type Receipt struct {
	Reservation Reservation
	Scope       Scope
	ExpiresAt   time.Time
	// Observed holds what observe-only limits would have refused.
	Observed []*ExceededError

	plan *plan
}

// Reserve sets the worst case aside in every limit that matches the scope, all or nothing, in one atomic step of the
// store. The errors are *ExceededError, *KilledError, *StoreError, and ErrInvalidScope, ErrInvalidCharge or ErrOverflow
// for requests that make no sense. After an error nothing is set aside, and the call must not be made.
func (l *Ledger) Reserve(ctx context.Context, req Request) (*Receipt, error) {
	r, _, err := l.reserve(ctx, req)
	return r, err
}

// Unlimited records a call that counts in no limit: it has an entry, and what is settled with its receipt is usage. Only kill flags
// refuse it, with a *KilledError, and requests that make no sense are errors as in Reserve. A store that does not answer refuses
// nothing here: it learns of the call when it is settled. It is for rehearsing a policy.
func (l *Ledger) Unlimited(ctx context.Context, req Request) (*Receipt, error) {
	p, err := l.prepare(&req)
	if err != nil {
		return nil, err
	}
	unlimited := &plan{of: p.of, dims: p.dims}
	r := &Receipt{
		Reservation: Reservation{ID: NewID(), Owner: l.owner, Charge: req.Worst, Dims: p.dims, Call: p.callOf(&req), TTL: req.TTL},
		Scope:       req.Scope, plan: unlimited,
	}
	if d, err := l.store.Reserve(ctx, r.Reservation); err == nil && !d.Admitted {
		_, err := l.refusal(unlimited, &r.Reservation, &d)
		return nil, err
	} else if err == nil {
		r.ExpiresAt = d.ExpiresAt
	}
	return r, nil
}

// prepare fills in a request's defaults, and returns the plan of its scope, or what refuses it before the store is asked.
func (l *Ledger) prepare(req *Request) (*plan, error) {
	p, err := l.rules.Load().of(&req.Scope)
	if err = req.validate(err); err != nil {
		return nil, err
	}
	req.TTL = cmp.Or(req.TTL, DefaultTTL)
	return p, l.killed.check(p.dims, &req.Scope)
}

// reserve is Reserve. It also returns the account that refused.
func (l *Ledger) reserve(ctx context.Context, req Request) (*Receipt, Key, error) {
	p, err := l.prepare(&req)
	if err != nil {
		return nil, Key{}, err
	}
	l.sweep(ctx)
	r := &Receipt{
		Reservation: Reservation{ID: NewID(), Owner: l.owner, Charge: req.Worst, Lines: p.lines, Dims: p.dims, Call: p.callOf(&req), TTL: req.TTL, Tentative: req.Tentative || req.NoLatch, RefuseObserved: req.Tentative},
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

// unanswered returns the caller's error for a store's, and takes back what the store may have set aside. It is not inlined,
// so that calls that are answered do not pay for its frame.
//
//go:noinline
func (l *Ledger) unanswered(ctx context.Context, req *Request, id ID, err error) error {
	err = storeError("reserve", err)
	if errors.Is(err, ErrStore) {
		l.abandon(ctx, id, cmp.Or(req.TakeBack, defaultTakeBack))
	}
	return err
}

// abandon voids a reservation that may or may not have been made. If that fails too, it expires, which charges it:
// spend is overstated until somebody corrects it, never understated.
func (l *Ledger) abandon(ctx context.Context, id ID, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	_ = l.store.Void(ctx, id, l.owner)
}

// refusal turns a store's decision into the caller's error. It is not inlined, as unanswered is not.
//
//go:noinline
func (l *Ledger) refusal(p *plan, r *Reservation, d *Decision) (account Key, err error) {
	switch {
	case d.Killed != nil:
		err := d.Killed.Err()
		l.killed.remember(err)
		return Key{}, err
	case len(d.Denied) > 0 && !slices.ContainsFunc(d.Denied, func(d Denial) bool { return d.Line < 0 || d.Line >= len(p.lines) }):
		last, waiting := p.lastToFit(r, d.Denied)
		err := p.exceeded(r, &d.Denied[last])
		err.Waiting = waiting
		return p.lines[d.Denied[last].Line].Account, err
	default:
		return Key{}, &StoreError{Op: "reserve", Cause: errors.New("the store neither admitted nor refused")}
	}
}

// lastToFit returns which of the lines without room is the last one to have it, and whether all of them wait for nothing but
// pending calls, or time if they are paced. Such lines do not count beside others, for which nobody waits.
func (p *plan) lastToFit(r *Reservation, denied []Denial) (last int, waiting bool) {
	wait := func(i int) (pending bool, d time.Duration) {
		if d = denied[i].ResetAfter; d <= 0 {
			d = math.MaxInt64
		}
		return p.waiting(r, &denied[i]), d
	}
	waiting, longest := wait(0)
	for i := 1; i < len(denied); i++ {
		pending, d := wait(i)
		longerOfItsKind := pending == waiting && d > longest
		firstThatTimeFrees := waiting && !pending
		if longerOfItsKind || firstThatTimeFrees {
			last, waiting, longest = i, pending, d
		}
	}
	return last, waiting
}

// waiting reports whether the line would have room if no call were pending, or will have it in time if it is paced.
func (p *plan) waiting(r *Reservation, d *Denial) bool {
	amount := r.Charge[r.Lines[d.Line].Unit]
	if d.Latched || amount > d.Max {
		return false
	}
	return d.Settled <= d.Max-amount || p.under[p.limits[d.Line]].Paced && d.ResetAfter > 0
}

// Outcome tells what a settlement did.
type Outcome struct {
	Replayed bool
	From     State     // what the reservation was before; zero when the store had lost it and posted an orphan
	Crossed  []Crossed // thresholds reached for the first time in their window
	Violated Unit      // the first unit in which the truth exceeded the worst case; zero when none did
}

// Crossed is a Notify threshold that settled spend reached.
type Crossed struct {
	Limit    string
	Scope    Scope
	Fraction float64
	Settled  Quantity
	Max      Quantity // in force, an override included
	Forecast Forecast
}

// Settle posts what the attempt really cost, even beyond a limit: the truth is never clamped. With estimated set, the
// amount is a worst case that Correct may replace. A store that fails is asked again within the context's time; if it
// stays away the error is ErrStore and expiry will charge the worst case.
func (l *Ledger) Settle(ctx context.Context, r *Receipt, actual Charge, estimated bool) (Outcome, error) {
	return l.SettleAs(ctx, r, actual, estimated, "")
}

// SettleAs is Settle of a request that the provider knows by an id, so that its entry can be found by what an invoice or a log says.
func (l *Ledger) SettleAs(ctx context.Context, r *Receipt, actual Charge, estimated bool, reference string) (Outcome, error) {
	if err := actual.Validate(); err != nil {
		return Outcome{}, err
	}
	s := Settlement{ID: r.Reservation.ID, Owner: l.owner, Actual: actual, Estimated: estimated, Lines: r.Reservation.Lines, Call: r.Reservation.Call, Reference: reference}
	posting, err := l.store.Settle(ctx, s)
	if err != nil {
		if posting, err = l.settleAgain(ctx, s, err); err != nil {
			return Outcome{}, err
		}
	}
	l.waiting.freed(r.Reservation.Lines)
	if !posting.Replayed {
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

// settleAgain goes on where a first step has failed.
func (l *Ledger) settleAgain(ctx context.Context, s Settlement, failed error) (posting Posting, err error) {
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
	l.waiting.freed(r.Reservation.Lines)
	return err
}

// AccountBalance is where one limit stands for one account.
type AccountBalance struct {
	Limit      string
	Scope      Scope // the values of the account; empty for a limit that is not split
	Max        Quantity
	Settled    Quantity
	Pending    Quantity
	ResetAfter time.Duration // until all that is used now has left the window; 0 for a lifetime limit
	Latched    bool
	Observe    bool
}

// Left is what may still be set aside: nothing when the account is latched, or stands beyond its Max.
func (b *AccountBalance) Left() Quantity {
	if b.Latched {
		return Quantity{0, b.Max.Unit}
	}
	left := b.Max.N - min(b.Settled.N, b.Max.N)
	return Quantity{left - min(b.Pending.N, left), b.Max.Unit}
}

// Balances returns one balance for each limit that calls of this scope can fall under, in the policy's order. A field
// that the scope leaves empty is not held against a limit's Match, and selects the account of the empty value.
func (l *Ledger) Balances(ctx context.Context, s Scope) ([]AccountBalance, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
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

// Override gives one account another Max until a moment of the store's clock, in every process. A Max of the limit's
// own unit is needed; a moment that has passed takes the override back. It returns how many known accounts it touches: none can mean
// that the scope is misspelled, or that nobody has called under it yet.
func (l *Ledger) Override(ctx context.Context, limit string, s Scope, max Quantity, until time.Time) (accounts int, err error) {
	if err := s.Validate(); err != nil {
		return 0, err
	}
	for _, lim := range s.tree.limits(l.rules.Load().policy.Limits) {
		if lim.Name != limit {
			continue
		}
		if max.Unit != lim.Max.Unit || max.N < 0 {
			return 0, fmt.Errorf("%w: limit %q counts %s, the override is %s", ErrInvalidPolicy, limit, lim.Max.Unit, max)
		}
		_, keys := lim.accounts(s)
		for _, account := range keys {
			err := change(ctx, l.store, "override", "", func(c Change) error {
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

// Revive takes back the Kill of exactly this scope and opens the latches of its accounts. Other processes may go on
// refusing from memory for up to a second. A Kill that is made at the same time may win: ErrSuperseded says so.
func (l *Ledger) Revive(ctx context.Context, s Scope) error {
	return l.ReviveFlag(ctx, Flag{Scope: s})
}

// ReviveFlag is Revive of a flag that may have patterns: exactly these, as Kills tells them. Latches of accounts that patterns hold for
// stay closed.
func (l *Ledger) ReviveFlag(ctx context.Context, f Flag) error {
	if err := l.Operator.ReviveFlag(ctx, f); err != nil {
		return err
	}
	l.killed.forget()
	if f.Patterns {
		return nil
	}
	p := newPlan(l.rules.Load().policy.Limits, f.Scope, Match.mayApply)
	var latched []Key
	for _, line := range p.lines {
		if line.Latch {
			latched = append(latched, line.Account)
		}
	}
	if len(latched) == 0 {
		return nil
	}
	return change(ctx, l.store, "unlatch", "", func(c Change) error { return l.store.Unlatch(ctx, latched, c) })
}

// sweepEvery is how often a Reserve also charges what has expired, and sweepRarely how often at least while there is nothing
// to charge, so that a large fleet does not keep its store busy with that. It keeps balances in order; admission does not
// need it, and Balances charges first.
const (
	sweepEvery  = time.Minute
	sweepRarely = 16 * time.Minute
)

// sweepBatch bounds the expiries of one step, so that no caller pays for a long backlog.
const sweepBatch = 256

func (l *Ledger) sweep(ctx context.Context) {
	now, last := int64(time.Since(l.opened)), l.sweptAt.Load()
	gap := max(l.sweepGap.Load(), int64(sweepEvery))
	if now-last < gap || !l.sweptAt.CompareAndSwap(last, now) {
		return
	}
	if n, err := l.store.Expire(ctx, sweepBatch); n > 0 || err != nil {
		gap = 0
	}
	l.sweepGap.Store(min(2*gap, int64(sweepRarely)))
}

// expireAll charges everything whose time is up.
func (l *Ledger) expireAll(ctx context.Context) error {
	l.sweptAt.Store(int64(time.Since(l.opened)))
	for {
		n, err := l.store.Expire(ctx, sweepBatch)
		if err != nil {
			return storeError("expire", err)
		}
		if n < sweepBatch {
			return nil
		}
	}
}

// persist repeats a step that the store could not answer: every step is idempotent, and a settlement that is given up
// leaves the ledger at the worst case.
func persist(ctx context.Context, step func() error) error { return again(ctx, step(), step) }

// again is persist for a step that was taken once, with the given error.
func again(ctx context.Context, err error, step func() error) error {
	for _, pause := range [...]time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond} {
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

// storeError marks what is none of the contract's own errors as ErrStore.
func storeError(op string, err error) error {
	if err == nil {
		return nil
	}
	for _, own := range [...]error{ErrIDConflict, ErrResolved, ErrNotFound, ErrOverflow, ErrInvalidCharge, ErrSuperseded, ErrInvalidChange, ErrTooManyFlags, ErrInvalidPolicy, ErrStore} {
		if errors.Is(err, own) {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return &StoreError{Op: op, Cause: err}
}
