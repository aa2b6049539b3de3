package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// sides are what proxy and run serve in addition, if their flags ask for it: the page, the metrics and the webhook. What is not asked for is nil,
// and the methods of a nil one do nothing.
type sides struct {
	page    *pageServer
	metrics *metricsServer
	hook    *webhook
}

// announce prints at which URLs the page and the metrics are served.
func (s *sides) announce(w io.Writer) {
	if s.page != nil {
		fmt.Fprintf(w, "bedrockguard: the page is at %s\n", s.page.url)
	}
	if s.metrics != nil {
		fmt.Fprintf(w, "bedrockguard: metrics are at %s\n", s.metrics.url)
	}
}

// log logs what announce prints.
func (s *sides) log(log *slog.Logger) {
	if s.page != nil {
		log.Info("page", "url", s.page.url)
	}
	if s.metrics != nil {
		log.Info("metrics", "url", s.metrics.url)
	}
}

// sideFlags are the flags of all three.
func sideFlags() []cli.Flag {
	return slices.Concat(pageFlags(), metricsFlags(), webhookFlags())
}

// openSides opens all that the flags ask for, or, after an error, nothing. log gets notices that could not be delivered.
func openSides(c *cli.Command, ledger *budget.Ledger, log *slog.Logger) (s sides, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.page, err = openPage(c, ledger); err != nil {
		return s, err
	}
	if s.metrics, err = openMetrics(c, ledger); err != nil {
		return s, err
	}
	s.hook, err = openWebhook(c, ledger, log)
	return s, err
}

// listeners returns all listeners that a guard needs for them.
func (s *sides) listeners() []func(context.Context, bedrockguard.Event) {
	return slices.Concat(s.page.listeners(), s.metrics.listeners(), s.hook.listeners())
}

// close closes all that is open. The guard has to be closed first, because its last events go to the listeners.
func (s *sides) close() error {
	return errors.Join(s.hook.close(), s.metrics.close(), s.page.close())
}

// isLoopback reports whether an address can be reached from this machine alone. One that can't be parsed counts as reachable from elsewhere.
func isLoopback(at net.Addr) bool {
	addr, err := netip.ParseAddrPort(at.String())
	return err == nil && addr.Addr().Unmap().IsLoopback()
}

// sideServer returns a server for the page or the metrics. It does not log what goes wrong with single connections.
func sideServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: 3 * headerTimeout, WriteTimeout: time.Minute, IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}

// endServer waits until ctx ends for running requests, and ends a server of sideServer. Requests that do not end in time are cut off, which is no
// error. served gets the error with which serving has ended.
func endServer(ctx context.Context, server *http.Server, served <-chan error) error {
	err := server.Shutdown(ctx)
	if err != nil {
		err = server.Close()
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// endServerWithin is how long the end of the page and of the metrics waits for running requests.
const endServerWithin = 5 * time.Second
