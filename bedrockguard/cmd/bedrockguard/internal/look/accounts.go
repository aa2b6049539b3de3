package look

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// An account is where one limit counts for one set of values that split the limit, such as one workflow. A period is one window of an account, or
// a part of a rolling window; settled is what finished calls were charged in it, pending what calls in flight have reserved. An override replaces
// the limit's maximum in one account until a moment, and a latched account stays closed after a refusal. The first argument of output.NewTable is
// the text that is printed in place of a table without rows.

// LimitsCommand returns the command bedrockguard limits, with its flags and its help.
func LimitsCommand() *cli.Command {
	return &cli.Command{
		Name: "limits", Category: "look", Usage: "list the limits of the policy, and how many accounts each has",
		Flags: []cli.Flag{commandline.PolicyFlag()}, Action: commandline.WithLedger(limits),
	}
}

// limitJSON is a limit for JSON. Of a limit that is not in the policy, but has accounts in the store, only Name and Accounts are known.
type limitJSON struct {
	Name     string               `json:"name"`
	Max      *output.QuantityJSON `json:"max,omitempty"`
	Window   string               `json:"window,omitempty"`
	Per      []string             `json:"per,omitempty"`
	Notify   []float64            `json:"notify,omitempty"`
	Latch    bool                 `json:"latch,omitempty"`
	Observe  bool                 `json:"observe,omitempty"`
	MaxFor   int                  `json:"max_for,omitempty"` // how many exceptions it has
	Accounts int                  `json:"accounts"`          // how many accounts it has
	InPolicy bool                 `json:"in_policy"`
}

// limits runs bedrockguard limits: it lists the limits of the policy, and others that have accounts in the store. d is the opened ledger.
func limits(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	// Without a policy this is one without limits.
	policy, err := d.Policy(ctx, c)
	if err != nil {
		return err
	}
	all := []*limitJSON{}
	byName := make(map[string]*limitJSON)
	for i := range policy.Limits {
		listed := jsonLimit(&policy.Limits[i])
		all, byName[listed.Name] = append(all, listed), listed
	}
	for a, err := range d.Accounts(ctx, budget.AccountQuery{}) {
		if err != nil {
			return err
		}
		if byName[a.Limit] == nil {
			byName[a.Limit] = &limitJSON{Name: a.Limit}
			all = append(all, byName[a.Limit])
		}
		byName[a.Limit].Accounts++
	}
	if c.Bool("json") {
		return output.PrintJSON(c, all)
	}
	return printLimits(c, all)
}

// jsonLimit returns a limit of the policy for JSON. Its accounts are not counted yet.
func jsonLimit(l *budget.Limit) *limitJSON {
	most := output.JSONQuantity(l.Max)
	listed := &limitJSON{Name: l.Name, Max: &most, Window: l.Window.String(), Notify: l.Notify, Latch: l.Latch, Observe: l.Observe, MaxFor: len(l.MaxFor), InPolicy: true}
	if by := output.SplitText(l); by != "nothing" {
		listed.Per = strings.Split(by, ", ")
	}
	return listed
}

// printLimits prints limits as a table.
func printLimits(c *cli.Command, all []*limitJSON) error {
	t := output.NewTable("There is no policy, and no call was booked yet.", "LIMIT", "MAX", "WINDOW", "SPLIT BY", "ACCOUNTS", "NOTES")
	for _, l := range all {
		if !l.InPolicy {
			t.Row(l.Name, "?", "?", "?", fmt.Sprint(l.Accounts), "not in the policy")
			continue
		}
		t.Row(l.Name, l.Max.Text, l.Window, strings.Join(l.Per, ", "), fmt.Sprint(l.Accounts), l.notes())
	}
	return t.End(c.Root().Writer)
}

// notes returns the last column of the table.
func (l *limitJSON) notes() string {
	var notes []string
	if l.Observe {
		notes = append(notes, "observed only")
	}
	if l.Latch {
		notes = append(notes, "latches")
	}
	if l.MaxFor > 0 {
		notes = append(notes, fmt.Sprintf("%d exceptions", l.MaxFor))
	}
	return strings.Join(notes, ", ")
}

// AccountsCommand returns the command bedrockguard accounts, with its flags and its help.
func AccountsCommand() *cli.Command {
	return &cli.Command{
		Name: "accounts", Category: "look", Usage: "list the accounts that are known, with their periods if asked",
		Flags: append(commandline.ScopeFlags(),
			&cli.StringFlag{Name: "limit", Usage: "only accounts of this limit", HideDefault: true},
			&cli.BoolFlag{Name: "periods", Usage: "what was booked in each period, newest last"},
		),
		Action: commandline.WithLedger(accounts),
	}
}

// accountJSON is an account for JSON. Account is the account's key in hexadecimal.
type accountJSON struct {
	Limit    string           `json:"limit"`
	Scope    output.ScopeJSON `json:"scope"` // the values that split the limit; empty for a limit that is not split
	Account  string           `json:"account"`
	Override *overrideJSON    `json:"override,omitempty"`
	Latched  *time.Time       `json:"latched_until,omitempty"`
	Periods  []periodJSON     `json:"periods,omitempty"` // only with --periods
}

// periodJSON is what was booked in a period, in the unit of the account's limit.
type periodJSON struct {
	Start     time.Time `json:"start"`
	Settled   int64     `json:"settled"`
	Pending   int64     `json:"pending"`
	Forgotten int64     `json:"forgotten,omitempty"` // the part of Settled whose entries are not remembered any more
}

// accounts runs bedrockguard accounts: it lists the accounts of the ledger d that the flags select, sorted by limit and values.
func accounts(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	scope, err := commandline.ScopeOf(c)
	if err != nil {
		return err
	}
	all := []accountJSON{}
	for a, err := range d.Accounts(ctx, budget.AccountQuery{Limit: c.String("limit"), Scope: scope}) {
		if err != nil {
			return err
		}
		listed := accountJSON{Limit: a.Limit, Scope: output.JSONScope(a.Scope), Account: fmt.Sprintf("%x", a.Key), Latched: output.Moment(a.Latched)}
		if a.Override != nil {
			listed.Override = &overrideJSON{a.Override.Max, a.Override.Until.UTC()}
		}
		if c.Bool("periods") {
			if listed.Periods, err = periodsOf(ctx, d, a.Key); err != nil {
				return err
			}
		}
		all = append(all, listed)
	}
	slices.SortStableFunc(all, func(a, b accountJSON) int { return strings.Compare(a.order(), b.order()) })
	if c.Bool("json") {
		return output.PrintJSON(c, all)
	}
	return printAccounts(c, all)
}

// periodsOf returns all periods of an account, the newest last: they are those that begin after the zero time.
func periodsOf(ctx context.Context, d *commandline.Desk, account budget.Key) (all []periodJSON, err error) {
	for p, err := range d.Periods(ctx, account, time.Time{}) {
		if err != nil {
			return nil, err
		}
		all = append(all, periodJSON{p.Start.UTC(), p.Settled, p.Pending, p.Forgotten})
	}
	return all, nil
}

// order returns the text by which accounts are sorted: limit, and then values.
func (a *accountJSON) order() string { return a.Limit + "\x00" + output.AccountText(a.Scope.Scope()) }

// printAccounts prints accounts as a table, or with --periods a row for each of their periods. nameOf prints the values of an account, or its key if
// the store does not know them yet.
func printAccounts(c *cli.Command, all []accountJSON) error {
	w := c.Root().Writer
	const none = "No account of these values is known."
	if !c.Bool("periods") {
		t := output.NewTable(none, "LIMIT", "ACCOUNT", "KEY", "NOTES")
		for i := range all {
			a := &all[i]
			s := standing{Latched: a.Latched, Override: a.Override, known: true} // only to print its notes
			t.Row(a.Limit, nameOf(a.Limit, a.Scope.Scope(), a.Account), a.Account, s.notes())
		}
		return t.End(w)
	}
	t := output.NewTable(none, "LIMIT", "ACCOUNT", "PERIOD FROM", "SETTLED", "PENDING", "OF THAT FORGOTTEN")
	for i := range all {
		a := &all[i]
		for _, p := range a.Periods {
			t.Row(a.Limit, nameOf(a.Limit, a.Scope.Scope(), a.Account), output.When(p.Start), fmt.Sprint(p.Settled), fmt.Sprint(p.Pending), fmt.Sprint(p.Forgotten))
		}
	}
	return t.End(w)
}
