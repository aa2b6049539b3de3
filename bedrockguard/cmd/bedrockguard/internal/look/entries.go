package look

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// EntriesCommand returns the command bedrockguard entries, with its flags and its help.
func EntriesCommand() *cli.Command {
	return &cli.Command{
		Name: "entries", Category: "look", Usage: "list single calls: what each reserved and cost",
		Flags: append(commandline.ScopeFlags(),
			&cli.StringFlag{Name: "state", Usage: "pending, settled, voided or expired", HideDefault: true},
			&cli.BoolFlag{Name: "estimated", Usage: "only those that were charged their worst case"},
			&cli.StringFlag{Name: "since", Usage: "from this moment on, or how long ago, such as 24h", HideDefault: true},
			&cli.StringFlag{Name: "until", Usage: "before this moment", HideDefault: true},
			&cli.StringFlag{Name: "reference", Usage: "by AWS's request id", HideDefault: true},
			&cli.IntFlag{Name: "max", Value: 100, Usage: "how many to show at most, the newest; 0 shows all"},
		),
		Action: commandline.WithLedger(entries),
	}
}

// entryJSON is an entry, which is what the ledger keeps of one call, for JSON. Reserved is what was set aside for it and Actual what it was
// charged, by unit. An estimated entry was charged its worst case; an orphan was charged without a reservation.
type entryJSON struct {
	ID         string           `json:"id"`
	State      string           `json:"state"`
	Estimated  bool             `json:"estimated,omitempty"`
	Orphan     bool             `json:"orphan,omitempty"`
	ReservedAt time.Time        `json:"reserved_at"`
	ResolvedAt *time.Time       `json:"resolved_at,omitempty"`
	Scope      output.ScopeJSON `json:"scope"`
	Operation  string           `json:"operation,omitempty"`
	Reference  string           `json:"reference,omitempty"`
	Reserved   map[string]int64 `json:"reserved"`
	Actual     map[string]int64 `json:"actual"`
}

// jsonEntry converts an entry for JSON.
func jsonEntry(e *budget.Entry) entryJSON {
	return entryJSON{
		ID: e.ID.String(), State: e.State.String(), Estimated: e.Estimated, Orphan: e.Orphan, ReservedAt: e.ReservedAt.UTC(), ResolvedAt: output.Moment(e.ResolvedAt),
		Scope: output.JSONScope(e.Scope), Operation: e.Operation, Reference: e.Reference, Reserved: output.JSONCharge(e.Reserved), Actual: output.JSONCharge(e.Actual),
	}
}

// entries runs bedrockguard entries: it lists single calls of the ledger d, the newest last.
func entries(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	q, err := entryQuery(c)
	if err != nil {
		return err
	}
	all, hidden, err := newestEntries(ctx, d, q, c.Int("max"))
	if err != nil {
		return err
	}
	if !c.Bool("json") {
		return printEntries(c, all, hidden)
	}
	listed := make([]entryJSON, len(all))
	for i := range all {
		listed[i] = jsonEntry(&all[i])
	}
	return output.PrintJSON(c, listed)
}

// printEntries prints entries as a table, and how many older ones are hidden.
func printEntries(c *cli.Command, all []budget.Entry, hidden int) error {
	w := c.Root().Writer
	t := output.NewTable("No call of these values is remembered.", "TIME", "ID", "STATE", "COST", "RESERVED", "SCOPE", "OPERATION", "REQUEST ID")
	for i := range all {
		e := &all[i]
		state := e.State.String()
		if e.Estimated {
			state += ", estimated"
		}
		if e.Orphan {
			state += ", orphan"
		}
		cost, reserved := output.Money(e.Actual.In(budget.UnitUSD)), output.Money(e.Reserved.In(budget.UnitUSD))
		t.Row(output.When(e.ReservedAt), e.ID.String(), state, cost, reserved, output.ScopeText(e.Scope), e.Operation, e.Reference)
	}
	if err := t.End(w); err != nil {
		return err
	}
	if hidden > 0 {
		fmt.Fprintf(w, "%d older ones: --max 0 shows all.\n", hidden)
	}
	return nil
}

// entryQuery parses the flags that select entries.
func entryQuery(c *cli.Command) (q budget.Query, err error) {
	if q.Scope, err = commandline.ScopeOf(c); err != nil {
		return q, err
	}
	if state := c.String("state"); state != "" {
		if q.State = stateOf(state); q.State == 0 {
			return q, exit.UsageError("--state %q: want pending, settled, voided or expired", state)
		}
	}
	q.Estimated, q.Reference = c.Bool("estimated"), c.String("reference")
	for flag, at := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if text := c.String(flag); text != "" {
			if *at, err = commandline.ParseMoment(flag, text, time.Now()); err != nil {
				return q, err
			}
		}
	}
	if c.Int("max") < 0 {
		return q, exit.UsageError("--max %d: want a number from 0 on", c.Int("max"))
	}
	return q, nil
}

// stateOf returns the state with a name, and 0, which is no state, if there is none.
func stateOf(name string) driver.State {
	for _, s := range [...]driver.State{driver.Pending, driver.Settled, driver.Voided, driver.Expired} {
		if s.String() == name {
			return s
		}
	}
	return 0
}

// spareEntries is how many entries more than wanted are kept in memory before the older ones are dropped.
const spareEntries = 10_000

// newestEntries returns the newest entries that a query selects, newest last, and how many older ones it left out. most bounds how many; 0 means
// all. The store returns entries by their ids, which are random, so that all have to be read. Older ones are dropped from time to time, to bound the
// memory.
func newestEntries(ctx context.Context, d *commandline.Desk, q budget.Query, most int) (all []budget.Entry, hidden int, err error) {
	byTime := func(a, b budget.Entry) int { return a.ReservedAt.Compare(b.ReservedAt) }
	dropOlder := func() {
		slices.SortStableFunc(all, byTime)
		if rest := len(all) - most; most > 0 && rest > 0 {
			hidden += rest
			all = slices.Clone(all[rest:])
		}
	}
	for e, err := range d.Entries(ctx, q) {
		if err != nil {
			return nil, 0, err
		}
		all = append(all, e)
		if most > 0 && len(all) >= most+spareEntries {
			dropOlder()
		}
	}
	dropOlder()
	return all, hidden, nil
}
