package main

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

func overrideCommand() *cli.Command {
	return &cli.Command{
		Name: "override", Category: "steer", Usage: "give one account of a limit another maximum for a while", ArgsUsage: "LIMIT AMOUNT",
		Description: "The scope names the account by the values that split its limit, and AMOUNT is written as in a policy: 300 USD, $300 or 100 calls.\n" +
			"Without a policy it works for accounts that are known: those under which a call was booked.\n\n" +
			"Exit code 3 says that it is set, and that no known account is touched: look for a misspelled name.",
		Flags: append(scopeFlags(), policyFlag(), reasonFlag(),
			&cli.StringFlag{Name: "for", Usage: "how long it holds, such as 8h or 3d", HideDefault: true},
			&cli.StringFlag{Name: "until", Usage: "when it ends", HideDefault: true},
			&cli.BoolFlag{Name: "clear", Usage: "take the override back"},
		),
		Action: withLedger(override),
	}
}

func reasonFlag() cli.Flag {
	return &cli.StringFlag{Name: "reason", Usage: "why, for the audit trail", HideDefault: true}
}

// overriding is an override to be made.
type overriding struct {
	limit string
	scope budget.Scope
	most  budget.Quantity
	until time.Time
	clear bool
}

// maxOverride is how long an override may last. Stores count time in nanoseconds since 1970, which ends in the year 2262.
const maxOverride = 100 * 366 * 24 * time.Hour

func override(ctx context.Context, c *cli.Command, d *desk) error {
	o, err := overridingOf(ctx, c, d)
	if err != nil {
		return err
	}
	policy, err := d.policy(ctx, c)
	if err != nil {
		return err
	}
	ctx = budget.WithReason(ctx, c.String("reason"))
	var accounts int
	if len(policy.Limits) > 0 && !o.clear { // to remove an override no policy is needed: its account is known
		accounts, err = d.overrideByPolicy(ctx, policy, o)
	} else {
		accounts, err = d.overrideKnown(ctx, c.String("reason"), o)
	}
	if err != nil {
		return err
	}
	if err := overridden(c, &o, accounts); err != nil {
		return err
	}
	if accounts == 0 {
		return &found{"no known account is touched: is a name misspelled? bedrockguard accounts lists them. The override is set all the same"}
	}
	return nil
}

// overridden prints what an override did.
func overridden(c *cli.Command, o *overriding, accounts int) (err error) {
	w := c.Root().Writer
	switch {
	case c.Bool("json"):
		told := struct {
			Limit    string        `json:"limit"`
			Scope    scopeJSON     `json:"scope"`
			Max      *quantityJSON `json:"max,omitempty"`
			Until    *time.Time    `json:"until,omitempty"`
			Cleared  bool          `json:"cleared,omitempty"`
			Accounts int           `json:"accounts"`
		}{Limit: o.limit, Scope: jsonScope(o.scope), Until: moment(o.until), Cleared: o.clear, Accounts: accounts}
		if !o.clear {
			most := jsonOf(o.most)
			told.Max = &most
		}
		return printJSON(c, told)
	case o.clear:
		_, err = fmt.Fprintf(w, "override taken back: %s, %s (%s)\n", printable(o.limit), printable(accountText(o.scope)), plural(accounts, "known account", "known accounts"))
	default:
		_, err = fmt.Fprintf(w, "override: %s, %s: %s until %s (%s)\n", printable(o.limit), printable(accountText(o.scope)), o.most, when(o.until), plural(accounts, "known account", "known accounts"))
	}
	return err
}

// overridingOf parses the command line.
func overridingOf(ctx context.Context, c *cli.Command, d *desk) (o overriding, err error) {
	o.clear = c.Bool("clear")
	args := c.Args().Slice()
	switch length, until := c.String("for"), c.String("until"); {
	case o.clear && (len(args) != 1 || length != "" || until != ""):
		return o, usageError("--clear: want the name of a limit, and no amount and no end")
	case o.clear:
	case len(args) < 2:
		return o, usageError("want the name of a limit and an amount, such as: override team-month 300 USD --tag team=research --for 8h")
	case (length == "") == (until == ""):
		return o, usageError("an override needs an end: want --for or --until")
	case until != "":
		if o.until, err = parseMoment("until", until, time.Now()); err != nil {
			return o, err
		}
	default:
		span, err := parseSpan(length)
		if err != nil || span <= 0 {
			return o, usageError("--for %q: want how long, such as 8h or 3d", length)
		}
		now, err := d.storeTime(ctx)
		if err != nil {
			return o, err
		}
		o.until = now.Add(span).Truncate(time.Second)
	}
	if o.until.After(time.Now().Add(maxOverride)) {
		return o, usageError("the override would end at %s: at most 100 years from now; a limit that is wrong for good is the policy's to change", when(o.until))
	}
	o.limit = args[0]
	if !o.clear {
		if o.most, err = parseQuantity(strings.Join(args[1:], " ")); err != nil {
			return o, err
		}
	}
	o.scope, err = scopeOf(c)
	return o, err
}

func (d *desk) overrideByPolicy(ctx context.Context, policy budget.Policy, o overriding) (accounts int, err error) {
	ledger, err := budget.Open(ctx, d.store, policy, func(with *budget.OpenOptions) { with.OwnPolicy = true })
	if err != nil {
		return 0, err
	}
	for i := range policy.Limits {
		l := &policy.Limits[i]
		if l.Name != o.limit {
			continue
		}
		if missing := unsplit(l, o.scope); missing != "" {
			return 0, usageError("limit %q is split by %s: name the account by %s and nothing else", o.limit, splitText(l), missing)
		}
	}
	return ledger.Override(ctx, o.limit, o.scope, o.most, o.until)
}

// unsplit says which values the scope lacks, or has too many, to name an account of the limit; empty if none.
func unsplit(l *budget.Limit, s budget.Scope) string {
	for i, value := range []string{s.Principal, s.Workflow, s.Model, s.Region, s.Profile, s.Project} {
		if splits := l.Per&(1<<i) != 0; splits != (value != "") {
			return splitText(l)
		}
	}
	if len(s.Tags) != len(l.PerTags) {
		return splitText(l)
	}
	for _, tag := range l.PerTags {
		if s.Tags[tag] == "" {
			return splitText(l)
		}
	}
	return ""
}

// splitText says by what a limit is split.
func splitText(l *budget.Limit) string {
	var by []string
	if l.Per != 0 {
		by = strings.Split(l.Per.String(), "|")
	}
	for _, tag := range l.PerTags {
		by = append(by, "tag "+tag)
	}
	if len(by) == 0 {
		return "nothing"
	}
	return strings.Join(by, ", ")
}

// overrideKnown sets an override if there is no policy that has the limit's unit: then it takes the unit from entries.
func (d *desk) overrideKnown(ctx context.Context, reason string, o overriding) (accounts int, err error) {
	for a, err := range d.Accounts(ctx, budget.AccountQuery{Limit: o.limit, Scope: o.scope}) {
		if err != nil {
			return accounts, err
		}
		if !sameScope(a.Scope, o.scope) {
			continue
		}
		if unit, err := d.unitOf(ctx, a); err != nil {
			return accounts, err
		} else if !o.clear && unit != o.most.Unit {
			return accounts, usageError("limit %q counts %s, and the override is %s", o.limit, unitName(unit), o.most)
		}
		to := &budget.Override{Max: o.most.N, Until: o.until}
		if o.clear {
			to = nil
		}
		if err := d.change(ctx, reason, func(c driver.Change) error { return d.store.Override(ctx, a.Key, to, c) }); err != nil {
			return accounts, err
		}
		accounts++
	}
	if accounts == 0 {
		return 0, fmt.Errorf("no known account of limit %q has exactly these values, and there is no policy that would name one: give --policy FILE", o.limit)
	}
	return accounts, nil
}

func unitName(u budget.Unit) string {
	if !u.Valid() {
		return "something that no entry tells any more"
	}
	return u.String()
}

// unitOf returns the unit of an account, from an entry that was booked there; zero if there is none.
func (d *desk) unitOf(ctx context.Context, a budget.Account) (budget.Unit, error) {
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

func sameScope(a, b budget.Scope) bool {
	if len(a.Tags) == 0 && len(b.Tags) == 0 {
		a.Tags, b.Tags = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func overridesCommand() *cli.Command {
	return &cli.Command{Name: "overrides", Category: "look", Usage: "list the accounts whose maximum was overridden", Action: withLedger(overrides)}
}

func overrides(ctx context.Context, c *cli.Command, d *desk) error {
	now, err := d.storeTime(ctx)
	if err != nil {
		return err
	}
	type row struct {
		Limit   string    `json:"limit"`
		Scope   scopeJSON `json:"scope"`
		Account string    `json:"account"`
		Max     int64     `json:"max"`
		Unit    string    `json:"unit,omitempty"`
		Until   time.Time `json:"until"`
		Ended   bool      `json:"ended"`
	}
	units, err := d.units(ctx)
	if err != nil {
		return err
	}
	told := []row{}
	t := newTable("No maximum is overridden.", "LIMIT", "ACCOUNT", "MAX", "UNTIL", "NOTES")
	for a, err := range d.Overrides(ctx) {
		if err != nil {
			return err
		}
		unit := units[a.Key]
		ended := !a.Override.Until.After(now)
		told = append(told, row{a.Limit, jsonScope(a.Scope), fmt.Sprintf("%x", a.Key), a.Override.Max, jsonOf(budget.Quantity{Unit: unit}).Unit, a.Override.Until.UTC(), ended})
		most, note := money(budget.Quantity{N: a.Override.Max, Unit: unit})+unitText(unit), ""
		if ended {
			note = "ended"
		}
		t.row(a.Limit, nameOf(a.Limit, a.Scope, fmt.Sprintf("%x", a.Key)), most, when(a.Override.Until), note)
	}
	if c.Bool("json") {
		return printJSON(c, told)
	}
	return t.end(c.Root().Writer)
}

func unlatchCommand() *cli.Command {
	return &cli.Command{
		Name: "unlatch", Category: "steer", Usage: "open accounts that a refusal has latched",
		Description: "Exit code 3 says that none of the accounts named is latched.",
		Flags: append(scopeFlags(), reasonFlag(),
			&cli.StringFlag{Name: "limit", Usage: "only accounts of this limit", HideDefault: true},
			&cli.BoolFlag{Name: "all", Usage: "all that are latched"},
		),
		Action: withLedger(unlatch),
	}
}

func unlatch(ctx context.Context, c *cli.Command, d *desk) error {
	q := budget.AccountQuery{Limit: c.String("limit")}
	var err error
	if q.Scope, err = scopeOf(c); err != nil {
		return err
	}
	if named := q.Limit != "" || !isEmpty(q.Scope); named == c.Bool("all") {
		return usageError("want a scope or --limit, or --all for each account that is latched")
	}
	var keys []budget.Key
	opened := []*standing{}
	for a, err := range d.Accounts(ctx, q) {
		if err != nil {
			return err
		}
		if !a.Latched.IsZero() {
			keys = append(keys, a.Key)
			opened = append(opened, &standing{Limit: a.Limit, Scope: jsonScope(a.Scope), Account: fmt.Sprintf("%x", a.Key), Latched: moment(a.Latched), scope: a.Scope})
		}
	}
	if len(keys) > 0 {
		if err := d.change(ctx, c.String("reason"), func(change driver.Change) error { return d.store.Unlatch(ctx, keys, change) }); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		type row struct {
			Limit   string     `json:"limit"`
			Scope   scopeJSON  `json:"scope"`
			Account string     `json:"account"`
			Until   *time.Time `json:"latched_until"`
		}
		rows := make([]row, len(opened))
		for i, s := range opened {
			rows[i] = row{s.Limit, s.Scope, s.Account, s.Latched}
		}
		err = printJSON(c, rows)
	} else {
		for _, s := range opened {
			fmt.Fprintf(c.Root().Writer, "opened: %s, %s\n", printable(s.Limit), printable(accountText(s.scope)))
		}
	}
	if err == nil && len(keys) == 0 {
		err = &found{"no account of these values is latched: bedrockguard status shows those that are"}
	}
	return err
}
