package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// BenchmarkProxy compares a call through the guarding proxy with one through a bare httputil.ReverseProxy, of one caller, in one run.
func BenchmarkProxy(b *testing.B) {
	service, err := bedrocktest.Start(bedrocktest.Options{FirstByteDelay: -1})
	require.NoError(b, err)
	defer service.Close()
	for name, h := range compared(b, service) {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(h)
			defer server.Close()
			for b.Loop() {
				resp, err := server.Client().Post(server.URL+converse, "application/json", strings.NewReader(hello))
				require.NoError(b, err)
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
}

// compared are a bare reverse proxy and the guarding one, in front of the same service.
func compared(b *testing.B, service *bedrocktest.Server) map[string]http.Handler {
	b.Helper()
	upstream, err := url.Parse(service.URL())
	require.NoError(b, err)
	base := &http.Transport{MaxIdleConnsPerHost: 2048}
	b.Cleanup(base.CloseIdleConnections)
	bare := &httputil.ReverseProxy{FlushInterval: -1, Transport: base, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		r.Out.Header.Set("Authorization", "Bearer upstream")
	}}
	return map[string]http.Handler{"bare": bare, "guarded": guarded(b, upstream, base)}
}

func guarded(tb testing.TB, upstream *url.URL, base http.RoundTripper) http.Handler {
	ledger, err := budget.Open(tb.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "all", Max: budget.USD(1e6), Window: budget.Monthly}}})
	require.NoError(tb, err)
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = guard.Close(context.Background()) })
	h, err := proxy.New(proxy.Options{
		Guard: guard, Region: "us-east-1", Upstream: upstream, Base: base, Callers: proxy.Loopback(budget.Scope{}),
		Sign: func(r *http.Request, _ []byte) error { r.Header.Set("Authorization", "Bearer upstream"); return nil },
	})
	require.NoError(tb, err)
	return h
}

// BenchmarkProxyStreams opens many streams at once, paced, and tells the time to the first byte that 99 of 100 stay under.
func BenchmarkProxyStreams(b *testing.B) {
	service, err := bedrocktest.Start(bedrocktest.Options{FirstByteDelay: -1, EventDelay: 100 * time.Millisecond})
	require.NoError(b, err)
	defer service.Close()
	for name, h := range compared(b, service) {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(h)
			defer server.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2048}}
			defer client.CloseIdleConnections()
			for b.Loop() {
				var all sync.WaitGroup
				var mu sync.Mutex
				var first []time.Duration
				pace := time.NewTicker(10 * time.Millisecond)
				for range 500 {
					<-pace.C
					all.Go(func() {
						began := time.Now()
						resp, err := client.Post(server.URL+strings.Replace(converse, "converse", "converse-stream", 1), "application/json", strings.NewReader(hello))
						if err != nil {
							b.Error(err)
							return
						}
						defer resp.Body.Close()
						_, _ = io.ReadFull(resp.Body, make([]byte, 1))
						mu.Lock()
						first = append(first, time.Since(began))
						mu.Unlock()
						_, _ = io.Copy(io.Discard, resp.Body)
					})
				}
				pace.Stop()
				all.Wait()
				slices.Sort(first)
				b.ReportMetric(float64(first[len(first)*99/100].Microseconds()), "µs-p99")
				b.ReportMetric(float64(first[len(first)/2].Microseconds()), "µs-p50")
			}
		})
	}
}
