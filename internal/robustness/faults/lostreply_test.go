package faults

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// subject is one reservation that was not made yet, in an account of its own.
type subject struct {
	r     driver.Reservation
	scope budget.Scope
}

func newSubject() subject {
	id := driver.NewID()
	line := driver.Line{Account: budget.Key(id), Unit: budget.UnitUSD, Window: budget.Lifetime, Max: 100}
	return subject{
		r:     driver.Reservation{ID: id, Owner: budget.Key{1}, Charge: usd(7), Lines: []driver.Line{line}, TTL: time.Hour},
		scope: budget.Scope{Workflow: id.String()},
	}
}

func usd(n int64) (c budget.Charge) {
	c[budget.UnitUSD] = n
	return c
}

func (x subject) reserve(ctx context.Context, s budget.Store) error {
	d, err := s.Reserve(ctx, x.r)
	if err == nil && !d.Admitted {
		err = errors.New("refused")
	}
	return err
}

func (x subject) settle(n int64) func(context.Context, budget.Store) error {
	return func(ctx context.Context, s budget.Store) error {
		_, err := s.Settle(ctx, driver.Settlement{ID: x.r.ID, Owner: x.r.Owner, Actual: usd(n), Lines: x.r.Lines})
		return err
	}
}

// lossyStep is a step whose message gets lost, what has to be done before, and where the account must stand when it was
// repeated until it was answered.
type lossyStep struct {
	name             string
	before           []func(context.Context, budget.Store) error
	do               func(context.Context, budget.Store) error
	settled, pending int64
	max              int64
	killed           bool
	essential        bool // tried with faults that take the store's whole patience, too
}

func (x subject) steps() []lossyStep {
	void := func(ctx context.Context, s budget.Store) error { return s.Void(ctx, x.r.ID, x.r.Owner) }
	correct := func(ctx context.Context, s budget.Store) error {
		_, err := s.Correct(ctx, driver.Correction{ID: x.r.ID, Actual: usd(3), Change: storetest.NewChange()})
		return err
	}
	override := func(ctx context.Context, s budget.Store) error {
		return s.Override(ctx, x.r.Lines[0].Account, &budget.Override{Max: 50, Until: time.Now().Add(time.Hour)}, storetest.NewChange())
	}
	kill := func(ctx context.Context, s budget.Store) error {
		return s.Kill(ctx, budget.Kill{Scope: x.scope, Reason: "stop"}, storetest.NewChange())
	}
	revive := func(ctx context.Context, s budget.Store) error {
		return s.Revive(ctx, budget.Flag{Scope: x.scope}, storetest.NewChange())
	}
	type steps = []func(context.Context, budget.Store) error
	return []lossyStep{
		{name: "Reserve", do: x.reserve, pending: 7, essential: true},
		{name: "Settle", before: steps{x.reserve}, do: x.settle(5), settled: 5, essential: true},
		{name: "Settle of nothing", do: x.settle(4), settled: 4},
		{name: "Void", before: steps{x.reserve}, do: void},
		{name: "Correct", before: steps{x.reserve, x.settle(5)}, do: correct, settled: 3},
		{name: "Override", before: steps{x.reserve}, do: override, pending: 7, max: 50},
		{name: "Kill", do: kill, killed: true, essential: true},
		{name: "Revive", before: steps{kill}, do: revive},
	}
}

// patience is how long a store of these tests waits for an answer. It bounds how long a fault that is only noticed by
// waiting holds up a step; a step that a slow machine cuts short is repeated, so that no verdict hangs on it.
const patience = 400 * time.Millisecond

// maxMessages is how many of the messages that one step may take are tried.
const maxMessages = 4

// TestAStepWhoseMessageIsLostCountsOnce loses one message of each kind of step in each way. The caller hears an error, or
// its client asked again by itself; either way the step, repeated until it is answered, has happened exactly once.
func TestAStepWhoseMessageIsLostCountsOnce(t *testing.T) {
	backend.Each(t, backend.Remote, func(t *testing.T, _ backend.Backend, server backend.Server) {
		x := &exchange{proxy: NewProxy(t, server.(backend.Networked).HostPort())}
		address := server.NewLedger(t)
		x.direct = backend.MustOpen(t, address)
		eventually(t, func() (err error) {
			x.lossy, err = backend.Open(t.Context(), address, func(o *backend.Options) { o.Via, o.Timeout = x.proxy.Addr(), patience })
			return err
		})
		t.Cleanup(func() { _ = x.lossy.Close() })
		for _, cut := range Cuts {
			for i, step := range newSubject().steps() {
				if cut.Silent() && !step.essential {
					continue
				}
				t.Run(cut.Name+"/"+step.name, func(t *testing.T) {
					eventually(t, func() error { // a slow machine can lose patience before it sends anything
						if !x.loseAndCheck(t, cut, 0, i) {
							return errors.New("the step took no message")
						}
						return nil
					})
					for skip := 1; skip < maxMessages && !cut.Silent(); skip++ {
						if !x.loseAndCheck(t, cut, skip, i) {
							break
						}
					}
				})
			}
		}
		t.Logf("%d messages lost, %d told as errors, none counted twice", x.lost, x.told)
	})
}

// exchange is a ledger with two ways to it, one of which loses messages.
type exchange struct {
	proxy         *Proxy
	direct, lossy budget.Store
	lost, told    int
}

// loseAndCheck tries one kind of step on a subject of its own.
func (x *exchange) loseAndCheck(t *testing.T, cut Cut, skip, step int) (lost bool) {
	subject := newSubject()
	lost = x.lose(t, cut, skip, subject.steps()[step])
	subject.stands(t, x.direct, subject.steps()[step])
	return lost
}

// lose does a step one message of which gets lost, repeats it until it is answered, and reports whether there was one to
// lose.
func (x *exchange) lose(t *testing.T, cut Cut, skip int, step lossyStep) bool {
	ctx := t.Context()
	for _, before := range step.before {
		require.NoError(t, before(ctx, x.direct))
	}
	eventually(t, func() error { // a connection that is open and healthy
		_, err := x.lossy.Kills(ctx)
		return err
	})
	hits := x.proxy.Hits()
	x.proxy.Arm(cut, skip)
	first := step.do(ctx, x.lossy)
	x.proxy.Disarm()
	lost := x.proxy.Hits() > hits
	if lost {
		x.lost++
		if first != nil {
			x.told++
		}
	}
	for _, own := range []error{driver.ErrIDConflict, driver.ErrResolved, budget.ErrNotFound} {
		require.NotErrorIs(t, first, own, "a step that was sent twice must not be taken for somebody else's")
	}
	eventually(t, func() error { return step.do(ctx, x.lossy) })
	return lost
}

// stands asserts what the step has left behind.
func (x subject) stands(t *testing.T, direct budget.Store, step lossyStep) {
	all, err := direct.Balances(t.Context(), x.r.Lines)
	require.NoError(t, err)
	require.Equal(t, [2]int64{step.settled, step.pending}, [2]int64{all[0].Settled, all[0].Pending}, "settled and pending")
	if step.max != 0 {
		require.Equal(t, step.max, all[0].Max)
	}
	kills, err := direct.Kills(t.Context())
	require.NoError(t, err)
	killed := slices.ContainsFunc(kills, func(k budget.Kill) bool { return k.Scope.Workflow == x.scope.Workflow })
	require.Equal(t, step.killed, killed)
}
