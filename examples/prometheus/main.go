// Command prometheus serves the metrics of guarded agents, which spend on a simulated Bedrock until they are told to end: at
// http://127.0.0.1:9464/metrics, for a Prometheus and for the dashboard in deploy/grafana.
//
//	go run ./examples/prometheus
//	prometheus --config.file=deploy/prometheus.yml
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9464", "the address to serve at")
	length := flag.Duration("for", 0, "how long to run; 0 is until interrupted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *length > 0 {
		ctx, stop = context.WithTimeout(ctx, *length)
		defer stop()
	}
	if err := run(ctx, *listen, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "prometheus:", err)
		os.Exit(1)
	}
}

// run serves the metrics while the agents spend, until the context ends.
func run(ctx context.Context, listen string, out io.Writer) error {
	ledger, err := openLedger(ctx)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return err
	}
	telemetry, err := otelguard.New(otelguard.Options{
		MeterProvider: metric.NewMeterProvider(metric.WithReader(exporter)), Ledger: ledger, Every: time.Second, Tags: []string{"team"},
	})
	if err != nil {
		return err
	}
	defer telemetry.Close()

	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(out, "metrics are at http://%s/metrics\n", listener.Addr())

	err = spend(ctx, ledger, telemetry, out)
	// Serve returns ErrServerClosed after Close, and anything else is a failure.
	err = errors.Join(err, server.Close())
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}
