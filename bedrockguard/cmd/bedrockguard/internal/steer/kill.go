// Package steer has the commands that change what may be spent, and what was: kill, revive, override, unlatch and correct.
package steer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Each command here has a function that describes it (KillCommand) and one that runs it (kill): c is the parsed command line, d the opened
// ledger. A kill sets a flag in the ledger, by which all processes refuse the calls whose scope has the flag's values.

// KillCommand returns the command bedrockguard kill, with its flags and its help.
func KillCommand() *cli.Command {
	return &cli.Command{
		Name: "kill", Category: "steer", Usage: "stop calls in every process, and their streams", ArgsUsage: "[REASON]",
		Description: "Refuses each call that has all the values named. With * or ? in a value they are patterns. The reason is shown to those who are refused.\n\n" +
			"Exit code 3 says that the flag is set, and that no known account and no call of the last 31 days carries these values: look for a misspelled name.",
		Flags: append(commandline.ScopeFlags(),
			&cli.BoolFlag{Name: "all", Usage: "stop every call there is; asks first"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			&cli.DurationFlag{Name: "for", Usage: "how long it holds; until it is revived unless set", HideDefault: true},
			&cli.StringFlag{Name: "reason", Usage: "the same as the argument", HideDefault: true},
		),
		Action: commandline.WithLedger(kill),
	}
}

// kill runs bedrockguard kill.
func kill(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	scope, err := commandline.ScopeOf(c)
	if err != nil {
		return err
	}
	// The id of an inference profile becomes that of its model, which calls are counted under.
	commandline.ResolveModel(c, &scope)
	k := budget.Kill{Scope: scope, Patterns: commandline.HasGlob(scope), Reason: reasonOf(c)}
	if k.Until, err = killUntil(ctx, c, d); err != nil {
		return err
	}
	if err := mayKill(c, &k); err != nil {
		return err
	}
	var accounts int // known accounts that have the kill's values
	if c.Bool("all") {
		// KillAs refuses a scope without values.
		accounts, err = d.KillAll(ctx, k.Reason)
	} else {
		accounts, err = d.KillAs(ctx, k)
	}
	if err != nil {
		return err
	}
	known := accounts > 0 || commandline.IsEmpty(scope) || hasSpent(ctx, d, &k)
	return printKilled(c, &k, accounts, known)
}

// killUntil returns when the kill ends, by --for; the zero time if it has no end.
func killUntil(ctx context.Context, c *cli.Command, d *commandline.Desk) (time.Time, error) {
	length := c.Duration("for")
	if length < 0 || c.IsSet("for") && length == 0 {
		return time.Time{}, exit.UsageError("--for %s: want a time to come", length)
	}
	if length == 0 {
		return time.Time{}, nil
	}
	// By the store's clock, because that decides when a kill has ended.
	now, err := d.StoreTime(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return now.Add(length), nil
}

// mayKill returns an error if the command line does not clearly ask for this kill. A scope without values matches every call, so it is accepted only
// with --all, which asks first.
func mayKill(c *cli.Command, k *budget.Kill) error {
	all, empty := c.Bool("all"), commandline.IsEmpty(k.Scope)
	switch {
	case all && !empty:
		return exit.UsageError("--all and a scope: want one of them")
	case !all && empty:
		return exit.UsageError("nothing to stop is named: give --workflow, --principal, --model or --tag, or --all for every call there is")
	case all && !k.Until.IsZero():
		return exit.UsageError("--all has no end: revive it with bedrockguard revive --all")
	case all && !c.Bool("yes") && !commandline.Confirm(c, "Stop every call in every process?"):
		return fmt.Errorf("nothing was stopped: give --yes, or answer with yes")
	}
	return nil
}

// seenFor is how far back hasSpent looks for calls.
const seenFor = 31 * 24 * time.Hour

// hasSpent reports whether a call that the kill covers was made lately, or is in flight. It is asked if no account has the kill's values,
// which is normal for limits that are not split. Errors count as no such call.
func hasSpent(ctx context.Context, d *commandline.Desk, k *budget.Kill) bool {
	// The rows are split by all that a kill can name, so that Holds finds these values in them. Usage is kept without profile and project: a kill of
	// one of these is looked for only among the calls in flight.
	query := budget.UsageQuery{
		Since: driver.UsageDay(time.Now().Add(-seenFor)), By: budget.PerPrincipal | budget.PerWorkflow | budget.PerModel | budget.PerRegion,
		ByTags: slices.Sorted(maps.Keys(k.Scope.Tags)),
	}
	for row, err := range d.Usage(ctx, query) {
		if err == nil && k.Holds(row.Scope) {
			return true
		}
	}
	for e, err := range d.Entries(ctx, budget.Query{State: driver.Pending}) {
		if err == nil && k.Holds(e.Scope) {
			return true
		}
	}
	return false
}

// printKilled prints what a kill did. known says that somebody has made calls that it covers.
func printKilled(c *cli.Command, k *budget.Kill, accounts int, known bool) error {
	if c.Bool("json") {
		if err := output.PrintJSON(c, struct {
			output.KillJSON
			Accounts int `json:"accounts"`
		}{output.JSONKill(k), accounts}); err != nil {
			return err
		}
	} else {
		until := ""
		if !k.Until.IsZero() {
			until = " until " + output.When(k.Until)
		}
		fmt.Fprintf(c.Root().Writer, "killed: %s%s (%s)\n", output.Printable(output.ScopeText(k.Scope)), until, output.Plural(accounts, "known account", "known accounts"))
	}
	if !known {
		return exit.Found("no known account carries these values, and no call with them was made in 31 days: is a name misspelled? bedrockguard accounts and report --by workflow list them. The flag is set all the same")
	}
	return nil
}

// reasonOf returns the reason for a change: --reason, or else the arguments.
func reasonOf(c *cli.Command) string {
	if reason := c.String("reason"); reason != "" {
		return reason
	}
	return strings.Join(c.Args().Slice(), " ")
}

// ReviveCommand returns the command bedrockguard revive, with its flags and its help.
func ReviveCommand() *cli.Command {
	return &cli.Command{
		Name: "revive", Category: "steer", Usage: "take a kill back", ArgsUsage: "[REASON]",
		Description: "Takes back the flag of exactly the values named, patterns as they were given. Latches stay closed: see unlatch.",
		Flags: append(commandline.ScopeFlags(),
			&cli.BoolFlag{Name: "all", Usage: "take back the flag for every call; others stay"},
			&cli.BoolFlag{Name: "every", Usage: "take back every flag there is"},
			&cli.StringFlag{Name: "reason", Usage: "the same as the argument", HideDefault: true},
		),
		Action: commandline.WithLedger(revive),
	}
}

// revive runs bedrockguard revive: it takes back the flags that were set with exactly the scope on the command line, or all with --every. The flag of
// --all is the one with an empty scope.
func revive(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	scope, err := commandline.ScopeOf(c)
	if err != nil {
		return err
	}
	commandline.ResolveModel(c, &scope)
	if err := mayRevive(c, scope); err != nil {
		return err
	}
	flag := budget.Flag{Scope: scope, Patterns: commandline.HasGlob(scope)}
	revived, err := reviveFlags(ctx, c, d, flag)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		if err := output.PrintJSON(c, revived); err != nil {
			return err
		}
	}
	if len(revived) == 0 {
		return exit.Found("no flag of exactly these values is set: bedrockguard kills lists them")
	}
	return nil
}

// mayRevive returns an error unless exactly one of a scope, --all and --every is given.
func mayRevive(c *cli.Command, scope budget.Scope) error {
	named, all, every := !commandline.IsEmpty(scope), c.Bool("all"), c.Bool("every")
	switch {
	case named && (all || every) || all && every:
		return exit.UsageError("a scope, --all and --every: want one of them")
	case !named && !all && !every:
		return exit.UsageError("nothing to revive is named: give the values of the kill, --all or --every")
	}
	return nil
}

// reviveFlags takes back one flag, or with --every each flag that is set, and returns those that it took back. Unless JSON is wanted it prints each
// at once, so that what was done before an error is told.
func reviveFlags(ctx context.Context, c *cli.Command, d *commandline.Desk, flag budget.Flag) ([]output.KillJSON, error) {
	kills, err := d.Kills(ctx)
	if err != nil {
		return nil, err
	}
	revived := []output.KillJSON{} // not nil, so that the JSON is an empty list
	for i := range kills {
		k := &kills[i]
		// Object is a key of the flag's values, and of whether they are patterns: flags with the same key are the same flag.
		if !c.Bool("every") && k.Flag().Object() != flag.Object() {
			continue
		}
		if err := d.ReviveFlag(budget.WithReason(ctx, reasonOf(c)), k.Flag()); err != nil {
			return nil, err
		}
		revived = append(revived, output.JSONKill(k))
		if !c.Bool("json") {
			fmt.Fprintf(c.Root().Writer, "revived: %s\n", output.Printable(output.ScopeText(k.Scope)))
		}
	}
	return revived, nil
}
