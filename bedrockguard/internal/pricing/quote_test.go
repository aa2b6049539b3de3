package pricing

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Each text that a guardrail reads begins a unit, also in lists, where it has no key.
func TestTextCountBoundsTheTexts(t *testing.T) {
	for body, texts := range map[string]int64{
		`{"prompt":["a","b","c","d","e","f","g","h"]}`:            8,
		`{"texts" : [ "a" , "b\"" , "c\\" ], "n" : 3}`:            3,
		`{"messages":[{"role":"user","content":"say \"a\": b"}]}`: 2,
		`{"a":1,"b":[1,2],"c":{"d":null}}`:                        0,
		`{"documents":[{"text":"a"},"b","c\\\""],"k":["",""]}`:    5,
		`{"k":"no end`: 1,
	} {
		d := Demand{Raw: []byte(body)}
		require.Equal(t, texts+1, d.textCount(), body)
	}
}
