package cost

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAskForUsageChangesNothingElse(t *testing.T) {
	for body, want := range map[string]string{
		`{"stream":true,"a":1}`:                                                `{"stream":true,"a":1,"stream_options":{"include_usage":true}}`,
		` { "a" : "stream" , "stream" : true } `:                               `{"a":"stream","stream":true,"stream_options":{"include_usage":true}}`,
		`{"stream":true,"stream_options":{}}`:                                  `{"stream":true,"stream_options":{"include_usage":true}}`,
		`{"stream":true,"stream_options": { "x" : 1 } }`:                       `{"stream":true,"stream_options":{"include_usage":true,"x":1}}`,
		`{"stream":true,"stream_options":null}`:                                `{"stream":true,"stream_options":{"include_usage":true}}`,
		`{"stream_options":{"include_usage":false,"x":1},"stream":true}`:       `{"stream_options":{"include_usage":true,"x":1},"stream":true}`,
		`{"stream_options":{"include_usage": null},"stream":true}`:             `{"stream_options":{"include_usage":true},"stream":true}`,
		`{"messages":[{"content":"{\"stream_options\":1}"}],"stream" :true}`:   `{"messages":[{"content":"{\"stream_options\":1}"}],"stream":true,"stream_options":{"include_usage":true}}`,
		`{"stream":true,"metadata":{"stream_options":{"include_usage":true}}}`: `{"stream":true,"metadata":{"stream_options":{"include_usage":true}},"stream_options":{"include_usage":true}}`,
	} {
		got, changed := AskForUsage([]byte(body))
		require.True(t, changed, body)
		require.JSONEq(t, want, string(got), body)
	}
	for _, body := range []string{
		``, `[]`, `{`, `{}`, `{"stream":false}`, `{"stream":"true"}`, `{"stream":true,"stream_options":{"include_usage":true}}`,
		`{"stream":true,"stream_options":[]}`, `{"stream":true,"stream":true}`,
	} {
		got, changed := AskForUsage([]byte(body))
		require.False(t, changed, body)
		require.Equal(t, body, string(got))
	}
}

func FuzzAskForUsage(f *testing.F) {
	f.Add([]byte(`{"stream":true,"stream_options":{"x":1}}`))
	f.Add([]byte(`{"stream":true,"stream_options":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, changed := AskForUsage(body)
		if !changed {
			require.Equal(t, body, got)
			return
		}
		var before, after map[string]any
		require.NoError(t, json.Unmarshal(body, &before))
		require.NoError(t, json.Unmarshal(got, &after))
		require.Equal(t, true, after["stream_options"].(map[string]any)["include_usage"])
		delete(before, "stream_options")
		delete(after, "stream_options")
		require.Equal(t, before, after)
	})
}
