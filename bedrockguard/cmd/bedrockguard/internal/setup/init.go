package setup

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/storeurl"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// InitCommand returns the command bedrockguard init, with its flags and its help.
func InitCommand() *cli.Command {
	return &cli.Command{
		Name: "init", Category: "set up", Usage: "make the ledger, once, before the first call",
		Description: "In DynamoDB it makes the table, too, protected from deletion. A ledger that is there stays as it is. If there was one and it is gone, what was\n" +
			"spent is forgotten, and a new one begins at zero: look at the bill first.",
		Action: makeLedger,
	}
}

// makeLedger runs bedrockguard init.
func makeLedger(ctx context.Context, c *cli.Command) (err error) {
	ctx, cancel, err := commandline.WithTimeout(ctx, c)
	if err != nil {
		return err
	}
	defer cancel()
	made, closeStore, err := openOrMake(ctx, c.String("store"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	switch {
	case c.Bool("json"):
		return output.PrintJSON(c, map[string]bool{"made": made})
	case made:
		_, err = fmt.Fprintln(c.Root().Writer, "The ledger is made.")
	default:
		_, err = fmt.Fprintln(c.Root().Writer, "The ledger is there already; nothing was changed.")
	}
	return err
}

// openOrMake opens the ledger at a URL, and makes it if there was none; made says that it was made. The last argument of storeurl.Open says whether
// to make a ledger: at first not, to tell whether there is one.
func openOrMake(ctx context.Context, at string) (made bool, closeStore func() error, err error) {
	_, closeStore, err = storeurl.Open(ctx, at, false)
	missing := errors.Is(err, budget.ErrNoLedger) || storeurl.NoTable(err)
	if !missing {
		return false, closeStore, err
	}
	_, closeStore, err = storeurl.Open(ctx, at, true)
	return true, closeStore, err
}

// AcceptLossCommand returns the command bedrockguard accept-loss, with its flags and its help.
func AcceptLossCommand() *cli.Command {
	return &cli.Command{
		Name: "accept-loss", Category: "set up", Usage: "go on with what is left of a ledger that lost a part",
		Description: "Steps that are refused because the ledger lost a part are made again, in every process. What was spent and is no longer known can be spent once more:\n" +
			"compare with the bill first.",
		Flags: []cli.Flag{
			commandline.ReasonFlag(),
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		},
		Action: commandline.WithLedger(acceptLoss),
	}
}

// acceptLoss runs bedrockguard accept-loss. A store whose ledger has lost a part answers ErrLost until somebody accepts the loss. d is the opened
// ledger.
func acceptLoss(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	reason := c.String("reason")
	if reason == "" {
		return exit.UsageError("--reason is needed: it says in the audit trail why what is left was taken for the truth")
	}
	// The revision is of no interest: this only asks the store whether it answers ErrLost.
	_, lost := d.Store.Revision(ctx)
	if lost == nil {
		return exit.Found("the ledger says that nothing is lost; nothing was changed")
	}
	if !errors.Is(lost, budget.ErrLost) {
		return lost
	}
	if !c.Bool("yes") && !commandline.Confirm(c, "Take what is left of the ledger for the truth? What is lost can be spent once more.") {
		return errors.New("nothing was changed: give --yes, or answer with yes")
	}
	if err := d.AcceptLoss(ctx, reason); err != nil {
		return err
	}
	if c.Bool("json") {
		return output.PrintJSON(c, map[string]bool{"accepted": true})
	}
	_, err := fmt.Fprintln(c.Root().Writer, "Accepted: every process goes on with what is left.")
	return err
}
