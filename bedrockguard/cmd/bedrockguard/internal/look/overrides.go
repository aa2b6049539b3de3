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
	type row struct {
		Limit   string           `json:"limit"`
		Scope   output.ScopeJSON `json:"scope"`
		Account string           `json:"account"`
		Max     int64            `json:"max"`
		Unit    string           `json:"unit,omitempty"`
		Until   time.Time        `json:"until"`
		Ended   bool             `json:"ended"`
	}
	units, err := d.Units(ctx)
	if err != nil {
		return err
	}
	listed := []row{}
	t := output.NewTable("No maximum is overridden.", "LIMIT", "ACCOUNT", "MAX", "UNTIL", "NOTES")
	for a, err := range d.Overrides(ctx) {
		if err != nil {
			return err
		}
		// The unit is zero, which is none, if no entry that was read shows it.
		unit := units[a.Key]
		ended := !a.Override.Until.After(now)
		listed = append(listed, row{a.Limit, output.JSONScope(a.Scope), fmt.Sprintf("%x", a.Key), a.Override.Max, output.JSONQuantity(budget.Quantity{Unit: unit}).Unit, a.Override.Until.UTC(), ended})
		most, note := output.Money(budget.Quantity{N: a.Override.Max, Unit: unit})+output.UnitText(unit), ""
		if ended {
			note = "ended"
		}
		// nameOf prints the values of the account, or its key if the store does not know them yet.
		t.Row(a.Limit, nameOf(a.Limit, a.Scope, fmt.Sprintf("%x", a.Key)), most, output.When(a.Override.Until), note)
	}
	if c.Bool("json") {
		return output.PrintJSON(c, listed)
	}
	return t.End(c.Root().Writer)
}
