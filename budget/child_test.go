package budget_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

func nanoUSD(n int64) budget.Quantity { return budget.Quantity{N: n, Unit: budget.UnitUSD} }

// reserveUnder reserves for the scope of a context.
func reserveUnder(ctx context.Context, ledger *budget.Ledger, nano int64) (*budget.Receipt, error) {
	s, err := budget.ScopeFrom(ctx)
	if err != nil {
		return nil, err
	}
	return ledger.Reserve(ctx, budget.Request{Scope: s, Worst: usd(nano)})
}

// refusedBy requires that a call of so much is refused by a limit, and returns how.
func refusedBy(ctx context.Context, t *testing.T, ledger *budget.Ledger, nano int64, limit string) *budget.ExceededError {
	t.Helper()
	_, err := reserveUnder(ctx, ledger, nano)
	var e *budget.ExceededError
	require.ErrorAs(t, err, &e)
	require.Equal(t, limit, e.Limit)
	return e
}

func child(ctx context.Context, t *testing.T, ledger *budget.Ledger, name string, max int64) (context.Context, func()) {
	t.Helper()
	ctx, end, err := ledger.Child(ctx, budget.Child{Name: name, Max: nanoUSD(max)})
	require.NoError(t, err)
	t.Cleanup(end)
	return ctx, end
}

func agent(t *testing.T, workflow string) context.Context {
	return budget.WithScope(t.Context(), budget.Scope{Workflow: workflow, Tags: map[string]string{"team": "research"}})
}

// A sub-agent spends from its own limit and from all above it, and its refusal says whose limit it was.
func TestAChildSpendsFromItsOwnAndFromItsParents(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), limit("all", 100, budget.Daily))
	root := agent(t, "nightly")
	search, _ := child(root, t, ledger, "search", 40)
	read, _ := child(search, t, ledger, "read", 30)

	_, err := reserveUnder(read, ledger, 30)
	require.NoError(t, err)
	e := refusedBy(read, t, ledger, 1, "child:search/read")
	require.ErrorContains(t, e, `limit "child:search/read" exceeded`)
	require.Equal(t, []int64{30, 30}, []int64{e.Max.N, e.Pending.N})
	_, err = reserveUnder(search, ledger, 10)
	require.NoError(t, err)
	refusedBy(search, t, ledger, 1, "child:search")
	_, err = reserveUnder(root, ledger, 60)
	require.NoError(t, err, "what a child may spend is not set aside")
	refusedBy(root, t, ledger, 1, "all")
}

// A child never gets more than its parent has left, and none at all of nothing.
func TestAChildGetsAtMostWhatItsParentHasLeft(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), limit("all", 100, budget.Daily), budget.Limit{Name: "calls", Max: budget.Calls(1000), Window: budget.Daily})
	root := agent(t, "nightly")
	_, err := reserveUnder(root, ledger, 70)
	require.NoError(t, err)
	search, _ := child(root, t, ledger, "search", 1000)
	require.Equal(t, int64(30), refusedBy(search, t, ledger, 31, "child:search").Max.N)
	rest, end, err := ledger.Child(search, budget.Child{Name: "rest"})
	require.NoError(t, err)
	defer end()
	_, err = reserveUnder(rest, ledger, 30)
	require.NoError(t, err, "without a Max it gets what is left")
	_, _, err = ledger.Child(search, budget.Child{Name: "late", Max: nanoUSD(1)})
	var e *budget.ExceededError
	require.ErrorAs(t, err, &e)
	require.ErrorContains(t, err, "nothing left for a child")
	_, _, err = ledger.Child(root, budget.Child{Name: "counted", Max: budget.Calls(5)})
	require.NoError(t, err, "calls are left")
}

// A process that starts again goes on with the account that its predecessor had.
func TestAChildOutlivesItsProcess(t *testing.T) {
	store := memstore.New(memstore.Options{})
	before := open(t, store, limit("all", 100, budget.Daily))
	search, _ := child(agent(t, "nightly"), t, before, "search", 40)
	r, err := reserveUnder(search, before, 25)
	require.NoError(t, err)
	_, err = before.Settle(t.Context(), r, usd(25), false)
	require.NoError(t, err)

	after := open(t, store, limit("all", 100, budget.Daily))
	search, _ = child(agent(t, "nightly"), t, after, "search", 40)
	require.Equal(t, int64(25), refusedBy(search, t, after, 16, "child:search").Settled.N)
	_, err = reserveUnder(search, after, 15)
	require.NoError(t, err)
	other, _ := child(agent(t, "daily"), t, after, "search", 40)
	_, err = reserveUnder(other, after, 40)
	require.NoError(t, err, "another workflow's child is another one")
}

// Whoever has ended makes no more calls, and neither do its children; what is in flight is settled.
func TestAnEndedChildMakesNoCalls(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), limit("all", 100, budget.Daily))
	root := agent(t, "nightly")
	search, end := child(root, t, ledger, "search", 40)
	read, _ := child(search, t, ledger, "read", 30)
	r, err := reserveUnder(search, ledger, 10)
	require.NoError(t, err)
	end()
	end()
	for _, ctx := range []context.Context{search, read} {
		_, err := reserveUnder(ctx, ledger, 1)
		require.ErrorIs(t, err, budget.ErrInvalidScope)
		require.ErrorContains(t, err, "search has ended")
		_, _, err = ledger.Child(ctx, budget.Child{Name: "late", Max: nanoUSD(1)})
		require.ErrorIs(t, err, budget.ErrInvalidScope)
	}
	_, err = ledger.Settle(t.Context(), r, usd(7), false)
	require.NoError(t, err)
	_, err = reserveUnder(root, ledger, 93)
	require.NoError(t, err)
}

// A context of a child can't be talked out of it.
func TestAChildCanNotBeLeft(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), limit("all", 100, budget.Daily))
	search, _ := child(agent(t, "nightly"), t, ledger, "search", 40)
	read, _ := child(agent(t, "nightly"), t, ledger, "read", 40)
	inner := budget.WithScope(search, budget.Scope{Principal: "ci", Tags: map[string]string{"step": "7"}})
	refusedBy(inner, t, ledger, 41, "child:search")
	s, err := budget.ScopeFrom(read)
	require.NoError(t, err)
	_, err = reserveUnder(budget.WithScope(search, s), ledger, 1)
	require.ErrorIs(t, err, budget.ErrInvalidScope)
	_, err = reserveUnder(budget.WithScope(agent(t, "nightly"), s), ledger, 41)
	require.ErrorIs(t, err, budget.ErrExceeded, "a scope takes its child along")
	filled := budget.Scope{Workflow: "nightly"}.Fill(s)
	_, err = ledger.Reserve(t.Context(), budget.Request{Scope: filled, Worst: usd(41)})
	require.ErrorIs(t, err, budget.ErrExceeded)
}

// A policy bounds how deep and how wide a tree grows.
func TestATreeIsBounded(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), budget.Limit{Name: "all", Max: nanoUSD(100), Window: budget.Daily, MaxDepth: 2, MaxChildren: 2})
	root := agent(t, "nightly")
	a, endA := child(root, t, ledger, "a", 10)
	child(root, t, ledger, "b", 10)
	_, _, err := ledger.Child(root, budget.Child{Name: "c", Max: nanoUSD(1)})
	require.ErrorIs(t, err, budget.ErrExceeded)
	require.ErrorContains(t, err, `limit "all" lets at most 2 children of one parent be open`)
	deep, _ := child(a, t, ledger, "a", 10)
	_, _, err = ledger.Child(deep, budget.Child{Name: "deeper", Max: nanoUSD(1)})
	require.ErrorContains(t, err, "a/a/deeper would be 3 deep")
	child(agent(t, "daily"), t, ledger, "c", 10)
	endA()
	child(root, t, ledger, "c", 10)
}

func TestChildrenThatMakeNoSense(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), budget.Limit{Name: "calls", Max: budget.Calls(10), Window: budget.Daily})
	for name, tc := range map[string]struct {
		child budget.Child
		want  error
	}{
		"no name":        {budget.Child{Max: nanoUSD(1)}, budget.ErrInvalidScope},
		"a slash":        {budget.Child{Name: "a/b", Max: nanoUSD(1)}, budget.ErrInvalidScope},
		"a long path":    {budget.Child{Name: strings.Repeat("n", 507), Max: nanoUSD(1)}, budget.ErrInvalidScope},
		"below nothing":  {budget.Child{Name: "a", Max: nanoUSD(-1)}, budget.ErrInvalidPolicy},
		"no unit":        {budget.Child{Name: "a", Max: budget.Quantity{N: 1}}, budget.ErrInvalidPolicy},
		"no dollar left": {budget.Child{Name: "a"}, budget.ErrInvalidPolicy},
	} {
		_, _, err := ledger.Child(t.Context(), tc.child)
		require.ErrorIs(t, err, tc.want, name)
	}
	_, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{limit("child:a", 1, budget.Daily)}})
	require.ErrorIs(t, err, budget.ErrInvalidPolicy, "such names are children's")
	ctx := t.Context()
	for i := range budget.MaxLimits - 1 {
		ctx, _ = child(ctx, t, ledger, fmt.Sprint(i%10), 100)
	}
	_, _, err = ledger.Child(ctx, budget.Child{Name: "one too many", Max: nanoUSD(1)})
	require.ErrorIs(t, err, budget.ErrInvalidScope)
}

// An override of a child's own limit lets it go on where it was.
func TestAChildIsGivenMoreRoom(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), limit("all", 100, budget.Daily))
	search, _ := child(agent(t, "nightly"), t, ledger, "search", 10)
	refusedBy(search, t, ledger, 11, "child:search")
	s, err := budget.ScopeFrom(search)
	require.NoError(t, err)
	_, err = ledger.Override(t.Context(), "child:search", s, nanoUSD(20), time.Now().Add(time.Hour))
	require.NoError(t, err)
	_, err = reserveUnder(search, ledger, 20)
	require.NoError(t, err)
}

// However a tree grows and whoever spends, at the same time, no child and no limit is overdrawn.
func TestNoTreeIsOverdrawn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ledger := open(t, memstore.New(memstore.Options{}), limit("all", 200, budget.Lifetime))
		contexts := []context.Context{agent(t, "nightly")}
		maxima := []int64{200}
		parents := []int{-1}
		for i := range rapid.IntRange(1, 8).Draw(rt, "children") {
			parent := rapid.IntRange(0, len(contexts)-1).Draw(rt, "parent")
			max := rapid.Int64Range(1, 150).Draw(rt, "max")
			ctx, end, err := ledger.Child(contexts[parent], budget.Child{Name: fmt.Sprint(i), Max: nanoUSD(max)})
			require.NoError(rt, err)
			defer end()
			contexts, maxima, parents = append(contexts, ctx), append(maxima, max), append(parents, parent)
		}
		amounts := rapid.SliceOfN(rapid.Int64Range(1, 20), 40, 40).Draw(rt, "amounts")
		spent := make([]int64, len(contexts))
		var mu sync.Mutex
		var spenders sync.WaitGroup
		for i, amount := range amounts {
			spenders.Go(func() {
				who := i % len(contexts)
				r, err := reserveUnder(contexts[who], ledger, amount)
				if errors.Is(err, budget.ErrExceeded) {
					return
				}
				if err == nil {
					_, err = ledger.Settle(context.Background(), r, usd(amount), false)
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for at := who; at >= 0; at = parents[at] {
					spent[at] += amount
				}
			})
		}
		spenders.Wait()
		for i := range contexts {
			require.LessOrEqual(rt, spent[i], maxima[i], "child %d", i)
		}
	})
}

// An orchestrator gives each of its sub-agents a budget of its own.
func ExampleLedger_Child() {
	ctx := context.Background()
	ledger, err := budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "agent-day", Max: budget.USD(5), Window: budget.Daily, MaxDepth: 3}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	research, end, err := ledger.Child(ctx, budget.Child{Name: "research", Max: budget.USD(0.50)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()
	// Calls that the guard's clients make under research count against its 50 cents, and against the day's $5.
	scope, _ := budget.ScopeFrom(research)
	_, err = ledger.Reserve(research, budget.Request{Scope: scope, Worst: driver.ChargeOf(price.Usage{OutputTokens: 1}, price.Amount(600_000_000))})
	fmt.Println(err)
	// Output: budget: limit "child:research" exceeded: need 0.6 USD, 0.5 USD of 0.5 USD left (0 USD settled, 0 USD pending), larger than the whole limit: lower maxTokens, shorten the prompt or give the child a larger Max
}
