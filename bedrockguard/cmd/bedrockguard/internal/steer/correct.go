package steer

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// CorrectCommand returns the command bedrockguard correct, with its flags and its help.
func CorrectCommand() *cli.Command {
	return &cli.Command{
		Name: "correct", Category: "steer", Usage: "replace what was posted for a call by what the invoice says", ArgsUsage: "ID|REQUEST-ID AMOUNT…",
		Description: "The call is named by its entry's id, or by AWS's request id. Amounts are written as in a policy: \"0.0125 USD\" \"1200 output tokens\".\n" +
			"Units that are not named stay as they were posted.",
		Flags:  []cli.Flag{commandline.ReasonFlag()},
		Action: commandline.WithLedger(correct),
	}
}

// correct runs bedrockguard correct: it replaces what was posted for a call, in the units of the amounts on the command line. d is the opened
// ledger.
func correct(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	args := c.Args().Slice()
	if len(args) < 2 {
		return exit.UsageError("want the id of an entry, or AWS's request id, and an amount, such as: correct 0123456789abcdef0123456789abcdef \"0.0125 USD\"")
	}
	var amounts []budget.Quantity
	for _, text := range args[1:] {
		q, err := commandline.ParseQuantity(text)
		if err != nil {
			return err
		}
		amounts = append(amounts, q)
	}
	e, err := findEntry(ctx, d, args[0])
	if err != nil {
		return err
	}
	// This is a copy, because a charge is an array. Units that are not named keep what was posted.
	actual := e.Actual
	for _, q := range amounts {
		actual[q.Unit] = q.N
	}
	if err := d.Correct(budget.WithReason(ctx, c.String("reason")), e.ID, actual); err != nil {
		return err
	}
	if c.Bool("json") {
		return output.PrintJSON(c, struct {
			ID   string           `json:"id"`
			From map[string]int64 `json:"from"`
			To   map[string]int64 `json:"to"`
		}{e.ID.String(), output.JSONCharge(e.Actual), output.JSONCharge(actual)})
	}
	_, err = fmt.Fprintf(c.Root().Writer, "corrected: %s from %s to %s\n", e.ID, e.Actual.In(budget.UnitUSD), actual.In(budget.UnitUSD))
	return err
}

// findEntry finds a call by the id of its entry, or by AWS's request id. Entries are listed after an id, so an id is found as the first entry
// after the largest smaller one.
func findEntry(ctx context.Context, d *commandline.Desk, name string) (budget.Entry, error) {
	q := budget.Query{Reference: name}
	id, err := driver.ParseID(name)
	if err == nil {
		q = budget.Query{After: before(id), Max: 1}
	}
	for e, err := range d.Entries(ctx, q) {
		if err != nil {
			return e, err
		}
		if e.ID == id || q.Reference != "" {
			return e, nil
		}
	}
	return budget.Entry{}, fmt.Errorf("no entry with the id or request id %q is remembered", strings.ToValidUTF8(name, "?"))
}

// before returns the largest id that is smaller than another one.
func before(id budget.ID) budget.ID {
	for i := len(id) - 1; i >= 0; i-- {
		// A byte that was 0 has become 0xff, and borrows from the byte before it.
		if id[i]--; id[i] != 0xff {
			return id
		}
	}
	return budget.ID{}
}
