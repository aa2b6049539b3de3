package bedrockguard_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// settings describes a rig. The zero value is a healthy service and a budget that nothing exceeds.
type settings struct {
	server bedrocktest.Options
	limits []budget.Limit
	guard  bedrockguard.Options
	store  budget.Store
	config func(*aws.Config)
	client []func(*bedrockruntime.Options)
}

// rig is a guarded client in front of a simulated service, and everything needed to compare the two sides.
type rig struct {
	server *bedrocktest.Server
	ledger *budget.Ledger
	guard  *bedrockguard.Guard
	client *bedrockruntime.Client
	events *recorder
	config aws.Config
}

// newClient returns another guarded client.
func (r *rig) newClient() *bedrockruntime.Client { return r.guard.NewFromConfig(r.config) }

// total is the account that a rig keeps beside the limits of the test, so that spend can always be read off.
const total = "total"

func newRig(tb testing.TB, s settings) *rig {
	tb.Helper()
	r := &rig{server: bedrocktest.New(tb, s.server), events: new(recorder)}
	store := s.store
	if store == nil {
		store = memstore.New(memstore.Options{})
	}
	limits := append([]budget.Limit{{Name: total, Max: budget.USD(1e6), Window: budget.Lifetime}}, s.limits...)
	var err error
	r.ledger, err = budget.Open(context.Background(), store, budget.Policy{Limits: limits})
	require.NoError(tb, err)
	listener := s.guard.OnEvent
	s.guard.OnEvent = func(ctx context.Context, e bedrockguard.Event) {
		r.events.add(e)
		if listener != nil {
			listener(ctx, e)
		}
	}
	r.guard, err = bedrockguard.New(r.ledger, s.guard)
	require.NoError(tb, err)
	tb.Cleanup(func() { // a test that is over waits for nothing
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.guard.Close(ctx)
	})
	cfg := r.server.Config()
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	}
	if s.config != nil {
		s.config(&cfg)
	}
	r.config = cfg
	r.client = r.guard.NewFromConfig(cfg, s.client...)
	return r
}

// balance reads one limit's account.
func (r *rig) balance(tb testing.TB, limit string) budget.AccountBalance {
	tb.Helper()
	balances, err := r.ledger.Balances(context.Background(), budget.Scope{})
	require.NoError(tb, err)
	for _, b := range balances {
		if b.Limit == limit {
			return b
		}
	}
	require.Failf(tb, "no such limit", "%q", limit)
	return budget.AccountBalance{}
}

// requireCovered checks the promise of the ledger once every call has ended: nothing hangs, and no bill is larger.
func (r *rig) requireCovered(tb testing.TB) {
	tb.Helper()
	b := r.balance(tb, total)
	assert.Zero(tb, b.Pending.N, "nano-USD still pending")
	assert.GreaterOrEqual(tb, b.Settled.N, r.server.Bill().NanoUSD, "settled nano-USD against the bill")
}

// requireExact checks that the ledger holds what the service billed, to the nano-USD.
func (r *rig) requireExact(tb testing.TB) {
	tb.Helper()
	b := r.balance(tb, total)
	require.Zero(tb, b.Pending.N, "nano-USD still pending")
	require.Equal(tb, r.server.Bill().NanoUSD, b.Settled.N, "settled nano-USD against the bill")
}

// recorder keeps events. It is safe for concurrent use.
type recorder struct {
	mu  sync.Mutex
	all []bedrockguard.Event
}

func (r *recorder) add(e bedrockguard.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, e)
}

func (r *recorder) of(kinds ...bedrockguard.EventKind) []bedrockguard.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []bedrockguard.Event
	for _, e := range r.all {
		for _, k := range kinds {
			if e.Kind == k {
				found = append(found, e)
			}
		}
	}
	return found
}
