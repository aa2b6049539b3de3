package budget_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func open(t testing.TB, store budget.Store, limits ...budget.Limit) *budget.Ledger {
	ledger, err := budget.Open(context.Background(), store, budget.Policy{Limits: limits})
	require.NoError(t, err)
	return ledger
}

// usd charges so many nano-USD and one call.
func usd(nano int64) budget.Charge {
	var c budget.Charge
	c[budget.UnitUSD], c[budget.UnitCalls] = nano, 1
	return c
}

func reserve(ledger *budget.Ledger, s budget.Scope, nano int64) (*budget.Receipt, error) {
	return ledger.Reserve(context.Background(), budget.Request{Scope: s, Worst: usd(nano)})
}

// countedStore counts how often calls ask a store.
type countedStore struct {
	budget.Store
	asked atomic.Int64 // to reserve
	steps atomic.Int64 // in all
}

func (s *countedStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	s.asked.Add(1)
	s.steps.Add(1)
	return s.Store.Reserve(ctx, r)
}

func (s *countedStore) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	s.steps.Add(1)
	return s.Store.Settle(ctx, st)
}

func (s *countedStore) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	s.steps.Add(1)
	return s.Store.Void(ctx, id, owner)
}

func (s *countedStore) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	s.steps.Add(1)
	return s.Store.Balances(ctx, lines)
}

// account is where the only limit of a ledger stands: settled and pending.
func account(t *testing.T, ledger *budget.Ledger, s budget.Scope) [2]int64 {
	t.Helper()
	balances, err := ledger.Balances(t.Context(), s)
	require.NoError(t, err)
	return [2]int64{balances[0].Settled.N, balances[0].Pending.N}
}

func lifetime(nano int64) budget.Limit {
	return budget.Limit{Name: "l", Max: budget.Quantity{N: nano, Unit: budget.UnitUSD}, Window: budget.Lifetime}
}

func TestEachValueHasItsOwnAccount(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}),
		budget.Limit{Name: "all", Max: budget.Quantity{N: 100, Unit: budget.UnitUSD}, Window: budget.Lifetime},
		budget.Limit{Name: "each", Max: budget.Quantity{N: 60, Unit: budget.UnitUSD}, Window: budget.Daily, Per: budget.PerWorkflow})
	a, b := budget.Scope{Workflow: "a"}, budget.Scope{Workflow: "b"}
	_, err := reserve(ledger, a, 60)
	require.NoError(t, err)
	_, err = reserve(ledger, a, 1)
	var e *budget.ExceededError
	require.ErrorAs(t, err, &e)
	require.Equal(t, "each", e.Limit)
	require.Equal(t, a, e.Scope)
	_, err = reserve(ledger, b, 41)
	require.ErrorAs(t, err, &e)
	require.Equal(t, "all", e.Limit)
	require.Equal(t, int64(60), e.Pending.N)
	_, err = reserve(ledger, b, 40)
	require.NoError(t, err, "the refused call took nothing")
	balances, err := ledger.Balances(t.Context(), b)
	require.NoError(t, err)
	require.Equal(t, []string{"all", "each"}, []string{balances[0].Limit, balances[1].Limit})
	require.Equal(t, []int64{100, 40}, []int64{balances[0].Pending.N, balances[1].Pending.N})
}

func TestSettleVoidAndCorrect(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), budget.Limit{Name: "l", Max: budget.Quantity{N: 100, Unit: budget.UnitUSD}, Window: budget.Lifetime, Notify: []float64{0.5, 1}})
	stands := func(settled, pending int64) {
		t.Helper()
		balances, err := ledger.Balances(t.Context(), budget.Scope{})
		require.NoError(t, err)
		require.Equal(t, []int64{settled, pending}, []int64{balances[0].Settled.N, balances[0].Pending.N})
	}
	r, err := reserve(ledger, budget.Scope{}, 80)
	require.NoError(t, err)
	stands(0, 80)
	out, err := ledger.Settle(t.Context(), r, usd(50), true)
	require.NoError(t, err)
	require.Equal(t, driver.Pending, out.From)
	require.Len(t, out.Crossed, 1)
	require.Equal(t, 0.5, out.Crossed[0].Fraction)
	out, err = ledger.Settle(t.Context(), r, usd(50), true)
	require.NoError(t, err)
	require.True(t, out.Replayed)
	stands(50, 0)
	_, err = ledger.Settle(t.Context(), r, usd(51), false)
	require.ErrorIs(t, err, driver.ErrResolved)
	require.NoError(t, ledger.Correct(t.Context(), r.Reservation.ID, usd(20)))
	stands(20, 0)
	require.ErrorIs(t, ledger.Correct(t.Context(), driver.NewID(), usd(20)), budget.ErrNotFound)

	given, err := reserve(ledger, budget.Scope{}, 80)
	require.NoError(t, err)
	require.NoError(t, ledger.Void(t.Context(), given))
	stands(20, 0)

	over, err := reserve(ledger, budget.Scope{}, 80)
	require.NoError(t, err)
	out, err = ledger.Settle(t.Context(), over, usd(300), false)
	require.NoError(t, err)
	require.Equal(t, budget.UnitUSD, out.Violated, "the truth was more than the worst case")
	stands(320, 0)
	_, err = reserve(ledger, budget.Scope{}, 1)
	require.ErrorIs(t, err, budget.ErrExceeded)
	entries, err := storetest.Collect(ledger.Entries(t.Context(), budget.Query{Max: 10, State: driver.Settled}))
	require.NoError(t, err)
	require.Len(t, entries, 2)
}

func TestEntriesOfAQuestionWithoutAMaximumAreAll(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), budget.Limit{Name: "l", Max: budget.Calls(100), Window: budget.Lifetime})
	for range 5 {
		_, err := reserve(ledger, budget.Scope{}, 1)
		require.NoError(t, err)
	}
	entries, err := storetest.Collect(ledger.Entries(t.Context(), budget.Query{}))
	require.NoError(t, err)
	require.Len(t, entries, 5)
}

func TestOverride(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	store := memstore.New(memstore.Options{Clock: func() time.Time { return now }})
	ledger := open(t, store, budget.Limit{Name: "l", Max: budget.Quantity{N: 10, Unit: budget.UnitUSD}, Window: budget.Daily, Per: budget.PerPrincipal})
	ci := budget.Scope{Principal: "ci"}
	_, err := reserve(ledger, ci, 11)
	require.ErrorIs(t, err, budget.ErrExceeded)
	until := now.Add(time.Hour)
	require.NoError(t, storetest.Done(ledger.Override(t.Context(), "l", ci, budget.Quantity{N: 20, Unit: budget.UnitUSD}, until)))
	r, err := reserve(ledger, ci, 11)
	require.NoError(t, err)
	require.NoError(t, ledger.Void(t.Context(), r))
	_, err = reserve(ledger, budget.Scope{Principal: "other"}, 11)
	require.ErrorIs(t, err, budget.ErrExceeded, "an override is for one account")
	now = until
	_, err = reserve(ledger, ci, 11)
	require.ErrorIs(t, err, budget.ErrExceeded, "an override ends")
	require.ErrorIs(t, storetest.Done(ledger.Override(t.Context(), "l", ci, budget.Calls(1), until)), budget.ErrInvalidPolicy)
	require.ErrorIs(t, storetest.Done(ledger.Override(t.Context(), "x", ci, budget.USD(1), until)), budget.ErrInvalidPolicy)
}

func TestKillAndRevive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		limit := budget.Limit{Name: "l", Max: budget.USD(1), Window: budget.Lifetime}
		here, there := open(t, store, limit), open(t, store, limit)
		loop := budget.Scope{Principal: "ci", Workflow: "loop"}
		require.NoError(t, storetest.Done(here.Kill(t.Context(), budget.Scope{Workflow: "loop"}, "runaway loop")))
		for _, ledger := range []*budget.Ledger{here, there} {
			_, err := reserve(ledger, loop, 1)
			var killed *budget.KilledError
			require.ErrorAs(t, err, &killed)
			require.Equal(t, "runaway loop", killed.Reason)
		}
		_, err := reserve(there, budget.Scope{Workflow: "other"}, 1)
		require.NoError(t, err)
		require.NoError(t, here.Revive(t.Context(), budget.Scope{Workflow: "loop"}))
		_, err = reserve(here, loop, 1)
		require.NoError(t, err, "who revives forgets at once")
		_, err = reserve(there, loop, 1)
		require.ErrorIs(t, err, budget.ErrKilled, "others may refuse from memory")
		time.Sleep(time.Second)
		_, err = reserve(there, loop, 1)
		require.NoError(t, err, "for a second")
	})
}

func TestObservedLimitsRefuseNothing(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), budget.Limit{Name: "rehearsal", Max: budget.Calls(0), Window: budget.Daily, Observe: true})
	r, err := reserve(ledger, budget.Scope{}, 1)
	require.NoError(t, err)
	require.Len(t, r.Observed, 1)
	require.Equal(t, "rehearsal", r.Observed[0].Limit)
}

func TestALatchHoldsUntilItIsRevived(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), budget.Limit{Name: "l", Max: budget.Calls(1), Window: budget.Lifetime, Per: budget.PerWorkflow, Latch: true})
	s := budget.Scope{Workflow: "w"}
	r, err := reserve(ledger, s, 1)
	require.NoError(t, err)
	_, err = reserve(ledger, s, 1)
	require.ErrorIs(t, err, budget.ErrExceeded)
	require.NoError(t, ledger.Void(t.Context(), r))
	_, err = reserve(ledger, s, 1)
	var e *budget.ExceededError
	require.ErrorAs(t, err, &e)
	require.True(t, e.Latched)
	require.NoError(t, ledger.Revive(t.Context(), s))
	_, err = reserve(ledger, s, 1)
	require.NoError(t, err)
}

// brokenStore fails every step and notes whether the ledger took its reservation back.
type brokenStore struct {
	budget.Store
	failing bool
	voided  []budget.ID
	settles int
}

var errBroken = errors.New("connection reset by peer")

func (s *brokenStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if s.failing {
		return driver.Decision{}, errBroken
	}
	return s.Store.Reserve(ctx, r)
}

func (s *brokenStore) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	s.voided = append(s.voided, id)
	return s.Store.Void(ctx, id, owner)
}

func (s *brokenStore) Settle(ctx context.Context, st driver.Settlement) (driver.Posting, error) {
	if s.settles++; s.failing && s.settles < 3 {
		return driver.Posting{}, errBroken
	}
	return s.Store.Settle(ctx, st)
}

func TestAStoreThatFailsIsNotADenial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{Store: memstore.New(memstore.Options{})}
		ledger := open(t, store, budget.Limit{Name: "l", Max: budget.USD(1), Window: budget.Lifetime})
		r, err := reserve(ledger, budget.Scope{}, 5)
		require.NoError(t, err)
		store.failing = true
		_, err = reserve(ledger, budget.Scope{}, 1)
		require.ErrorIs(t, err, budget.ErrStore)
		require.ErrorIs(t, err, errBroken)
		require.NotErrorIs(t, err, budget.ErrExceeded)
		require.Len(t, store.voided, 1, "what may have been reserved is taken back")
		_, err = ledger.Settle(t.Context(), r, usd(5), false)
		require.NoError(t, err, "a settlement is tried again")
		require.Equal(t, 3, store.settles)
	})
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), budget.Limit{Name: "l", Max: budget.USD(1), Window: budget.Lifetime})
	_, err := reserve(ledger, budget.Scope{}, -1)
	require.ErrorIs(t, err, driver.ErrInvalidCharge)
	_, err = ledger.Reserve(t.Context(), budget.Request{TTL: -1})
	require.ErrorIs(t, err, driver.ErrInvalidCharge)
	_, err = reserve(ledger, budget.Scope{Tags: map[string]string{"": "x"}}, 1)
	require.ErrorIs(t, err, budget.ErrInvalidScope)
	_, err = budget.Open(t.Context(), nil, budget.Policy{})
	require.ErrorIs(t, err, budget.ErrInvalidPolicy)
}

// What a dead process had reserved is charged when somebody looks.
func TestExpiredReservationsAreCharged(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	store := memstore.New(memstore.Options{Clock: func() time.Time { return now }})
	limit := budget.Limit{Name: "l", Max: budget.USD(1), Window: budget.Lifetime}
	ledger := open(t, store, limit)
	r, err := reserve(ledger, budget.Scope{}, 70)
	require.NoError(t, err)
	now = r.ExpiresAt
	balances, err := open(t, store, limit).Balances(t.Context(), budget.Scope{})
	require.NoError(t, err)
	require.Equal(t, int64(70), balances[0].Settled.N)
	require.Zero(t, balances[0].Pending.N)
	out, err := ledger.Settle(t.Context(), r, usd(9), false)
	require.NoError(t, err)
	require.Equal(t, driver.Expired, out.From, "the truth is taken late, too")
}

// What is left never leaves its range, however far an account stands beyond its Max.
func TestWhatIsLeft(t *testing.T) {
	for _, tt := range []struct {
		max, settled, pending int64
		latched               bool
		left                  int64
	}{
		{100, 30, 20, false, 50},
		{100, 30, 80, false, 0},
		{100, 130, 0, false, 0},
		{100, 30, 20, true, 0},
		{0, 0, 0, false, 0},
		{math.MaxInt64, 0, math.MaxInt64, false, 0},
		{1, math.MaxInt64, math.MaxInt64, false, 0},
	} {
		q := func(n int64) budget.Quantity { return budget.Quantity{N: n, Unit: budget.UnitUSD} }
		b := budget.AccountBalance{Max: q(tt.max), Settled: q(tt.settled), Pending: q(tt.pending), Latched: tt.latched}
		require.Equal(t, q(tt.left), b.Left(), "%+v", tt)
	}
}

func ExampleLedger_Reserve() {
	ctx := context.Background()
	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "team-month", Max: budget.USD(0.01), Window: budget.Monthly, Per: budget.PerPrincipal},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	model := price.Price{Rates: price.Rates{Input: 3_000_000, Output: 15_000_000}} // 3 and 15 USD per million tokens
	worst, _ := model.WorstCase(1_000, 400, price.NoCacheWrites, price.TierStandard)
	scope := budget.Scope{Principal: "team-a"}

	receipt, err := ledger.Reserve(ctx, budget.Request{Scope: scope, Worst: driver.ChargeOf(price.Usage{InputTokens: 1_000, OutputTokens: 400}, worst)})
	if err != nil {
		fmt.Println(err)
		return
	}
	used := price.Usage{InputTokens: 1_000, OutputTokens: 100} // what the call turned out to consume
	cost, _ := model.Cost(used, price.TierStandard)
	if _, err := ledger.Settle(ctx, receipt, driver.ChargeOf(used, cost), false); err != nil {
		fmt.Println(err)
		return
	}
	balances, _ := ledger.Balances(ctx, scope)
	fmt.Println(balances[0].Settled, "of", balances[0].Max)
	// Output: 0.0045 USD of 0.01 USD
}

// BenchmarkLedger_ReserveSettle is the ledger's part in one call: three limits on memstore, which forgets after a second so
// that the benchmark does not measure a map of millions of entries.
func BenchmarkLedger_ReserveSettle(b *testing.B) {
	ledger := open(b, memstore.New(memstore.Options{Retention: time.Second}),
		budget.Limit{Name: "principal-month", Max: budget.USD(1e6), Window: budget.Monthly, Per: budget.PerPrincipal},
		budget.Limit{Name: "calls", Max: budget.Calls(1 << 60), Window: budget.Daily},
		budget.Limit{Name: "fresh-input", Max: budget.UncachedInputTokens(1 << 60), Window: budget.Rolling(time.Hour), Per: budget.PerWorkflow})
	ctx := context.Background()
	request := budget.Request{Scope: budget.Scope{Principal: "ci", Workflow: "w", Model: "m"}, Worst: driver.ChargeOf(price.Usage{InputTokens: 100}, 1000)}
	b.ReportAllocs()
	for b.Loop() {
		r, err := ledger.Reserve(ctx, request)
		if err == nil {
			_, err = ledger.Settle(ctx, r, request.Worst, false)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
