package budget_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// A question about usage selects days and rows, tells apart what it asks for, and adds the rest up; what could not be told apart stands last.
func TestUsageIsToldAsItIsAsked(t *testing.T) {
	clock := storetest.NewClock(time.Date(2026, 10, 30, 23, 0, 0, 0, time.UTC))
	store := memstore.New(func(o *memstore.Options) { o.Clock, o.UsageRows = clock.Now, 2 })
	operator, err := budget.Operate(t.Context(), store)
	require.NoError(t, err)
	spend := func(n int64, s budget.Scope) {
		_, err := store.Settle(t.Context(), budget.Settlement{ID: budget.NewID(), Actual: usd(n), Call: &budget.Call{Scope: s}})
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
			if r.Key == budget.OtherUsage {
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
		require.ErrorIs(t, err, budget.ErrInvalidQuery)
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
	operator, err := budget.Operate(t.Context(), memstore.New())
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
	require.ErrorIs(t, operator.SetPolicyDocument(ada, make([]byte, budget.MaxPolicyDocument+1), 9, ""), budget.ErrInvalidPolicy)
	records, err := storetest.Collect(operator.Changes(t.Context(), 0))
	require.NoError(t, err)
	require.Len(t, records, 2)
	require.Equal(t, budget.DocumentSum([]byte("limits: []")), records[0].Policy)
}

// A change tells how many known accounts it touches, so that a misspelled scope is noticed.
func TestChangesTellHowManyAccountsTheyTouch(t *testing.T) {
	ledger, err := budget.Open(t.Context(), memstore.New(), budget.Policy{Limits: []budget.Limit{
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
	for name, tt := range map[string]struct {
		want int
		make func() (int, error)
	}{
		"a kill":           {2, func() (int, error) { return ledger.Kill(t.Context(), budget.Scope{Workflow: "nightly"}, "stop") }},
		"a kill of nobody": {0, func() (int, error) { return ledger.Kill(t.Context(), budget.Scope{Workflow: "nightli"}, "stop") }},
		"a kill by patterns": {3, func() (int, error) {
			return ledger.KillAs(t.Context(), budget.Kill{Scope: budget.Scope{Workflow: "*i*"}, Patterns: true})
		}},
		"a kill of all":              {4, func() (int, error) { return ledger.KillAll(t.Context(), "stop") }},
		"an override":                {1, func() (int, error) { return override(budget.Scope{Workflow: "nightly", Principal: "a"}) }},
		"an override of nobody":      {0, func() (int, error) { return override(budget.Scope{Workflow: "nightly"}) }},
		"an override for all of one": {1, func() (int, error) { return ledger.Override(t.Context(), "all", budget.Scope{}, budget.USD(2), until) }},
	} {
		n, err := tt.make()
		require.NoError(t, err, name)
		require.Equal(t, tt.want, n, name)
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
	ledger, err := budget.Open(t.Context(), memstore.New(func(o *memstore.Options) { o.Clock = clock.Now }),
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
