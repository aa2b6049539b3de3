package budget_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// What a child may spend is one sum, whoever makes its calls: values that are added to the scope later do not split its account.
func TestAChildHasOneAccountForAllOfItsCalls(t *testing.T) {
	for name, scopes := range map[string][2]budget.Scope{
		"principals": {{Principal: "a"}, {Principal: "b"}},
		"workflows":  {{Workflow: "a"}, {Workflow: "b"}},
		"one of two": {{}, {Principal: "b", Workflow: "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			ledger := open(t, memstore.New(memstore.Options{}), limit("all", 1000, budget.Daily))
			search, _ := child(t.Context(), t, ledger, "search", 40)
			read, _ := child(search, t, ledger, "read", 1000)
			_, err := reserveUnder(budget.WithScope(read, scopes[0]), ledger, 40)
			require.NoError(t, err)
			refusedBy(budget.WithScope(search, scopes[1]), t, ledger, 1, "child:search")
		})
	}
}

// A child that goes on without a Max gets what its parent has left, in addition to what it has used, though its calls name a principal.
func TestAChildGoesOnWithWhatItsParentHasLeft(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), limit("all", 100, budget.Daily))
	for _, spend := range []int64{40, 50} {
		search, end, err := ledger.Child(t.Context(), budget.Child{Name: "search"})
		require.NoError(t, err)
		_, err = reserveUnder(budget.WithScope(search, budget.Scope{Principal: "a"}), ledger, spend)
		require.NoError(t, err, "%d are left", spend)
		end()
	}
}

// A limit that selects models by name does not hold for those that it does not select, so that a child may use them when it is full.
func TestALimitOfOneModelTakesNothingFromAChild(t *testing.T) {
	opus := limit("opus", 10, budget.Daily)
	opus.Match.Model = "*opus*"
	ledger := open(t, memstore.New(memstore.Options{}), limit("all", 100, budget.Daily), opus)
	root := agent(t, "nightly")
	s, err := budget.ScopeFrom(root)
	require.NoError(t, err)
	s.Model = "opus"
	_, err = ledger.Reserve(root, budget.Request{Scope: s, Worst: usd(10)})
	require.NoError(t, err)

	search, _ := child(root, t, ledger, "search", 50)
	s, err = budget.ScopeFrom(search)
	require.NoError(t, err)
	s.Model = "haiku"
	_, err = ledger.Reserve(search, budget.Request{Scope: s, Worst: usd(50)})
	require.NoError(t, err, "another model has room")
	s.Model = "opus"
	_, err = ledger.Reserve(search, budget.Request{Scope: s, Worst: usd(1)})
	require.ErrorIs(t, err, budget.ErrExceeded)
}
