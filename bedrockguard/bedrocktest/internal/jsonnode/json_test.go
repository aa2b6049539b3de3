package jsonnode

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unique reports whether no object of a valid text has a key twice.
func unique(d *json.Decoder) bool {
	token, err := d.Token()
	delim, _ := token.(json.Delim)
	if err != nil || delim != '{' && delim != '[' {
		return true
	}
	ok, seen := true, make(map[string]bool)
	for d.More() {
		if delim == '{' {
			key, _ := d.Token()
			name, _ := key.(string)
			ok = ok && !seen[name]
			seen[name] = true
		}
		ok = unique(d) && ok
	}
	_, _ = d.Token()
	return ok
}

func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{ "a" : [ 1 , {"b":null} , "\"\\" ] }`, `{"a":1,"a":2}`, `{"a":{"b":1,"\u0062":2}}`, `[{}]`, `{"a":`, `{"":-1.5e3,"\\":true}`, "", strings.Repeat("[", 300),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, refused := Parse(body)
		if refused != nil {
			require.Equal(t, 400, refused.Status)
			return
		}
		require.True(t, json.Valid(body))
		require.Equal(t, string(bytes.TrimSpace(body)), n.Raw)
		if bytes.ContainsRune(body, '\ufffd') || !bytes.Equal(body, bytes.ToValidUTF8(body, nil)) || bytes.Contains(body, []byte(`\u`)) {
			return // the decoder folds broken characters into one
		}
		require.True(t, unique(json.NewDecoder(bytes.NewReader(body))), "a duplicate key was let through")
	})
}
