package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

func limitsCommand() *cli.Command {
	return &cli.Command{
		Name: "limits", Category: "look", Usage: "list the limits of the policy, and how many accounts each has",
		Flags: []cli.Flag{policyFlag()}, Action: withLedger(limits),
	}
}

// limitJSON is a limit for JSON.
type limitJSON struct {
	Name     string        `json:"name"`
	Max      *quantityJSON `json:"max,omitempty"`
	Window   string        `json:"window,omitempty"`
	Per      []string      `json:"per,omitempty"`
	Notify   []float64     `json:"notify,omitempty"`
	Latch    bool          `json:"latch,omitempty"`
	Observe  bool          `json:"observe,omitempty"`
	MaxFor   int           `json:"max_for,omitempty"` // how many exceptions it has
	Accounts int           `json:"accounts"`
	InPolicy bool          `json:"in_policy"`
}

func limits(ctx context.Context, c *cli.Command, d *desk) error {
	policy, err := d.policy(ctx, c)
	if err != nil {
		return err
	}
	all := []*limitJSON{}
	byName := make(map[string]*limitJSON)
	for i := range policy.Limits {
		l := &policy.Limits[i]
		most := jsonOf(l.Max)
		told := &limitJSON{Name: l.Name, Max: &most, Window: l.Window.String(), Notify: l.Notify, Latch: l.Latch, Observe: l.Observe, MaxFor: len(l.MaxFor), InPolicy: true}
		if by := splitText(l); by != "nothing" {
			told.Per = strings.Split(by, ", ")
		}
		all, byName[l.Name] = append(all, told), told
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
		return printJSON(c, all)
	}
	t := newTable("There is no policy, and no call was booked yet.", "LIMIT", "MAX", "WINDOW", "SPLIT BY", "ACCOUNTS", "NOTES")
	for _, l := range all {
		if !l.InPolicy {
			t.row(l.Name, "?", "?", "?", fmt.Sprint(l.Accounts), "not in the policy")
			continue
		}
		t.row(l.Name, l.Max.Text, l.Window, strings.Join(l.Per, ", "), fmt.Sprint(l.Accounts), l.notes())
	}
	return t.end(c.Root().Writer)
}

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

func accountsCommand() *cli.Command {
	return &cli.Command{
		Name: "accounts", Category: "look", Usage: "list the accounts that are known, with their periods if asked",
		Flags: append(scopeFlags(),
			&cli.StringFlag{Name: "limit", Usage: "only accounts of this limit", HideDefault: true},
			&cli.BoolFlag{Name: "periods", Usage: "what was booked in each period, newest last"},
		),
		Action: withLedger(accounts),
	}
}

// accountJSON is an account for JSON.
type accountJSON struct {
	Limit    string        `json:"limit"`
	Scope    scopeJSON     `json:"scope"`
	Account  string        `json:"account"`
	Override *overrideJSON `json:"override,omitempty"`
	Latched  *time.Time    `json:"latched_until,omitempty"`
	Periods  []periodJSON  `json:"periods,omitempty"`
}

type periodJSON struct {
	Start     time.Time `json:"start"`
	Settled   int64     `json:"settled"`
	Pending   int64     `json:"pending"`
	Forgotten int64     `json:"forgotten,omitempty"` // the part of Settled whose entries are not remembered any more
}

func accounts(ctx context.Context, c *cli.Command, d *desk) error {
	scope, err := scopeOf(c)
	if err != nil {
		return err
	}
	all := []accountJSON{}
	for a, err := range d.Accounts(ctx, budget.AccountQuery{Limit: c.String("limit"), Scope: scope}) {
		if err != nil {
			return err
		}
		told := accountJSON{Limit: a.Limit, Scope: jsonScope(a.Scope), Account: fmt.Sprintf("%x", a.Key), Latched: moment(a.Latched)}
		if a.Override != nil {
			told.Override = &overrideJSON{a.Override.Max, a.Override.Until.UTC()}
		}
		if c.Bool("periods") {
			for p, err := range d.Periods(ctx, a.Key, time.Time{}) {
				if err != nil {
					return err
				}
				told.Periods = append(told.Periods, periodJSON{p.Start.UTC(), p.Settled, p.Pending, p.Forgotten})
			}
		}
		all = append(all, told)
	}
	slices.SortStableFunc(all, func(a, b accountJSON) int { return strings.Compare(a.order(), b.order()) })
	if c.Bool("json") {
		return printJSON(c, all)
	}
	return printAccounts(c, all)
}

func (a *accountJSON) order() string { return a.Limit + "\x00" + accountText(a.scope()) }

func (a *accountJSON) scope() budget.Scope {
	s := a.Scope
	return budget.Scope{Principal: s.Principal, Workflow: s.Workflow, Model: s.Model, Region: s.Region, Profile: s.Profile, Project: s.Project, Tags: s.Tags}
}

func printAccounts(c *cli.Command, all []accountJSON) error {
	w := c.Root().Writer
	const none = "No account of these values is known."
	if !c.Bool("periods") {
		t := newTable(none, "LIMIT", "ACCOUNT", "KEY", "NOTES")
		for i := range all {
			s := standing{Latched: all[i].Latched, Override: all[i].Override, known: true}
			t.row(all[i].Limit, nameOf(all[i].Limit, all[i].scope(), all[i].Account), all[i].Account, s.notes())
		}
		return t.end(w)
	}
	t := newTable(none, "LIMIT", "ACCOUNT", "PERIOD FROM", "SETTLED", "PENDING", "OF THAT FORGOTTEN")
	for i := range all {
		for _, p := range all[i].Periods {
			t.row(all[i].Limit, nameOf(all[i].Limit, all[i].scope(), all[i].Account), when(p.Start), fmt.Sprint(p.Settled), fmt.Sprint(p.Pending), fmt.Sprint(p.Forgotten))
		}
	}
	return t.end(w)
}
