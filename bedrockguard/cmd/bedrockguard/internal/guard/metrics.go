package guard

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/urfave/cli/v3"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// metricsFlags are the flags of commands that can serve metrics in addition.
func metricsFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "metrics", Usage: "serve metrics for Prometheus at this address, such as 127.0.0.1:9464, under /metrics", HideDefault: true},
		&cli.BoolFlag{Name: "metrics-open", Usage: "let everybody read the metrics who reaches their address: without it only loopback addresses are served"},
		&cli.StringSliceFlag{Name: "metrics-tag", Usage: "a tag of calls by which metrics are told apart, too; may be repeated", HideDefault: true},
	}
}

// metricsServer serves metrics to Prometheus. A nil one serves nothing.
type metricsServer struct {
	telemetry *otelguard.Telemetry     // makes metrics of the guard's events
	provider  *sdkmetric.MeterProvider // collects them for the server
	server    *http.Server
	url       string
	served    chan error // gets the error with which serving has ended
}

// openMetrics serves the metrics that the flags of metricsFlags ask for; it returns nil if they ask for none. Metrics have no login, so an
// address that is not loopback needs --metrics-open.
func openMetrics(c *cli.Command, ledger *budget.Ledger) (*metricsServer, error) {
	if c.String("metrics") == "" {
		if c.Bool("metrics-open") || len(c.StringSlice("metrics-tag")) > 0 {
			return nil, exit.UsageError("--metrics-open and --metrics-tag are of the metrics: give --metrics, too")
		}
		return nil, nil
	}
	listener, err := net.Listen("tcp", c.String("metrics"))
	if err != nil {
		return nil, err
	}
	if !isLoopback(listener.Addr()) && !c.Bool("metrics-open") {
		return nil, errors.Join(exit.UsageError("the metrics at %s could be read by everybody who reaches it: serve them at a loopback address, or give --metrics-open", listener.Addr()), listener.Close())
	}
	m, err := startMetrics(listener, c.Bool("metrics-open"), otelguard.Options{Ledger: ledger, Tags: c.StringSlice("metrics-tag")})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return m, nil
}

// startMetrics serves metrics on a listener. The telemetry makes metrics of the guard's events and hands them to the provider, from which the
// exporter puts them into the registry, which the handler serves. Unless open is set, only requests for loopback names are answered.
func startMetrics(listener net.Listener, open bool, o otelguard.Options) (*metricsServer, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, err
	}
	m := &metricsServer{provider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)), url: "http://" + listener.Addr().String() + "/metrics", served: make(chan error, 1)}
	o.MeterProvider = m.provider
	if m.telemetry, err = otelguard.New(o); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 2 * headerTimeout}))
	var handler http.Handler = mux
	if !open {
		handler = localHosts(mux)
	}
	m.server = sideServer(handler)
	go func() { m.served <- m.server.Serve(listener) }()
	return m, nil
}

// localHosts only answers requests for the names of the loopback interface, so that a website can't read the metrics under a name of its own
// (DNS rebinding).
func localHosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		addr, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !addr.Unmap().IsLoopback()) {
			http.Error(w, "unknown host", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// listeners returns the listeners that a guard needs for the metrics.
func (m *metricsServer) listeners() []func(context.Context, bedrockguard.Event) {
	if m == nil {
		return nil
	}
	return []func(context.Context, bedrockguard.Event){m.telemetry.Listen}
}

// watch lets the metrics read from the guard how many answers it reads on after their callers have left. The guard is made after the metrics, whose
// listener it needs, so it can't be given to openMetrics.
func (m *metricsServer) watch(guard *bedrockguard.Guard) {
	if m != nil {
		m.telemetry.Watch(guard)
	}
}

// close waits a few seconds for running requests.
func (m *metricsServer) close() error {
	if m == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), endServerWithin)
	defer cancel()
	err := endServer(ctx, m.server, m.served)
	return errors.Join(err, m.telemetry.Close(), m.provider.Shutdown(ctx))
}
