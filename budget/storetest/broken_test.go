package storetest_test

import (
	"context"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// broken is a store that works, with single steps replaced. A nil field is the step of the store inside. It refuses what
// is invalid as a store does, before a replaced step sees it.
type broken struct {
	budget.Store
	losing    *losing
	unchecked bool // takes what is invalid

	reserve    func(context.Context, budget.Reservation) (budget.Decision, error)
	settle     func(context.Context, budget.Settlement) (budget.Posting, error)
	void       func(context.Context, budget.ID, budget.Key) error
	correct    func(context.Context, budget.Correction) (budget.Posting, error)
	expire     func(context.Context, int) (int, error)
	balances   func(context.Context, []budget.Line) ([]budget.Balance, error)
	override   func(context.Context, budget.Key, *budget.Override, budget.Change) error
	unlatch    func(context.Context, []budget.Key, budget.Change) error
	kill       func(context.Context, budget.Kill, budget.Change) error
	revive     func(context.Context, budget.Flag, budget.Change) error
	entries    func(context.Context, budget.Query) ([]budget.Entry, error)
	acceptLoss func(context.Context, budget.Change) error
	accounts   func(context.Context, budget.Key, int) ([]budget.Account, error)
	periods    func(context.Context, budget.Key, time.Time, int) ([]budget.Period, error)
	changes    func(context.Context, int64, int) ([]budget.Record, error)
	usage      func(context.Context, budget.UsageMark, int) ([]budget.UsageRow, error)
	setPolicy  func(context.Context, []byte, budget.Change) error
	policy     func(context.Context) (budget.PolicyDocument, error)
	kills      func(context.Context) ([]budget.Kill, error)
	close      func() error
	other      func() budget.Store // another handle on the ledger
	wipe       func() error        // loses the ledger
}

// either returns the replacement, or the step itself if there is none.
func either[F any](replaced bool, replacement, step F) F {
	if replaced {
		return replacement
	}
	return step
}

func (b *broken) Reserve(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
	if err := r.Validate(); err != nil && !b.unchecked {
		return budget.Decision{}, err
	}
	return either(b.reserve != nil, b.reserve, b.Store.Reserve)(ctx, r)
}

func (b *broken) Settle(ctx context.Context, s budget.Settlement) (budget.Posting, error) {
	if err := s.Validate(); err != nil && !b.unchecked {
		return budget.Posting{}, err
	}
	return either(b.settle != nil, b.settle, b.Store.Settle)(ctx, s)
}

func (b *broken) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	return either(b.void != nil, b.void, b.Store.Void)(ctx, id, owner)
}

func (b *broken) Correct(ctx context.Context, c budget.Correction) (budget.Posting, error) {
	return either(b.correct != nil, b.correct, b.Store.Correct)(ctx, c)
}

func (b *broken) Expire(ctx context.Context, n int) (int, error) {
	return either(b.expire != nil, b.expire, b.Store.Expire)(ctx, n)
}

func (b *broken) Balances(ctx context.Context, lines []budget.Line) ([]budget.Balance, error) {
	return either(b.balances != nil, b.balances, b.Store.Balances)(ctx, lines)
}

func (b *broken) Override(ctx context.Context, k budget.Key, o *budget.Override, c budget.Change) error {
	return either(b.override != nil, b.override, b.Store.Override)(ctx, k, o, c)
}

func (b *broken) Unlatch(ctx context.Context, keys []budget.Key, c budget.Change) error {
	return either(b.unlatch != nil, b.unlatch, b.Store.Unlatch)(ctx, keys, c)
}

func (b *broken) Kill(ctx context.Context, k budget.Kill, c budget.Change) error {
	return either(b.kill != nil, b.kill, b.Store.Kill)(ctx, k, c)
}

func (b *broken) Accounts(ctx context.Context, after budget.Key, max int) ([]budget.Account, error) {
	return either(b.accounts != nil, b.accounts, b.Store.Accounts)(ctx, after, max)
}

func (b *broken) Periods(ctx context.Context, account budget.Key, after time.Time, max int) ([]budget.Period, error) {
	return either(b.periods != nil, b.periods, b.Store.Periods)(ctx, account, after, max)
}

func (b *broken) AcceptLoss(ctx context.Context, c budget.Change) error {
	if err := c.Validate(); err != nil && !b.unchecked {
		return err
	}
	return either(b.acceptLoss != nil, b.acceptLoss, b.Store.AcceptLoss)(ctx, c)
}

func (b *broken) Revive(ctx context.Context, f budget.Flag, c budget.Change) error {
	return either(b.revive != nil, b.revive, b.Store.Revive)(ctx, f, c)
}

func (b *broken) Changes(ctx context.Context, after int64, limit int) ([]budget.Record, error) {
	return either(b.changes != nil, b.changes, b.Store.Changes)(ctx, after, limit)
}

func (b *broken) Entries(ctx context.Context, q budget.Query) ([]budget.Entry, error) {
	return either(b.entries != nil, b.entries, b.Store.Entries)(ctx, q)
}

func (b *broken) Kills(ctx context.Context) ([]budget.Kill, error) {
	return either(b.kills != nil, b.kills, b.Store.Kills)(ctx)
}

func (b *broken) Usage(ctx context.Context, from budget.UsageMark, limit int) ([]budget.UsageRow, error) {
	return either(b.usage != nil, b.usage, b.Store.Usage)(ctx, from, limit)
}

func (b *broken) SetPolicy(ctx context.Context, document []byte, c budget.Change) error {
	if err := c.Validate(); err != nil && !b.unchecked {
		return err
	}
	return either(b.setPolicy != nil, b.setPolicy, b.Store.SetPolicy)(ctx, document, c)
}

func (b *broken) Policy(ctx context.Context) (budget.PolicyDocument, error) {
	return either(b.policy != nil, b.policy, b.Store.Policy)(ctx)
}

func (b *broken) Close() error { return either(b.close != nil, b.close, b.Store.Close)() }

// memory is what a broken store remembers of where its reservations are booked.
type memory struct {
	mu    sync.Mutex
	lines map[budget.ID][]budget.Line
}

// watch makes a store remember the reservations that it admits from now on.
func watch(b *broken) *memory {
	m := &memory{lines: make(map[budget.ID][]budget.Line)}
	step := either(b.reserve != nil, b.reserve, b.Store.Reserve)
	b.reserve = func(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
		d, err := step(ctx, r)
		if d.Admitted {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.lines[r.ID] = r.Lines
		}
		return d, err
	}
	return m
}

// of returns the lines of a reservation, none if it is not known.
func (m *memory) of(id budget.ID) []budget.Line {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lines[id]
}

// lossyMutants are more stores with one promise broken each: most lose what other handles did, or what they held in memory.
var lossyMutants = map[string]struct {
	rules []string
	spoil func(*broken, *storetest.Clock)
}{
	"counts what it refused": {[]string{"ReserveRefusesWhatDoesNotFit"}, func(b *broken, _ *storetest.Clock) {
		b.reserve = func(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
			d, err := b.Store.Reserve(ctx, r)
			if len(d.Denied) > 0 {
				refused := unlimited(r)
				refused.ID, refused.Lines = budget.NewID(), refused.Lines[d.Denied[0].Line:d.Denied[0].Line+1]
				_, _ = b.Store.Reserve(ctx, refused)
			}
			return d, err
		}
	}},
	"takes negative amounts": {[]string{"ReserveRejectsInvalidCharges"}, func(b *broken, _ *storetest.Clock) {
		b.unchecked = true
		b.reserve = func(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
			r.Charge[budget.UnitUSD] = max(r.Charge[budget.UnitUSD], 0)
			return b.Store.Reserve(ctx, r)
		}
	}},
	"does not kill all": {[]string{"KillOfTheEmptyScopeKillsAll"}, func(b *broken, _ *storetest.Clock) {
		b.kill = func(ctx context.Context, k budget.Kill, c budget.Change) error {
			if len(k.Scope.Dims()) == 0 {
				return ctx.Err()
			}
			return b.Store.Kill(ctx, k, c)
		}
	}},
	"keeps the first override": {[]string{"OverrideIsReplacedAndRemoved"}, func(b *broken, _ *storetest.Clock) {
		b.override = func(ctx context.Context, k budget.Key, o *budget.Override, c budget.Change) error {
			if o == nil {
				return ctx.Err()
			}
			return b.Store.Override(ctx, k, o, c)
		}
	}},
	"begins again from zero": {[]string{"AWipedStoreAnswersNothing", "ALossIsRefusedForGood"}, func(b *broken, clock *storetest.Clock) {
		b.wipe = func() error {
			b.Store = newMemstore(clock)
			return nil
		}
	}},
	"believes what was lost once others have written": {[]string{"ALossIsRefusedForGood"}, func(b *broken, _ *storetest.Clock) {
		b.losing.forgets = true
	}},
	"accepts a loss for one process alone": {[]string{"AcceptLossGoesOnWithWhatIsThere"}, func(b *broken, _ *storetest.Clock) {
		b.losing.alone = true
	}},
	"never accepts a loss": {[]string{"AcceptLossGoesOnWithWhatIsThere", "ALostPartIsRefusedOrHarmless"}, func(b *broken, _ *storetest.Clock) {
		b.acceptLoss = func(context.Context, budget.Change) error { return nil }
	}},
	"empties the ledger to accept a loss": {[]string{"AcceptLossOfASoundLedgerChangesNothing"}, func(b *broken, _ *storetest.Clock) {
		b.acceptLoss = func(ctx context.Context, c budget.Change) error {
			_ = b.losing.wipe()
			return b.losing.AcceptLoss(ctx, c)
		}
	}},
	"does not notice that a part is gone": {[]string{"ALostPartIsRefusedOrHarmless"}, func(b *broken, _ *storetest.Clock) {
		b.losing.unnoticed = true
	}},
	"keeps its flags to itself": {[]string{"KillIsSeenByAllHandles", "ConcurrentKillIsFinal"}, func(b *broken, _ *storetest.Clock) {
		b.other = func() budget.Store {
			other := &broken{Store: handle{b}}
			other.reserve = func(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
				r.Dims = nil
				return b.Reserve(ctx, r)
			}
			return other
		}
	}},
	"keeps its latches to itself": {[]string{"LatchIsSharedByAllHandles"}, func(b *broken, _ *storetest.Clock) {
		b.other = func() budget.Store {
			other := &broken{Store: handle{b}}
			other.reserve = func(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
				var keys []budget.Key
				for _, l := range r.Lines {
					keys = append(keys, l.Account)
				}
				_ = b.Unlatch(ctx, keys, storetest.NewChange())
				return b.Reserve(ctx, r)
			}
			return other
		}
	}},
}
