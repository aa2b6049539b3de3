package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

func entriesCommand() *cli.Command {
	return &cli.Command{
		Name: "entries", Category: "look", Usage: "list single calls: what each reserved and cost",
		Flags: append(scopeFlags(),
			&cli.StringFlag{Name: "state", Usage: "pending, settled, voided or expired", HideDefault: true},
			&cli.BoolFlag{Name: "estimated", Usage: "only those that were charged their worst case"},
			&cli.StringFlag{Name: "since", Usage: "from this moment on, or how long ago, such as 24h", HideDefault: true},
			&cli.StringFlag{Name: "until", Usage: "before this moment", HideDefault: true},
			&cli.StringFlag{Name: "reference", Usage: "by AWS's request id", HideDefault: true},
			&cli.IntFlag{Name: "max", Value: 100, Usage: "how many to show at most, the newest; 0 shows all"},
		),
		Action: withLedger(entries),
	}
}

// entryJSON is an entry for JSON.
type entryJSON struct {
	ID         string           `json:"id"`
	State      string           `json:"state"`
	Estimated  bool             `json:"estimated,omitempty"`
	Orphan     bool             `json:"orphan,omitempty"`
	ReservedAt time.Time        `json:"reserved_at"`
	ResolvedAt *time.Time       `json:"resolved_at,omitempty"`
	Scope      scopeJSON        `json:"scope"`
	Operation  string           `json:"operation,omitempty"`
	Reference  string           `json:"reference,omitempty"`
	Reserved   map[string]int64 `json:"reserved"`
	Actual     map[string]int64 `json:"actual"`
}

func jsonEntry(e *budget.Entry) entryJSON {
	return entryJSON{
		e.ID.String(), e.State.String(), e.Estimated, e.Orphan, e.ReservedAt.UTC(), moment(e.ResolvedAt), jsonScope(e.Scope), e.Operation, e.Reference,
		jsonCharge(e.Reserved), jsonCharge(e.Actual),
	}
}

func entries(ctx context.Context, c *cli.Command, d *desk) error {
	q, err := entryQuery(c)
	if err != nil {
		return err
	}
	all, hidden, err := d.newestEntries(ctx, q, c.Int("max"))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		told := make([]entryJSON, len(all))
		for i := range all {
			told[i] = jsonEntry(&all[i])
		}
		return printJSON(c, told)
	}
	w := c.Root().Writer
	t := newTable("No call of these values is remembered.", "TIME", "ID", "STATE", "COST", "RESERVED", "SCOPE", "OPERATION", "REQUEST ID")
	for i := range all {
		e := &all[i]
		state := e.State.String()
		if e.Estimated {
			state += ", estimated"
		}
		if e.Orphan {
			state += ", orphan"
		}
		t.row(when(e.ReservedAt), e.ID.String(), state, money(e.Actual.In(budget.UnitUSD)), money(e.Reserved.In(budget.UnitUSD)), scopeText(e.Scope), e.Operation, e.Reference)
	}
	if err := t.end(w); err != nil {
		return err
	}
	if hidden > 0 {
		fmt.Fprintf(w, "%d older ones: --max 0 shows all.\n", hidden)
	}
	return nil
}

func entryQuery(c *cli.Command) (q budget.Query, err error) {
	if q.Scope, err = scopeOf(c); err != nil {
		return q, err
	}
	if state := c.String("state"); state != "" {
		for _, s := range []driver.State{driver.Pending, driver.Settled, driver.Voided, driver.Expired} {
			if s.String() == state {
				q.State = s
			}
		}
		if q.State == 0 {
			return q, usageError("--state %q: want pending, settled, voided or expired", state)
		}
	}
	q.Estimated, q.Reference = c.Bool("estimated"), c.String("reference")
	for flag, at := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if text := c.String(flag); text != "" {
			if *at, err = parseMoment(flag, text, time.Now()); err != nil {
				return q, err
			}
		}
	}
	if c.Int("max") < 0 {
		return q, usageError("--max %d: want a number from 0 on", c.Int("max"))
	}
	return q, nil
}

// newestEntries returns the newest entries that a query selects, newest last, and how many older ones it left out. The store returns them by
// their ids, which are random, so that all have to be read.
func (d *desk) newestEntries(ctx context.Context, q budget.Query, most int) (all []budget.Entry, hidden int, err error) {
	byTime := func(a, b budget.Entry) int { return a.ReservedAt.Compare(b.ReservedAt) }
	cut := func() {
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
		if all = append(all, e); most > 0 && len(all) >= most+10_000 {
			cut()
		}
	}
	cut()
	return all, hidden, nil
}

func correctCommand() *cli.Command {
	return &cli.Command{
		Name: "correct", Category: "steer", Usage: "replace what was posted for a call by what the invoice says", ArgsUsage: "ID|REQUEST-ID AMOUNT…",
		Description: "The call is named by its entry's id, or by AWS's request id. Amounts are written as in a policy: \"0.0125 USD\" \"1200 output tokens\".\n" +
			"Units that are not named stay as they were posted.",
		Flags:  []cli.Flag{reasonFlag()},
		Action: withLedger(correct),
	}
}

func correct(ctx context.Context, c *cli.Command, d *desk) error {
	args := c.Args().Slice()
	if len(args) < 2 {
		return usageError("want the id of an entry, or AWS's request id, and an amount, such as: correct 0123456789abcdef0123456789abcdef \"0.0125 USD\"")
	}
	var amounts []budget.Quantity
	for _, text := range args[1:] {
		q, err := parseQuantity(text)
		if err != nil {
			return err
		}
		amounts = append(amounts, q)
	}
	e, err := d.entry(ctx, args[0])
	if err != nil {
		return err
	}
	actual := e.Actual
	for _, q := range amounts {
		actual[q.Unit] = q.N
	}
	if err := d.Correct(budget.WithReason(ctx, c.String("reason")), e.ID, actual); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c, struct {
			ID   string           `json:"id"`
			From map[string]int64 `json:"from"`
			To   map[string]int64 `json:"to"`
		}{e.ID.String(), jsonCharge(e.Actual), jsonCharge(actual)})
	}
	_, err = fmt.Fprintf(c.Root().Writer, "corrected: %s from %s to %s\n", e.ID, e.Actual.In(budget.UnitUSD), actual.In(budget.UnitUSD))
	return err
}

// entry finds a call by the id of its entry, or by AWS's request id.
func (d *desk) entry(ctx context.Context, name string) (budget.Entry, error) {
	q := budget.Query{Reference: name}
	id, err := driver.ParseID(name)
	if err == nil {
		q = budget.Query{After: before(id), Max: 1}
	}
	for e, err := range d.Entries(ctx, q) {
		if err != nil {
			return e, err
		}
		if e.ID == id || q.Reference != "" {
			return e, nil
		}
	}
	return budget.Entry{}, fmt.Errorf("no entry with the id or request id %q is remembered", strings.ToValidUTF8(name, "?"))
}

// before returns the largest id that is smaller than another one.
func before(id budget.ID) budget.ID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]--; id[i] != 0xff {
			return id
		}
	}
	return budget.ID{}
}
