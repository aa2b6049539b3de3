package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/storeurl"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/keys"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// ProxyCommand returns the command bedrockguard proxy, with its flags and its help.
func ProxyCommand() *cli.Command {
	return &cli.Command{
		Name: "proxy", Category: "guard", Usage: "serve a guarded Bedrock endpoint for programs in any language",
		Description: "Serves Bedrock's API at --listen, over HTTP/1.1 and HTTP/2, under the limits of --policy in the ledger of --store. Clients keep their SDKs and are\n" +
			"pointed at it: AWS_ENDPOINT_URL_BEDROCK_RUNTIME, ANTHROPIC_BASE_URL with /anthropic, OPENAI_BASE_URL with /openai/v1.\n\n" +
			"/healthz answers as long as the process does, /readyz as long as the store answers. SIGTERM lets what is under way end and settles it.",
		Flags: append(slices.Concat(upstreamFlags(), keyFlags(), sideFlags(), brakeFlags()),
			commandline.PolicyFlag(),
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8787", Usage: "the address to serve at"},
			&cli.BoolFlag{Name: "create", Usage: "make a ledger in the store if there is none"},
			&cli.BoolFlag{Name: "open-loopback", Usage: "let every program on this machine in, without a key; only for a loopback address"},
			&cli.StringFlag{Name: "principal", Usage: "with --open-loopback, on whose account the calls are", HideDefault: true},
			&cli.StringFlag{Name: "tls-cert", TakesFile: true, Usage: "a PEM file with the certificate chain", HideDefault: true},
			&cli.StringFlag{Name: "tls-key", TakesFile: true, Usage: "a PEM file with its key", HideDefault: true},
			&cli.BoolFlag{Name: "behind-tls", Usage: "something in front of this ends TLS: without it and without --tls-cert, only loopback addresses are served"},
			&cli.BoolFlag{Name: "shadow", Usage: "refuse nothing but what was killed, and log what would have been refused"},
			&cli.BoolFlag{Name: "clamp", Usage: "lower the output limit of a call into what is left, where it would be refused"},
			&cli.IntFlag{Name: "max-tokens", Usage: "the output limit of calls that set none; what the model can write unless set", HideDefault: true},
			&cli.DurationFlag{Name: "max-wait", Usage: "how long a call may wait for room that calls in flight hold", HideDefault: true},
		),
		Action: serveProxy,
	}
}

// serveProxy runs bedrockguard proxy until ctx ends or serving fails.
func serveProxy(ctx context.Context, c *cli.Command) (err error) {
	if (c.String("tls-cert") == "") != (c.String("tls-key") == "") {
		return exit.UsageError("--tls-cert and --tls-key: want both or neither")
	}
	who, err := proxyCallers(c)
	if err != nil {
		return err
	}
	// up is where Bedrock is asked: a region, an endpoint, and this process's credentials.
	up, err := openUpstream(ctx, c)
	if err != nil {
		return err
	}
	store, closeStore, err := storeurl.Open(ctx, c.String("store"), c.Bool("create"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	ledger, err := openWithPolicy(ctx, c, store)
	if err != nil {
		return err
	}
	return serveLedger(ctx, c, ledger, up, who)
}

// serveLedger serves a proxy under the limits of a ledger, for the callers in who, until ctx ends or serving fails. Then the guard is closed first,
// and after it what is served beside it.
func serveLedger(ctx context.Context, c *cli.Command, ledger *budget.Ledger, up *upstream, who proxy.Callers) (err error) {
	log := slog.New(slog.NewJSONHandler(c.Root().ErrWriter, nil))
	// beside has the page, the metrics and the webhook, each of which is nil unless a flag asks for it.
	beside, err := openSides(c, ledger, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, beside.close()) }()
	guard, err := proxyGuard(c, ledger, &beside, log)
	if err != nil {
		return err
	}
	listener, err := listenAsAllowed(c)
	if err != nil {
		return err
	}
	f, err := openFront(listener, up, guard, who, health(ledger))
	if err != nil {
		return err
	}
	if c.String("policy") == "" {
		// A policy that comes from the store is followed when it changes there; one from a file stays.
		stopFollowing := follow(ctx, ledger, log)
		defer stopFollowing()
	}
	f.start(c.String("tls-cert"), c.String("tls-key"))
	beside.log(log)
	log.Info("serving", "address", listener.Addr().String(), "region", up.region)
	// serve also closes the proxy and its guard: it waits for running calls, and settles what is left.
	return f.serve(ctx)
}

// proxyGuard returns the guard of a proxy. Its events go to the log, and to what is served beside the proxy.
func proxyGuard(c *cli.Command, ledger *budget.Ledger, beside *sides, log *slog.Logger) (*bedrockguard.Guard, error) {
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{
		Shadow: c.Bool("shadow"), MaxWait: c.Duration("max-wait"), Brakes: brakesOf(c),
		Output:    bedrockguard.Output{Default: int32(c.Int("max-tokens")), Clamp: c.Bool("clamp")},
		Listeners: append(beside.listeners(), logged(log)),
	})
	if err != nil {
		return nil, err
	}
	// The metrics also read from the guard itself, which did not exist when they were opened. Without metrics this does nothing.
	beside.metrics.watch(guard)
	return guard, nil
}

// listenAsAllowed listens at the address in --listen, if mayServe allows it. The address counts as it was bound, with a host name resolved.
func listenAsAllowed(c *cli.Command) (net.Listener, error) {
	listener, err := net.Listen("tcp", c.String("listen"))
	if err != nil {
		return nil, err
	}
	if err := mayServe(c, listener.Addr()); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// openWithPolicy opens the ledger with the policy of a file, or with the one in the store.
func openWithPolicy(ctx context.Context, c *cli.Command, store budget.Store) (*budget.Ledger, error) {
	var policy budget.Policy // without limits it stands for the one in the store
	if at := c.String("policy"); at != "" {
		var err error
		if policy, err = commandline.ReadPolicyFile(at); err != nil {
			return nil, err
		}
	}
	return budget.Open(ctx, store, policy)
}

// proxyCallers returns who is let in: the owners of the keys in a file, or with --open-loopback everybody, on one account. From the master key the
// secrets of AWS key pairs are derived, with which clients sign requests. Without --master-key it is the zero value, and no key has such a pair.
func proxyCallers(c *cli.Command) (proxy.Callers, error) {
	if c.Bool("open-loopback") {
		return proxy.Loopback(budget.Scope{Principal: c.String("principal")}), nil
	}
	if c.String("keys") == "" {
		return nil, exit.UsageError("nobody could be let in: give --keys, or --open-loopback")
	}
	const create = false // the file of keys has to be there
	book, err := openKeys(c, create)
	if err != nil {
		return nil, err
	}
	master, err := masterKey(c)
	if err != nil {
		return nil, err
	}
	return proxy.Keys(&keys.Ring{Book: book, Master: master}), nil
}

// mayServe refuses an address that is not loopback if keys would be sent there unencrypted, or if no key is asked for.
func mayServe(c *cli.Command, at net.Addr) error {
	loopback := isLoopback(at)
	switch {
	case c.Bool("open-loopback") && !loopback:
		return exit.UsageError("--open-loopback lets in who has no key: %s can be reached from elsewhere", at)
	case !loopback && c.String("tls-cert") == "" && !c.Bool("behind-tls"):
		return exit.UsageError("keys would travel in the clear to %s: give --tls-cert and --tls-key, or --behind-tls", at)
	}
	return nil
}

// health returns a function that adds the paths of health checks to a proxy: /healthz answers as long as the process does, /readyz as long as the
// store answers. All other paths go to the proxy itself and not through a ServeMux, which would clean them: they contain model ids.
func health(ledger *budget.Ledger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
		mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
			defer cancel()
			// The flags themselves are of no interest: this only asks the store something.
			if _, err := ledger.Kills(ctx); err != nil {
				http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, "ok")
		})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
				mux.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// logged returns a listener that logs the guard's events: those of successful calls only at the level debug, and all others, such as refusals, as
// warnings.
func logged(log *slog.Logger) func(context.Context, bedrockguard.Event) {
	return func(ctx context.Context, e bedrockguard.Event) {
		switch e.Kind {
		case bedrockguard.EventReserved, bedrockguard.EventSettled, bedrockguard.EventVoided:
			log.LogAttrs(ctx, slog.LevelDebug, string(e.Kind), slog.Any("event", e))
		default:
			log.LogAttrs(ctx, slog.LevelWarn, string(e.Kind), slog.Any("event", e))
		}
	}
}
