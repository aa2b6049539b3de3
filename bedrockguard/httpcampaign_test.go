package bedrockguard_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

// Whatever the service does and however a client leaves: nothing stays pending, and the bill is covered.
func TestNoReservationIsLeftOverHTTP(t *testing.T) {
	routes := routesOfModels()
	names := make([]string, 0, len(routes))
	for name := range routes {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(rt *rapid.T) {
		tb := &tbOf{TB: t}
		defer tb.end()
		seed := rapid.Uint64().Draw(rt, "seed")
		r := newRig(tb, settings{
			server: bedrocktest.Options{StallLimit: 1, Faults: bedrocktest.RandomStreamFaults(seed, 0.6)},
			guard:  bedrockguard.Options{DrainTimeout: time.Second},
		})
		at, _ := url.Parse(r.server.URL())
		base := &http.Transport{}
		defer base.CloseIdleConnections()
		var under http.RoundTripper = base
		if rapid.Bool().Draw(rt, "traced") {
			under = roundTripFunc(base.RoundTrip)
		}
		client := &http.Client{Transport: r.guard.Transport(under, bedrockguard.TransportOptions{Hosts: map[string]string{at.Host: "us-east-1"}, Errors: rapid.Bool().Draw(rt, "errors")})}
		for range rapid.IntRange(1, 5).Draw(rt, "calls") {
			name := rapid.SampledFrom(names).Draw(rt, "route")
			ctx, cancel := context.WithCancel(context.Background())
			if rapid.Bool().Draw(rt, "no end") {
				ctx = context.Background()
			}
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, r.server.URL()+routes[name][0], strings.NewReader(routes[name][1]))
			leave := rapid.SampledFrom([]string{"reads", "closes", "reads a bit", "cancels", "cancels soon", "reads a bit and cancels"}).Draw(rt, "client")
			if leave == "cancels soon" {
				time.AfterFunc(time.Duration(rapid.IntRange(0, 2000).Draw(rt, "us"))*time.Microsecond, cancel)
			}
			resp, err := client.Do(req)
			if err == nil {
				switch leave {
				case "reads", "cancels soon":
					_, _ = io.Copy(io.Discard, resp.Body)
				case "reads a bit", "reads a bit and cancels":
					_, _ = resp.Body.Read(make([]byte, 7))
				}
				if strings.Contains(leave, "cancels") {
					cancel()
				}
				resp.Body.Close()
			}
			cancel()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(rt, r.guard.Close(ctx))
		b := r.balance(tb, total)
		require.Zero(rt, b.Pending.N)
		require.GreaterOrEqual(rt, b.Settled.N, r.server.Bill().NanoUSD)
	})
}
