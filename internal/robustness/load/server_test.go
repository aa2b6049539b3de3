package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"runtime/metrics"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// childEnv makes the test's binary one of the servers that are compared, in a process of its own, which has its memory and its time to itself.
const childEnv = "BEDROCKGUARD_LOAD_SERVER"

// heapPath tells how much the last collection found alive.
const heapPath = "/-/heap"

// job says what a server is.
type job struct {
	Upstream string
	Store    string // the address of a ledger, or memory; empty forwards without a guard
}

func TestMain(m *testing.M) {
	if raw := os.Getenv(childEnv); raw != "" {
		var j job
		err := json.Unmarshal([]byte(raw), &j)
		if err == nil {
			err = j.serve()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// serve serves until it is asked to end, and then says what its ledger holds.
func (j job) serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	upstream, err := url.Parse(j.Upstream)
	if err != nil {
		return err
	}
	base := &http.Transport{MaxIdleConnsPerHost: 2048, DisableCompression: true}
	handler, settle := bare(upstream, base), func(context.Context) (held, error) { return held{}, nil }
	if j.Store != "" {
		if handler, settle, err = guarded(ctx, j.Store, upstream, base); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	mux.HandleFunc(heapPath, func(w http.ResponseWriter, _ *http.Request) {
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		fmt.Fprint(w, sample[0].Value.Uint64())
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		return err
	}
	h, err := settle(ending)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(h)
}

// held is what a ledger holds at the end.
type held struct{ Settled, Pending int64 }

// sign stands for a Bedrock API key.
func sign(r *http.Request, _ []byte) error {
	r.Header.Set("Authorization", "Bearer upstream")
	return nil
}

// bare is what the guarding proxy is compared with. Without full duplex, net/http's server closes a request's body when its answer begins, which
// breaks the connection behind where the end of the body was not yet read there: one stream in forty, under this load.
func bare(upstream *url.URL, base http.RoundTripper) http.Handler {
	reverse := &httputil.ReverseProxy{FlushInterval: -1, Transport: base, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		_ = sign(r.Out, nil)
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		reverse.ServeHTTP(w, r)
	})
}

func guarded(ctx context.Context, address string, upstream *url.URL, base http.RoundTripper) (http.Handler, func(context.Context) (held, error), error) {
	store, err := openStore(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{
		{Name: "all", Max: budget.USD(1e6), Window: budget.Monthly},
		{Name: "workflow-day", Max: budget.USD(1e6), Window: budget.Daily, Per: budget.PerWorkflow},
	}})
	if err != nil {
		return nil, nil, err
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	if err != nil {
		return nil, nil, err
	}
	handler, err := proxy.New(proxy.Options{
		Guard: guard, Region: "us-east-1", Upstream: upstream, Base: base, Callers: proxy.Loopback(budget.Scope{Workflow: "load"}),
		Sign: sign,
	})
	settle := func(ctx context.Context) (held, error) {
		if err := guard.Close(ctx); err != nil {
			return held{}, err
		}
		balances, err := ledger.Balances(ctx, budget.Scope{})
		if err != nil {
			return held{}, err
		}
		return held{balances[0].Settled.N, balances[0].Pending.N}, store.Close()
	}
	return handler, settle, err
}

type closer interface {
	budget.Store
	Close() error
}

func openStore(ctx context.Context, address string) (closer, error) {
	if address == "memory" {
		return memstore.New(memstore.Options{}), nil
	}
	store, err := backend.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	c, ok := store.(closer)
	if !ok {
		return nil, errors.New("the store has no Close")
	}
	return c, nil
}
