package iam

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func expression(text string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.NewReplacer("*", ".*", "?", ".").Replace(text) + "$")
}

// texts are all texts of a small alphabet, up to a length.
func texts(length int) (all []string) {
	all = []string{""}
	for begin := 0; length > 0; length-- {
		end := len(all)
		for _, text := range all[begin:end] {
			all = append(all, text+"a", text+"b", text+"c")
		}
		begin = end
	}
	return all
}

// A pattern matches, covers and meets what regular expressions say, tried on every short text.
func TestPatternsAgainstEveryShortText(t *testing.T) {
	short := texts(5)
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringOfN(rapid.RuneFrom([]rune("ab*?")), 0, 4, -1).Draw(t, "pattern")
		other := rapid.StringOfN(rapid.RuneFrom([]rune("ab*")), 0, 4, -1).Draw(t, "other")
		pe, oe := expression(p), expression(other)
		meets, covers := false, true
		for _, text := range short {
			inP, inOther := pe.MatchString(text), oe.MatchString(text)
			require.Equal(t, inP, glob(p).overlaps(literal(text)), "%q on %q", p, text)
			meets = meets || inP && inOther
			covers = covers && (inP || !inOther)
		}
		if meets {
			require.True(t, glob(p).overlaps(glob(other)), "%q meets %q", p, other)
		}
		if glob(p).covers(glob(other)) {
			require.True(t, covers, "%q does not cover %q", p, other)
		}
	})
}

// A pattern of many asterisks is no way to keep the command busy.
func TestManyAsterisksTakeNoLonger(t *testing.T) {
	require.False(t, glob(strings.Repeat("a*", 2000)+"b").overlaps(literal(strings.Repeat("a", 4000))))
}
