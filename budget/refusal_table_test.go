package budget_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// refusing sets a ledger up and returns what refuses the last call.
type refusing struct {
	store  *memstore.Store
	ledger *budget.Ledger
	ctx    context.Context // workflow nightly of team research
	t      *testing.T
}

// spends makes a call under a context that costs so many cents.
func (r *refusing) spends(ctx context.Context, cents int64) {
	r.t.Helper()
	receipt, err := reserveUnder(ctx, r.ledger, cents*1e7)
	require.NoError(r.t, err)
	_, err = r.ledger.Settle(r.t.Context(), receipt, usd(cents*1e7), false)
	require.NoError(r.t, err)
}

// holds begins a call under a context that sets so many cents aside.
func (r *refusing) holds(ctx context.Context, cents int64) {
	r.t.Helper()
	_, err := reserveUnder(ctx, r.ledger, cents*1e7)
	require.NoError(r.t, err)
}

// asks returns what a call of so many cents is told.
func (r *refusing) asks(ctx context.Context, cents int64) error {
	_, err := reserveUnder(ctx, r.ledger, cents*1e7)
	return err
}

// child returns the context of a sub-agent with so many cents.
func (r *refusing) child(ctx context.Context, name string, cents int64) (context.Context, func()) {
	r.t.Helper()
	return child(ctx, r.t, r.ledger, name, cents*1e7)
}

func (r *refusing) grows(ctx context.Context, name string) error {
	_, _, err := r.ledger.Child(ctx, budget.Child{Name: name, Max: budget.USD(0.1)})
	return err
}

// A stranger can tell from each refusal of the ledger which limit it was, the numbers with their units, why, and what to do next. It is
// midnight of the first of January.
func TestAStrangerUnderstandsEachRefusal(t *testing.T) {
	dollar := func(window budget.Window) budget.Limit {
		return budget.Limit{Name: "team", Max: budget.USD(1), Window: window, Per: budget.PerWorkflow, PerTags: []string{"team"}}
	}
	latched, paced, tree, dear := dollar(budget.Daily), dollar(budget.Rolling(time.Minute)), dollar(budget.Daily), dollar(budget.Daily)
	latched.Latch, paced.Paced, tree.MaxDepth, tree.MaxChildren = true, true, 1, 1
	dear.MaxFor = []budget.MaxFor{{Match: budget.Match{Tags: map[string]string{"team": "research"}}, Max: budget.USD(0.25)}}
	for name, tc := range map[string]struct {
		limit budget.Limit
		does  func(r *refusing) error
		want  string
	}{
		"spent": {dollar(budget.Daily), func(r *refusing) error {
			r.spends(r.ctx, 95)
			return r.asks(r.ctx, 10)
		}, `budget: limit "team" exceeded for workflow=nightly tag:team=research: need 0.1 USD, 0.05 USD of 1 USD left (0.95 USD settled, 0 USD pending), resets in 24h0m0s`},
		"spent for good": {dollar(budget.Lifetime), func(r *refusing) error {
			r.spends(r.ctx, 95)
			return r.asks(r.ctx, 10)
		}, `budget: limit "team" exceeded for workflow=nightly tag:team=research: need 0.1 USD, 0.05 USD of 1 USD left (0.95 USD settled, 0 USD pending), does not reset: raise the limit`},
		"pending": {dollar(budget.Daily), func(r *refusing) error {
			r.holds(r.ctx, 95)
			return r.asks(r.ctx, 10)
		}, `budget: limit "team" exceeded for workflow=nightly tag:team=research: need 0.1 USD, 0.05 USD of 1 USD left (0 USD settled, 0.95 USD pending), has room again once pending calls are settled: try again when one ends, or in 24h0m0s`},
		"larger than the limit": {dollar(budget.Daily), func(r *refusing) error { return r.asks(r.ctx, 101) }, `budget: limit "team" exceeded for workflow=nightly tag:team=research: need 1.01 USD, 1 USD of 1 USD left (0 USD settled, 0 USD pending), larger than the whole limit: lower maxTokens, shorten the prompt or raise the limit`},
		"a maximum of its own":  {dear, func(r *refusing) error { return r.asks(r.ctx, 26) }, `budget: limit "team" exceeded for workflow=nightly tag:team=research: need 0.26 USD, 0.25 USD of 0.25 USD left (0 USD settled, 0 USD pending), larger than the whole limit: lower maxTokens, shorten the prompt or raise the limit`},
		"nothing allowed":       {budget.Limit{Name: "frozen", Max: budget.Calls(0), Window: budget.Daily}, func(r *refusing) error { return r.asks(r.ctx, 1) }, `budget: limit "frozen" exceeded: need 1 call, 0 calls of 0 calls left (0 calls settled, 0 calls pending), which admits nothing: raise the limit`},
		"calls": {budget.Limit{Name: "calls", Max: budget.Calls(1), Window: budget.Hourly}, func(r *refusing) error {
			r.spends(r.ctx, 1)
			return r.asks(r.ctx, 1)
		}, `budget: limit "calls" exceeded: need 1 call, 0 calls of 1 call left (1 call settled, 0 calls pending), resets in 1h0m0s`},
		"latched": {latched, func(r *refusing) error {
			r.spends(r.ctx, 95)
			require.Error(r.t, r.asks(r.ctx, 10))
			return r.asks(r.ctx, 1)
		}, `budget: limit "team" exceeded for workflow=nightly tag:team=research: need 0.01 USD, 0.05 USD of 1 USD left (0.95 USD settled, 0 USD pending), latched by an earlier refusal: revive the scope to go on, or wait 24h0m0s`},
		"a rate": {paced, func(r *refusing) error {
			r.spends(r.ctx, 95)
			return r.asks(r.ctx, 10)
		}, `budget: limit "team" exceeded for workflow=nightly tag:team=research: need 0.1 USD, 0.05 USD of 1 USD left (0.95 USD settled, 0 USD pending), which is a rate: try again in 1m1s`},
		"a rate that is too low": {paced, func(r *refusing) error { return r.asks(r.ctx, 101) }, `budget: limit "team" exceeded for workflow=nightly tag:team=research: need 1.01 USD, 1 USD of 1 USD left (0 USD settled, 0 USD pending), larger than the whole limit: lower maxTokens, shorten the prompt or raise the limit`},
		"killed": {dollar(budget.Daily), func(r *refusing) error {
			_, err := r.ledger.Kill(r.ctx, budget.Scope{Workflow: "nightly"}, "runaway loop")
			require.NoError(r.t, err)
			return r.asks(r.ctx, 1)
		}, `budget: killed workflow=nightly at 2000-01-01T00:00:00Z: runaway loop: refused until it is revived`},
		"a sub-agent, spent": {dollar(budget.Daily), func(r *refusing) error {
			search, _ := r.child(r.ctx, "search", 50)
			r.spends(search, 45)
			return r.asks(search, 10)
		}, `budget: limit "child:search" exceeded for workflow=nightly tag:team=research: need 0.1 USD, 0.05 USD of 0.5 USD left (0.45 USD settled, 0 USD pending), does not reset: give the child a larger Max`},
		"a sub-agent, larger than its budget": {dollar(budget.Daily), func(r *refusing) error {
			search, _ := r.child(r.ctx, "search", 50)
			return r.asks(search, 60)
		}, `budget: limit "child:search" exceeded for workflow=nightly tag:team=research: need 0.6 USD, 0.5 USD of 0.5 USD left (0 USD settled, 0 USD pending), larger than the whole limit: lower maxTokens, shorten the prompt or give the child a larger Max`},
		"a sub-agent, its parent spent": {dollar(budget.Daily), func(r *refusing) error {
			search, _ := r.child(r.ctx, "search", 50)
			r.spends(r.ctx, 95)
			return r.asks(search, 10)
		}, `budget: limit "team" exceeded for workflow=nightly tag:team=research: need 0.1 USD, 0.05 USD of 1 USD left (0.95 USD settled, 0 USD pending), resets in 24h0m0s`},
		"a sub-agent of a parent that has nothing": {dollar(budget.Daily), func(r *refusing) error {
			r.spends(r.ctx, 100)
			return r.grows(r.ctx, "search")
		}, `budget: limit "team" exceeded for workflow=nightly tag:team=research: need 0.1 USD, 0 USD of 1 USD left (1 USD settled, 0 USD pending), resets in 24h0m0s; there is nothing left for a child`},
		"a sub-agent that has ended": {dollar(budget.Daily), func(r *refusing) error {
			search, end := r.child(r.ctx, "search", 50)
			end()
			return r.asks(search, 1)
		}, `budget: invalid scope: the child search has ended: make its calls before, or another child with Ledger.Child`},
		"a tree too deep": {tree, func(r *refusing) error {
			search, _ := r.child(r.ctx, "search", 50)
			return r.grows(search, "read")
		}, `budget: limit exceeded: limit "team" lets children be 1 deep, and search/read would be 2 deep: make its calls as its parent, or raise MaxDepth`},
		"a tree too wide": {tree, func(r *refusing) error {
			r.child(r.ctx, "search", 50)
			return r.grows(r.ctx, "read")
		}, `budget: limit exceeded: limit "team" lets at most 1 children of one parent be open, and read would be one more: end one of them first, or raise MaxChildren`},
		"a sub-agent without a name": {dollar(budget.Daily), func(r *refusing) error { return r.grows(r.ctx, "") }, `budget: invalid scope: a child needs a name without a slash: set Child.Name`},
		"another workflow inside": {dollar(budget.Daily), func(r *refusing) error {
			return r.asks(budget.WithScope(r.ctx, budget.Scope{Workflow: "daily"}), 1)
		}, `budget: invalid scope: an inner scope sets workflow to another value than the outer one: use a tag for a finer split`},
		"a closed store": {dollar(budget.Daily), func(r *refusing) error {
			require.NoError(r.t, r.store.Close())
			return r.asks(r.ctx, 1)
		}, `budget: store unavailable: reserve: memstore: closed: open a new store: the call is refused because its budget could not be checked: try again once the store answers`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Options{})
				r := &refusing{store: store, ledger: open(t, store, tc.limit), ctx: agent(t, "nightly"), t: t}
				err := tc.does(r)
				require.Error(t, err)
				assert.Equal(t, tc.want, err.Error())
			})
		})
	}
}
