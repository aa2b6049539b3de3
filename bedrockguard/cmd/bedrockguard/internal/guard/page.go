package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/statuspage"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// ServeCommand returns the command bedrockguard serve, with its flags and its help.
func ServeCommand() *cli.Command {
	return &cli.Command{
		Name: "serve", Category: "look", Usage: "serve the status page over a store, beside the processes that spend",
		Description: "Shows limits, spend, burn rates, the prompt cache, calls in flight, flags and the audit trail. With --secret-file, whoever logs in with what the\n" +
			"file holds may kill, revive and override; without, nothing can be changed. Of guards it is told nothing: proxy and run have --page for that.",
		Flags: []cli.Flag{
			commandline.PolicyFlag(),
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8788", Usage: "the address to serve at"},
			&cli.StringFlag{Name: "secret-file", TakesFile: true, Usage: "a file with the secret that lets its owner make changes; at least 16 bytes", HideDefault: true},
			&cli.StringSliceFlag{Name: "host", Usage: "a host name under which the page may be asked for; may be repeated", HideDefault: true},
			&cli.BoolFlag{Name: "behind-tls", Usage: "something in front of this ends TLS: without it only loopback addresses are served"},
		},
		Action: servePage,
	}
}

// pageFlags are the flags of commands that can serve the page in addition.
func pageFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "page", Usage: "serve the status page at this address, such as 127.0.0.1:8788", HideDefault: true},
		&cli.StringFlag{Name: "page-secret-file", TakesFile: true, Usage: "a file with the secret that lets its owner make changes on the page", HideDefault: true},
		&cli.StringSliceFlag{Name: "page-host", Usage: "a host name under which the page may be asked for; may be repeated", HideDefault: true},
	}
}

// pageServer is the status page with its listener. A nil one serves nothing.
type pageServer struct {
	page   *statuspage.Page
	server *http.Server
	url    string
	served chan error // gets the error with which serving has ended
}

// openPage serves the page that the flags of pageFlags ask for; it returns nil if they ask for none.
func openPage(c *cli.Command, ledger *budget.Ledger) (*pageServer, error) {
	if c.String("page") == "" {
		if c.String("page-secret-file") != "" || len(c.StringSlice("page-host")) > 0 {
			return nil, exit.UsageError("--page-secret-file and --page-host are of the page: give --page, too")
		}
		return nil, nil
	}
	// run has no --behind-tls, which counts as false.
	return startPage(c.String("page"), c.String("page-secret-file"), c.StringSlice("page-host"), c.Bool("behind-tls"), statuspage.Options{Ledger: ledger})
}

// startPage serves the page at an address. secretFile is empty if the page has no secret.
func startPage(address, secretFile string, hosts []string, behindTLS bool, o statuspage.Options) (*pageServer, error) {
	if secretFile != "" {
		secret, err := readSecret(secretFile)
		if err != nil {
			return nil, err
		}
		o.Secret = secret
	}
	if len(hosts) > 0 {
		o.Hosts = hosts
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	page, err := newPage(listener.Addr(), o, behindTLS)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	p := &pageServer{page: page, url: "http://" + listener.Addr().String() + "/", served: make(chan error, 1), server: sideServer(page)}
	go func() { p.served <- p.server.Serve(listener) }()
	return p, nil
}

// newPage makes the page for an address at which this process listens already: a host name was resolved, and port 0 has become a real one. At an
// address that is not loopback it needs a login, and mayServePage has to allow the address.
func newPage(at net.Addr, o statuspage.Options, behindTLS bool) (*statuspage.Page, error) {
	if !isLoopback(at) {
		o.LoginToRead = true
		if err := mayServePage(at, &o, behindTLS); err != nil {
			return nil, err
		}
	}
	return statuspage.New(o)
}

// readSecret reads the secret in a file, without the white space around it.
func readSecret(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	secret := string(bytes.TrimSpace(text))
	if secret == "" {
		return "", exit.UsageError("%s holds no secret: make one with openssl rand -hex 16", file)
	}
	return secret, nil
}

// mayServePage refuses an address that is not loopback if strangers could read the page there, or the secret on its way. Such a page needs a secret
// and host names (o), and something in front of it that ends TLS (behindTLS).
func mayServePage(at net.Addr, o *statuspage.Options, behindTLS bool) error {
	switch {
	case !behindTLS:
		return exit.UsageError("the page's secret would travel in the clear to %s: serve it at a loopback address, or give --behind-tls where something in front ends TLS", at)
	case o.Secret == "":
		return exit.UsageError("the page at %s could be read by everybody: give it a secret file", at)
	case len(o.Hosts) == 0:
		return exit.UsageError("the page at %s answers to no host name but those of loopback: name the one that it is reached by", at)
	}
	return nil
}

// listeners returns the listeners that a guard needs for the page.
func (p *pageServer) listeners() []func(context.Context, bedrockguard.Event) {
	if p == nil {
		return nil
	}
	return []func(context.Context, bedrockguard.Event){p.page.Listen}
}

// close waits a few seconds for running requests.
func (p *pageServer) close() error {
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), endServerWithin)
	defer cancel()
	return endServer(ctx, p.server, p.served)
}

// servePage runs bedrockguard serve.
func servePage(ctx context.Context, c *cli.Command) (err error) {
	d, closeStore, err := commandline.OpenDesk(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	options, stopFollowing, err := servedOptions(ctx, c, d)
	if err != nil {
		return err
	}
	defer stopFollowing()
	p, err := startPage(c.String("listen"), c.String("secret-file"), c.StringSlice("host"), c.Bool("behind-tls"), options)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Root().ErrWriter, "bedrockguard: the page is at %s\n", p.url)
	return p.serve(ctx)
}

// servedOptions returns what the page shows: the ledger without limits, or, if there is a policy, with them. A policy from the store is followed,
// when it changes there, until stopFollowing is called.
func servedOptions(ctx context.Context, c *cli.Command, d *commandline.Desk) (o statuspage.Options, stopFollowing func(), err error) {
	nothing := func() {}
	// Without a policy this is one without limits.
	policy, err := d.Policy(ctx, c)
	if err != nil {
		return o, nothing, err
	}
	if len(policy.Limits) == 0 {
		return statuspage.Options{Operator: d.Operator}, nothing, nil
	}
	// With OwnPolicy the policy of a file may differ from the one in the store.
	ledger, err := budget.Open(ctx, d.Store, policy, func(o *budget.OpenOptions) { o.OwnPolicy = true })
	if err != nil {
		return o, nothing, err
	}
	stopFollowing = nothing
	if fromStore := c.String("policy") == ""; fromStore {
		stopFollowing = follow(ctx, ledger, slog.New(slog.NewTextHandler(c.Root().ErrWriter, nil)))
	}
	return statuspage.Options{Ledger: ledger}, stopFollowing, nil
}

// serve waits until ctx ends or serving has ended by itself, and closes the page.
func (p *pageServer) serve(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case served := <-p.served:
		p.served <- served // close reads it again
	}
	return p.close()
}
