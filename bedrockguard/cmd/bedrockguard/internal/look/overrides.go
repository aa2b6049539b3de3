package look

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// OverridesCommand returns the command bedrockguard overrides, with its flags and its help.
func OverridesCommand() *cli.Command {
	return &cli.Command{Name: "overrides", Category: "look", Usage: "list the accounts whose maximum was overridden", Action: commandline.WithLedger(overrides)}
}

// overrides runs bedrockguard overrides: it lists the accounts in which a limit has another maximum until a moment, those whose moment has passed
// included. d is the opened ledger.
func overrides(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	now, err := d.StoreTime(ctx)
	if err != nil {
		return err
	}
	// By account; zero, which is no unit, for an account of which no entry that was read shows the unit.
	units, err := d.Units(ctx)
	if err != nil {
		return err
	}
	listed := []overriddenJSON{}
	t := output.NewTable("No maximum is overridden.", "LIMIT", "ACCOUNT", "MAX", "UNTIL", "NOTES")
	for a, err := range d.Overrides(ctx) {
		if err != nil {
			return err
		}
		unit := units[a.Key]
		row := jsonOverridden(&a, unit, now)
		listed = append(listed, row)
		most, note := output.Money(budget.Quantity{N: row.Max, Unit: unit})+output.UnitText(unit), ""
		if row.Ended {
			note = "ended"
		}
		// nameOf prints the values of the account, or its key if the store does not know them yet.
		t.Row(a.Limit, nameOf(a.Limit, a.Scope, row.Account), most, output.When(row.Until), note)
	}
	if c.Bool("json") {
		return output.PrintJSON(c, listed)
	}
	return t.End(c.Root().Writer)
}

// overriddenJSON is an account with an override, for JSON. Account is the account's key in hexadecimal.
type overriddenJSON struct {
	Limit   string           `json:"limit"`
	Scope   output.ScopeJSON `json:"scope"`
	Account string           `json:"account"`
	Max     int64            `json:"max"`
	Unit    string           `json:"unit,omitempty"`
	Until   time.Time        `json:"until"`
	Ended   bool             `json:"ended"`
}

// jsonOverridden converts an account with an override for JSON. now is the store's time, by which an override ends.
func jsonOverridden(a *budget.Account, unit budget.Unit, now time.Time) overriddenJSON {
	return overriddenJSON{
		Limit: a.Limit, Scope: output.JSONScope(a.Scope), Account: fmt.Sprintf("%x", a.Key),
		Max: a.Override.Max, Unit: output.JSONQuantity(budget.Quantity{Unit: unit}).Unit, Until: a.Override.Until.UTC(), Ended: !a.Override.Until.After(now),
	}
}
