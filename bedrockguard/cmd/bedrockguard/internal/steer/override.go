package steer

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// An override gives an account, which is where one limit counts for one set of values that split the limit, another maximum until a moment. With
// a policy the ledger finds the account by the limit and the scope; without one, only accounts that the store knows can be found. The store knows an
// account once a call was booked there.

// OverrideCommand returns the command bedrockguard override, with its flags and its help.
func OverrideCommand() *cli.Command {
	return &cli.Command{
		Name: "override", Category: "steer", Usage: "give one account of a limit another maximum for a while", ArgsUsage: "LIMIT AMOUNT",
		Description: "The scope names the account by the values that split its limit, and AMOUNT is written as in a policy: 300 USD, $300 or 100 calls.\n" +
			"Without a policy it works for accounts that are known: those under which a call was booked.\n\n" +
			"Exit code 3 says that it is set, and that no known account is touched: look for a misspelled name.",
		Flags: append(commandline.ScopeFlags(), commandline.PolicyFlag(), commandline.ReasonFlag(),
			&cli.StringFlag{Name: "for", Usage: "how long it holds, such as 8h or 3d", HideDefault: true},
			&cli.StringFlag{Name: "until", Usage: "when it ends: a moment, or how long from now", HideDefault: true},
			&cli.BoolFlag{Name: "clear", Usage: "take the override back"},
		),
		Action: commandline.WithLedger(override),
	}
}

// overriding is what the command line asks for: an override of one account to be set, or taken back if clear is set.
type overriding struct {
	limit string
	scope budget.Scope
	most  budget.Quantity
	until time.Time
	clear bool
}

// maxOverride is how long an override may last. Stores count time in nanoseconds since 1970, which ends in the year 2262.
const maxOverride = 100 * 366 * 24 * time.Hour

// override runs bedrockguard override. d is the opened ledger.
func override(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	o, err := overridingOf(ctx, c, d)
	if err != nil {
		return err
	}
	// Without a policy this is one without limits.
	policy, err := d.Policy(ctx, c)
	if err != nil {
		return err
	}
	ctx = budget.WithReason(ctx, c.String("reason"))
	var touched int                         // known accounts
	if len(policy.Limits) > 0 && !o.clear { // to remove an override no policy is needed: its account is known
		touched, err = overrideByPolicy(ctx, d, policy, o)
	} else {
		touched, err = overrideKnown(ctx, d, c.String("reason"), o)
	}
	if err != nil {
		return err
	}
	if err := printOverridden(c, &o, touched); err != nil {
		return err
	}
	if touched == 0 {
		return exit.Found("no known account is touched: is a name misspelled? bedrockguard accounts lists them. The override is set all the same")
	}
	return nil
}

// printOverridden prints what an override did, and how many known accounts it touched.
func printOverridden(c *cli.Command, o *overriding, touched int) (err error) {
	if c.Bool("json") {
		return output.PrintJSON(c, jsonOverriding(o, touched))
	}
	account := output.Printable(o.limit) + ", " + output.Printable(output.AccountText(o.scope))
	known := output.Plural(touched, "known account", "known accounts")
	if o.clear {
		_, err = fmt.Fprintf(c.Root().Writer, "override taken back: %s (%s)\n", account, known)
	} else {
		_, err = fmt.Fprintf(c.Root().Writer, "override: %s: %s until %s (%s)\n", account, o.most, output.When(o.until), known)
	}
	return err
}

// overridingJSON is what an override did, for JSON. Max and Until are nil if the override was taken back.
type overridingJSON struct {
	Limit    string               `json:"limit"`
	Scope    output.ScopeJSON     `json:"scope"`
	Max      *output.QuantityJSON `json:"max,omitempty"`
	Until    *time.Time           `json:"until,omitempty"`
	Cleared  bool                 `json:"cleared,omitempty"`
	Accounts int                  `json:"accounts"` // known accounts that it touched
}

// jsonOverriding converts an override for JSON.
func jsonOverriding(o *overriding, touched int) overridingJSON {
	result := overridingJSON{Limit: o.limit, Scope: output.JSONScope(o.scope), Until: output.Moment(o.until), Cleared: o.clear, Accounts: touched}
	if !o.clear {
		most := output.JSONQuantity(o.most)
		result.Max = &most
	}
	return result
}

// overridingOf parses the command line. An override needs a name, an amount and an end; with --clear only the name.
func overridingOf(ctx context.Context, c *cli.Command, d *commandline.Desk) (o overriding, err error) {
	o.clear = c.Bool("clear")
	args := c.Args().Slice()
	switch {
	case o.clear && (len(args) != 1 || c.String("for") != "" || c.String("until") != ""):
		return o, exit.UsageError("--clear: want the name of a limit, and no amount and no end")
	case o.clear:
	case len(args) < 2:
		return o, exit.UsageError("want the name of a limit and an amount, such as: override team-month 300 USD --tag team=research --for 8h")
	default:
		if o.until, err = endOf(ctx, c, d); err != nil {
			return o, err
		}
	}
	o.limit = args[0]
	if !o.clear {
		if o.most, err = commandline.ParseQuantity(strings.Join(args[1:], " ")); err != nil {
			return o, err
		}
	}
	o.scope, err = commandline.ScopeOf(c)
	return o, err
}

// endOf returns when an override ends, from --until or --for, of which exactly one has to be given. It goes by the store's clock, because that decides
// when an override has ended. An end that has passed would take an override back, which only --clear does.
func endOf(ctx context.Context, c *cli.Command, d *commandline.Desk) (time.Time, error) {
	length, until := c.String("for"), c.String("until")
	if (length == "") == (until == "") {
		return time.Time{}, exit.UsageError("an override needs an end: want --for or --until")
	}
	now, err := d.StoreTime(ctx)
	if err != nil {
		return time.Time{}, err
	}
	end, err := parseEnd(length, until, now)
	if err != nil {
		return end, err
	}
	end = end.Truncate(time.Second)
	switch {
	case !end.After(now):
		return end, exit.UsageError("the override would end at %s, which has passed: to take an override back, give --clear", output.When(end))
	case end.After(now.Add(maxOverride)):
		return end, exit.UsageError("the override would end at %s: at most 100 years from now; a limit that is wrong for good is the policy's to change", output.When(end))
	}
	return end, nil
}

// parseEnd reads --until if it is given, otherwise --for.
func parseEnd(length, until string, now time.Time) (time.Time, error) {
	if until != "" {
		return commandline.ParseMomentToCome("until", until, now)
	}
	span, err := commandline.ParseSpan(length)
	if err != nil || span <= 0 {
		return time.Time{}, exit.UsageError("--for %q: want how long, such as 8h or 3d", length)
	}
	return now.Add(span), nil
}

// overrideByPolicy sets an override of a limit in the policy, and returns how many known accounts it touches. OwnPolicy lets it use a policy that
// differs from the store's.
func overrideByPolicy(ctx context.Context, d *commandline.Desk, policy budget.Policy, o overriding) (accounts int, err error) {
	ledger, err := budget.Open(ctx, d.Store, policy, func(with *budget.OpenOptions) { with.OwnPolicy = true })
	if err != nil {
		return 0, err
	}
	for i := range policy.Limits {
		l := &policy.Limits[i]
		if l.Name == o.limit && !namesAccount(o.scope, l) {
			split := output.SplitText(l)
			return 0, exit.UsageError("limit %q is split by %s: name the account by %s and nothing else", o.limit, split, split)
		}
	}
	// If no limit has this name, this returns an error.
	return ledger.Override(ctx, o.limit, o.scope, o.most, o.until)
}

// namesAccount reports whether a scope names one account of a limit: it has a value for everything that splits the limit, and no other values.
func namesAccount(s budget.Scope, l *budget.Limit) bool {
	for i, value := range []string{s.Principal, s.Workflow, s.Model, s.Region, s.Profile, s.Project} {
		splits := l.Per&(1<<i) != 0 // the bits of Per are in the order of this list
		if splits != (value != "") {
			return false
		}
	}
	if len(s.Tags) != len(l.PerTags) {
		return false
	}
	for _, tag := range l.PerTags {
		if s.Tags[tag] == "" {
			return false
		}
	}
	return true
}

// overrideKnown sets an override, or takes it back, in each known account with exactly this scope, and returns in how many. It is used without a
// policy, or to take an override back.
func overrideKnown(ctx context.Context, d *commandline.Desk, reason string, o overriding) (accounts int, err error) {
	for a, err := range d.Accounts(ctx, budget.AccountQuery{Limit: o.limit, Scope: o.scope}) {
		if err != nil {
			return accounts, err
		}
		// The query also selects accounts that have further values.
		if !sameScope(a.Scope, o.scope) {
			continue
		}
		if err := overrideIn(ctx, d, a, reason, o); err != nil {
			return accounts, err
		}
		accounts++
	}
	if accounts == 0 {
		return 0, fmt.Errorf("no known account of limit %q has exactly these values, and there is no policy that would name one: give --policy FILE", o.limit)
	}
	return accounts, nil
}

// overrideIn sets an override in one known account, or takes it back. No policy says in which unit the limit counts, so the override has to be in the
// unit of an entry that was booked in the account.
func overrideIn(ctx context.Context, d *commandline.Desk, a budget.Account, reason string, o overriding) error {
	unit, err := unitOf(ctx, d, a)
	if err != nil {
		return err
	}
	if !o.clear && unit != o.most.Unit {
		return exit.UsageError("limit %q counts %s, and the override is %s", o.limit, unitName(unit), o.most)
	}
	to := &budget.Override{Max: o.most.N, Until: o.until}
	if o.clear {
		to = nil // removes the override that is set
	}
	// Change passes what the audit trail keeps: who, why, and at which revision.
	return d.Change(ctx, reason, func(c driver.Change) error { return d.Store.Override(ctx, a.Key, to, c) })
}

// unitName returns the name of a unit for a message; the zero unit is one that no entry shows.
func unitName(u budget.Unit) string {
	if !u.Valid() {
		return "something that no entry tells any more"
	}
	return u.String()
}

// unitOf returns the unit of an account, from an entry that was booked there; zero if there is none.
func unitOf(ctx context.Context, d *commandline.Desk, a budget.Account) (budget.Unit, error) {
	for e, err := range d.Entries(ctx, budget.Query{Scope: a.Scope}) {
		if err != nil {
			return 0, err
		}
		for _, b := range e.Lines {
			if b.Account == a.Key {
				return b.Unit, nil
			}
		}
	}
	return 0, nil
}

// sameScope compares two scopes; no tags and an empty set of tags are the same.
func sameScope(a, b budget.Scope) bool {
	if len(a.Tags) == 0 && len(b.Tags) == 0 {
		a.Tags, b.Tags = nil, nil
	}
	return reflect.DeepEqual(a, b)
}
