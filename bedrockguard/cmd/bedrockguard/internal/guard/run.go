// Package guard has the commands that guard programs or are beside them: run and proxy with what they serve in addition, the keys of the proxy,
// and the page over a store.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/storeurl"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// RunCommand returns the command bedrockguard run, with its flags and its help.
func RunCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Category: "guard", Usage: "run a program that can spend so much on Bedrock, and no more", ArgsUsage: "-- PROGRAM [ARGUMENT]…",
		Description: "Starts a guarded endpoint on loopback, points the program's Bedrock, Anthropic and OpenAI clients at it by their environment, and gives the program\n" +
			"credentials that are worth nothing elsewhere: it can't go round the limit. No configuration is needed.\n\n" +
			"The exit code is the program's own; 4 says that it failed after a call of its was refused for want of budget, killed, or braked in a loop.",
		Flags: append(slices.Concat(upstreamFlags(), sideFlags(), brakeFlags()),
			&cli.StringFlag{Name: "max", Required: true, Usage: "what may be spent, such as 5USD, or \"200 calls\""},
			&cli.StringFlag{Name: "model", Usage: "count only this model, or those of a pattern such as anthropic.*; all others are unlimited", HideDefault: true},
			&cli.StringFlag{Name: "per", Usage: "the window in which it may be spent, such as daily; the whole run unless set", HideDefault: true},
			&cli.StringFlag{Name: "workflow", Usage: "the workflow on whose account it is; the name of the program, or of the script that it runs, unless set", HideDefault: true},
			&cli.StringFlag{Name: "principal", Usage: "who pays", HideDefault: true},
			&cli.StringSliceFlag{Name: "tag", Usage: "a tag of all calls, as team=search; may be repeated", HideDefault: true},
			&cli.IntFlag{Name: "max-tokens", Usage: "the output limit of calls that set none; what the model can write unless set", HideDefault: true},
			&cli.BoolFlag{Name: "strict", Usage: "refuse a call that does not fit as it is, instead of lowering its output limit into what is left, or leaving out cache points"},
			&cli.BoolFlag{Name: "keep-aws", Usage: "leave the AWS credentials that are there: the limit can be gone round"},
		),
		Action: runProgram,
	}
}

// runProgram runs bedrockguard run: it opens a ledger with the limit of the command line, serves a proxy on a free port of loopback, and runs the
// program with an environment that points there. Then it prints what was spent.
func runProgram(ctx context.Context, c *cli.Command) error {
	r, err := readRun(ctx, c)
	if err != nil {
		return err
	}
	store, closeStore, err := runStore(ctx, c)
	if err != nil {
		return err
	}
	// An error here would hide the exit code of the program.
	defer func() { _ = closeStore() }()
	// The policy of the store is enforced, too, if it holds one.
	ledger, err := budget.Open(ctx, store, budget.Policy{}, func(o *budget.OpenOptions) { o.Beside = []budget.Limit{r.limit} })
	if err != nil {
		return err
	}
	return r.run(ctx, c, ledger)
}

// guardedRun is what the command line says of a run.
type guardedRun struct {
	args    []string     // the program with its arguments
	limit   budget.Limit // what the program may spend
	account budget.Scope // what its calls count under
	up      *upstream    // where Bedrock is asked: a region, an endpoint, and this process's credentials
}

// readRun reads the command line, and finds the credentials with which Bedrock is asked.
func readRun(ctx context.Context, c *cli.Command) (*guardedRun, error) {
	r := &guardedRun{args: c.Args().Slice()}
	if len(r.args) == 0 {
		return nil, exit.UsageError("no program is named: bedrockguard run --max 5USD -- PROGRAM")
	}
	var err error
	if r.limit, err = runLimit(c); err != nil {
		return nil, err
	}
	if r.account, err = runAccount(c, r.args); err != nil {
		return nil, err
	}
	r.up, err = openUpstream(ctx, c)
	return r, err
}

// run serves the proxy under the limits of a ledger, with what the flags ask for beside it, and runs the program. beside has the page, the metrics
// and the webhook, each of which is nil unless a flag asks for it.
func (r *guardedRun) run(ctx context.Context, c *cli.Command, ledger *budget.Ledger) error {
	stderr := c.Root().ErrWriter
	log := slog.New(slog.NewTextHandler(stderr, nil))
	beside, err := openSides(c, ledger, log)
	if err != nil {
		return err
	}
	defer func() { _ = beside.close() }() // what was not delivered is in the log
	beside.announce(stderr)
	var sums tally
	guard, err := runGuard(c, ledger, &beside, &sums)
	if err != nil {
		return err
	}
	keys := newVirtualKeys()
	f, err := openFrontOnLoopback(r.up, guard, callersOf(c, keys, r.account))
	if err != nil {
		return err
	}
	// Without a certificate and a key it serves without TLS.
	f.start("", "")
	stopFollowing := follow(ctx, ledger, log)
	defer stopFollowing()
	code, err := runChild(c, r.args, "http://"+f.listener.Addr().String(), r.up.region, keys)
	closed := f.close() // first, so that sums has all that was spent
	sums.print(stderr, r.limit.Max)
	if err == nil && sums.nothing() {
		fmt.Fprint(stderr, noCalls)
	}
	if err != nil {
		return errors.Join(err, closed)
	}
	return runEnd(code, sums.wasStopped(), closed)
}

// runGuard returns the guard of a run. Its events go to sums, and to what is served beside the proxy.
func runGuard(c *cli.Command, ledger *budget.Ledger, beside *sides, sums *tally) (*bedrockguard.Guard, error) {
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{
		// A call waits for OnEvent, so that sums has its event when the call ends; listeners may get theirs later.
		OnEvent: sums.listen, Listeners: beside.listeners(), Brakes: brakesOf(c),
		Output: bedrockguard.Output{Default: int32(c.Int("max-tokens")), Clamp: !c.Bool("strict")},
	})
	if err != nil {
		return nil, err
	}
	// The metrics also read from the guard itself, which did not exist when they were opened. Without metrics this does nothing.
	beside.metrics.watch(guard)
	return guard, nil
}

// runEnd returns the error with which run ends after the program has ended with an exit code. stopped says that the guard refused a call, which is
// then the likely reason for a failure. closed is what failed when the guard was closed: it is told only of a program that succeeded.
func runEnd(code int, stopped bool, closed error) error {
	switch {
	case code == 0:
		return closed
	case stopped:
		return exit.OfChild(exit.CodeStopped)
	}
	return exit.OfChild(code)
}

// openFrontOnLoopback makes a proxy for a free port of loopback.
func openFrontOnLoopback(up *upstream, guard *bedrockguard.Guard, who proxy.Callers) (*front, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return openFront(listener, up, guard, who, nil) // nil adds no other pages
}

// callersOf returns who may call the proxy of a run: the program, by its keys. A program that keeps its own credentials (--keep-aws) signs with
// its own instead. This process can't verify such signatures, so anyone on this machine may call.
func callersOf(c *cli.Command, keys virtualKeys, scope budget.Scope) proxy.Callers {
	if c.Bool("keep-aws") {
		return proxy.Loopback(scope)
	}
	return keys.callers(scope)
}

// noCalls is printed if no call of the program reached the proxy.
const noCalls = `bedrockguard: no call came through. Most clients read their endpoint from the environment; a few want it in their code or configuration:
  aws-sdk-go-v2   config.LoadDefaultConfig reads AWS_ENDPOINT_URL_BEDROCK_RUNTIME; BaseEndpoint in code stands above it
  anthropic-go    option.WithBaseURL(os.Getenv("ANTHROPIC_BEDROCK_BASE_URL")) behind bedrock.WithConfig
  openai-go       option.WithBaseURL(os.Getenv("OPENAI_BASE_URL"))
  langchaingo     give its bedrockruntime client a config from the environment
`

// withSpace matches a number and a unit without a space between them, as people write 5USD on a command line. The parser of amounts wants a space.
var withSpace = regexp.MustCompile(`^([0-9._]+)([A-Za-z])`)

// interpreters run the program in their first argument.
var interpreters = regexp.MustCompile(`^(python|pypy|node|deno|bun|ruby|perl|php|bash|sh|zsh|java|dotnet)[0-9.]*$`)

// runAccount returns the scope of the program's calls. args is the program with its arguments: unless a workflow is given, the workflow is the name
// of the program, or of the script that an interpreter runs.
func runAccount(c *cli.Command, args []string) (budget.Scope, error) {
	s, err := commandline.ScopeOf(c)
	if err != nil {
		return s, err
	}
	s.Model, s.Region = "", "" // these flags are for the limit and the endpoint
	if s.Workflow == "" {
		s.Workflow = filepath.Base(args[0])
		if interpreters.MatchString(s.Workflow) && len(args) > 1 && !strings.HasPrefix(args[1], "-") {
			s.Workflow = filepath.Base(args[1])
		}
	}
	return s, s.Validate()
}

// runLimit returns the limit of a run: --max in a window of --per, or for all time.
func runLimit(c *cli.Command) (budget.Limit, error) {
	l := budget.Limit{Name: "run", Window: budget.Lifetime, Match: budget.Match{Model: c.String("model")}}
	if err := l.Max.UnmarshalText([]byte(withSpace.ReplaceAllString(c.String("max"), "$1 $2"))); err != nil {
		return l, exit.UsageError("--max: %s", err)
	}
	if per := c.String("per"); per != "" {
		if err := l.Window.UnmarshalText([]byte(per)); err != nil {
			return l, exit.UsageError("--per: %s", err)
		}
	}
	return l, nil
}

// runStore opens the ledger of a run: one in memory, or the store on the command line, whose limits are shared with all who use it.
func runStore(ctx context.Context, c *cli.Command) (budget.Store, func() error, error) {
	if at := c.String("store"); at != "" {
		const create = true // make a ledger if there is none
		return storeurl.Open(ctx, at, create)
	}
	return memstore.New(memstore.Options{}), func() error { return nil }, nil
}

// runChild runs the program, whose calls go to the URL base, and returns its exit code. It passes signals on to the program.
func runChild(c *cli.Command, args []string, base, region string, keys virtualKeys) (int, error) {
	scratch, err := os.MkdirTemp("", "bedrockguard-run-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	environ, err := childEnvironment(os.Environ(), base, region, scratch, keys, c.Bool("keep-aws"))
	if err != nil {
		return 0, err
	}
	if c.Bool("keep-aws") {
		fmt.Fprintln(c.Root().ErrWriter, "bedrockguard: the program has the AWS credentials that were there: it can go round the limit")
	}
	child := exec.Command(args[0], args[1:]...)
	child.Env, child.Stdin, child.Stdout, child.Stderr = environ, c.Root().Reader, c.Root().Writer, c.Root().ErrWriter
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passedOn...) // before the start, so that none is lost
	defer signal.Stop(signals)
	if err := child.Start(); err != nil {
		return 0, exit.UsageError("%s can't be started: %s", args[0], err)
	}
	return exitCodeOf(awaitChild(child, signals))
}

// awaitChild waits until a program has ended, and returns the error of its Wait. Meanwhile it passes signals on to the program.
func awaitChild(child *exec.Cmd, signals <-chan os.Signal) error {
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			if s == os.Interrupt && term.IsTerminal(int(os.Stdin.Fd())) {
				continue // a terminal sends it to this process and to the program
			}
			_ = child.Process.Signal(s) // fails if the program has ended
		case err := <-ended:
			return err
		}
	}
}

// passedOn are the signals that ask a program to end or to reload its configuration.
var passedOn = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// exitCodeOf returns a program's exit code as shells do: 128 plus the signal's number if a signal ended it. err is what waiting for the program
// returned: nil if it succeeded, an ExitError if it failed, and any other error if its end could not be awaited.
func exitCodeOf(err error) (int, error) {
	failed, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 0, err
	}
	if status, ok := failed.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return failed.ExitCode(), nil
}
