package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
)

var metricsURL = regexp.MustCompile(`(?:metrics are at |"msg":"metrics","url":")(http://[0-9.:]+/metrics)`)

// channel is a webhook that keeps what it is sent.
func channel(t *testing.T) (url string, messages chan string) {
	t.Helper()
	messages = make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		messages <- string(body)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/open-sesame", messages
}

func realCredentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
}

// Beside a proxy there are metrics of its calls, and a channel is told once of a limit that is full.
func TestProxyServesMetricsAndTellsAChannelOnce(t *testing.T) {
	realCredentials(t)
	server := bedrocktest.New(t, replies(100))
	policy := writePolicy(t, "limits:\n  - {name: month, max: 0.01 USD, window: monthly}\n")
	store := "sqlite:" + filepath.Join(t.TempDir(), "spend.db")
	hook, messages := channel(t)
	t.Setenv("BEDROCKGUARD_WEBHOOK", hook)
	ctx, stop := context.WithCancel(t.Context())
	var said spoken
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{
			"bedrockguard", "--store", store, "proxy", "--create", "--policy", policy, "--listen", "127.0.0.1:0", "--open-loopback", "--region", "us-east-1",
			"--upstream", server.URL(), "--metrics", "127.0.0.1:0", "--webhook-format", "slack",
		}, strings.NewReader(""), &said, &said)
	}()
	require.Eventually(t, func() bool { return addressIn(said.String()) != "" }, 20*time.Second, 10*time.Millisecond)
	client := viewer(t)
	refusals := 0
	for refusals < 10 {
		resp, err := client.Post("http://"+addressIn(said.String())+"/model/us.anthropic.claude-sonnet-4-6/converse", "application/json",
			strings.NewReader(`{"inferenceConfig":{"maxTokens":100},"messages":[{"role":"user","content":[{"text":"hello"}]}]}`))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		if resp.StatusCode == http.StatusPaymentRequired {
			refusals++
		}
	}
	at := metricsURL.FindStringSubmatch(said.String())[1]
	require.Eventually(t, func() bool {
		resp, err := client.Get(at)
		return strings.Contains(textAt(t, resp, err), `bedrockguard_refusals_total{bedrockguard_enforced="true",bedrockguard_limit="month",bedrockguard_reason="limit"} 10`)
	}, 10*time.Second, 10*time.Millisecond, "%s", &said)
	resp, err := client.Get(at)
	text := textAt(t, resp, err)
	require.Contains(t, text, `bedrockguard_limit_max{bedrockguard_enforced="true",bedrockguard_limit="month",bedrockguard_unit="USD"} 0.01`)
	require.Contains(t, text, `bedrockguard_drains 0`)
	foreign, err := http.NewRequest(http.MethodGet, at, http.NoBody)
	require.NoError(t, err)
	foreign.Host = "rebound.example"
	resp, err = client.Do(foreign)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode)
	stop()
	require.Zero(t, <-ended, said.String())
	require.Len(t, messages, 1)
	require.Contains(t, <-messages, `limit \"month\" exceeded`)
	require.NotContains(t, said.String(), "sesame")
}

// What a run had to tell is told before it ends, and the program that is run does not learn the webhook.
func TestRunTellsAChannelBeforeItEnds(t *testing.T) {
	realCredentials(t)
	t.Setenv(childVariable, "messages")
	server := bedrocktest.New(t, replies(100))
	self, err := os.Executable()
	require.NoError(t, err)
	hook, messages := channel(t)
	var said spoken
	code := run(t.Context(), []string{
		"bedrockguard", "run", "--max", "0.01USD", "--region", "us-east-1", "--upstream", server.URL(), "--metrics", "127.0.0.1:0", "--webhook", hook, "--", self,
	}, strings.NewReader(""), &said, &said)
	require.Equal(t, exit.CodeStopped, code, said.String())
	require.Regexp(t, metricsURL, said.String())
	require.Len(t, messages, 1)
	require.Contains(t, <-messages, `"limit":"run"`)
}

func TestSidesAreNotServedUnsafely(t *testing.T) {
	realCredentials(t)
	for name, tc := range map[string]struct {
		flags []string
		code  int
		text  string
	}{
		"metrics for everybody":       {[]string{"--metrics", "0.0.0.0:0"}, exit.CodeUsage, "read by everybody"},
		"metrics flags alone":         {[]string{"--metrics-open"}, exit.CodeUsage, "give --metrics"},
		"metrics at no address":       {[]string{"--metrics", "nowhere"}, exit.CodeFailure, "nowhere"},
		"a format alone":              {[]string{"--webhook-format", "slack"}, exit.CodeUsage, "give --webhook"},
		"an unknown format":           {[]string{"--webhook", "https://hooks.example/sesame", "--webhook-format", "xml"}, exit.CodeUsage, "xml"},
		"a URL that is none":          {[]string{"--webhook", "sesame"}, exit.CodeUsage, "can't be parsed"},
		"a secret in the clear":       {[]string{"--webhook", "http://hooks.example/sesame", "--webhook-format", "slack"}, exit.CodeUsage, "in the clear"},
		"a page, and metrics nowhere": {[]string{"--page", "127.0.0.1:0", "--metrics", "nowhere"}, exit.CodeFailure, "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			var said spoken
			args := append(append([]string{"bedrockguard", "run", "--max", "5USD", "--region", "us-east-1"}, tc.flags...), "--", "true")
			code := run(t.Context(), args, strings.NewReader(""), &said, &said)
			require.Equal(t, tc.code, code, said.String())
			require.Contains(t, said.String(), tc.text)
			require.NotContains(t, strings.ReplaceAll(said.String(), "--webhook", ""), "sesame")
		})
	}
}
