package lease_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// line is a process's connection to a store: it counts the steps that the store is asked for, and fails them while it is
// down.
type line struct {
	driver.Store
	steps *atomic.Int64
	down  atomic.Bool
	lost  atomic.Bool  // with down: the store does what it is asked, and its answers are lost
	delay atomic.Int64 // of each step, in nanoseconds
}

var errDown = errors.New("no route to host")

// across takes one step over the line.
func across[T any](l *line, step func() (T, error)) (T, error) {
	l.steps.Add(1)
	time.Sleep(time.Duration(l.delay.Load()))
	if !l.down.Load() {
		return step()
	}
	if l.lost.Load() {
		_, _ = step()
	}
	var none T
	return none, errDown
}

func (l *line) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	return across(l, func() (driver.Decision, error) { return l.Store.Reserve(ctx, r) })
}

func (l *line) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	return across(l, func() (driver.Posting, error) { return l.Store.Settle(ctx, st) })
}

func (l *line) Void(ctx context.Context, id driver.ID, owner driver.Key) error {
	_, err := across(l, func() (int, error) { return 0, l.Store.Void(ctx, id, owner) })
	return err
}

func (l *line) Correct(ctx context.Context, c driver.Correction) (driver.Posting, error) {
	return across(l, func() (driver.Posting, error) { return l.Store.Correct(ctx, c) })
}

func (l *line) Expire(ctx context.Context, limit int) (int, error) {
	return across(l, func() (int, error) { return l.Store.Expire(ctx, limit) })
}

func (l *line) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	return across(l, func() ([]driver.Balance, error) { return l.Store.Balances(ctx, lines) })
}

func (l *line) Kills(ctx context.Context) ([]driver.Kill, error) {
	return across(l, func() ([]driver.Kill, error) { return l.Store.Kills(ctx) })
}

// What a call may cost and what it costs on average, as in the traffic of a fleet of small agents.
const (
	worstCall = 20_000_000 // 0.02 USD
	meanCall  = 6_000_000
)

// fleet is many processes with ledgers and leases of their own, over one store and one limit.
type fleet struct {
	t     *testing.T
	store driver.Store
	limit budget.Limit
	over  atomic.Bool
	work  sync.WaitGroup
	fate  func(*holder) // what happens to a process between two calls; nil for nothing

	steps, calls, denied, spent atomic.Int64
	unknown                     atomic.Int64 // calls of which nobody knows whether they were admitted
	lost                        atomic.Int64 // charges that nobody is left to correct
	overshot                    atomic.Int64 // how far spent went beyond the limit
	last                        atomic.Int64 // when a call was admitted last
	drained                     atomic.Int64 // steps by then

	first                                    sync.Once // denial
	stepsAtFirst, callsAtFirst, spentAtFirst int64
}

// holder is one of them.
type holder struct {
	*fleet
	random *rand.Rand
	line   *line
	leased *lease.Store
	ledger *budget.Ledger
	heals  time.Time // when the line does
}

func newFleet(t *testing.T, limit int64) *fleet {
	return &fleet{
		t: t, store: memstore.New(memstore.Options{Retention: time.Hour}),
		limit: budget.Limit{Name: "fleet", Max: driver.Quantity{N: limit, Unit: driver.UnitUSD}, Window: driver.Lifetime},
	}
}

// run starts so many processes, waits until all have found the limit used up, and ends them.
func (f *fleet) run(holders int) {
	for i := range holders {
		f.work.Go(func() {
			h := &holder{fleet: f, random: rand.New(rand.NewPCG(uint64(i), 7))}
			h.open()
			h.agent()
			h.line.down.Store(false)
			if err := h.leased.Close(); err != nil {
				f.t.Error(err)
			}
		})
	}
	for time.Sleep(time.Minute); time.Now().UnixNano()-f.last.Load() < int64(time.Minute); {
		time.Sleep(time.Second)
	}
	f.over.Store(true)
	f.work.Wait()
}

// open begins a process.
func (h *holder) open() {
	h.line = &line{Store: h.store, steps: &h.steps}
	leased, err := lease.New(h.line, lease.Options{Retention: 10 * time.Second})
	require.NoError(h.t, err)
	ledger, err := budget.Open(context.Background(), leased, budget.Policy{Limits: []budget.Limit{h.limit}})
	require.NoError(h.t, err)
	h.leased, h.ledger = leased, ledger
}

// pause sleeps for a random time, whose mean is given.
func (h *holder) pause(mean time.Duration) {
	time.Sleep(time.Duration(h.random.ExpFloat64() * float64(mean)))
}

// agent calls a model every two seconds, and half a minute later after a refusal.
func (h *holder) agent() {
	for h.pause(800 * time.Millisecond); !h.over.Load(); h.pause(800 * time.Millisecond) {
		if h.fate != nil {
			h.fate(h)
		}
		r, err := h.ledger.Reserve(context.Background(), budget.Request{Worst: usd(worstCall), TTL: time.Minute})
		if err != nil {
			h.refused(err)
			h.pause(30 * time.Second)
			continue
		}
		h.settle(r, h.send())
	}
}

// refused records that a call was not admitted.
func (h *holder) refused(err error) {
	if !errors.Is(err, budget.ErrExceeded) {
		h.unknown.Add(1)
		require.True(h.t, h.line.down.Load(), err)
		return
	}
	h.denied.Add(1)
	h.first.Do(func() {
		h.stepsAtFirst, h.callsAtFirst, h.spentAtFirst = h.steps.Load(), h.calls.Load(), h.spent.Load()
	})
}

// send makes a call, which is billed whatever becomes of the process.
func (h *holder) send() (cost int64) {
	cost = min(int64(h.random.ExpFloat64()*meanCall), worstCall)
	if beyond := h.spent.Add(cost) - h.limit.Max.N; beyond > 0 {
		h.overshot.Store(beyond)
	}
	h.last.Store(time.Now().UnixNano())
	h.calls.Add(1)
	h.drained.Store(h.steps.Load())
	h.pause(1200 * time.Millisecond)
	return cost
}

// settle waits for the line if it must.
func (h *holder) settle(r *budget.Receipt, cost int64) {
	_, err := h.ledger.Settle(context.Background(), r, usd(cost), false)
	if err != nil && h.line.down.Load() {
		time.Sleep(time.Until(h.heals))
		h.line.down.Store(false)
		_, err = h.ledger.Settle(context.Background(), r, usd(cost), false)
	}
	require.NoError(h.t, err)
}

// stands returns what the store says once everything has expired that ever will.
func (f *fleet) stands() budget.AccountBalance {
	time.Sleep(24 * time.Hour)
	balances, err := open(f.t, f.store, f.limit).Balances(context.Background(), driver.Scope{})
	require.NoError(f.t, err)
	require.Zero(f.t, balances[0].Pending.N)
	return balances[0]
}
