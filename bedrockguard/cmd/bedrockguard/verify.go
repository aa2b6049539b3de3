package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	verifier "github.com/bedrockguard/bedrockguard-go/budget/verify"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Category: "prove", Usage: "recompute every balance from the entries, and name those that differ",
		Description: "For each period of each account, what is settled has to be what its entries have posted and what those had that were forgotten, and what is pending\n" +
			"what unresolved entries hold. Accounts have to be those of the calls that were booked there, and usage has to hold what entries have posted. Calls may go\n" +
			"on meanwhile: what differs is looked at again.\n\nExit code 3 says that something differs.",
		Flags:  []cli.Flag{&cli.IntFlag{Name: "tries", Value: verifier.DefaultTries, Usage: "how often to look, while calls go on, before a difference is one"}},
		Action: withLedger(verify),
	}
}

// differenceJSON is a sum that is not what its entries add up to, for JSON.
type differenceJSON struct {
	Kind    string     `json:"kind"`
	Limit   string     `json:"limit,omitempty"`
	Account string     `json:"account,omitempty"`
	Scope   *scopeJSON `json:"scope,omitempty"`
	Period  *time.Time `json:"period,omitempty"`
	Entry   string     `json:"entry,omitempty"`
	Told    int64      `json:"told"`
	Sum     int64      `json:"sum"`
	Detail  string     `json:"detail,omitempty"`
}

// verifiedJSON is what verify has checked, for JSON.
type verifiedJSON struct {
	Entries     int              `json:"entries"`
	Accounts    int              `json:"accounts"`
	Periods     int              `json:"periods"`
	UsageDays   int              `json:"usage_days"`
	Differences []differenceJSON `json:"differences"`
}

func verify(ctx context.Context, c *cli.Command, d *desk) error {
	if c.Int("tries") < 1 {
		return usageError("--tries %d: want 1 at least", c.Int("tries"))
	}
	bar := progress(c, "entries")
	r, err := verifier.Ledger(ctx, d.store, verifier.Options{
		Tries: c.Int("tries"), Progress: func(entries int) { _ = bar.Set(entries) },
	})
	_ = bar.Finish()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		if err := printJSON(c, jsonReport(r)); err != nil {
			return err
		}
	} else {
		for i := range r.Differences {
			fmt.Fprintln(c.Root().Writer, printable(r.Differences[i].String()))
		}
		fmt.Fprintf(c.Root().Writer, "%s, %s, %s and %s of usage: %s\n", plural(r.Entries, "entry", "entries"), plural(r.Accounts, "account", "accounts"), plural(r.Periods, "period", "periods"), plural(r.UsageDays, "day", "days"), plural(len(r.Differences), "difference", "differences"))
	}
	if n := len(r.Differences); n > 0 {
		return &found{plural(n, "figure differs", "figures differ") + " from what the entries add up to"}
	}
	return nil
}

func jsonReport(r *verifier.Report) verifiedJSON {
	told := verifiedJSON{r.Entries, r.Accounts, r.Periods, r.UsageDays, []differenceJSON{}}
	for i := range r.Differences {
		d := &r.Differences[i]
		one := differenceJSON{Kind: string(d.Kind), Limit: d.Limit, Period: moment(d.Period), Told: d.Told, Sum: d.Sum, Detail: d.Detail}
		switch d.Kind {
		case verifier.State:
			one.Entry = d.Entry.String()
		case verifier.Usage:
		default:
			scope := jsonScope(d.Scope)
			one.Account, one.Scope = fmt.Sprintf("%x", d.Account), &scope
		}
		told.Differences = append(told.Differences, one)
	}
	return told
}
