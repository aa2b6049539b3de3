package lease_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// A flag holds at once in the process that sets it, and everywhere by the moment that Kills tells.
func TestAKillReachesEveryLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		here, there := begin(t, store, lifetime(1_000_000)), begin(t, store, lifetime(1_000_000))
		loop, other := driver.Scope{Workflow: "loop"}, driver.Scope{Workflow: "other"}
		for _, p := range []*process{here, there} {
			p.call(loop, 10, 1)
			p.call(other, 10, 1)
		}
		time.Sleep(time.Second)
		there.call(loop, 10, 1)
		require.NoError(t, storetest.Done(here.ledger.Kill(t.Context(), driver.Scope{Workflow: "loop"}, "runaway")))
		_, err := reserve(here.ledger, loop, 10)
		require.ErrorIs(t, err, driver.ErrKilled)
		here.call(other, 10, 1)

		kills, err := here.ledger.Kills(t.Context())
		require.NoError(t, err)
		require.Equal(t, kills[0].At.Add(lease.DefaultLength+15*time.Second), kills[0].EffectiveBy)
		there.call(loop, 10, 1) // from a lease that was drawn before
		time.Sleep(time.Until(kills[0].EffectiveBy))
		for range 3 {
			_, err = reserve(there.ledger, loop, 10)
			require.ErrorIs(t, err, driver.ErrKilled)
			there.call(other, 10, 1)
		}
		require.NoError(t, here.ledger.Revive(t.Context(), driver.Scope{Workflow: "loop"}))
		here.call(loop, 10, 1)
		time.Sleep(time.Second) // the ledger's own memory
		there.call(loop, 10, 1)
	})
}

// A process whose lease serves one workflow may not serve a killed one from it for longer than a length, either.
func TestAKillReachesLeasesDrawnForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		p, direct := begin(t, store, lifetime(1_000_000)), open(t, store, lifetime(1_000_000))
		loop, other := driver.Scope{Workflow: "loop"}, driver.Scope{Workflow: "other"}
		for range 200 { // nothing is used up, so that leases are always drawn for the other workflow, when the last one is over
			p.call(other, 10, 0)
			p.call(loop, 10, 0)
			time.Sleep(time.Second)
		}
		require.NoError(t, storetest.Done(direct.Kill(t.Context(), loop, "runaway")))
		killed := time.Now()
		for ; time.Since(killed) < 3*lease.DefaultLength; time.Sleep(time.Second) {
			p.call(other, 10, 0)
			if r, err := reserve(p.ledger, loop, 10); err == nil {
				require.Less(t, time.Since(killed), lease.DefaultLength)
				p.settle(r, 0)
			}
		}
	})
}

// A flag that is set while a lease is being drawn for its scope is not passed by.
func TestAKillDuringADraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{Store: memstore.New(memstore.Options{}), reserved: make(chan struct{}), goOn: make(chan struct{})}
		p := begin(t, store, lifetime(1_000_000))
		var work sync.WaitGroup
		work.Go(func() {
			_, err := reserve(p.ledger, anyone, 10)
			if !errors.Is(err, driver.ErrKilled) {
				t.Error(err)
			}
		})
		<-store.reserved
		require.NoError(t, storetest.Done(p.ledger.KillAll(t.Context(), "stop")))
		close(store.goOn)
		work.Wait()
		require.Equal(t, [2]int64{0, 0}, account(t, open(t, store.Store, lifetime(1_000_000)), anyone))
	})
}

// slowStore keeps its first answer to Reserve back.
type slowStore struct {
	driver.Store
	once           sync.Once
	reserved, goOn chan struct{}
}

func (s *slowStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	d, err := s.Store.Reserve(ctx, r)
	s.once.Do(func() {
		close(s.reserved)
		<-s.goOn
	})
	return d, err
}

// signalling is a store whose server tells of flags.
type signalling struct {
	driver.Store
	mu        sync.Mutex
	listeners map[*func()]struct{}
	listening atomic.Int64
}

func (s *signalling) Signal(ctx context.Context, changed func()) error {
	s.mu.Lock()
	s.listeners[&changed] = struct{}{}
	s.mu.Unlock()
	s.listening.Add(1)
	defer s.listening.Add(-1)
	changed()
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, &changed)
	return ctx.Err()
}

func (s *signalling) Kill(ctx context.Context, k driver.Kill, c driver.Change) error {
	err := s.Store.Kill(ctx, k, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	for changed := range s.listeners {
		(*changed)()
	}
	return err
}

// A store that tells of flags is heard: other processes stop at once, not at the end of their leases.
func TestAKillThatIsSignalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &signalling{Store: memstore.New(memstore.Options{}), listeners: make(map[*func()]struct{})}
		lease := func() (*lease.Store, *budget.Ledger) {
			leased, err := lease.New(store, lease.Options{})
			require.NoError(t, err)
			return leased, open(t, leased, lifetime(1_000_000))
		}
		a, here := lease()
		b, there := lease()
		for _, ledger := range []*budget.Ledger{here, there} {
			_, err := reserve(ledger, anyone, 10)
			require.NoError(t, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var heard atomic.Int64
		var work sync.WaitGroup
		work.Go(func() { _ = b.Signal(ctx, func() { heard.Add(1) }) })
		synctest.Wait()
		require.Equal(t, int64(3), store.listening.Load())
		require.NoError(t, storetest.Done(here.KillAll(t.Context(), "stop")))
		synctest.Wait()
		_, err := reserve(there, anyone, 10)
		require.ErrorIs(t, err, driver.ErrKilled)
		require.Equal(t, int64(2), heard.Load(), "the signal is passed on")
		require.NoError(t, b.Close())
		work.Wait()
		cancel()
		require.NoError(t, a.Close())
		require.Zero(t, store.listening.Load())
	})
}

func TestAStoreThatDoesNotTellOfKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, memstore.New(memstore.Options{}), lifetime(1))
		require.ErrorIs(t, p.leased.Signal(t.Context(), func() {}), errors.ErrUnsupported)
	})
}

// gated is a store that holds answers about flags back, after it has acted.
type gated struct {
	driver.Store
	revived, read chan struct{} // closed to let the next answers go; nil holds nothing back
}

func (g *gated) Revive(ctx context.Context, f driver.Flag, c driver.Change) error {
	err := g.Store.Revive(ctx, f, c)
	if g.revived != nil {
		<-g.revived
	}
	return err
}

func (g *gated) Kills(ctx context.Context) ([]driver.Kill, error) {
	kills, err := g.Store.Kills(ctx)
	if g.read != nil {
		<-g.read
	}
	return kills, err
}

// A flag that is set after a Revive, but before its answer arrives, is in force.
func TestAKillThatOvertakesARevive(t *testing.T) {
	for name, kill := range map[string]func(p *process, store driver.Store) error{
		"in this process": func(p *process, _ driver.Store) error { return storetest.Done(p.ledger.KillAll(t.Context(), "stop")) },
		"in another": func(p *process, store driver.Store) error {
			err := store.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange())
			if err == nil {
				_, err = p.ledger.Kills(t.Context())
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &gated{Store: memstore.New(memstore.Options{}), revived: make(chan struct{})}
				p := begin(t, store, lifetime(1_000_000))
				p.call(anyone, 10, 1)
				var work sync.WaitGroup
				work.Go(func() { _ = p.leased.Revive(context.Background(), driver.Flag{Scope: anyone}, storetest.NewChange()) })
				time.Sleep(time.Second)
				require.NoError(t, kill(p, store.Store))
				close(store.revived)
				work.Wait()
				_, err := reserve(p.ledger, anyone, 10)
				require.ErrorIs(t, err, driver.ErrKilled)
			})
		})
	}
}

// A reading of flags that a change of this process has overtaken is repeated: it may have told of a flag of others.
func TestAReadingOfFlagsThatIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memstore.New(memstore.Options{})}
		p := begin(t, store, lifetime(1_000_000))
		loop := driver.Scope{Workflow: "loop"}
		p.call(loop, 10, 1)
		require.NoError(t, store.Store.Kill(t.Context(), driver.Kill{Scope: loop, Reason: "runaway"}, storetest.NewChange()))
		store.read = make(chan struct{})
		var work sync.WaitGroup
		work.Go(func() { _, _ = p.leased.Kills(context.Background()) })
		synctest.Wait()
		require.NoError(t, p.leased.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Workflow: "other"}}, storetest.NewChange()))
		close(store.read)
		work.Wait()
		synctest.Wait()
		_, err := reserve(p.ledger, loop, 10)
		require.ErrorIs(t, err, driver.ErrKilled)
	})
}

// A reservation that is made again hears of a flag like any other, in a process that was idle.
func TestAReplayAfterAKillElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		here, there := begin(t, store, lifetime(1_000_000)), begin(t, store, lifetime(1_000_000))
		lines := []driver.Line{{Account: driver.Key{1}, Unit: driver.UnitUSD, Window: driver.Lifetime, Max: 1_000_000}}
		r := driver.Reservation{ID: driver.NewID(), Charge: usd(100), Lines: lines, TTL: time.Hour}
		d, err := here.leased.Reserve(t.Context(), r)
		require.NoError(t, err)
		require.True(t, d.Admitted)
		require.NoError(t, storetest.Done(there.ledger.KillAll(t.Context(), "runaway")))
		time.Sleep(2 * lease.DefaultLength)
		d, err = here.leased.Reserve(t.Context(), r)
		require.NoError(t, err)
		require.NotNil(t, d.Killed)
	})
}
