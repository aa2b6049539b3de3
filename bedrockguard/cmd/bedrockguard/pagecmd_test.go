package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/storeurl"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

var pageURL = regexp.MustCompile(`(?:the page is at |"url":")(http://[0-9.:]+/)`)

// started runs a command until its page is served, and returns the page's address, and a function that ends the command.
func started(t *testing.T, args ...string) (page string, end func() (code int, said string)) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var said spoken
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"bedrockguard"}, args...), strings.NewReader(""), &said, &said)
	}()
	require.Eventually(t, func() bool { return pageURL.MatchString(said.String()) }, 20*time.Second, 10*time.Millisecond, "%s", &said)
	return pageURL.FindStringSubmatch(said.String())[1], func() (int, string) {
		stop()
		return <-ended, said.String()
	}
}

// viewer is a browser.
func viewer(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar, Transport: new(http.Transport)}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func textAt(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	return string(body)
}

func writeSecret(t *testing.T) string {
	at := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(at, []byte("0123456789abcdef\n"), 0o600))
	return at
}

// The page over a store, beside the processes that spend: what it kills is killed for them.
func TestServeShowsAndSteersAStore(t *testing.T) {
	store := "sqlite:" + filepath.Join(t.TempDir(), "spend.db")
	made, closeStore, err := storeurl.Open(t.Context(), store, true)
	require.NoError(t, err)
	defer closeStore()
	ledger, err := budget.Open(t.Context(), made, budget.Policy{Limits: []budget.Limit{{Name: "month", Max: budget.USD(200), Window: budget.Monthly}}})
	require.NoError(t, err)
	policy := writePolicy(t, "limits:\n  - {name: month, max: 200 USD, window: monthly}\n")
	page, end := started(t, "--store", store, "serve", "--listen", "127.0.0.1:0", "--policy", policy, "--secret-file", writeSecret(t))
	browser := viewer(t)
	resp, err := browser.Get(page)
	require.Contains(t, textAt(t, resp, err), "$200.00")
	resp, err = browser.PostForm(page+"login", url.Values{"name": {"ada"}, "secret": {"0123456789abcdef"}})
	textAt(t, resp, err)
	resp, err = browser.PostForm(page+"kill", url.Values{"workflow": {"nightly"}, "reason": {"loop"}})
	require.Contains(t, textAt(t, resp, err), "is a name misspelled?")
	_, err = ledger.Reserve(t.Context(), budget.Request{Scope: budget.Scope{Workflow: "nightly"}})
	require.ErrorIs(t, err, budget.ErrKilled)
	code, said := end()
	require.Zero(t, code, said)
}

// Beside a proxy the page hears of its calls.
func TestProxyServesThePage(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
	server := bedrocktest.New(t, replies(100))
	policy := writePolicy(t, "limits:\n  - {name: month, max: 1 USD, window: monthly}\n")
	store := "sqlite:" + filepath.Join(t.TempDir(), "spend.db")
	page, end := started(t, "--store", store, "proxy", "--create", "--policy", policy, "--listen", "127.0.0.1:0", "--open-loopback", "--region", "us-east-1", "--upstream", server.URL(), "--page", "127.0.0.1:0")
	browser := viewer(t)
	resp, err := browser.Get(page)
	require.Contains(t, textAt(t, resp, err), "read-only")
	code, said := end()
	require.Zero(t, code, said)
}

// The page of a run lives as long as the run.
func TestRunServesThePage(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
	t.Setenv(childVariable, "quiet")
	server := bedrocktest.New(t, replies(100))
	self, err := os.Executable()
	require.NoError(t, err)
	page, end := started(t, "run", "--max", "5USD", "--region", "us-east-1", "--upstream", server.URL(), "--page", "127.0.0.1:0", "--", self)
	code, said := end()
	require.Zero(t, code, said)
	_, err = viewer(t).Get(page) //nolint:bodyclose // there is none
	require.Error(t, err)
}

// Nobody serves the page to strangers by accident.
func TestPageIsNotServedUnsafely(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
	store := "sqlite:" + filepath.Join(t.TempDir(), "spend.db")
	_, closeStore, err := storeurl.Open(t.Context(), store, true)
	require.NoError(t, err)
	require.NoError(t, closeStore())
	short := filepath.Join(t.TempDir(), "short")
	require.NoError(t, os.WriteFile(short, []byte("guess\n"), 0o600))
	for name, tc := range map[string]struct {
		flags []string
		code  int
		text  string
	}{
		"in the clear":        {[]string{"--listen", "0.0.0.0:0", "--secret-file", writeSecret(t)}, exit.CodeUsage, "in the clear"},
		"without a secret":    {[]string{"--listen", "0.0.0.0:0", "--behind-tls"}, exit.CodeUsage, "read by everybody"},
		"without a host name": {[]string{"--listen", "0.0.0.0:0", "--behind-tls", "--secret-file", writeSecret(t)}, exit.CodeUsage, "host name"},
		"a short secret":      {[]string{"--listen", "127.0.0.1:0", "--secret-file", short}, exit.CodeFailure, "at least 16"},
		"no such file":        {[]string{"--listen", "127.0.0.1:0", "--secret-file", "/nowhere"}, exit.CodeFailure, "nowhere"},
		"no such address":     {[]string{"--listen", "nowhere"}, exit.CodeFailure, "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			var said spoken
			code := run(t.Context(), append([]string{"bedrockguard", "--store", store, "serve"}, tc.flags...), strings.NewReader(""), &said, &said)
			require.Equal(t, tc.code, code, said.String())
			require.Contains(t, said.String(), tc.text)
		})
	}
	var said spoken
	code := run(t.Context(), []string{"bedrockguard", "run", "--max", "5USD", "--page-secret-file", short, "--region", "us-east-1", "--", "true"}, strings.NewReader(""), &said, &said)
	require.Equal(t, exit.CodeUsage, code, said.String())
}
