package budget

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

func TestScopesOnlyAddUp(t *testing.T) {
	ctx := WithScope(t.Context(), Scope{Principal: "ci", Tags: map[string]string{"team": "core"}})
	ctx = WithScope(ctx, Scope{Workflow: "nightly", Tags: map[string]string{"step": "1", "team": "core"}})
	s, err := ScopeFrom(ctx)
	require.NoError(t, err)
	require.Equal(t, "principal=ci workflow=nightly tag:step=1 tag:team=core", s.String())
}

func TestAnInnerScopeCanNotMoveTheSpendElsewhere(t *testing.T) {
	outer := WithScope(t.Context(), Scope{Principal: "ci", Tags: map[string]string{"team": "core"}})
	for _, inner := range []Scope{{Principal: "other"}, {Tags: map[string]string{"team": "x"}}} {
		ctx := WithScope(outer, inner)
		s, err := ScopeFrom(WithScope(ctx, Scope{Workflow: "later"}))
		require.ErrorIs(t, err, ErrInvalidScope)
		require.Equal(t, "ci", s.Principal, "the outer value stays")
	}
	_, err := ScopeFrom(WithScope(t.Context(), Scope{Workflow: strings.Repeat("x", driver.MaxScopeValue+1)}))
	require.ErrorIs(t, err, ErrInvalidScope)
	s, err := ScopeFrom(context.Background())
	require.NoError(t, err)
	require.Empty(t, s.String())
}

func TestTheCallerCanNotChangeAScopeAfterwards(t *testing.T) {
	tags := map[string]string{"team": "core"}
	ctx := WithScope(t.Context(), Scope{Tags: tags})
	tags["team"] = "x"
	s, _ := ScopeFrom(ctx)
	require.Equal(t, "core", s.Tags["team"])
}

// Hostile names can neither collide nor reach a key.
func TestAccountsOfHostileNamesDiffer(t *testing.T) {
	l := Limit{Name: "l", Max: USD(1), Window: Daily, Per: perAll, PerTags: []string{"a", "b"}}
	seen := map[Key]Scope{}
	for _, s := range []Scope{
		{},
		{Principal: "a:b", Workflow: "c"},
		{Principal: "a", Workflow: "b:c"},
		{Principal: "a", Workflow: "b", Model: "c"},
		{Workflow: "a:b"},
		{Principal: "a:b"},
		{Principal: "{x}"},
		{Principal: "}x{"},
		{Principal: "a\x00"},
		{Principal: "a"},
		{Principal: "'; DROP TABLE account; --"},
		{Tags: map[string]string{"a": "b"}},
		{Tags: map[string]string{"b": "b"}},
		{Tags: map[string]string{"a": "", "b": "a"}},
		{Principal: "\xff\xfe"},
		{Principal: "\u202e"},
	} {
		_, keys := l.accounts(s)
		key := keys[0]
		require.NotContains(t, seen, key, "%q and %q share an account", s, seen[key])
		seen[key] = s
	}
	other := l
	other.Name = "m"
	_, keys := other.accounts(Scope{})
	require.NotContains(t, seen, keys[0])
	larger := l
	larger.Max = USD(2)
	_, keys = larger.accounts(Scope{})
	require.Contains(t, seen, keys[0], "a changed Max keeps what was spent")
}
