package prompt

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzFindVolatile(f *testing.F) {
	f.Add("Current time: 2026-04-06T08:00:03Z, session 3f2504e0-4f89-11d3-9a0c-0305e82c3301, nonce: a81f3, 23:59")
	f.Add("08:00:")
	f.Fuzz(func(t *testing.T, s string) {
		v := findVolatile(s)
		if v.kind == volatileNone {
			require.Zero(t, v)
			return
		}
		require.Less(t, int(v.offset), len(s))
		require.GreaterOrEqual(t, int(v.offset), 0)
		require.Equal(t, 1+strings.Count(s[:v.offset], "\n"), int(v.line))
	})
}

func TestVolatileFindsATimeInABody(t *testing.T) {
	p := mustParse(t, "anthropic", `{"system":[{"type":"text","text":"You help.\nCurrent time: 12:34:56\n","cache_control":{}}],"messages":[]}`)
	p.Record(nil)
	want := Volatile{kind: volatileTimestamp, labelled: true, offset: 24, line: 2, count: 1}
	require.Equal(t, want, p.Volatile(0))
	require.Equal(t, want, p.Records()[0].Volatile)
}
