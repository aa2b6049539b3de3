package bedrockguard_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// A request that is made of the response's own (resp.Request is what net/http hands to hooks and retries) is another sending.
func TestAResponsesRequestSentAgainIsCountedAgain(t *testing.T) {
	w := newWeb(t, settings{})
	r := routesOfModels()["Converse"]
	resp, err := w.client.Do(w.request(t, http.MethodPost, r[0], r[1]).WithContext(context.Background()))
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	again := resp.Request.Clone(resp.Request.Context())
	again.Body, again.ContentLength = io.NopCloser(strings.NewReader(r[1])), int64(len(r[1]))
	again.RequestURI = ""
	second, err := w.client.Do(again)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, second.Body)
	second.Body.Close()
	require.Equal(t, 2, w.server.Bill().Inferences)
	w.requireExact(t)
}

// Net/http sends URL.Opaque where it is set.
func TestThePathThatIsSentIsTheOneThatIsJudged(t *testing.T) {
	w := newWeb(t, settings{limits: []budget.Limit{{Name: "tiny", Max: budget.USD(1e-9), Window: budget.Monthly}}})
	r := routesOfModels()["Converse"]
	req := w.request(t, http.MethodPost, "/model/"+webClaude+"/count-tokens", r[1])
	req.URL.Opaque = "//" + w.host + r[0]
	resp, err := w.client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	require.Zero(t, w.server.Bill().Inferences, "a free route was judged, and a model was asked")
}

// Headers whose keys are not in net/http's form go out all the same.
func TestHeadersInAnotherSpelling(t *testing.T) {
	w := newWeb(t, settings{})
	r := routesOfModels()["Converse"]
	req := w.request(t, http.MethodPost, r[0], r[1])
	req.Header["content-encoding"] = []string{"gzip"}
	resp, err := w.client.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Zero(t, w.server.Requests())

	req = w.request(t, http.MethodPost, r[0], r[1])
	req.Header["Content-Encoding"] = []string{"", "gzip"}
	resp, err = w.client.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Zero(t, w.server.Requests())

	r = routesOfModels()["InvokeModel"]
	req = w.request(t, http.MethodPost, r[0], r[1])
	req.Header["x-amzn-bedrock-guardrailidentifier"] = []string{"abc"}
	resp, err = w.client.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusPaymentRequired, resp.StatusCode, "a guardrail has no token price")
	require.Zero(t, w.server.Requests())
}

func TestDoubledHeadersAreJudgedByTheDearer(t *testing.T) {
	w := newWeb(t, settings{})
	for _, values := range [][]string{{"", "abc"}, {"abc", ""}} {
		r := routesOfModels()["InvokeModel"]
		req := w.request(t, http.MethodPost, r[0], r[1])
		req.Header["X-Amzn-Bedrock-Guardrailidentifier"] = values
		resp, err := w.client.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.NotEqual(t, http.StatusOK, resp.StatusCode)
	}
	r := routesOfModels()["InvokeModel"]
	req := w.request(t, http.MethodPost, r[0], r[1])
	req.Header["X-Amzn-Bedrock-Service-Tier"] = []string{"flex", "priority"}
	resp, err := w.client.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.NotEqual(t, http.StatusOK, resp.StatusCode)
	w.requireCovered(t)
}

// An id on a free route that is a path once it is decoded.
func TestFreeRoutesHaveNoPathsForIds(t *testing.T) {
	w := newWeb(t, settings{})
	r := routesOfModels()["Converse"]
	for _, path := range []string{
		"/openai/v1/responses/..%2Fchat%2Fcompletions%3F/cancel",
		"/openai/v1/responses/%2e%2e/cancel",
		"/model/..%2Fmodel%2F" + webClaude + "%2Fconverse%3F/count-tokens",
		"/openai/v1/responses/../cancel",
	} {
		before := w.server.Requests()
		_, _ = w.post(t, path, r[1])
		require.Equal(t, before, w.server.Requests(), path)
	}
}

// An upstream that switches protocols on a guarded route.
func TestSwitchingProtocolsIsNoAnswer(t *testing.T) {
	w := newWeb(t, settings{})
	block := make(chan struct{})
	switching := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		<-block
		conn.Close()
	}))
	defer switching.Close()
	defer close(block)
	at, err := url.Parse(switching.URL)
	require.NoError(t, err)
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: w.guard.Transport(base, bedrockguard.TransportOptions{Hosts: map[string]string{at.Host: "us-east-1"}})}
	r := routesOfModels()["Converse"]
	done := make(chan int, 1)
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, switching.URL+r[0], strings.NewReader(r[1]))
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "h2c")
		resp, err := client.Do(req)
		if err != nil {
			done <- 0
			return
		}
		resp.Body.Close()
		done <- resp.StatusCode
	}()
	select {
	case status := <-done:
		require.NotEqual(t, http.StatusSwitchingProtocols, status)
	case <-time.After(3 * time.Second):
		require.Fail(t, "the call hangs, and its reservation with it")
	}
}

// Hosts that net/http makes Bedrock's of.
func TestHostsInAnotherSpelling(t *testing.T) {
	w := newWeb(t, settings{})
	asked := ""
	base := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		asked = req.URL.Host
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	})
	client := &http.Client{Transport: w.guard.Transport(base, bedrockguard.TransportOptions{Hosts: map[string]string{"gateway": "us-east-1"}})}
	for _, host := range []string{"bedrock-mantle.us-east-1.api。aws", "ｂedrock-mantle.us-east-1.api.aws", "gateway:80", "GATEWAY", "gateway."} {
		asked = ""
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+"/v1/embeddings", strings.NewReader(`{}`))
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Empty(t, asked, "%s passes untouched on a route that is refused", host)
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Net/http closes idle connections through the transport of a client.
func TestIdleConnectionsCanBeClosed(t *testing.T) {
	w := newWeb(t, settings{})
	_, ok := w.client.Transport.(interface{ CloseIdleConnections() })
	require.True(t, ok, "http.Client.CloseIdleConnections does nothing")
}
