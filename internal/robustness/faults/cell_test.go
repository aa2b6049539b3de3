package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// room is how many calls a workflow may make: fewer than are asked for while a fault lasts.
const room = 5

var policy = budget.Policy{Limits: []budget.Limit{
	{Name: "calls", Max: budget.Calls(room), Window: budget.Lifetime, Per: budget.PerWorkflow},
	{Name: "spend", Max: budget.USD(1000), Window: budget.Monthly},
}}

var oneCall = func() (c budget.Charge) {
	c[budget.UnitCalls], c[budget.UnitUSD] = 1, 1000
	return c
}()

// cell is one store under one fault.
type cell struct {
	trouble
	address string

	during  tally // of calls that were asked for while the fault lasted, more than there is room for
	around  tally // of calls that go on all the time, and with which the fault begins and ends
	resumed string
}

// tally counts what callers were told. It is safe for concurrent use.
type tally struct {
	mu                   sync.Mutex
	asked, full, unasked int
	admitted             []*budget.Receipt
	settled              []*budget.Receipt
	wrong                []error
}

// ask makes one call. Anything but an admission, a full limit or a store that could not be asked is wrong.
func (y *tally) ask(ctx context.Context, ledger *budget.Ledger, workflow string) (*budget.Receipt, error) {
	receipt, err := ledger.Reserve(ctx, budget.Request{Scope: budget.Scope{Workflow: workflow}, Worst: oneCall})
	y.mu.Lock()
	defer y.mu.Unlock()
	y.asked++
	switch {
	case err == nil:
		y.admitted = append(y.admitted, receipt)
	case errors.Is(err, budget.ErrExceeded):
		y.full++
	case errors.Is(err, budget.ErrStore):
		y.unasked++
	default:
		y.wrong = append(y.wrong, fmt.Errorf("a fault must not look like %w", err))
	}
	return receipt, err
}

// serve makes one call from beginning to end.
func (y *tally) serve(ctx context.Context, ledger *budget.Ledger, workflow string) error {
	receipt, err := y.ask(ctx, ledger, workflow)
	if err != nil {
		return err
	}
	outcome, err := ledger.Settle(ctx, receipt, oneCall, false)
	y.mu.Lock()
	defer y.mu.Unlock()
	switch {
	case err == nil && outcome.From == 0 && !outcome.Replayed:
		y.wrong = append(y.wrong, errors.New("an admitted call was settled as an orphan"))
	case err == nil:
		y.settled = append(y.settled, receipt)
	case !errors.Is(err, budget.ErrStore):
		y.wrong = append(y.wrong, err)
	}
	return err
}

func (c *cell) run(t *testing.T) {
	ctx := t.Context()
	ledger := c.open(ctx, t)

	stop := c.keepCalling(ctx, ledger)
	defer stop()
	require.NoError(t, c.begin(c.address))
	c.load(ctx, ledger)
	require.NoError(t, c.end(c.address))
	if c.forgets {
		stop()
		c.refusesForGood(ctx, t, ledger)
	} else {
		c.resumes(ctx, t, ledger)
		stop()
		c.verify(ctx, t)
	}
	require.Empty(t, append(c.during.wrong, c.around.wrong...))
}

// open returns a ledger that is impatient, and works.
func (c *cell) open(ctx context.Context, t *testing.T) (ledger *budget.Ledger) {
	var store budget.Store
	eventually(t, func() (err error) {
		store, err = backend.Open(ctx, c.address, func(o *backend.Options) { o.Via, o.Timeout = c.via, patience })
		return err
	})
	t.Cleanup(func() { _ = store.Close() })
	eventually(t, func() (err error) { ledger, err = budget.Open(ctx, store, policy); return err })
	eventually(t, func() error { return c.around.serve(ctx, ledger, "before") })
	return ledger
}

// The load while a fault lasts.
const (
	callers = 4
	calls   = 2
)

// load asks for more calls than there is room for.
func (c *cell) load(ctx context.Context, ledger *budget.Ledger) {
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range calls {
				if c.each != nil {
					c.each()
				}
				_, _ = c.during.ask(ctx, ledger, "during")
			}
		})
	}
	all.Wait()
}

// keepCalling makes calls, one after the other, each with room enough, until it is stopped.
func (c *cell) keepCalling(ctx context.Context, ledger *budget.Ledger) (stop func()) {
	var done atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; !done.Load() && n < 1000; n++ {
			_ = c.around.serve(ctx, ledger, fmt.Sprintf("around-%d", n))
		}
	})
	return func() {
		done.Store(true)
		all.Wait()
	}
}

// resumes waits until a call is admitted again, and notes how long it took.
func (c *cell) resumes(ctx context.Context, t *testing.T, ledger *budget.Ledger) {
	ended, n := time.Now(), 0
	eventually(t, func() error {
		n++
		return c.around.serve(ctx, ledger, fmt.Sprintf("after-%d", n))
	})
	c.resumed = time.Since(ended).Round(time.Millisecond).String()
}

// verify finds each call that was admitted in the ledger, as it was left, and the limit kept. It looks past the network
// that was spoiled.
func (c *cell) verify(ctx context.Context, t *testing.T) {
	require.LessOrEqual(t, len(c.during.admitted), room)
	direct := backend.MustOpen(t, c.address)
	ledger, err := budget.Open(ctx, direct, policy)
	require.NoError(t, err)
	balances, err := ledger.Balances(ctx, budget.Scope{Workflow: "during"})
	require.NoError(t, err)
	require.LessOrEqual(t, balances[0].Settled.N+balances[0].Pending.N, int64(room), "the limit was exceeded unheard")

	entries := entriesOf(ctx, t, direct)
	for _, receipt := range append(c.during.admitted, c.around.admitted...) {
		e, known := entries[receipt.Reservation.ID]
		require.True(t, known, "a call was admitted that the ledger does not know")
		require.False(t, e.Orphan, "a call was admitted that the ledger did not know when it was settled")
	}
	for _, receipt := range c.during.admitted {
		require.Equal(t, driver.Pending, entries[receipt.Reservation.ID].State)
	}
	for _, receipt := range c.around.settled {
		e := entries[receipt.Reservation.ID]
		require.Equal(t, driver.Settled, e.State, "a settlement that was acknowledged is lost")
		require.Equal(t, oneCall, e.Actual)
	}
}

// entriesOf returns all that a ledger remembers.
func entriesOf(ctx context.Context, t *testing.T, store budget.Store) map[budget.ID]budget.Entry {
	all := make(map[budget.ID]budget.Entry)
	q := budget.Query{Max: 1000}
	for {
		page, err := store.Entries(ctx, q)
		require.NoError(t, err)
		for _, e := range page {
			all[e.ID] = e
			q.After = e.ID
		}
		if len(page) < q.Max {
			return all
		}
	}
}

// refusesForGood asserts that a store whose memory was taken admits nothing any more.
func (c *cell) refusesForGood(ctx context.Context, t *testing.T, ledger *budget.Ledger) {
	for range 3 {
		require.ErrorIs(t, c.around.serve(ctx, ledger, "after"), budget.ErrStore)
	}
	_, err := ledger.Balances(ctx, budget.Scope{Workflow: "during"})
	require.ErrorIs(t, err, budget.ErrStore, "a lost ledger must not be read as an empty one")
	c.resumed = "never: its memory is lost"
}

// eventually repeats a step until it does not fail.
func eventually(t *testing.T, step func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := step()
		if err == nil {
			return
		}
		require.True(t, time.Now().Before(deadline), "it still fails: %v", err)
		time.Sleep(time.Millisecond)
	}
}
