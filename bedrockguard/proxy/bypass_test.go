package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/keys"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// A connection that is upgraded is a tunnel behind the guard's back.
func TestNoTunnelIsOpened(t *testing.T) {
	tunneled := make(chan string, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			tunneled <- ""
			return
		}
		conn, buf, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		line, _ := buf.ReadString('\n')
		tunneled <- line
	}))
	defer upstream.Close()
	h := newHouse(t, nil, bedrocktest.Options{}, func(o *proxy.Options) { o.Upstream, _ = url.Parse(upstream.URL) })
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.server.URL, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(3*time.Second)))
	fmt.Fprintf(conn, "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\n", converse)
	}
	select {
	case line := <-tunneled:
		require.Empty(t, line, "the upstream read a request that nobody has judged")
	case <-time.After(3 * time.Second):
	}
}

// What a caller says of itself must not take its calls out of a limit, nor give it a larger one.
func TestHeadersRemoveNoLimit(t *testing.T) {
	for name, limit := range map[string]budget.Limit{
		"not":     {Name: "x", Max: budget.USD(1e-9), Window: budget.Lifetime, Match: budget.Match{Not: []budget.Match{{Tags: map[string]string{"env": "prod"}}}}},
		"max for": {Name: "x", Max: budget.USD(1e-9), Window: budget.Lifetime, PerTags: []string{"env"}, MaxFor: []budget.MaxFor{{Match: budget.Match{Tags: map[string]string{"env": "prod"}}, Max: budget.USD(100)}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, []budget.Limit{limit}, bedrocktest.Options{})
			resp, body := h.post(t, converse, hello)
			require.Equal(t, http.StatusPaymentRequired, resp.StatusCode, body)
			resp, _ = h.post(t, converse, hello, func(r *http.Request) {
				r.Header.Set("X-Bedrockguard-Tag", "env=prod")
				r.Header.Set("X-Bedrockguard-Workflow", "free")
			})
			require.Equal(t, http.StatusPaymentRequired, resp.StatusCode, "a header has removed the limit")
		})
	}
}

// A workflow that was killed stays so, whatever its caller calls itself, if its key names it.
func TestAKilledWorkflowOfAKeyStaysKilled(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{}, func(o *proxy.Options) {
		o.Callers = proxy.Loopback(budget.Scope{Principal: "me", Workflow: "nightly"})
	})
	_, err := h.ledger.Kill(t.Context(), budget.Scope{Workflow: "nightly"}, "runaway")
	require.NoError(t, err)
	resp, _ := h.post(t, converse, hello, func(r *http.Request) { r.Header.Set("X-Bedrockguard-Workflow", "other") })
	require.Equal(t, http.StatusPaymentRequired, resp.StatusCode)
}

// Who shows no key is told so before a body of 32 MiB is taken in.
func TestNobodySendsABodyWithoutAKey(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{}, func(o *proxy.Options) {
		book, err := keys.OpenFile(filepath.Join(t.TempDir(), "keys.json"), keys.FileOptions{Create: true})
		require.NoError(t, err)
		o.Callers = proxy.Keys(&keys.Ring{Book: book})
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.server.URL, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(2*time.Second)))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 30000000\r\n\r\n{", converse)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err, "the proxy waits for the body of a stranger")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}

// What goes to Bedrock's control plane is signed, and nothing but the GETs that clients make goes there.
func TestTheControlPlaneIsAskedForListsAlone(t *testing.T) {
	type seen struct{ host, method, path, authorization string }
	var asked []seen
	h := newHouse(t, nil, bedrocktest.Options{}, func(o *proxy.Options) {
		o.Upstream = nil
		o.Base = roundTripper(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, seen{r.URL.Host, r.Method, r.URL.EscapedPath(), r.Header.Get("Authorization")})
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		})
	})
	for _, c := range []struct{ method, path string }{
		{http.MethodPost, "/inference-profiles"},
		{http.MethodDelete, "/inference-profiles/abc"},
		{http.MethodPost, "/inference-profiles/..%2Fmodel-invocation-job"},
		{http.MethodPost, "/inference-profiles/../model-invocation-job"},
		{http.MethodPost, "/foundation-models-x"},
	} {
		req := h.request(t, c.method, c.path, `{}`)
		resp, err := h.client.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Empty(t, asked, "%s %s", c.method, c.path)
	}
	resp, err := h.client.Do(h.request(t, http.MethodGet, "/inference-profiles?type=SYSTEM_DEFINED", ""))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, []seen{{"bedrock.us-east-1.amazonaws.com", http.MethodGet, "/inference-profiles", "Bearer upstream"}}, asked, "unsigned: AWS refuses it")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A proxy behind a proxy: what the second one refuses has cost nothing.
func TestARefusalOfAProxyBehindCostsNothing(t *testing.T) {
	inner := newHouse(t, []budget.Limit{{Name: "tiny", Max: budget.USD(1e-9), Window: budget.Lifetime}}, bedrocktest.Options{})
	outer := newHouse(t, nil, bedrocktest.Options{}, func(o *proxy.Options) { o.Upstream, _ = url.Parse(inner.server.URL) })
	for _, r := range [][2]string{{converse, hello}, {"/openai/v1/chat/completions", `{"model":"openai.gpt-oss-120b-1:0","max_completion_tokens":64,"messages":[{"role":"user","content":"hello"}]}`}} {
		resp, _ := outer.post(t, r[0], r[1])
		require.Equal(t, http.StatusPaymentRequired, resp.StatusCode)
		require.Zero(t, inner.settled(t))
		require.Zero(t, outer.settled(t), "charged at its worst case: %s", r[0])
	}
}

// Chunked uploads with trailers, doubled lengths, absolute targets.
func TestOddFramingsAreJudgedOrRefused(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{})
	raw := func(request string) (int, string) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.server.URL, "http://"))
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
		_, _ = io.WriteString(conn, request)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return 0, err.Error()
		}
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\nX-T: 1\r\n\r\n", len(hello), hello)
	status, body := raw("POST " + converse + " HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\nConnection: close\r\n\r\n" + chunked)
	require.Equal(t, http.StatusOK, status, body)
	status, body = raw("POST http://127.0.0.1" + converse + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: " + fmt.Sprint(len(hello)) + "\r\n\r\n" + hello)
	require.Contains(t, []int{http.StatusOK, http.StatusBadRequest}, status, body)
	status, body = raw("POST " + converse + " HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\nConnection: close\r\n\r\n" + chunked)
	require.Contains(t, []int{http.StatusOK, http.StatusBadRequest}, status, body)
	for _, odd := range []string{"PRI * HTTP/2.0\r\n\r\n", "CONNECT bedrock:443 HTTP/1.1\r\nHost: x\r\n\r\n", "POST x:y HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "POST //model/a/converse HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"} {
		status, body = raw(odd)
		require.NotEqual(t, http.StatusOK, status, "%q %s", odd, body)
	}
	require.Equal(t, h.service.Bill().NanoUSD, h.settled(t))
}

// A client that leaves in the middle of a stream leaves no reservation.
func TestAClientThatLeavesAStream(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{})
	for _, path := range []string{strings.Replace(converse, "/converse", "/converse-stream", 1)} {
		ctx, cancel := context.WithCancel(t.Context())
		req := h.request(t, http.MethodPost, path, hello).WithContext(ctx)
		resp, err := h.client.Do(req)
		require.NoError(t, err)
		_, _ = resp.Body.Read(make([]byte, 10))
		cancel()
		resp.Body.Close()
	}
	require.Eventually(t, func() bool {
		all, err := h.ledger.Balances(t.Context(), budget.Scope{})
		return err == nil && all[0].Pending.N == 0 && all[0].Settled.N >= h.service.Bill().NanoUSD
	}, 5*time.Second, 10*time.Millisecond)
}

// A query that says it is signed changes nothing in how a caller's request is handled.
func TestAQueryThatSaysItIsSigned(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{})
	resp, body := h.post(t, "/openai/v1/chat/completions?X-Amz-Signature=x", `{"model":"openai.gpt-oss-120b-1:0","stream":true,"max_completion_tokens":64,"messages":[{"role":"user","content":"hello"}]}`)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.Equal(t, h.service.Bill().NanoUSD, h.settled(t), "charged at its worst case, because usage was not asked for")
}
