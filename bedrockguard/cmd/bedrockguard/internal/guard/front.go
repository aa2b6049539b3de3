package guard

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
)

// front is a proxy with its listener: it serves Bedrock's API and passes each call through the guard.
type front struct {
	listener net.Listener
	server   *http.Server
	guard    *bedrockguard.Guard
	base     *http.Transport // for the requests to Bedrock
	served   chan error      // gets the error with which serving has ended
}

// The time limits for clients. There is none for an answer, because a model may think for long.
const (
	headerTimeout   = 10 * time.Second // for the head of a request
	idleTimeout     = 2 * time.Minute  // between two requests of a connection
	shutdownTimeout = time.Minute      // for running calls, when the proxy ends
)

// openFront makes a proxy for a listener, which start then serves; if it fails it closes the listener. up is the Bedrock to which calls are sent, and
// who says which callers are let in. HTTP/2 without TLS is served too, because aws-sdk-js uses nothing else there. wrap may add other pages to the
// proxy; nil adds none.
func openFront(l net.Listener, up *upstream, guard *bedrockguard.Guard, who proxy.Callers, wrap func(http.Handler) http.Handler) (*front, error) {
	base := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1024, IdleConnTimeout: 90 * time.Second, DisableCompression: true}
	handler, err := proxy.New(proxy.Options{Guard: guard, Region: up.region, Upstream: up.url, Sign: up.sign, Callers: who, Base: base})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	var all http.Handler = handler
	if wrap != nil {
		all = wrap(handler)
	}
	f := &front{listener: l, guard: guard, base: base, served: make(chan error, 1)}
	f.server = &http.Server{
		Handler: all, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10, Protocols: new(http.Protocols),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	f.server.Protocols.SetHTTP1(true)
	f.server.Protocols.SetHTTP2(true)
	f.server.Protocols.SetUnencryptedHTTP2(true)
	return f, nil
}

// start serves until close. certificate and key are files; if they are empty it serves without TLS.
func (f *front) start(certificate, key string) {
	go func() {
		if certificate != "" {
			f.served <- f.server.ServeTLS(f.listener, certificate, key)
		} else {
			f.served <- f.server.Serve(f.listener)
		}
	}()
}

// serve waits until ctx ends or serving fails, and closes the proxy and its guard. It must be called after start.
func (f *front) serve(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case served := <-f.served:
		f.served <- served // close reads it again
	}
	return f.close()
}

// close waits for running requests and answers, at most for shutdownTimeout, and closes the guard, which settles in the ledger what is left. It must
// be called after start.
func (f *front) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := f.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, f.server.Close())
	}
	err = errors.Join(err, f.guard.Close(ctx))
	f.base.CloseIdleConnections()
	if served := <-f.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
