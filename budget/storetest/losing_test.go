package storetest_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// place is where a ledger lives that can be lost: the store that is there now, and when a loss was last accepted.
type place struct {
	clock    *storetest.Clock
	store    atomic.Pointer[memstore.Store]
	wiped    atomic.Int64 // how often
	accepted atomic.Int64 // up to which loss
	part     atomic.Bool  // a part is gone
}

func newPlace(clock *storetest.Clock) *place {
	p := &place{clock: clock}
	p.store.Store(newMemstore(clock))
	return p
}

// losing is a handle on a ledger in memory that can be lost. It refuses once it found that out.
type losing struct {
	*place
	opened    int64 // how often the ledger had been lost
	forgets   bool  // it goes on once others have written
	alone     bool  // it accepts losses for itself alone
	unnoticed bool  // parts get lost without being noticed
}

func (p *place) handle() *losing { return &losing{place: p, opened: p.wiped.Load()} }

func (l *losing) wipe() error {
	l.store.Store(newMemstore(l.clock))
	l.wiped.Add(1)
	return nil
}

// lose takes the n-th part away from the only ledger that storetest makes for that.
func (l *losing) lose(n int) string {
	ctx, s := context.Background(), l.store.Load()
	if n >= 8 {
		return ""
	}
	if !l.unnoticed {
		l.part.Store(true)
		return fmt.Sprintf("part %d", n)
	}
	kills, _ := s.Kills(ctx)
	_ = s.Revive(ctx, kills[n%len(kills)].Flag(), storetest.NewChange())
	return fmt.Sprintf("flag %d", n)
}

func (l *losing) look() (*memstore.Store, error) {
	s := l.store.Load()
	if l.opened < l.wiped.Load() && l.forgets {
		if entries, err := s.Entries(context.Background(), driver.Query{Max: 100}); err == nil && len(entries) > 5 {
			l.opened = l.wiped.Load()
		}
	}
	if l.part.Load() || max(l.opened, l.accepted.Load()) < l.wiped.Load() {
		return nil, driver.ErrLost
	}
	return s, nil
}

func (l *losing) AcceptLoss(ctx context.Context, c driver.Change) error {
	if l.opened = l.wiped.Load(); !l.alone {
		l.accepted.Store(l.opened)
	}
	l.part.Store(false)
	return l.store.Load().AcceptLoss(ctx, c)
}

func (l *losing) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	s, err := l.look()
	if err != nil {
		return driver.Decision{}, err
	}
	return s.Reserve(ctx, r)
}

func (l *losing) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	s, err := l.look()
	if err != nil {
		return driver.Posting{}, err
	}
	return s.Settle(ctx, st)
}

func (l *losing) Void(ctx context.Context, id driver.ID, owner driver.Key) error {
	s, err := l.look()
	if err != nil {
		return err
	}
	return s.Void(ctx, id, owner)
}

func (l *losing) Correct(ctx context.Context, c driver.Correction) (driver.Posting, error) {
	s, err := l.look()
	if err != nil {
		return driver.Posting{}, err
	}
	return s.Correct(ctx, c)
}

func (l *losing) Expire(ctx context.Context, max int) (int, error) {
	s, err := l.look()
	if err != nil {
		return 0, err
	}
	return s.Expire(ctx, max)
}

func (l *losing) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	s, err := l.look()
	if err != nil {
		return nil, err
	}
	return s.Balances(ctx, lines)
}

func (l *losing) Override(ctx context.Context, account driver.Key, o *driver.Override, c driver.Change) error {
	s, err := l.look()
	if err != nil {
		return err
	}
	return s.Override(ctx, account, o, c)
}

func (l *losing) Unlatch(ctx context.Context, accounts []driver.Key, c driver.Change) error {
	s, err := l.look()
	if err != nil {
		return err
	}
	return s.Unlatch(ctx, accounts, c)
}

func (l *losing) Kill(ctx context.Context, k driver.Kill, c driver.Change) error {
	s, err := l.look()
	if err != nil {
		return err
	}
	return s.Kill(ctx, k, c)
}

func (l *losing) Revive(ctx context.Context, f driver.Flag, c driver.Change) error {
	s, err := l.look()
	if err != nil {
		return err
	}
	return s.Revive(ctx, f, c)
}

func (l *losing) SetPolicy(ctx context.Context, document []byte, c driver.Change) error {
	s, err := l.look()
	if err != nil {
		return err
	}
	return s.SetPolicy(ctx, document, c)
}

func (l *losing) Policy(ctx context.Context) (driver.PolicyDocument, error) {
	s, err := l.look()
	if err != nil {
		return driver.PolicyDocument{}, err
	}
	return s.Policy(ctx)
}

func (l *losing) Usage(ctx context.Context, from driver.UsageMark, limit int) ([]driver.UsageRow, error) {
	s, err := l.look()
	if err != nil {
		return nil, err
	}
	return s.Usage(ctx, from, limit)
}

func (l *losing) Kills(ctx context.Context) ([]driver.Kill, error) {
	s, err := l.look()
	if err != nil {
		return nil, err
	}
	return s.Kills(ctx)
}

func (l *losing) Revision(ctx context.Context) (int64, error) {
	s, err := l.look()
	if err != nil {
		return 0, err
	}
	return s.Revision(ctx)
}

func (l *losing) Changes(ctx context.Context, after int64, max int) ([]driver.Record, error) {
	s, err := l.look()
	if err != nil {
		return nil, err
	}
	return s.Changes(ctx, after, max)
}

func (l *losing) Entries(ctx context.Context, q driver.Query) ([]driver.Entry, error) {
	s, err := l.look()
	if err != nil {
		return nil, err
	}
	return s.Entries(ctx, q)
}

func (l *losing) Accounts(ctx context.Context, after driver.Key, max int) ([]driver.Account, error) {
	s, err := l.look()
	if err != nil {
		return nil, err
	}
	return s.Accounts(ctx, after, max)
}

func (l *losing) Periods(ctx context.Context, account driver.Key, after time.Time, max int) ([]driver.Period, error) {
	s, err := l.look()
	if err != nil {
		return nil, err
	}
	return s.Periods(ctx, account, after, max)
}

func (l *losing) Close() error { return l.store.Load().Close() }
