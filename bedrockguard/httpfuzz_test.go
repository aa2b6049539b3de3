package bedrockguard_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// Whatever a client sends to Bedrock's host: nothing panics, what spends is reserved for before it is handed on, with the body that was judged,
// and nothing stays pending.
func FuzzHTTPDoor(f *testing.F) {
	for _, r := range routesOfModels() {
		f.Add(http.MethodPost, r[0], "Accept", "application/json", []byte(r[1]), []byte(`{"usage":{"inputTokens":3,"outputTokens":4}}`), "application/json")
		f.Add(http.MethodPost, r[0], "X-Amzn-Bedrock-Service-Tier", "priority", []byte(r[1]), []byte("data: {\"usage\":{\"input_tokens\":3}}\n\nevent: x\r\n\r\n"), "text/event-stream")
	}
	f.Add(http.MethodGet, "/openai/v1/responses/r_1", "Authorization", "AWS4-HMAC-SHA256 x", []byte(nil), []byte("\x00\x00\x00\x10\x00\x00\x00\x00"), "application/vnd.amazon.eventstream")
	f.Fuzz(func(t *testing.T, method, path, name, value string, body, answer []byte, kind string) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		at, err := url.Parse("https://bedrock-runtime.us-east-1.amazonaws.com" + path)
		if err != nil || at.Host != "bedrock-runtime.us-east-1.amazonaws.com" {
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), method, at.String(), bytes.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set(name, value)
		ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "all", Max: budget.USD(1e6), Window: budget.Lifetime}}})
		require.NoError(t, err)
		events := new(recorder)
		guard, err := bedrockguard.New(ledger, bedrockguard.Options{OnEvent: func(_ context.Context, e bedrockguard.Event) { events.add(e) }})
		require.NoError(t, err)
		handedOn := 0
		base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			handedOn++
			if r.Body != nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			if r.Method == http.MethodPost && !strings.HasSuffix(r.URL.Path, "/cancel") && !strings.HasSuffix(r.URL.Path, "/count-tokens") && !strings.HasSuffix(r.URL.Path, "/count_tokens") {
				require.NotEmpty(t, events.of(bedrockguard.EventReserved), "%s %s was handed on with nothing set aside", r.Method, r.URL)
			}
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(bytes.NewReader(answer)), ContentLength: -1, Request: r}, nil
		})
		resp, err := guard.Transport(base, bedrockguard.TransportOptions{}).RoundTrip(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			require.NoError(t, resp.Body.Close())
			if handedOn == 0 {
				require.Error(t, bedrockguard.Refusal(resp))
			}
		}
		require.NoError(t, guard.Close(t.Context()))
		balances, err := ledger.Balances(t.Context(), budget.Scope{})
		require.NoError(t, err)
		require.Zero(t, balances[0].Pending.N)
	})
}
