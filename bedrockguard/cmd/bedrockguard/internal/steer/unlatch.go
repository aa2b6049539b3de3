package steer

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// UnlatchCommand returns the command bedrockguard unlatch, with its flags and its help.
func UnlatchCommand() *cli.Command {
	return &cli.Command{
		Name: "unlatch", Category: "steer", Usage: "open accounts that a refusal has latched",
		Description: "Exit code 3 says that none of the accounts named is latched.",
		Flags: append(commandline.ScopeFlags(), commandline.ReasonFlag(),
			&cli.StringFlag{Name: "limit", Usage: "only accounts of this limit", HideDefault: true},
			&cli.BoolFlag{Name: "all", Usage: "all that are latched"},
		),
		Action: commandline.WithLedger(unlatch),
	}
}

// unlatch runs bedrockguard unlatch: it opens the accounts that stay closed because their limit latches and has refused a call. d is the opened
// ledger.
func unlatch(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	q := budget.AccountQuery{Limit: c.String("limit")}
	var err error
	if q.Scope, err = commandline.ScopeOf(c); err != nil {
		return err
	}
	named := q.Limit != "" || !commandline.IsEmpty(q.Scope)
	if named == c.Bool("all") {
		return exit.UsageError("want a scope or --limit, or --all for each account that is latched")
	}
	keys, opened, err := latchedAccounts(ctx, d, q)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		// Change passes what the audit trail keeps: who, why, and at which revision of the ledger.
		if err := d.Change(ctx, c.String("reason"), func(change driver.Change) error { return d.Store.Unlatch(ctx, keys, change) }); err != nil {
			return err
		}
	}
	if err := printOpened(c, opened); err != nil {
		return err
	}
	if len(keys) == 0 {
		return exit.Found("no account of these values is latched: bedrockguard status shows those that are")
	}
	return nil
}

// printOpened prints each account that was opened.
func printOpened(c *cli.Command, opened []openedJSON) error {
	if c.Bool("json") {
		return output.PrintJSON(c, opened)
	}
	for _, r := range opened {
		fmt.Fprintf(c.Root().Writer, "opened: %s, %s\n", output.Printable(r.Limit), output.Printable(output.AccountText(r.Scope.Scope())))
	}
	return nil
}

// openedJSON is an account that was latched, for JSON. Account is the account's key in hexadecimal, and Until how long the latch would have held.
type openedJSON struct {
	Limit   string           `json:"limit"`
	Scope   output.ScopeJSON `json:"scope"`
	Account string           `json:"account"`
	Until   *time.Time       `json:"latched_until"`
}

// latchedAccounts returns the accounts that a query selects and that are latched: their keys, and in the same order what is told of them.
func latchedAccounts(ctx context.Context, d *commandline.Desk, q budget.AccountQuery) (keys []budget.Key, told []openedJSON, err error) {
	told = []openedJSON{} // not nil, so that the JSON is an empty list
	for a, err := range d.Accounts(ctx, q) {
		if err != nil {
			return nil, nil, err
		}
		if a.Latched.IsZero() {
			continue
		}
		keys = append(keys, a.Key)
		told = append(told, openedJSON{a.Limit, output.JSONScope(a.Scope), fmt.Sprintf("%x", a.Key), output.Moment(a.Latched)})
	}
	return keys, told, nil
}
