package budget

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
	_, err := ScopeFrom(WithScope(t.Context(), Scope{Workflow: strings.Repeat("x", MaxScopeValue+1)}))
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

func TestKillHoldsForWhoeverHasAllItsValues(t *testing.T) {
	call := Scope{Principal: "ci", Workflow: "nightly", Model: "m", Tags: map[string]string{"team": "core"}}
	for _, s := range []Scope{{}, {Workflow: "nightly"}, {Principal: "ci", Model: "m"}, {Tags: map[string]string{"team": "core"}}, call} {
		require.True(t, Kill{Scope: s}.Holds(call), "%s", s)
	}
	for _, s := range []Scope{{Workflow: "nightl"}, {Principal: "nightly"}, {Workflow: "nightly", Principal: "x"}, {Tags: map[string]string{"team": "x"}}} {
		require.False(t, Kill{Scope: s}.Holds(call), "%s", s)
	}
}

func TestGlob(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "anything", true},
		{"*", "", true},
		{"anthropic.claude-opus-*", "anthropic.claude-opus-4-6-v1", true},
		{"anthropic.claude-opus-*", "anthropic.claude-sonnet-4", false},
		{"a*b*c", "aXbYbZc", true},
		{"a*b*c", "aXbYbZ", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"*a/b*", "x/a/b/c", true},
		{"abc", "abcd", false},
		{"abc*", "abc", true},
		{"{a,b}c", "bc", true},
		{"{a,b}c", "c", false},
		{"{a,}c", "c", true},
		{"{,a}", "", true},
		{"{,a}", "b", false},
		{"x{1,2}*{y,z?}", "x2--z1", true},
		{"x{1,2}*{y,z?}", "x3--z1", false},
		{"{a,b", "{a,b", true}, // in a discount; a policy refuses it
		{"?a,b?", "{a,b}", true},
		{strings.Repeat("*a", 50), strings.Repeat("a", 5000) + "b", false},
	} {
		require.Equal(t, tc.want, glob(tc.pattern, tc.s), "%.20q on %.20q", tc.pattern, tc.s)
	}
}

func FuzzGlobNeverPanics(f *testing.F) {
	f.Add("a*b?", "axxb1")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 200 || len(s) > 2000 {
			return // quadratic at worst
		}
		_ = glob(pattern, s) // ends, without a panic
		require.True(t, glob("*", s))
	})
}
