// Package look has the commands that show a ledger, the catalog, a request or logs. Of them only top can change something: its key k kills.
package look

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// An account is where one limit counts for one set of values that split the limit, such as one workflow. Settled is what finished calls were
// charged in the present window, pending what calls in flight have reserved. An override replaces the limit's maximum in one account until a
// moment, a latched account stays closed after a refusal, and a limit that is only observed refuses nothing. Without a policy d.Policy returns one
// without limits. The first argument of output.NewTable is the text that is printed in place of a table without rows.

// StatusCommand returns the command bedrockguard status, with its flags and its help.
func StatusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Category: "look", Usage: "show where each limit stands, and what is killed",
		Description: "Without a policy it shows the newest period of each account, because what it may spend is the policy's to say.",
		Flags: append(commandline.ScopeFlags(), commandline.PolicyFlag(),
			&cli.StringFlag{Name: "limit", Usage: "only accounts of this limit", HideDefault: true},
			&cli.IntFlag{Name: "top", Value: 50, Usage: "how many accounts to show, the fullest first; 0 shows all"},
		),
		Action: commandline.WithLedger(status),
	}
}

// standing is where an account stands: its balance under the policy, or without a policy what was booked in its newest period. Its exported
// fields are the JSON; Account is the account's key in hexadecimal. Max, Left, Window and ResetIn are only set under a policy, and Since only without
// one.
type standing struct {
	Limit    string               `json:"limit"`
	Scope    output.ScopeJSON     `json:"scope"`
	Account  string               `json:"account,omitempty"` // empty for a limit that has no account yet
	Settled  output.QuantityJSON  `json:"settled"`
	Pending  output.QuantityJSON  `json:"pending"`
	Max      *output.QuantityJSON `json:"max,omitempty"`
	Left     *output.QuantityJSON `json:"left,omitempty"`
	Window   string               `json:"window,omitempty"`
	Since    *time.Time           `json:"since,omitempty"` // the beginning of the newest period; nil if nothing was booked
	ResetIn  float64              `json:"reset_in_seconds,omitempty"`
	Override *overrideJSON        `json:"override,omitempty"`
	Latched  *time.Time           `json:"latched_until,omitempty"` // nil if the account is open
	Observe  bool                 `json:"observe,omitempty"`

	// The same for the tables, and for the order of the accounts.
	scope   budget.Scope
	balance budget.AccountBalance // without a policy it has only Settled and Pending
	known   bool                  // the policy has the limit
}

// overrideJSON is an override for JSON: the maximum in the unit of the limit, and when it ends.
type overrideJSON struct {
	Max   int64     `json:"max"`
	Until time.Time `json:"until"`
}

// part returns how full the account is, by which accounts are sorted: 1 means that nothing is left. If no maximum is known or it is zero, an
// account counts as full once anything was booked.
func (s *standing) part() float64 {
	if s.balance.Max.N <= 0 {
		return float64(min(s.balance.Settled.N+s.balance.Pending.N, 1))
	}
	return float64(s.balance.Settled.N+s.balance.Pending.N) / float64(s.balance.Max.N)
}

// statusJSON is the result of status.
type statusJSON struct {
	Accounts []*standing       `json:"accounts"`
	Kills    []output.KillJSON `json:"kills"`
	Policy   bool              `json:"policy"` // whether there is a policy
}

// status runs bedrockguard status: it shows the fullest accounts of the ledger d, as many as --top allows, and the kills in force.
func status(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	scope, err := commandline.ScopeOf(c)
	if err != nil {
		return err
	}
	policy, err := d.Policy(ctx, c)
	if err != nil {
		return err
	}
	all, err := standings(ctx, d, policy, budget.AccountQuery{Limit: c.String("limit"), Scope: scope})
	if err != nil {
		return err
	}
	kills, err := d.Kills(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b *standing) int { return cmp.Compare(b.part(), a.part()) })
	shown := all
	if top := c.Int("top"); top > 0 && len(all) > top {
		shown = all[:top]
	}
	hasPolicy := len(policy.Limits) > 0
	if c.Bool("json") {
		return output.PrintJSON(c, statusJSON{Accounts: shown, Policy: hasPolicy, Kills: output.JSONKills(kills)})
	}
	return printStatus(c, shown, kills, len(all)-len(shown), hasPolicy)
}

// standings returns the balances of the accounts that q selects, under the policy, with a row for each limit that has no account yet. Without a
// policy it returns what was booked in the newest period of each account.
func standings(ctx context.Context, d *commandline.Desk, policy budget.Policy, q budget.AccountQuery) ([]*standing, error) {
	if len(policy.Limits) == 0 {
		return newestPeriods(ctx, d, q)
	}
	windows := make(map[string]string) // by limit
	for _, l := range policy.Limits {
		windows[l.Name] = l.Window.String()
	}
	all := []*standing{}
	for s, err := range d.Standing(ctx, policy, q) {
		if err != nil {
			return nil, err
		}
		all = append(all, standingOf(&s, windows[s.Account.Limit]))
	}
	for i := range policy.Limits {
		l := &policy.Limits[i]
		booked := slices.ContainsFunc(all, func(s *standing) bool { return s.Limit == l.Name })
		if !booked && selectsUntouched(q, l) {
			all = append(all, untouched(l))
		}
	}
	return all, nil
}

// newestPeriods returns what was booked in the newest period of each account that q selects.
func newestPeriods(ctx context.Context, d *commandline.Desk, q budget.AccountQuery) ([]*standing, error) {
	units, err := d.Units(ctx) // by account; zero for an account of which no entry is remembered
	if err != nil {
		return nil, err
	}
	all := []*standing{}
	for a, err := range d.Accounts(ctx, q) {
		if err != nil {
			return nil, err
		}
		s, err := newestPeriod(ctx, d, a, units[a.Key])
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// standingOf converts a balance under the policy; window is that of its limit. The override is shown only while it is the maximum in force.
func standingOf(s *budget.Standing, window string) *standing {
	b := s.Balance
	maximum, left := output.JSONQuantity(b.Max), output.JSONQuantity(b.Left())
	out := &standing{
		Limit: b.Limit, Scope: output.JSONScope(b.Scope), Account: fmt.Sprintf("%x", s.Account.Key),
		Settled: output.JSONQuantity(b.Settled), Pending: output.JSONQuantity(b.Pending), Max: &maximum, Left: &left,
		Window: window, ResetIn: b.ResetAfter.Seconds(), Observe: b.Observe,
		scope: b.Scope, balance: b, known: true,
	}
	if b.Latched {
		out.Latched = output.Moment(s.Account.Latched)
	}
	// An override that has ended is not the balance's maximum any more.
	if o := s.Account.Override; o != nil && o.Max == b.Max.N {
		out.Override = &overrideJSON{o.Max, o.Until.UTC()}
	}
	return out
}

// selectsUntouched reports whether a query selects the row of a limit without an account. That row has no values, so a query with values does not
// select it.
func selectsUntouched(q budget.AccountQuery, l *budget.Limit) bool {
	return (q.Limit == "" || q.Limit == l.Name) && commandline.IsEmpty(q.Scope)
}

// untouched returns the row for a limit that has no account yet, because no call was booked there: all of its maximum is left.
func untouched(l *budget.Limit) *standing {
	none := budget.Quantity{Unit: l.Max.Unit}
	maximum := output.JSONQuantity(l.Max)
	return &standing{
		Limit: l.Name, Settled: output.JSONQuantity(none), Pending: output.JSONQuantity(none), Max: &maximum, Left: &maximum, Window: l.Window.String(), Observe: l.Observe,
		balance: budget.AccountBalance{Limit: l.Name, Max: l.Max, Settled: none, Pending: none, Observe: l.Observe}, known: true,
	}
}

// newestPeriod returns the balance of an account whose limit is not known: what was booked in its newest period.
func newestPeriod(ctx context.Context, d *commandline.Desk, a budget.Account, unit budget.Unit) (*standing, error) {
	var newest driver.Period
	// Periods returns those that begin after a moment, here all, with the oldest first.
	for p, err := range d.Periods(ctx, a.Key, time.Time{}) {
		if err != nil {
			return nil, err
		}
		newest = p
	}
	settled, pending := budget.Quantity{N: newest.Settled, Unit: unit}, budget.Quantity{N: newest.Pending, Unit: unit}
	s := &standing{
		Limit: a.Limit, Scope: output.JSONScope(a.Scope), Account: fmt.Sprintf("%x", a.Key),
		Settled: output.JSONQuantity(settled), Pending: output.JSONQuantity(pending), Since: output.Moment(newest.Start), Latched: output.Moment(a.Latched),
		scope: a.Scope, balance: budget.AccountBalance{Settled: settled, Pending: pending},
	}
	if a.Override != nil {
		s.Override = &overrideJSON{a.Override.Max, a.Override.Until.UTC()}
	}
	return s, nil
}

// printStatus prints accounts, how many others are hidden, and the kills in force. policy says whether there is a policy; without one, the
// maximum of an account is not known.
func printStatus(c *cli.Command, all []*standing, kills []budget.Kill, hidden int, policy bool) error {
	w := c.Root().Writer
	t := output.NewTable("No call has been booked yet, and there is no policy.", "LIMIT", "ACCOUNT", "SPENT", "PENDING", "LEFT", "OF", "RESETS IN", "NOTES")
	for _, s := range all {
		t.Row(s.cells()...)
		if s.known {
			t.Colour(s.colour()) // of the row that was just added
		}
	}
	if err := t.End(w); err != nil {
		return err
	}
	if hidden > 0 {
		fmt.Fprintf(w, "%d more accounts: --top 0 shows all.\n", hidden)
	}
	if !policy && len(all) > 0 {
		fmt.Fprintln(w, "\nThe store holds no policy, so that maxima are not known: give --policy FILE, or put one into the store with policy push.")
	}
	if len(kills) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return printKills(c, kills)
}

// cells returns the account's row in the table of status. Without a policy it is not known what is left, and the unit stands with the figures.
func (s *standing) cells() []string {
	b := &s.balance
	if !s.known {
		unit := output.UnitText(b.Settled.Unit)
		return []string{s.Limit, output.AccountText(s.scope), output.Money(b.Settled) + unit, output.Money(b.Pending) + unit, "?", "?", "", s.notes()}
	}
	of := output.Money(b.Max) + output.UnitText(b.Max.Unit) + " " + s.Window
	return []string{
		s.Limit, output.AccountText(s.scope), output.Money(b.Settled), output.Money(b.Pending), output.Money(b.Left()), of, output.Lasting(b.ResetAfter), s.notes(),
	}
}

// colour returns the colour for accounts that are closed, full, or almost full; empty for all others.
func (s *standing) colour() string {
	switch part := s.part(); {
	case s.Latched != nil || part >= 0.9:
		return output.Red
	case part >= 0.7:
		return output.Yellow
	}
	return ""
}

// notes returns the last column of the table.
func (s *standing) notes() string {
	notes := ""
	add := func(note string) {
		if notes != "" {
			notes += ", "
		}
		notes += note
	}
	if !s.known && s.Since != nil {
		add("since " + output.When(*s.Since))
	}
	if s.Latched != nil {
		add("latched until " + output.When(*s.Latched))
	}
	if s.Override != nil {
		add("override until " + output.When(s.Override.Until))
	}
	if s.Observe {
		add("observed only")
	}
	return notes
}

// nameOf prints the values of an account of the store, or else its key: the store knows the limit and the values only once a call counts in the
// account, which an override can precede.
func nameOf(limit string, s budget.Scope, key string) string {
	if limit == "" {
		return key + ", no call yet"
	}
	return output.AccountText(s)
}
