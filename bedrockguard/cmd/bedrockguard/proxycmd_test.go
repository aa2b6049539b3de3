package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/keys"
)

// spoken is what a command has written so far. It is safe for concurrent use.
type spoken struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *spoken) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// addressIn finds where a proxy says that it serves.
func addressIn(log string) string {
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
			return entry.Address
		}
	}
	return ""
}

func writePolicy(t *testing.T, text string) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "policy.yaml")
	require.NoError(t, os.WriteFile(at, []byte(text), 0o600))
	return at
}

func TestProxyServesUntilItIsToldToEnd(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
	server := bedrocktest.New(t, replies(100))
	policy := writePolicy(t, "limits:\n  - {name: month, max: 0.01 USD, window: monthly in UTC}\n")
	store := "sqlite:" + filepath.Join(t.TempDir(), "spend.db")
	ctx, stop := context.WithCancel(t.Context())
	var said spoken
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"bedrockguard", "--store", store, "proxy", "--create", "--policy", policy, "--listen", "127.0.0.1:0", "--open-loopback", "--region", "us-east-1", "--upstream", server.URL()},
			strings.NewReader(""), &said, &said)
	}()
	require.Eventually(t, func() bool { return addressIn(said.String()) != "" }, 20*time.Second, 10*time.Millisecond)
	base := "http://" + addressIn(said.String())
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	for _, path := range []string{"/healthz", "/readyz"} {
		resp, err := client.Get(base + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	status := http.StatusOK
	for status == http.StatusOK {
		resp, err := client.Post(base+"/model/us.anthropic.claude-sonnet-4-6/converse", "application/json", strings.NewReader(`{"inferenceConfig":{"maxTokens":100},"messages":[{"role":"user","content":[{"text":"hello"}]}]}`))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		status = resp.StatusCode
	}
	require.Equal(t, http.StatusPaymentRequired, status)
	require.LessOrEqual(t, server.Bill().NanoUSD, int64(10_000_000))
	stop()
	require.Zero(t, <-ended, said.String())
	require.Contains(t, said.String(), `"msg":"denied"`)
	require.NotContains(t, said.String(), "hello")
}

func TestProxyRefusesToServeWhatIsUnsafe(t *testing.T) {
	server := bedrocktest.New(t, bedrocktest.Options{})
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
	policy := writePolicy(t, "limits:\n  - {name: month, max: 1 USD, window: monthly in UTC}\n")
	for name, tc := range map[string]struct {
		flags []string
		code  int
		text  string
	}{
		"an open door to the network": {[]string{"--listen", "0.0.0.0:0", "--open-loopback"}, exit.CodeUsage, "can be reached from elsewhere"},
		"nobody":                      {nil, exit.CodeUsage, "let in"},
		"half of TLS":                 {[]string{"--open-loopback", "--tls-cert", "x"}, exit.CodeUsage, "--tls-key"},
		"a policy that is none":       {[]string{"--open-loopback", "--policy", writePolicy(t, "limits:\n  - {name: x, max: 5 euro}\n")}, exit.CodeFailure, "line 2, column"},
		"no such policy":              {[]string{"--open-loopback", "--policy", "/nowhere.yaml"}, exit.CodeFailure, "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			var said spoken
			args := []string{"bedrockguard", "--store", "sqlite:" + filepath.Join(t.TempDir(), "spend.db"), "proxy", "--create", "--policy", policy, "--listen", "127.0.0.1:0", "--region", "us-east-1", "--upstream", server.URL()}
			code := run(t.Context(), append(args, tc.flags...), strings.NewReader(""), &said, &said)
			require.Equal(t, tc.code, code, said.String())
			require.Contains(t, said.String(), tc.text)
		})
	}
}

// A key is made, used and revoked, while the proxy serves.
func TestKeysOfTheProxy(t *testing.T) {
	folder := t.TempDir()
	book, master := filepath.Join(folder, "keys.json"), filepath.Join(folder, "master")
	command := func(args ...string) (int, string) {
		var said spoken
		code := run(t.Context(), append([]string{"bedrockguard"}, args...), strings.NewReader(""), &said, &said)
		return code, said.String()
	}
	code, text := command("keys", "master")
	require.Zero(t, code)
	require.NoError(t, os.WriteFile(master, []byte(text), 0o600))
	code, text = command("--json", "keys", "create", "--keys", book, "--master-key", master, "--principal", "ci", "--tag", "team=search", "--expires", "24h")
	require.Zero(t, code, text)
	var made struct {
		keys.Key
		BearerKey string `json:"bearer"`
		Secret    string `json:"secret_access_key"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &made))
	require.NotEmpty(t, made.BearerKey)
	require.NotEmpty(t, made.Secret)
	kept, err := os.ReadFile(book)
	require.NoError(t, err)
	require.NotContains(t, string(kept), made.BearerKey)
	require.NotContains(t, string(kept), made.Secret)
	code, text = command("keys", "list", "--keys", book)
	require.Zero(t, code)
	require.Regexp(t, made.ID+`  principal=ci,? tag:team=search  .* good`, text)
	code, text = command("keys", "revoke", "--keys", book, made.ID)
	require.Zero(t, code, text)
	_, text = command("keys", "list", "--keys", book)
	require.Contains(t, text, "revoked")
	for _, args := range [][]string{{"keys", "list"}, {"keys", "revoke", "--keys", book}, {"keys", "create", "--keys", book, "--principal", "x", "--expires", "-1h"}} {
		code, text = command(args...)
		require.Equal(t, exit.CodeUsage, code, text)
	}
	code, _ = command("keys", "revoke", "--keys", book, "BGAK0000000000000000")
	require.Equal(t, exit.CodeFailure, code)
	code, _ = command("keys", "list", "--keys", filepath.Join(folder, "none.json"))
	require.Equal(t, exit.CodeFailure, code)
}
