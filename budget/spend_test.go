package budget_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// A question about usage selects days and rows, tells apart what it asks for, and adds the rest up; what could not be told apart stands last.
func TestUsageIsToldAsItIsAsked(t *testing.T) {
	clock := storetest.NewClock(time.Date(2026, 10, 30, 23, 0, 0, 0, time.UTC))
	store := memstore.New(memstore.Options{Clock: clock.Now, UsageRows: 2})
	operator, err := budget.Operate(t.Context(), store)
	require.NoError(t, err)
	spend := func(n int64, s budget.Scope) {
		_, err := store.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: usd(n), Call: &driver.Call{Scope: s}})
		require.NoError(t, err)
	}
	for n := range int64(3) { // the 30th and the 31st of October, and the 1st of November
		spend(1+n, budget.Scope{Workflow: "a", Model: "opus", Tags: map[string]string{"team": "core"}})
		spend(10+n, budget.Scope{Workflow: "b", Model: "opus"})
		spend(100+n, budget.Scope{Workflow: "c"})
		clock.Advance(24 * time.Hour)
	}
	ask := func(q budget.UsageQuery) (told []string) {
		t.Helper()
		rows, err := storetest.Collect(operator.Usage(t.Context(), q))
		require.NoError(t, err)
		for _, r := range rows {
			who := r.Scope.String()
			if r.Key == driver.OtherUsage {
				who = "other"
			}
			day := "ever"
			if !r.Day.IsZero() {
				day = r.Day.Format(time.DateOnly)
			}
			told = append(told, fmt.Sprint(day, " ", who, " ", r.Charge[budget.UnitUSD]))
		}
		return told
	}
	day := func(d int) time.Time { return time.Date(2026, 10, d, 0, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		name string
		q    budget.UsageQuery
		want []string
	}{
		{"all", budget.UsageQuery{}, []string{"ever  39", "ever other 303"}},
		{"by workflow", budget.UsageQuery{By: budget.PerWorkflow}, []string{"ever workflow=a 6", "ever workflow=b 33", "ever other 303"}},
		{"by model, where a tag is", budget.UsageQuery{By: budget.PerModel, Where: budget.Match{Tags: map[string]string{"team": "c*"}}}, []string{"ever model=opus 6", "ever other 303"}},
		{"by a tag", budget.UsageQuery{ByTags: []string{"team"}}, []string{"ever tag:team= 33", "ever tag:team=core 6", "ever other 303"}},
		{"by month", budget.UsageQuery{By: budget.PerWorkflow, Where: budget.Match{Workflow: "a"}, Every: budget.ByMonth}, []string{"2026-10-01 workflow=a 3", "2026-10-01 other 201", "2026-11-01 workflow=a 3", "2026-11-01 other 102"}},
		{"some days", budget.UsageQuery{Since: day(31), Until: day(32), Every: budget.ByDay}, []string{"2026-10-31  13", "2026-10-31 other 101"}},
		{"from a moment within a day", budget.UsageQuery{Since: day(30).Add(time.Nanosecond), Until: day(32)}, []string{"ever  13", "ever other 101"}},
		{"until a moment within a day", budget.UsageQuery{Until: day(31).Add(time.Nanosecond), Every: budget.ByDay}, []string{"2026-10-30  11", "2026-10-30 other 100", "2026-10-31  13", "2026-10-31 other 101"}},
		{"none", budget.UsageQuery{Since: day(40)}, nil},
	} {
		require.Equal(t, tt.want, ask(tt.q), tt.name)
	}
	for _, bad := range []budget.UsageQuery{{By: budget.PerProfile}, {By: budget.PerProject}, {Where: budget.Match{Project: "x"}}, {Every: 9}} {
		_, err := storetest.Collect(operator.Usage(t.Context(), bad))
		require.ErrorIs(t, err, driver.ErrInvalidQuery)
	}
	first := 0
	for range operator.Usage(t.Context(), budget.UsageQuery{By: budget.PerWorkflow}) {
		first++
		break
	}
	require.Equal(t, 1, first)
}

// Whoever changes a policy document does so knowing the one that it replaces.
func TestAPolicyDocumentIsComparedAndSet(t *testing.T) {
	operator, err := budget.Operate(t.Context(), memstore.New(memstore.Options{}))
	require.NoError(t, err)
	none, err := operator.PolicyDocument(t.Context())
	require.NoError(t, err)
	require.Zero(t, none.Version)
	ada := budget.WithOperator(t.Context(), "ada")
	require.NoError(t, operator.SetPolicyDocument(ada, []byte("limits: []"), none.Version, "first"))
	require.ErrorIs(t, operator.SetPolicyDocument(ada, []byte("other"), none.Version, "at the same time"), budget.ErrSuperseded)
	first, err := operator.PolicyDocument(t.Context())
	require.NoError(t, err)
	require.Equal(t, [3]string{"limits: []", "ada", "first"}, [3]string{string(first.Text), first.Operator, first.Reason})
	require.NoError(t, operator.SetPolicyDocument(ada, nil, first.Version, "taken back"))
	require.ErrorIs(t, operator.SetPolicyDocument(ada, make([]byte, driver.MaxPolicyDocument+1), 9, ""), budget.ErrInvalidPolicy)
	records, err := storetest.Collect(operator.Changes(t.Context(), 0))
	require.NoError(t, err)
	require.Len(t, records, 2)
	require.Equal(t, driver.DocumentSum([]byte("limits: []")), records[0].Policy)
}

// A change tells how many known accounts it touches, so that a misspelled scope is noticed.
func TestChangesTellHowManyAccountsTheyTouch(t *testing.T) {
	ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "each", Max: budget.USD(1), Window: budget.Daily, Per: budget.PerWorkflow | budget.PerPrincipal},
		{Name: "all", Max: budget.USD(1), Window: budget.Daily},
	}})
	require.NoError(t, err)
	for _, s := range []budget.Scope{{Workflow: "nightly", Principal: "a"}, {Workflow: "nightly", Principal: "b"}, {Workflow: "review", Principal: "a"}} {
		_, err := ledger.Reserve(t.Context(), budget.Request{Scope: s, Worst: usd(1)})
		require.NoError(t, err)
	}
	until := time.Now().Add(time.Hour)
	override := func(s budget.Scope) (int, error) {
		return ledger.Override(t.Context(), "each", s, budget.USD(2), until)
	}
	for _, tt := range []struct { // in this order: an override of an account that was not known makes it one of all
		name string
		want int
		make func() (int, error)
	}{
		{"a kill", 2, func() (int, error) { return ledger.Kill(t.Context(), budget.Scope{Workflow: "nightly"}, "stop") }},
		{"a kill of nobody", 0, func() (int, error) { return ledger.Kill(t.Context(), budget.Scope{Workflow: "nightli"}, "stop") }},
		{"a kill by patterns", 3, func() (int, error) {
			return ledger.KillAs(t.Context(), budget.Kill{Scope: budget.Scope{Workflow: "*i*"}, Patterns: true})
		}},
		{"a kill of all", 4, func() (int, error) { return ledger.KillAll(t.Context(), "stop") }},
		{"an override", 1, func() (int, error) { return override(budget.Scope{Workflow: "nightly", Principal: "a"}) }},
		{"an override of nobody", 0, func() (int, error) { return override(budget.Scope{Workflow: "nightly"}) }},
		{"an override for all of one", 1, func() (int, error) { return ledger.Override(t.Context(), "all", budget.Scope{}, budget.USD(2), until) }},
	} {
		n, err := tt.make()
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, n, tt.name)
	}
	overridden, err := storetest.Collect(ledger.Overrides(t.Context()))
	require.NoError(t, err)
	require.Len(t, overridden, 3)
	some, err := storetest.Collect(ledger.Accounts(t.Context(), budget.AccountQuery{Limit: "each", Scope: budget.Scope{Principal: "a"}}))
	require.NoError(t, err)
	require.Len(t, some, 2)
}

// A flag with patterns or with an end refuses in the process that met it, too, and no longer than it holds.
func TestFlagsAreNotRememberedBeyondTheirEnd(t *testing.T) {
	clock := storetest.NewClock(time.Now())
	ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{Clock: clock.Now}),
		budget.Policy{Limits: []budget.Limit{{Name: "all", Max: budget.USD(1), Window: budget.Daily}}})
	require.NoError(t, err)
	reserve := func(workflow string) error {
		_, err := ledger.Reserve(t.Context(), budget.Request{Scope: budget.Scope{Workflow: workflow}, Worst: usd(1)})
		return err
	}
	require.NoError(t, storetest.Done(ledger.KillAs(t.Context(), budget.Kill{Scope: budget.Scope{Workflow: "n*"}, Patterns: true, Until: clock.Now().Add(time.Minute)})))
	var killed *budget.KilledError
	require.ErrorAs(t, reserve("nightly"), &killed)
	require.True(t, killed.Patterns)
	require.ErrorContains(t, killed, "all of workflow=n*")
	require.ErrorContains(t, killed, "or until it is revived")
	require.NoError(t, reserve("review"))
	clock.Advance(time.Minute)
	require.NoError(t, reserve("nightly"))
	require.NoError(t, storetest.Done(ledger.KillAs(t.Context(), budget.Kill{Scope: budget.Scope{Workflow: "n*"}, Patterns: true})))
	require.ErrorIs(t, reserve("nightly"), budget.ErrKilled)
	require.ErrorIs(t, reserve("nightly"), budget.ErrKilled)
	require.NoError(t, reserve("review"))
	require.NoError(t, ledger.ReviveFlag(t.Context(), budget.Flag{Scope: budget.Scope{Workflow: "n*"}, Patterns: true}))
	require.NoError(t, reserve("nightly"))
}

func teamLimit(max float64, exceptions ...budget.MaxFor) budget.Limit {
	return budget.Limit{Name: "team", Max: budget.USD(max), Window: budget.Lifetime, PerTags: []string{"team"}, MaxFor: exceptions}
}

func team(name string) budget.Scope { return budget.Scope{Tags: map[string]string{"team": name}} }

// Two hundred teams have two hundred maxima in one limit, and those that nobody named have one, too.
func TestEachAccountHasItsOwnMax(t *testing.T) {
	var exceptions []budget.MaxFor
	for n := range 200 {
		exceptions = append(exceptions, budget.MaxFor{Match: budget.Match{Tags: map[string]string{"team": fmt.Sprint("team-", n)}}, Max: budget.USD(float64(n) + 1)})
	}
	exceptions = append(exceptions, budget.MaxFor{Match: budget.Match{Tags: map[string]string{"team": "team-1*"}}, Max: budget.USD(9000)}) // the first one counts
	ledger := open(t, memstore.New(memstore.Options{}), teamLimit(0.5, exceptions...))
	for name, want := range map[string]float64{"team-0": 1, "team-17": 18, "team-199": 200, "team-1000": 9000, "somebody": 0.5, "": 0.5} {
		balances, err := ledger.Balances(t.Context(), team(name))
		require.NoError(t, err)
		require.Equal(t, budget.USD(want), balances[0].Max, name)
		require.Equal(t, budget.USD(want), balances[0].Left())
		_, err = ledger.Reserve(t.Context(), budget.Request{Scope: team(name), Worst: budget.Charge{budget.UnitUSD: budget.USD(want).N + 1}})
		require.ErrorIs(t, err, budget.ErrExceeded, name)
		_, err = ledger.Reserve(t.Context(), budget.Request{Scope: team(name), Worst: budget.Charge{budget.UnitUSD: budget.USD(want).N}})
		require.NoError(t, err, name)
	}
	for _, bad := range []budget.MaxFor{
		{Match: budget.Match{Workflow: "x"}, Max: budget.USD(1)}, {Match: budget.Match{Tags: map[string]string{"other": "x"}}, Max: budget.USD(1)}, {Max: budget.Calls(1)},
	} {
		_, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{teamLimit(1, bad)}})
		require.ErrorIs(t, err, budget.ErrInvalidPolicy)
	}
}

// A policy that is set takes hold at once, for accounts as they stand, while calls go on; what was admitted before is settled as it was.
func TestAPolicyIsSetUnderRunningCalls(t *testing.T) {
	ledger := open(t, memstore.New(memstore.Options{}), teamLimit(10))
	held, err := ledger.Reserve(t.Context(), budget.Request{Scope: team("a"), Worst: budget.Charge{budget.UnitUSD: budget.USD(6).N}})
	require.NoError(t, err)
	require.ErrorIs(t, ledger.SetPolicy(budget.Policy{}), budget.ErrInvalidPolicy)
	require.NoError(t, ledger.SetPolicy(budget.Policy{Limits: []budget.Limit{teamLimit(3), {Name: "new", Max: budget.USD(100), Window: budget.Daily}}}))
	require.Len(t, ledger.Policy().Limits, 2)
	_, err = ledger.Reserve(t.Context(), budget.Request{Scope: team("a"), Worst: usd(1)})
	require.ErrorIs(t, err, budget.ErrExceeded)
	_, err = ledger.Settle(t.Context(), held, budget.Charge{budget.UnitUSD: budget.USD(2).N}, false)
	require.NoError(t, err)
	_, err = ledger.Reserve(t.Context(), budget.Request{Scope: team("a"), Worst: budget.Charge{budget.UnitUSD: budget.USD(1).N}})
	require.NoError(t, err)
	_, err = ledger.Reserve(t.Context(), budget.Request{Scope: team("a"), Worst: usd(1)})
	require.ErrorIs(t, err, budget.ErrExceeded)
}

// The store's policy is the one that counts: for whoever opens without one, against whoever opens with another, and for those who follow it.
func TestTheStoresPolicyCounts(t *testing.T) {
	store := memstore.New(memstore.Options{})
	operator, err := budget.Operate(t.Context(), store)
	require.NoError(t, err)
	_, err = budget.Open(t.Context(), store, budget.Policy{})
	require.ErrorIs(t, err, budget.ErrInvalidPolicy)
	own := budget.Policy{Limits: []budget.Limit{teamLimit(10)}}
	before, err := budget.Open(t.Context(), store, own)
	require.NoError(t, err)
	push := func(text string) {
		d, err := operator.PolicyDocument(t.Context())
		require.NoError(t, err)
		require.NoError(t, operator.SetPolicyDocument(t.Context(), []byte(text), d.Version, ""))
	}
	push("limits: [{name: team, max: 3 USD, window: lifetime, per: 'tag:team'}]")
	stored, err := budget.Open(t.Context(), store, budget.Policy{})
	require.NoError(t, err)
	require.Equal(t, budget.USD(3), stored.Policy().Limits[0].Max)
	_, err = budget.Open(t.Context(), store, own)
	require.ErrorIs(t, err, budget.ErrInvalidPolicy)
	require.ErrorContains(t, err, "the store holds another policy, version 1")
	_, err = budget.Open(t.Context(), store, stored.Policy())
	require.NoError(t, err, "the same one")
	_, err = budget.Open(t.Context(), store, own, func(o *budget.OpenOptions) { o.OwnPolicy = true })
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- before.FollowPolicy(ctx) }()
	max := func() budget.Quantity { return before.Policy().Limits[0].Max }
	require.Eventually(t, func() bool { return max() == budget.USD(3) }, 10*time.Second, time.Millisecond)
	push("limits: [{name: team, max: 4 USD, window: lifetime, per: 'tag:team'}]")
	require.Eventually(t, func() bool { return max() == budget.USD(4) }, 10*time.Second, time.Millisecond)
	push("")
	cancel()
	require.NoError(t, <-ended)
	require.Equal(t, budget.USD(4), max(), "one that is taken back changes nothing")
	push("limits: [")
	require.ErrorIs(t, before.FollowPolicy(t.Context()), budget.ErrInvalidPolicy)
	require.Equal(t, budget.USD(4), max())
	_, err = budget.Open(t.Context(), store, budget.Policy{})
	require.ErrorContains(t, err, "can't be read")
}

// A process may add limits of its own to the policy that it shares with others: they stand beside each policy that is followed.
func TestLimitsBesideThePolicyOfTheStore(t *testing.T) {
	store := memstore.New(memstore.Options{})
	operator, err := budget.Operate(t.Context(), store)
	require.NoError(t, err)
	beside := func(name string) func(*budget.OpenOptions) {
		return func(o *budget.OpenOptions) {
			o.Beside = []budget.Limit{{Name: name, Max: budget.USD(1), Window: budget.Lifetime}}
		}
	}
	names := func(l *budget.Ledger) (names []string) {
		for _, limit := range l.Policy().Limits {
			names = append(names, limit.Name)
		}
		return names
	}
	alone, err := budget.Open(t.Context(), store, budget.Policy{}, beside("own"))
	require.NoError(t, err)
	require.Equal(t, []string{"own"}, names(alone))

	require.NoError(t, operator.SetPolicyDocument(t.Context(), []byte("limits: [{name: team, max: 3 USD, window: lifetime}]"), 0, ""))
	ledger, err := budget.Open(t.Context(), store, budget.Policy{}, beside("own"))
	require.NoError(t, err)
	require.Equal(t, []string{"team", "own"}, names(ledger))
	_, err = ledger.Reserve(t.Context(), budget.Request{Worst: budget.Charge{budget.UnitUSD: budget.USD(2).N}})
	var e *budget.ExceededError
	require.ErrorAs(t, err, &e)
	require.Equal(t, "own", e.Limit)

	require.NoError(t, ledger.SetPolicy(budget.Policy{Limits: []budget.Limit{{Name: "other", Max: budget.USD(2), Window: budget.Daily}}}))
	require.Equal(t, []string{"other", "own"}, names(ledger))
	err = ledger.SetPolicy(budget.Policy{Limits: []budget.Limit{{Name: "own", Max: budget.USD(2), Window: budget.Daily}}})
	require.ErrorIs(t, err, budget.ErrInvalidPolicy)
	require.Equal(t, []string{"other", "own"}, names(ledger))
	_, err = budget.Open(t.Context(), store, budget.Policy{}, beside("team"))
	require.ErrorIs(t, err, budget.ErrInvalidPolicy)
}
