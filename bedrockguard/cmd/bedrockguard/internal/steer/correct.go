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
	amounts, err := parseAmounts(args[1:])
	if err != nil {
		return err
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

// parseAmounts parses amounts, each as in a policy.
func parseAmounts(texts []string) (amounts []budget.Quantity, err error) {
	for _, text := range texts {
		q, err := commandline.ParseQuantity(text)
		if err != nil {
			return nil, err
		}
		amounts = append(amounts, q)
	}
	return amounts, nil
}

// findEntry finds a call by the id of its entry, or by AWS's request id. The store lists entries only from behind an id on (Query.After), so an entry
// is found as the first one after the largest id that is smaller than its own.
func findEntry(ctx context.Context, d *commandline.Desk, name string) (budget.Entry, error) {
	q := budget.Query{Reference: name}
	id, err := driver.ParseID(name)
	if err == nil {
		q = budget.Query{After: before(id), Max: 1}
	}
	// An empty name is neither an id nor a reference: with an empty Reference the query selects every entry, of which none is meant.
	byReference := q.Reference != ""
	for e, err := range d.Entries(ctx, q) {
		if err != nil {
			return e, err
		}
		// If no entry has the id, the query finds the next one.
		if byReference || e.ID == id {
			return e, nil
		}
	}
	return budget.Entry{}, fmt.Errorf("no entry with the id or request id %q is remembered", strings.ToValidUTF8(name, "?"))
}

// before returns the largest id that is smaller than another one. Ids are numbers of several bytes, the most significant one first. No id is smaller
// than that of zeros: for that one it returns it again.
func before(id budget.ID) budget.ID {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]--
		// A byte that was 0 has become 0xff, and borrows from the byte before it.
		if id[i] != 0xff {
			return id
		}
	}
	return budget.ID{}
}
