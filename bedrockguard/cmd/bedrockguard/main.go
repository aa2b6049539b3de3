// Command bedrockguard shows who spends on Amazon Bedrock, changes what may be spent, and checks it, with any of the library's stores.
//
//	export BEDROCKGUARD_STORE=sqlite:spend.db    # or redis://…, postgres://…, dynamodb://TABLE
//	bedrockguard status
//	bedrockguard kill --workflow nightly "runaway loop"
//
// It needs no policy to read a ledger or to kill. docs/command.md shows each task.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/guard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/look"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/prove"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/setup"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/steer"
)

// verbs returns the commands, in the order of the help. To add one, write a file for it in the package of its kind and add it here.
func verbs() []*cli.Command {
	return []*cli.Command{
		look.StatusCommand(), look.TopCommand(), guard.ServeCommand(), look.ReportCommand(), look.KillsCommand(), look.OverridesCommand(), look.LimitsCommand(), look.AccountsCommand(), look.EntriesCommand(),
		steer.KillCommand(), steer.ReviveCommand(), steer.OverrideCommand(), steer.UnlatchCommand(), steer.CorrectCommand(),
		setup.InitCommand(), setup.PolicyCommand(), setup.AcceptLossCommand(),
		prove.VerifyCommand(), prove.AuditTrailCommand(), prove.DoctorCommand(),
		look.ModelsCommand(), look.PricesCommand(), look.LintCommand(), look.AuditCommand(),
		guard.RunCommand(), guard.ProxyCommand(), guard.KeysCommand(), setup.OuterCommand(),
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs the command line in args, the program's name first, and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	redis.SetLogger(silence{}) // the client's own messages repeat what errors say
	root := &cli.Command{
		Name: "bedrockguard", Usage: "see who spends on Amazon Bedrock, stop it, and prove it",
		Description: exit.Codes,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "store", Sources: cli.EnvVars("BEDROCKGUARD_STORE"), Usage: "the ledger: sqlite:FILE, redis://…, postgres://… or dynamodb://TABLE", HideDefault: true},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			&cli.StringFlag{Name: "as", Sources: cli.EnvVars("BEDROCKGUARD_OPERATOR"), Usage: "who makes a change, for the audit trail; the user's name unless set", HideDefault: true},
			&cli.DurationFlag{Name: "timeout", Value: commandline.DefaultTimeout, Usage: "how long to wait for the store"},
		},
		Commands: verbs(), Action: noVerb, Suggest: true,
		EnableShellCompletion: true, ConfigureShellCompletionCommand: func(c *cli.Command) { c.Hidden = false },
		Reader: in, Writer: out, ErrWriter: errOut,
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // the library's own may end the process; report handles errors
	}
	// The library takes this from the command itself, and not from the one above it.
	everyCommand(root, func(c *cli.Command) { c.OnUsageError = exit.Misused })
	err := root.Run(ctx, args)
	return report(errOut, err)
}

// silence is a logger that drops everything.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// everyCommand calls f with a command and all below it.
func everyCommand(c *cli.Command, f func(*cli.Command)) {
	f(c)
	for _, sub := range c.Commands {
		everyCommand(sub, f)
	}
}

// noVerb runs if no command is named, or an unknown one.
func noVerb(_ context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return exit.UsageError("there is no command %q: bedrockguard --help lists them", c.Args().First())
	}
	return cli.ShowRootCommandHelp(c)
}
