package storetest_test

import (
	"context"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// broken is a store that works, with single steps replaced. A nil field is the step of the store inside. It refuses what
// is invalid as a store does, before a replaced step sees it.
type broken struct {
	driver.Store
	losing    *losing
	unchecked bool // takes what is invalid

	reserve    func(context.Context, driver.Reservation) (driver.Decision, error)
	settle     func(context.Context, driver.Settlement) (driver.Posting, error)
	void       func(context.Context, driver.ID, driver.Key) error
	correct    func(context.Context, driver.Correction) (driver.Posting, error)
	expire     func(context.Context, int) (int, error)
	balances   func(context.Context, []driver.Line) ([]driver.Balance, error)
	override   func(context.Context, driver.Key, *driver.Override, driver.Change) error
	unlatch    func(context.Context, []driver.Key, driver.Change) error
	kill       func(context.Context, driver.Kill, driver.Change) error
	revive     func(context.Context, driver.Flag, driver.Change) error
	entries    func(context.Context, driver.Query) ([]driver.Entry, error)
	acceptLoss func(context.Context, driver.Change) error
	accounts   func(context.Context, driver.Key, int) ([]driver.Account, error)
	periods    func(context.Context, driver.Key, time.Time, int) ([]driver.Period, error)
	changes    func(context.Context, int64, int) ([]driver.Record, error)
	usage      func(context.Context, driver.UsageMark, int) ([]driver.UsageRow, error)
	setPolicy  func(context.Context, []byte, driver.Change) error
	policy     func(context.Context) (driver.PolicyDocument, error)
	kills      func(context.Context) ([]driver.Kill, error)
	close      func() error
	other      func() driver.Store // another handle on the ledger
	wipe       func() error        // loses the ledger
}

// either returns the replacement, or the step itself if there is none.
func either[F any](replaced bool, replacement, step F) F {
	if replaced {
		return replacement
	}
	return step
}

func (b *broken) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if err := r.Validate(); err != nil && !b.unchecked {
		return driver.Decision{}, err
	}
	return either(b.reserve != nil, b.reserve, b.Store.Reserve)(ctx, r)
}

func (b *broken) Settle(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
	if err := s.Validate(); err != nil && !b.unchecked {
		return driver.Posting{}, err
	}
	return either(b.settle != nil, b.settle, b.Store.Settle)(ctx, s)
}

func (b *broken) Void(ctx context.Context, id driver.ID, owner driver.Key) error {
	return either(b.void != nil, b.void, b.Store.Void)(ctx, id, owner)
}

func (b *broken) Correct(ctx context.Context, c driver.Correction) (driver.Posting, error) {
	return either(b.correct != nil, b.correct, b.Store.Correct)(ctx, c)
}

func (b *broken) Expire(ctx context.Context, n int) (int, error) {
	return either(b.expire != nil, b.expire, b.Store.Expire)(ctx, n)
}

func (b *broken) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	return either(b.balances != nil, b.balances, b.Store.Balances)(ctx, lines)
}

func (b *broken) Override(ctx context.Context, k driver.Key, o *driver.Override, c driver.Change) error {
	return either(b.override != nil, b.override, b.Store.Override)(ctx, k, o, c)
}

func (b *broken) Unlatch(ctx context.Context, keys []driver.Key, c driver.Change) error {
	return either(b.unlatch != nil, b.unlatch, b.Store.Unlatch)(ctx, keys, c)
}

func (b *broken) Kill(ctx context.Context, k driver.Kill, c driver.Change) error {
	return either(b.kill != nil, b.kill, b.Store.Kill)(ctx, k, c)
}

func (b *broken) Accounts(ctx context.Context, after driver.Key, max int) ([]driver.Account, error) {
	return either(b.accounts != nil, b.accounts, b.Store.Accounts)(ctx, after, max)
}

func (b *broken) Periods(ctx context.Context, account driver.Key, after time.Time, max int) ([]driver.Period, error) {
	return either(b.periods != nil, b.periods, b.Store.Periods)(ctx, account, after, max)
}

func (b *broken) AcceptLoss(ctx context.Context, c driver.Change) error {
	if err := c.Validate(); err != nil && !b.unchecked {
		return err
	}
	return either(b.acceptLoss != nil, b.acceptLoss, b.Store.AcceptLoss)(ctx, c)
}

func (b *broken) Revive(ctx context.Context, f driver.Flag, c driver.Change) error {
	return either(b.revive != nil, b.revive, b.Store.Revive)(ctx, f, c)
}

func (b *broken) Changes(ctx context.Context, after int64, limit int) ([]driver.Record, error) {
	return either(b.changes != nil, b.changes, b.Store.Changes)(ctx, after, limit)
}

func (b *broken) Entries(ctx context.Context, q driver.Query) ([]driver.Entry, error) {
	return either(b.entries != nil, b.entries, b.Store.Entries)(ctx, q)
}

func (b *broken) Kills(ctx context.Context) ([]driver.Kill, error) {
	return either(b.kills != nil, b.kills, b.Store.Kills)(ctx)
}

func (b *broken) Usage(ctx context.Context, from driver.UsageMark, limit int) ([]driver.UsageRow, error) {
	return either(b.usage != nil, b.usage, b.Store.Usage)(ctx, from, limit)
}

func (b *broken) SetPolicy(ctx context.Context, document []byte, c driver.Change) error {
	if err := c.Validate(); err != nil && !b.unchecked {
		return err
	}
	return either(b.setPolicy != nil, b.setPolicy, b.Store.SetPolicy)(ctx, document, c)
}

func (b *broken) Policy(ctx context.Context) (driver.PolicyDocument, error) {
	return either(b.policy != nil, b.policy, b.Store.Policy)(ctx)
}

func (b *broken) Close() error { return either(b.close != nil, b.close, b.Store.Close)() }

// memory is what a broken store remembers of where its reservations are booked.
type memory struct {
	mu    sync.Mutex
	lines map[driver.ID][]driver.Line
}

// watch makes a store remember the reservations that it admits from now on.
func watch(b *broken) *memory {
	m := &memory{lines: make(map[driver.ID][]driver.Line)}
	step := either(b.reserve != nil, b.reserve, b.Store.Reserve)
	b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
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
func (m *memory) of(id driver.ID) []driver.Line {
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
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			d, err := b.Store.Reserve(ctx, r)
			if len(d.Denied) > 0 {
				refused := unlimited(r)
				refused.ID, refused.Lines = driver.NewID(), refused.Lines[d.Denied[0].Line:d.Denied[0].Line+1]
				_, _ = b.Store.Reserve(ctx, refused)
			}
			return d, err
		}
	}},
	"takes negative amounts": {[]string{"ReserveRejectsInvalidCharges"}, func(b *broken, _ *storetest.Clock) {
		b.unchecked = true
		b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
			r.Charge[driver.UnitUSD] = max(r.Charge[driver.UnitUSD], 0)
			return b.Store.Reserve(ctx, r)
		}
	}},
	"does not kill all": {[]string{"KillOfTheEmptyScopeKillsAll"}, func(b *broken, _ *storetest.Clock) {
		b.kill = func(ctx context.Context, k driver.Kill, c driver.Change) error {
			if len(k.Scope.Dims()) == 0 {
				return ctx.Err()
			}
			return b.Store.Kill(ctx, k, c)
		}
	}},
	"keeps the first override": {[]string{"OverrideIsReplacedAndRemoved"}, func(b *broken, _ *storetest.Clock) {
		b.override = func(ctx context.Context, k driver.Key, o *driver.Override, c driver.Change) error {
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
		b.acceptLoss = func(context.Context, driver.Change) error { return nil }
	}},
	"empties the ledger to accept a loss": {[]string{"AcceptLossOfASoundLedgerChangesNothing"}, func(b *broken, _ *storetest.Clock) {
		b.acceptLoss = func(ctx context.Context, c driver.Change) error {
			_ = b.losing.wipe()
			return b.losing.AcceptLoss(ctx, c)
		}
	}},
	"does not notice that a part is gone": {[]string{"ALostPartIsRefusedOrHarmless"}, func(b *broken, _ *storetest.Clock) {
		b.losing.unnoticed = true
	}},
	"keeps its flags to itself": {[]string{"KillIsSeenByAllHandles", "ConcurrentKillIsFinal"}, func(b *broken, _ *storetest.Clock) {
		b.other = func() driver.Store {
			other := &broken{Store: handle{b}}
			other.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
				r.Dims = nil
				return b.Reserve(ctx, r)
			}
			return other
		}
	}},
	"keeps its latches to itself": {[]string{"LatchIsSharedByAllHandles"}, func(b *broken, _ *storetest.Clock) {
		b.other = func() driver.Store {
			other := &broken{Store: handle{b}}
			other.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
				var keys []driver.Key
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
