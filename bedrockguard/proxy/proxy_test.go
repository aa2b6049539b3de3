package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a proxy in front of a simulated service.
type house struct {
	service *bedrocktest.Server
	ledger  *budget.Ledger
	server  *httptest.Server
	client  *http.Client
}

func newHouse(t *testing.T, limits []budget.Limit, service bedrocktest.Options, change ...func(*proxy.Options)) *house {
	t.Helper()
	service.Record = true
	h := &house{service: bedrocktest.New(t, service)}
	limits = append([]budget.Limit{{Name: "total", Max: budget.USD(1e6), Window: budget.Lifetime}}, limits...)
	var err error
	h.ledger, err = budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: limits})
	require.NoError(t, err)
	guard, err := bedrockguard.New(h.ledger, bedrockguard.Options{KillPoll: 5 * time.Millisecond})
	require.NoError(t, err)
	upstream, err := url.Parse(h.service.URL())
	require.NoError(t, err)
	base := &http.Transport{}
	o := proxy.Options{
		Guard: guard, Region: "us-east-1", Upstream: upstream, Base: base,
		Sign: func(r *http.Request, _ []byte) error {
			r.Header.Set("Authorization", "Bearer upstream")
			return nil
		},
		Callers: proxy.Loopback(budget.Scope{Principal: "me"}),
	}
	for _, c := range change {
		c(&o)
	}
	handler, err := proxy.New(o)
	require.NoError(t, err)
	h.server = httptest.NewUnstartedServer(handler)
	h.server.Config.Protocols = new(http.Protocols)
	h.server.Config.Protocols.SetHTTP1(true)
	h.server.Config.Protocols.SetUnencryptedHTTP2(true)
	h.server.Config.ReadHeaderTimeout = time.Second
	h.server.Start()
	h.client = h.server.Client()
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		h.server.Close()
		require.NoError(t, guard.Close(context.Background()))
		base.CloseIdleConnections()
	})
	return h
}

const (
	converse = "/model/us.anthropic.claude-sonnet-4-6/converse"
	hello    = `{"inferenceConfig":{"maxTokens":64},"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`
)

func (h *house) request(t *testing.T, method, path, body string) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), method, h.server.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	return req
}

func (h *house) post(t *testing.T, path, body string, change ...func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req := h.request(t, http.MethodPost, path, body)
	for _, c := range change {
		c(req)
	}
	resp, err := h.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(answer)
}

// settled is what the ledger holds, and that nothing is pending.
func (h *house) settled(t *testing.T) int64 {
	t.Helper()
	all, err := h.ledger.Balances(t.Context(), budget.Scope{})
	require.NoError(t, err)
	require.Zero(t, all[0].Pending.N)
	return all[0].Settled.N
}

func TestARequestIsSettledSignedAnewAndAnsweredAsItIs(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{})
	resp, body := h.post(t, converse, hello, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer of-the-caller")
		r.Header.Set("X-Api-Key", "of-the-caller")
		r.Header.Set("X-Bedrockguard-Workflow", "nightly")
		r.Header.Set("X-Forwarded-For", "10.0.0.1")
		r.Header.Set("Cookie", "a=b")
	})
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.NotEmpty(t, resp.Header.Get("X-Amzn-Requestid"))
	require.Equal(t, h.service.Bill().NanoUSD, h.settled(t))
	got := h.service.Received()[0].Header
	require.Equal(t, "Bearer upstream", got.Get("Authorization"))
	for _, name := range []string{"X-Api-Key", "X-Bedrockguard-Workflow", "X-Forwarded-For", "Cookie"} {
		require.Empty(t, got.Get(name), name)
	}
	for e, err := range h.ledger.Entries(t.Context(), budget.Query{}) {
		require.NoError(t, err)
		require.Equal(t, "nightly", e.Scope.Workflow)
		require.Equal(t, "me", e.Scope.Principal)
	}
}

func TestADenialCostsNothingHoweverOftenItIsAskedFor(t *testing.T) {
	h := newHouse(t, []budget.Limit{{Name: "tiny", Max: budget.USD(1e-9), Window: budget.Monthly}}, bedrocktest.Options{})
	for range 20 {
		resp, body := h.post(t, converse, hello)
		require.Equal(t, http.StatusPaymentRequired, resp.StatusCode)
		require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
		require.Contains(t, body, "tiny")
	}
	require.Zero(t, h.service.Requests())
	require.Zero(t, h.settled(t))
}

func TestStreamsPassAsTheyCome(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{EventDelay: 30 * time.Millisecond})
	for path, body := range map[string]string{
		"/model/us.anthropic.claude-sonnet-4-6/converse-stream": hello,
		"/openai/v1/chat/completions":                           `{"model":"openai.gpt-oss-120b-1:0","stream":true,"messages":[{"role":"user","content":"hello"}]}`,
		"/anthropic/v1/messages":                                `{"model":"us.anthropic.claude-sonnet-4-6","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hello"}]}`,
	} {
		resp, err := h.client.Do(h.request(t, http.MethodPost, path, body))
		require.NoError(t, err)
		first := make([]byte, 1)
		_, err = io.ReadFull(resp.Body, first)
		require.NoError(t, err)
		all, err := h.ledger.Balances(t.Context(), budget.Scope{})
		require.NoError(t, err)
		require.Positive(t, all[0].Pending.N, "the first byte came with the last: %s", path)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	require.Equal(t, h.service.Bill().NanoUSD, h.settled(t))
}

// aws-sdk-js speaks HTTP/2 in the clear, and nothing else.
func TestHTTP2InTheClear(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	h.client = &http.Client{Transport: transport}
	resp, body := h.post(t, converse, hello)
	require.Equal(t, 2, resp.ProtoMajor)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.Equal(t, h.service.Bill().NanoUSD, h.settled(t))
}

// A path is sent as it came: models have colons and slashes in their ids, which clients escape in their own ways.
func TestPathsAreSentAsTheyCame(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{})
	for _, id := range []string{"anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1%3A0"} {
		resp, body := h.post(t, "/model/us."+id+"/converse", hello)
		require.Equal(t, http.StatusOK, resp.StatusCode, body)
	}
	require.Equal(t, h.service.Bill().NanoUSD, h.settled(t))
}

func TestWhoIsNotLetIn(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{})
	for name, change := range map[string]func(*http.Request){
		"a foreign Host": func(r *http.Request) { r.Host = "attacker.example" },
		"a page":         func(r *http.Request) { r.Header.Set("Origin", "https://attacker.example") },
		"a browser":      func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		resp, body := h.post(t, converse, hello, change)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, name)
		require.Contains(t, body, "unauthenticated")
	}
	require.Zero(t, h.service.Requests())
}

// What a key says stands: a request can't move its spend to another workflow's account, and can't name tags.
func TestARequestCantTakeBackWhatItsKeySays(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{}, func(o *proxy.Options) {
		o.Callers = proxy.Loopback(budget.Scope{Principal: "me", Workflow: "nightly", Tags: map[string]string{"team": "search"}})
	})
	named := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, workflow := range []string{"another", strings.Repeat("x", 600)} {
		resp, body := h.post(t, converse, hello, named("X-Bedrockguard-Workflow", workflow))
		require.Equal(t, http.StatusPaymentRequired, resp.StatusCode, body)
	}
	require.Zero(t, h.service.Requests())
	for _, change := range []func(*http.Request){named("X-Bedrockguard-Workflow", "nightly"), named("X-Bedrockguard-Tag", "team=other")} {
		resp, body := h.post(t, converse, hello, change)
		require.Equal(t, http.StatusOK, resp.StatusCode, body)
	}
	for e, err := range h.ledger.Entries(t.Context(), budget.Query{}) {
		require.NoError(t, err)
		require.Equal(t, "nightly", e.Scope.Workflow)
		require.Equal(t, map[string]string{"team": "search"}, e.Scope.Tags)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{}, func(o *proxy.Options) { o.MaxBody, o.BodyTimeout = 1000, 50*time.Millisecond })
	resp, body := h.post(t, converse, strings.Repeat(" ", 1001))
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Contains(t, body, "1000 bytes")

	conn, err := net.Dial("tcp", h.server.Listener.Addr().String()) // who says more than comes
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST "+converse+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{")
	require.NoError(t, err)
	late, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer late.Body.Close()
	require.Equal(t, http.StatusBadRequest, late.StatusCode)
	require.Zero(t, h.service.Requests())
	require.Zero(t, h.settled(t))
}

func TestWhatIsNoRequestOfTheAPIIsRefused(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{})
	for _, raw := range []string{"PRI * HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
		conn, err := net.Dial("tcp", h.server.Listener.Addr().String())
		require.NoError(t, err)
		_, err = io.WriteString(conn, raw)
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.NoError(t, conn.Close())
	}
	resp, _ := h.post(t, "/model/x/train", "{}")
	require.Equal(t, http.StatusPaymentRequired, resp.StatusCode)
	require.Zero(t, h.service.Requests())
}

// Callers who leave in the middle, and a service that can't be reached, leave nothing pending and nothing unpaid.
func TestNothingIsLostWhenSomebodyLeaves(t *testing.T) {
	h := newHouse(t, nil, bedrocktest.Options{EventDelay: 5 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	req := h.request(t, http.MethodPost, strings.Replace(converse, "converse", "converse-stream", 1), hello).WithContext(ctx)
	resp, err := h.client.Do(req)
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 1))
	require.NoError(t, err)
	cancel()
	require.NoError(t, resp.Body.Close())
	require.Eventually(t, func() bool {
		all, err := h.ledger.Balances(t.Context(), budget.Scope{})
		return err == nil && all[0].Pending.N == 0 && all[0].Settled.N > 0
	}, 10*time.Second, 5*time.Millisecond)
	require.GreaterOrEqual(t, h.settled(t), h.service.Bill().NanoUSD)

	down := newHouse(t, nil, bedrocktest.Options{}, func(o *proxy.Options) {
		o.Sign = func(*http.Request, []byte) error { return errors.New("no credentials") }
	})
	resp, _ = down.post(t, converse, hello)
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	require.Zero(t, down.settled(t))
	require.Zero(t, down.service.Requests())
}

func TestOptionsThatCantBeEnforced(t *testing.T) {
	_, err := proxy.New(proxy.Options{MaxBody: -1})
	for _, text := range []string{"Guard", "Region", "Sign", "Callers", "MaxBody"} {
		require.ErrorContains(t, err, text)
	}
	require.ErrorIs(t, err, proxy.ErrInvalidOptions)
}
