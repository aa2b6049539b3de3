package look

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// A reading is what the ledger says at one moment, and a view the comparison of two readings: how much was spent in between, and so how fast. The
// lines of the screen are made of a view. standing, from status.go, is the balance of one account under the policy; Account is the account's key as
// text, its method part returns how full the account is, from 0 on, and colour the colour for that. The first argument of output.NewTable is the text
// that is printed in place of a table without rows.

// TopCommand returns the command bedrockguard top, with its flags and its help.
func TopCommand() *cli.Command {
	return &cli.Command{
		Name: "top", Category: "look", Usage: "watch who spends now, how fast, and when limits will be full; k kills",
		Description: "It asks the store once a second at most. Rates are those of the last minute, or of the time since the first look.",
		Flags: []cli.Flag{
			commandline.PolicyFlag(),
			&cli.BoolFlag{Name: "once", Usage: "look twice, an interval apart, print and end"},
			&cli.DurationFlag{Name: "interval", Value: 2 * time.Second, Usage: "how far the two looks of --once are apart"},
			&cli.IntFlag{Name: "rows", Value: 10, Usage: "how many rows of each kind --once prints; 0 prints all"},
		},
		Action: top,
	}
}

// reading is the result of reading the ledger once.
type reading struct {
	at        time.Time
	standings []*standing
	policy    bool             // there is a policy; without one, standings is empty
	total     int64            // today's spend in nano-USD
	workflows map[string]int64 // the same by workflow
	models    map[string]int64 // and by model
	kills     []budget.Kill
}

// readLedger reads the ledger once: balances under the policy, kills, and what was spent since the beginning of the UTC day.
func readLedger(ctx context.Context, d *commandline.Desk, policy budget.Policy) (*reading, error) {
	r := &reading{policy: len(policy.Limits) > 0, workflows: make(map[string]int64), models: make(map[string]int64)}
	var err error
	if r.policy {
		if r.standings, err = standings(ctx, d, policy, budget.AccountQuery{}); err != nil {
			return nil, err
		}
	}
	if r.kills, err = d.Kills(ctx); err != nil {
		return nil, err
	}
	r.at = time.Now()
	for row, err := range d.Usage(ctx, budget.UsageQuery{Since: driver.UsageDay(r.at), By: budget.PerWorkflow | budget.PerModel}) {
		if err != nil {
			return nil, err
		}
		n := row.Charge[budget.UnitUSD]
		r.total += n
		r.workflows[row.Scope.Workflow] += n
		r.models[row.Scope.Model] += n
	}
	return r, nil
}

// rated is today's spend of a workflow or a model, with its rate.
type rated struct {
	Name    string  `json:"name"`
	NanoUSD int64   `json:"nano_usd"`
	PerHour float64 `json:"nano_usd_per_hour"`
}

// ratedStanding is an account with its rate of spend in the unit of its limit, and when it will be full at that rate; 0 means never.
type ratedStanding struct {
	*standing
	PerHour float64 `json:"per_hour"`
	FullIn  float64 `json:"full_in_seconds,omitempty"`
}

// view is what top shows: a reading, and the differences to an earlier one. Its exported fields are the JSON.
type view struct {
	At        time.Time         `json:"at"`
	Seconds   float64           `json:"seconds"` // the time over which rates are measured
	Today     rated             `json:"today"`
	Limits    []*ratedStanding  `json:"limits"`
	Workflows []*rated          `json:"workflows"`
	Models    []*rated          `json:"models"`
	Kills     []output.KillJSON `json:"kills"`

	policy bool // there is a policy; without one, Limits is empty, and the screen says why
}

// rateOf returns by how much a figure grows in an hour. It is 0 if the figure has become smaller, because a new window began or it was
// corrected.
func rateOf(before, now int64, seconds float64) float64 {
	if seconds <= 0 || now <= before {
		return 0
	}
	return float64(now-before) / seconds * 3600
}

// compare returns what is shown of a reading: its figures, with their rates since an earlier reading.
func compare(before, now *reading) *view {
	v := &view{At: now.at.UTC(), Seconds: now.at.Sub(before.at).Seconds(), policy: now.policy}
	v.Today = rated{Name: "today", NanoUSD: now.total, PerHour: rateOf(before.total, now.total, v.Seconds)}
	v.Workflows, v.Models = ratesOf(before.workflows, now.workflows, v.Seconds), ratesOf(before.models, now.models, v.Seconds)
	v.Limits = ratedStandings(before.standings, now.standings, v.Seconds)
	v.Kills = output.JSONKills(now.kills)
	return v
}

// ratedStandings returns the accounts of now with their rates since before, the fullest first. An account that before does not have has no rate.
func ratedStandings(before, now []*standing, seconds float64) []*ratedStanding {
	settled := make(map[string]int64) // before, by account
	for _, s := range before {
		settled[s.Account] = s.balance.Settled.N
	}
	all := []*ratedStanding{} // not nil, so that the JSON is an empty list
	for _, s := range now {
		r := &ratedStanding{standing: s}
		if was, known := settled[s.Account]; known {
			r.PerHour = rateOf(was, s.balance.Settled.N, seconds)
		}
		// Left is 0 for an account that is full or latched already, so FullIn stays 0 for such an account, too.
		if left := s.balance.Left().N; r.PerHour > 0 {
			r.FullIn = float64(left) / r.PerHour * 3600
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b *ratedStanding) int {
		return cmp.Or(cmp.Compare(b.part(), a.part()), strings.Compare(a.Limit, b.Limit))
	})
	return all
}

// ratesOf returns the sums of now with their rates since before, the fastest first.
func ratesOf(before, now map[string]int64, seconds float64) []*rated {
	all := []*rated{}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		all = append(all, &rated{name, now[name], rateOf(before[name], now[name], seconds)})
	}
	slices.SortStableFunc(all, func(a, b *rated) int {
		return cmp.Or(cmp.Compare(b.PerHour, a.PerHour), cmp.Compare(b.NanoUSD, a.NanoUSD))
	})
	return all
}

// top runs bedrockguard top. WithLedger limits the time of the whole command, which is right for --once alone: the screen stays until the user ends
// it, and each of its readings has a time limit.
func top(ctx context.Context, c *cli.Command) (err error) {
	if c.Bool("once") {
		return commandline.WithLedger(topOnce)(ctx, c)
	}
	if c.Bool("json") || !output.IsTerminal(c.Root().Writer) || !output.IsTerminal(c.Root().Reader) {
		return exit.UsageError("top needs a terminal: --once prints once")
	}
	d, closeStore, err := commandline.OpenDesk(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	// The audit trail takes from this context who kills.
	return topLive(budget.WithOperator(ctx, d.Who), c, d)
}

// topOnce reads the ledger twice and prints the comparison.
func topOnce(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	v, err := lookTwice(ctx, c, d)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return output.PrintJSON(c, v)
	}
	rows := c.Int("rows")
	if rows <= 0 {
		// 0 means all: as many rows as the longest table has.
		rows = max(len(v.Limits), len(v.Workflows), len(v.Models))
	}
	coloured := output.Colours(c.Root().Writer)
	for _, l := range v.lines(rows) {
		fmt.Fprintln(c.Root().Writer, l.show(coloured))
	}
	return nil
}

// lookTwice reads the ledger twice, --interval apart, and compares the two readings.
func lookTwice(ctx context.Context, c *cli.Command, d *commandline.Desk) (*view, error) {
	// Without a policy this is one without limits.
	policy, err := d.Policy(ctx, c)
	if err != nil {
		return nil, err
	}
	before, err := readLedger(ctx, d, policy)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, c.Duration("interval")); err != nil {
		return nil, err
	}
	now, err := readLedger(ctx, d, policy)
	if err != nil {
		return nil, err
	}
	return compare(before, now), nil
}

// topLine is a line of the screen. A line about calls has their scope and can be selected, to kill them; for any other the scope is nil.
type topLine struct {
	text   string
	colour string
	scope  *budget.Scope
}

// show returns the line with the escape sequences of its colour, if colours are wanted.
func (l *topLine) show(coloured bool) string {
	if coloured && l.colour != "" {
		return l.colour + l.text + output.Plain
	}
	return l.text
}

// lines returns the lines of the screen: a head, the kills in force, and tables of accounts, workflows and models with this many rows each. There is
// an empty line above each table.
func (v *view) lines(rows int) (all []topLine) {
	head := fmt.Sprintf("%s  today %s, %s an hour", output.When(v.At), output.Money(usdOf(v.Today.NanoUSD)), output.Money(usdOf(int64(v.Today.PerHour))))
	all = append(all, topLine{text: head, colour: output.Bold})
	for i := range v.Kills {
		all = append(all, killLine(&v.Kills[i]))
	}
	limits := []topLine{{text: "Limits are not shown: the store holds no policy, and no --policy is given."}}
	if v.policy {
		limits = v.limitLines(rows)
	}
	workflows := rateLines("WORKFLOW", v.Workflows, rows, func(name string) budget.Scope { return budget.Scope{Workflow: name} })
	models := rateLines("MODEL", v.Models, rows, func(name string) budget.Scope { return budget.Scope{Model: name} })
	for _, table := range [...][]topLine{limits, workflows, models} {
		all = append(all, topLine{})
		all = append(all, table...)
	}
	return all
}

// killLine returns the line about a kill in force.
func killLine(k *output.KillJSON) topLine {
	text := "killed: " + output.ScopeText(k.Scope.Scope())
	if k.Reason != "" {
		text += ": " + k.Reason
	}
	return topLine{text: output.Printable(text), colour: output.Red}
}

// usdOf returns nano-USD as a quantity.
func usdOf(nano int64) budget.Quantity { return budget.Quantity{N: nano, Unit: budget.UnitUSD} }

// limitLines returns the table of accounts, the fullest first. Its first line is the head, so row i is line i+1. An account without values can't be
// selected: its scope would kill every call.
func (v *view) limitLines(rows int) []topLine {
	t := output.NewTable("No limit is known.", "LIMIT", "ACCOUNT", "USED", "SPENT", "PENDING", "LEFT", "OF", "AN HOUR", "FULL IN")
	shown := v.Limits[:min(rows, len(v.Limits))]
	for _, s := range shown {
		t.Row(s.ratedCells()...)
	}
	lines := plainLines(t)
	for i, s := range shown {
		lines[i+1].colour = s.colour()
		if !commandline.IsEmpty(s.scope) {
			lines[i+1].scope = &s.scope
		}
	}
	return lines
}

// ratedCells returns the account's row in the table of accounts.
func (s *ratedStanding) ratedCells() []string {
	b, full := &s.balance, ""
	switch {
	case s.Latched != nil:
		full = "latched"
	case s.FullIn > 0:
		// 1e9 seconds are some thirty years, and fit into a Duration.
		full = output.Lasting(time.Duration(min(s.FullIn, 1e9) * float64(time.Second)))
	}
	return []string{
		s.Limit, output.AccountText(s.scope), meter(s.part()),
		output.Money(b.Settled), output.Money(b.Pending), output.Money(b.Left()), output.Money(b.Max) + output.UnitText(b.Max.Unit),
		output.Money(budget.Quantity{N: int64(s.PerHour), Unit: b.Max.Unit}), full,
	}
}

// plainLines returns the lines of a table without colours.
func plainLines(t *output.Table) []topLine {
	var lines []topLine
	for _, text := range t.Lines() {
		lines = append(lines, topLine{text: strings.TrimRight(text, " ")})
	}
	return lines
}

// rateLines returns the table of workflows or models. scope makes the scope of the calls under a name, which can then be killed. Calls without a name
// can't be selected: their scope would be empty, and kill every call.
func rateLines(head string, all []*rated, rows int, scope func(name string) budget.Scope) []topLine {
	t := output.NewTable("Nothing was spent today.", head, "TODAY", "AN HOUR")
	shown := all[:min(rows, len(all))]
	for _, r := range shown {
		name := r.Name
		if name == "" {
			name = "(none)"
		}
		t.Row(name, output.Money(usdOf(r.NanoUSD)), output.Money(usdOf(int64(r.PerHour))))
	}
	lines := plainLines(t)
	for i, r := range shown {
		if r.Name != "" {
			s := scope(r.Name)
			lines[i+1].scope = &s
		}
	}
	return lines
}

// meter draws how full an account is.
func meter(part float64) string {
	const cells = 10
	full := int(min(max(part, 0), 1)*cells + 0.5)
	// An account may be over its limit; the column has room for 999 %.
	return strings.Repeat("█", full) + strings.Repeat("░", cells-full) + fmt.Sprintf(" %3.0f%%", min(part, 9.99)*100)
}

// paced is a store that is read at most once in each interval, for programs that read again and again. It remembers accounts and kill flags,
// which rarely change. One goroutine may read at a time; only wait may be called by several.
type paced struct {
	budget.Store
	every time.Duration // the interval

	mu   sync.Mutex // guards next
	next time.Time  // when the store may be read again

	// The fields from here on belong to the goroutine that reads.
	readAt    time.Time // when accounts and kills were read; the zero time before the first time
	accounts  []budget.Account
	kills     []budget.Kill
	lastUsage driver.UsageMark // the mark after the last row of the last page of usage, if that page was not full; else zero
}

// rarely is how long accounts and flags are remembered.
const rarely = 8 * time.Second

// wait waits for the caller's turn: each call takes the next moment at which the store may be read.
func (p *paced) wait(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	at := p.next
	if at.Before(now) {
		at = now
	}
	p.next = at.Add(p.every)
	p.mu.Unlock()
	return pause(ctx, at.Sub(now))
}

// Accounts implements budget.Store. It returns the accounts that were read last in one page, and reads them again, with the flags, if they are
// too old.
func (p *paced) Accounts(ctx context.Context, after budget.Key, _ int) ([]budget.Account, error) {
	if after != (budget.Key{}) {
		return nil, nil // the first page had all of them
	}
	if time.Since(p.readAt) < rarely {
		return p.accounts, nil
	}
	if err := p.readAccounts(ctx); err != nil {
		return nil, err
	}
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	kills, err := p.Store.Kills(ctx)
	if err != nil {
		return nil, err
	}
	p.kills, p.readAt = kills, time.Now()
	return p.accounts, nil
}

// readAccounts reads all accounts, page by page. A page that is not full is the last one.
func (p *paced) readAccounts(ctx context.Context) error {
	const page = 10_000
	p.accounts = nil
	var after budget.Key // the zero key asks for the first page
	for {
		if err := p.wait(ctx); err != nil {
			return err
		}
		some, err := p.Store.Accounts(ctx, after, page)
		if err != nil {
			return err
		}
		p.accounts = append(p.accounts, some...)
		if len(some) != page {
			return nil
		}
		after = some[page-1].Key
	}
}

// Kills returns the flags that Accounts has read last. Without a policy nobody asks for Accounts, so readAt stays zero, and the flags are read each
// time.
func (p *paced) Kills(ctx context.Context) ([]budget.Kill, error) {
	if time.Since(p.readAt) < rarely {
		return p.kills, nil
	}
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	return p.Store.Kills(ctx)
}

// Balances implements budget.Store. Balances change all the time, so they are never remembered.
func (p *paced) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	return p.Store.Balances(ctx, lines)
}

// Usage implements budget.Store. A caller asks for pages until one is empty; after a page that was not full, the next one is known to be empty, and
// the store is not asked.
func (p *paced) Usage(ctx context.Context, from driver.UsageMark, most int) ([]budget.UsageRow, error) {
	// The zero key asks for the first page of a day, which is always read.
	if from.After != (budget.Key{}) && p.lastUsage == from {
		return nil, nil
	}
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	page, err := p.Store.Usage(ctx, from, most)
	p.lastUsage = driver.UsageMark{}
	if n := len(page); err == nil && n > 0 && n < most {
		p.lastUsage = driver.UsageMark{Day: page[n-1].Day, After: page[n-1].Key}
	}
	return page, err
}

// pause waits for a time; a negative one is over at once. It returns the context's error if the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
