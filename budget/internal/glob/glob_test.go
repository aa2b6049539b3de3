package glob_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/budget/internal/glob"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMatch(t *testing.T) {
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
		require.Equal(t, tc.want, glob.Match(tc.pattern, tc.s), "%.20q on %.20q", tc.pattern, tc.s)
	}
}

func FuzzMatchNeverPanics(f *testing.F) {
	f.Add("a*b?", "axxb1")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 200 || len(s) > 2000 {
			return // quadratic at worst
		}
		_ = glob.Match(pattern, s) // ends, without a panic
		require.True(t, glob.Match("*", s))
	})
}
