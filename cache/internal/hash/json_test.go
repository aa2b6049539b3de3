package hash

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJSONIgnoresTheOrderOfKeys(t *testing.T) {
	same := [][2]string{
		{`{"a":1,"b":{"c":[1,2],"d":null}}`, `{ "b": {"d":null, "c":[1, 2]}, "a":1 }`},
		{`{"a":{"x":1,"y":2},"b":{"x":1,"y":2}}`, `{"b":{"y":2,"x":1},"a":{"x":1,"y":2}}`},
		{`{}`, ` { } `},
	}
	for _, pair := range same {
		require.Equal(t, JSON(pair[0]), JSON(pair[1]), pair)
	}
	differ := [][2]string{
		{`{"a":[1,2]}`, `{"a":[2,1]}`},
		{`{"a":1,"b":2}`, `{"a":2,"b":1}`},
		{`{"a":{"b":1}}`, `{"a":[{"b":1}]}`},
		{`{"a":"1"}`, `{"a":1}`},
		{`{"a":"x y"}`, `{"a":"xy"}`},
		{`{"a":1}`, `{"a":1`},
		{`{"a":1,"a":1}`, `{"a":1}`},
	}
	for _, pair := range differ {
		require.NotEqual(t, JSON(pair[0]), JSON(pair[1]), pair)
	}
	deep := strings.Repeat("[", 5000)
	require.Equal(t, JSON(deep), JSON(deep))
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"type":"object","properties":{"path":{"type":"string"},"n":[1,2.5e3,true,null]}}`)
	f.Add(`{"a":"\"}","b":{`)
	f.Fuzz(func(t *testing.T, s string) {
		h := JSON(s)
		require.Equal(t, h, JSON(strings.Clone(s)))
		var v any
		if json.Unmarshal([]byte(s), &v) != nil {
			return
		}
		sorted, err := json.Marshal(v) // keys in order, no white space
		require.NoError(t, err)
		again, err := json.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, JSON(string(sorted)), JSON(string(again)))
	})
}
