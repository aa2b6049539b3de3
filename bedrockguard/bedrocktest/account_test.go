package bedrocktest

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

const accountBody = `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":100}}`

// Requests and tokens that come to more than a quota are throttled without being scripted, and pass when the minute is over. What is not
// used of the maximum is given back.
func TestQuotasThrottleByThemselves(t *testing.T) {
	clock := newFakeClock()
	start := func(quotas ...Quota) func() answered {
		server := New(t, Options{Clock: clock.Now, CountTokens: perByte, Quotas: quotas, Reply: func(Request) Reply { return Reply{Text: "hi"} }})
		return func() answered {
			got, err := post(t, server, sonnet45, "converse", accountBody)
			require.NoError(t, err)
			return got
		}
	}
	send := start(Quota{RequestsPerMinute: 2})
	require.Equal(t, 200, send().status)
	require.Equal(t, 200, send().status)
	got := send()
	require.Equal(t, "429 ThrottlingException", strconv.Itoa(got.status)+" "+got.errType)
	require.Contains(t, got.body, "Too many requests")
	clock.advance(time.Minute)
	require.Equal(t, 200, send().status)

	// Two letters and a frame of four make six tokens; two of output count five times. 16 are used, 106 held.
	send = start(Quota{Model: "sonnet-4-5", TokensPerMinute: 2*16 + 106})
	for range 3 {
		require.Equal(t, 200, send().status)
	}
	got = send()
	require.Equal(t, 429, got.status)
	require.Contains(t, got.body, "Too many tokens")

	send = start(Quota{Model: "haiku", RequestsPerMinute: 1})
	require.Equal(t, []int{200, 200}, []int{send().status, send().status}, "a quota of another model")
}

func TestQuotasOfModelsBurnDown(t *testing.T) {
	for id, want := range map[string]int{
		"us.anthropic.claude-opus-4-8": 15, sonnet5: 10, sonnet45: 5, "anthropic.claude-3-haiku-20240307-v1:0": 1, novaPro: 1,
	} {
		m, _, _, ok := modeltable.Lookup(id, nil)
		require.True(t, ok, id)
		require.Equal(t, want, m.Burndown(), id)
	}
}

// A test says in a line what its account can call.
func TestModelsOfAnAccount(t *testing.T) {
	const imported = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghij12"
	clock := newFakeClock()
	server := New(t, Options{Clock: clock.Now, Models: []Model{
		{ID: bare(opus46), Denied: true},
		{ID: novaPro, Regions: []string{"eu-west-1"}},
		{ID: bare(sonnet45), Ends: clock.Now().Add(time.Hour)},
		{ID: "anthropic.claude-3-5-haiku-20241022-v1:0", Ends: clock.Now().Add(time.Hour)},
		{ID: imported, Like: "us.meta.llama3-1-70b-instruct-v1:0", NotReady: 1},
		{ID: "vendor.model-of-tomorrow", Like: sonnet45},
	}})
	send := func(model string) string {
		got, err := post(t, server, url.PathEscape(model), "converse", accountBody)
		require.NoError(t, err)
		return strconv.Itoa(got.status) + " " + got.errType
	}
	require.Equal(t, "403 AccessDeniedException", send(opus46))
	require.Equal(t, "400 ValidationException", send(novaPro))
	require.Equal(t, "200 ", send(sonnet45))
	require.Equal(t, "200 ", send("us.anthropic.claude-3-5-haiku-20241022-v1:0"), "an end of the test's own counts, not the table's")
	require.Equal(t, "429 ModelNotReadyException", send(imported))
	require.Equal(t, "200 ", send(imported))
	require.Equal(t, "200 ", send("vendor.model-of-tomorrow"))
	clock.advance(time.Hour)
	require.Equal(t, "404 ResourceNotFoundException", send(sonnet45))

	_, err := Start(Options{Models: []Model{{ID: "vendor.unknown"}}})
	require.EqualError(t, err, `bedrocktest: model "vendor.unknown" is not known; say in Like which known model it is like`)
}
