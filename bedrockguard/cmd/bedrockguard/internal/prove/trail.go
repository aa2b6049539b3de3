package prove

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// AuditTrailCommand returns the command bedrockguard audit-trail, with its flags and its help.
func AuditTrailCommand() *cli.Command {
	return &cli.Command{
		Name: "audit-trail", Category: "prove", Usage: "list every change that somebody made: who, when, what and why",
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: "after", Usage: "only changes after this revision of the ledger", HideDefault: true},
			&cli.StringFlag{Name: "since", Usage: "only changes from this moment on, or how long ago, such as 7d", HideDefault: true},
		},
		Action: commandline.WithLedger(auditTrail),
	}
}

// A change names the account that it is about by the account's key. known are the accounts that the store knows, by key.

// recordJSON is a change in the audit trail, for JSON. Which of its fields are set depends on the kind of change.
type recordJSON struct {
	Revision    int64             `json:"revision"`
	At          time.Time         `json:"at"`
	Operator    string            `json:"operator,omitempty"`
	Kind        string            `json:"kind"`
	Reason      string            `json:"reason,omitempty"`
	Scope       *output.ScopeJSON `json:"scope,omitempty"`         // of a kill, or of the account
	Patterns    bool              `json:"patterns,omitempty"`      // the values of a kill may hold * and ?
	Until       *time.Time        `json:"until,omitempty"`         // when a kill or an override ends
	Limit       string            `json:"limit,omitempty"`         // of the account
	Account     string            `json:"account,omitempty"`       // the key of the account, in hexadecimal
	Max         *int64            `json:"max,omitempty"`           // of an override, in the unit of the limit
	Reservation string            `json:"reservation,omitempty"`   // the entry that was corrected
	From        map[string]int64  `json:"from,omitempty"`          // what was posted before the correction, by unit
	To          map[string]int64  `json:"to,omitempty"`            // and after it
	Policy      string            `json:"policy_sha256,omitempty"` // of the text that was put into the store; empty if a policy was taken out

	what string // whom or what the change is about, for the table
}

// auditTrail runs bedrockguard audit-trail: it lists the changes that somebody made to the ledger d.
func auditTrail(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	var since time.Time
	if text := c.String("since"); text != "" {
		var err error
		if since, err = commandline.ParseMoment("since", text, time.Now()); err != nil {
			return err
		}
	}
	records, err := readTrail(ctx, d, c.Int64("after"), since)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return output.PrintJSON(c, records)
	}
	t := output.NewTable("Nobody changed anything.", "REVISION", "AT", "WHO", "WHAT", "OF", "WHY")
	for _, r := range records {
		t.Row(fmt.Sprint(r.Revision), output.When(r.At), r.Operator, r.Kind, r.what, r.Reason)
	}
	return t.End(c.Root().Writer)
}

// readTrail returns the changes after a revision of the ledger and from a moment on, with the accounts that they name by key.
func readTrail(ctx context.Context, d *commandline.Desk, after int64, since time.Time) ([]recordJSON, error) {
	known := make(map[budget.Key]budget.Account)
	for a, err := range d.Accounts(ctx, budget.AccountQuery{}) {
		if err != nil {
			return nil, err
		}
		known[a.Key] = a
	}
	// By account; zero, which is no unit, for an account of which no entry that was read shows the unit.
	units, err := d.Units(ctx)
	if err != nil {
		return nil, err
	}
	records := []recordJSON{} // not nil, so that the JSON is an empty list
	for r, err := range d.Changes(ctx, after) {
		if err != nil {
			return nil, err
		}
		if !r.At.Before(since) {
			records = append(records, jsonRecord(&r, known, units[r.Account]))
		}
	}
	return records, nil
}

// jsonRecord converts a change for JSON. unit is that of the change's account; zero if it is not known.
func jsonRecord(r *driver.Record, known map[budget.Key]budget.Account, unit budget.Unit) recordJSON {
	out := recordJSON{Revision: r.Revision, At: r.At.UTC(), Operator: r.Operator, Kind: r.Kind.String(), Reason: r.Reason}
	switch r.Kind {
	case driver.ChangeKill, driver.ChangeRevive:
		out.tellKill(r)
	case driver.ChangeOverride:
		out.tellAccount(r, known)
		out.tellOverride(r, unit)
	case driver.ChangeUnlatch:
		out.tellAccount(r, known)
	case driver.ChangeCorrect:
		out.Reservation, out.From, out.To = r.Reservation.String(), output.JSONCharge(r.From), output.JSONCharge(r.To)
		out.what = fmt.Sprintf("%s from %s to %s", r.Reservation, r.From.In(budget.UnitUSD), r.To.In(budget.UnitUSD))
	case driver.ChangePolicy:
		if r.Policy == [32]byte{} {
			out.what = "taken back"
			break
		}
		out.Policy = hex.EncodeToString(r.Policy[:])
		out.what = "sha256 " + out.Policy[:16]
	}
	return out
}

// tellKill sets what is told of a kill, or of its end.
func (out *recordJSON) tellKill(r *driver.Record) {
	scope := output.JSONScope(r.Scope)
	out.Scope, out.Patterns, out.Until = &scope, r.Patterns, output.Moment(r.Until)
	out.what = output.ScopeText(r.Scope)
	if !r.Until.IsZero() {
		out.what += " until " + output.When(r.Until)
	}
}

// tellAccount sets what is told of the account of a change. An account in which no call counts yet has no name in the store, so it is told by its
// key.
func (out *recordJSON) tellAccount(r *driver.Record, known map[budget.Key]budget.Account) {
	out.Account = hex.EncodeToString(r.Account[:])
	a, ok := known[r.Account]
	if !ok || a.Limit == "" {
		out.what = "account " + out.Account
		return
	}
	scope := output.JSONScope(a.Scope)
	out.Limit, out.Scope = a.Limit, &scope
	out.what = a.Limit + ", " + output.AccountText(a.Scope)
}

// tellOverride adds what is told of an override to what is told of its account. No override, or one that had ended when it was set, means that the
// one before was taken back.
func (out *recordJSON) tellOverride(r *driver.Record, unit budget.Unit) {
	if r.Override == nil || !r.Override.Until.After(r.At) {
		out.what += ": taken back"
		return
	}
	out.Max, out.Until = &r.Override.Max, output.Moment(r.Override.Until)
	most := fmt.Sprint(r.Override.Max)
	if unit.Valid() {
		most = budget.Quantity{N: r.Override.Max, Unit: unit}.String()
	}
	out.what += fmt.Sprintf(": %s until %s", most, output.When(r.Override.Until))
}
