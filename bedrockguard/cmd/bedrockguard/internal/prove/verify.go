// Package prove has the commands that check a ledger and what is around it: verify, audit-trail and doctor.
package prove

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	verifier "github.com/bedrockguard/bedrockguard-go/budget/verify"
)

// VerifyCommand returns the command bedrockguard verify, with its flags and its help.
func VerifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Category: "prove", Usage: "recompute every balance from the entries, and name those that differ",
		Description: "For each period of each account, what is settled has to be what its entries have posted and what those had that were forgotten, and what is pending\n" +
			"what unresolved entries hold. Accounts have to be those of the calls that were booked there, and usage has to hold what entries have posted. Calls may go\n" +
			"on meanwhile: what differs is looked at again.\n\nExit code 3 says that something differs.",
		Flags:  []cli.Flag{&cli.IntFlag{Name: "tries", Value: verifier.DefaultTries, Usage: "how often to look, while calls go on, before a difference is one"}},
		Action: commandline.WithLedger(verify),
	}
}

// differenceJSON is a figure in the store that is not what the entries add up to, for JSON. It is about a period of an account, an entry, or
// usage.
type differenceJSON struct {
	Kind    string            `json:"kind"` // which sum differs, or that the state of an entry does
	Limit   string            `json:"limit,omitempty"`
	Account string            `json:"account,omitempty"` // the key of the account, in hexadecimal
	Scope   *output.ScopeJSON `json:"scope,omitempty"`   // the values of the account
	Period  *time.Time        `json:"period,omitempty"`  // the beginning of the account's period
	Entry   string            `json:"entry,omitempty"`   // the id of the entry
	Told    int64             `json:"told"`              // what the store says
	Sum     int64             `json:"sum"`               // what the entries add up to
	Detail  string            `json:"detail,omitempty"`
}

// verifiedJSON is what verify has checked, for JSON.
type verifiedJSON struct {
	Entries     int              `json:"entries"`
	Accounts    int              `json:"accounts"`
	Periods     int              `json:"periods"`
	UsageDays   int              `json:"usage_days"`
	Differences []differenceJSON `json:"differences"`
}

// verify runs bedrockguard verify on the ledger d: it prints the figures that are not what the entries add up to, and how much was looked at.
func verify(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	if c.Int("tries") < 1 {
		return exit.UsageError("--tries %d: want 1 at least", c.Int("tries"))
	}
	bar := output.Progress(c, "entries")
	r, err := verifier.Ledger(ctx, d.Store, verifier.Options{
		Tries: c.Int("tries"), Progress: func(entries int) { _ = bar.Set(entries) },
	})
	_ = bar.Finish()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = output.PrintJSON(c, jsonReport(r))
	} else {
		printReport(c.Root().Writer, r)
	}
	if n := len(r.Differences); err == nil && n > 0 {
		err = exit.Found(output.Plural(n, "figure differs", "figures differ") + " from what the entries add up to")
	}
	return err
}

// printReport prints each difference on a line, and then how much was looked at.
func printReport(w io.Writer, r *verifier.Report) {
	for i := range r.Differences {
		fmt.Fprintln(w, output.Printable(r.Differences[i].String()))
	}
	fmt.Fprintf(w, "%s, %s, %s and %s of usage: %s\n",
		output.Plural(r.Entries, "entry", "entries"), output.Plural(r.Accounts, "account", "accounts"), output.Plural(r.Periods, "period", "periods"),
		output.Plural(r.UsageDays, "day", "days"), output.Plural(len(r.Differences), "difference", "differences"))
}

// jsonReport converts what the verifier found for JSON. A difference is about an entry, a day of usage, or a period of an account.
func jsonReport(r *verifier.Report) verifiedJSON {
	result := verifiedJSON{Entries: r.Entries, Accounts: r.Accounts, Periods: r.Periods, UsageDays: r.UsageDays, Differences: []differenceJSON{}}
	for i := range r.Differences {
		d := &r.Differences[i]
		one := differenceJSON{Kind: string(d.Kind), Limit: d.Limit, Period: output.Moment(d.Period), Told: d.Told, Sum: d.Sum, Detail: d.Detail}
		switch d.Kind {
		case verifier.State: // of an entry
			one.Entry = d.Entry.String()
		case verifier.Usage: // of a day: it has neither an entry nor an account
		default: // of a period of an account
			scope := output.JSONScope(d.Scope)
			one.Account, one.Scope = fmt.Sprintf("%x", d.Account), &scope
		}
		result.Differences = append(result.Differences, one)
	}
	return result
}
