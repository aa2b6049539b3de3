package look

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// KillsCommand returns the command bedrockguard kills, with its flags and its help.
func KillsCommand() *cli.Command {
	return &cli.Command{Name: "kills", Category: "look", Usage: "list the kill flags in force", Action: commandline.WithLedger(listKills)}
}

// listKills runs bedrockguard kills. d is the opened ledger.
func listKills(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	kills, err := d.Kills(ctx)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return output.PrintJSON(c, output.JSONKills(kills))
	}
	return printKills(c, kills)
}

// printKills prints the kill flags in force as a table. Of a kill without an end the column UNTIL is a dash.
func printKills(c *cli.Command, kills []budget.Kill) error {
	w := c.Root().Writer
	t := output.NewTable("Nothing is killed.", "KILLED", "SINCE", "UNTIL", "REASON")
	for i := range kills {
		t.Row(output.ScopeText(kills[i].Scope), output.When(kills[i].At), output.When(kills[i].Until), kills[i].Reason)
	}
	return t.End(w)
}
