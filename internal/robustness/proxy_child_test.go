package robustness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/signal"
	"syscall"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// The points at which only a proxy can be killed.
const (
	onArrival = "on-arrival" // the request's headers are there, nothing of its body is read
	midAnswer = "mid-answer" // the client has a part of its answer
)

var proxyDeathPoints = append([]string{onArrival, midAnswer}, deathPoints...)

// serve is a proxy in a process of its own: it says where it listens, and serves until it is asked to end, or dies.
func (job childJob) serve(ctx context.Context) (failed error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	opened, err := backend.Open(ctx, job.Ledger, backend.Patient)
	if err != nil {
		return err
	}
	defer opened.Close()
	death := &death{label: job.DieAt, after: job.DieAfter}
	ledger, err := budget.Open(ctx, &mortalStore{Store: opened, death: death}, policy(job.LimitUSD))
	if err != nil {
		return err
	}
	guard, err := newGuard(ledger, job)
	if err != nil {
		return err
	}
	upstream, err := url.Parse(job.URL)
	if err != nil {
		return err
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = job.Workers
	handler, err := proxy.New(proxy.Options{
		Guard: guard, Region: "us-east-1", Upstream: upstream, Base: &mortalTransport{next: base, death: death},
		Callers: proxy.Loopback(budget.Scope{Principal: "ci"}),
		Sign:    func(r *http.Request, _ []byte) error { r.Header.Set("Authorization", "Bearer upstream"); return nil },
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", job.Listen)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		death.at(onArrival)
		handler.ServeHTTP(&mortalWriter{ResponseWriter: w, death: death}, r)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(server.Shutdown(ending), guard.Close(ending))
}

// mortalWriter dies when a part of an answer is on its way to the client.
type mortalWriter struct {
	http.ResponseWriter
	death *death
}

func (w *mortalWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *mortalWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	w.death.at(midAnswer)
	return n, err
}
