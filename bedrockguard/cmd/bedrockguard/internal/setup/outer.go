package setup

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/outer"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
)

// OuterCommand returns the command bedrockguard outer, with its flags and its help.
func OuterCommand() *cli.Command {
	return &cli.Command{
		Name: "outer", Category: "set up", Usage: "IAM documents against what goes round the guard: write them, and look what some leave open",
		Description: "Nothing is asked of AWS, and nothing is applied.",
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return exit.UsageError("there is no command outer %q: want plan, check or actions", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
		Commands: []*cli.Command{outerPlanCommand(), outerCheckCommand(), {
			Name: "actions", Usage: "print the actions of IAM that spend on Bedrock", Action: outerActions,
		}},
	}
}

// outerPlanCommand returns the command bedrockguard outer plan, with its flags and its help.
func outerPlanCommand() *cli.Command {
	return &cli.Command{
		Name: "plan", Usage: "print the documents by which only the principals that you name may spend on Bedrock; applies nothing",
		Description: "Documents go to standard output, and what each statement is for to standard error, or into comments. A document that is larger than IAM takes is divided, or refused.\n\n" +
			"  bedrockguard outer plan --allow arn:aws:iam::111122223333:role/guard > scp.json\n" +
			"  bedrockguard outer plan --kill-until 2h --kind policy > kill.json\n" +
			"  bedrockguard outer plan --api-keys none --format terraform > keys.tf",
		// The library would split values at commas.
		DisableSliceFlagSeparator: true,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "allow", Usage: "the ARN of a role, a user or a root user that may spend, with * and ? if need be; may be repeated", HideDefault: true},
			&cli.StringFlag{Name: "kind", Value: "scp", Usage: "what the documents are attached as: scp, boundary or policy"},
			&cli.StringFlag{Name: "kill-until", Usage: "deny what spends until then: a moment such as 2026-11-01T15:04:05Z, or how long, such as 2h", HideDefault: true},
			&cli.StringSliceFlag{Name: "kill", Usage: "whom --kill-until is for, by ARN; everybody that the document is attached to unless set; may be repeated", HideDefault: true},
			&cli.StringFlag{Name: "api-keys", Usage: "which Bedrock API keys stay of use: none, short-term, or aged, with --key-days", HideDefault: true},
			&cli.IntFlag{Name: "key-days", Usage: "for how many days a long-term key may be made", HideDefault: true},
			&cli.StringSliceFlag{Name: "leave", Usage: "a door that is left open to all, as outer actions names it; may be repeated", HideDefault: true},
			&cli.StringFlag{Name: "format", Value: "json", Usage: "json, terraform or cloudformation"},
		},
		Action: outerPlan,
	}
}

// documentKinds are the kinds of documents, by their names on the command line.
var documentKinds = map[string]iam.Kind{"scp": iam.ServiceControl, "boundary": iam.Boundary, "policy": iam.Identity}

// outerPlan runs bedrockguard outer plan: it reads the options, and prints the documents.
func outerPlan(_ context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return exit.UsageError("%q: everything is said by flags", c.Args().First())
	}
	options, format, err := planOptions(c)
	if err != nil {
		return err
	}
	documents, err := outer.Plan(options)
	if err != nil {
		return exit.UsageError("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if c.Bool("json") {
		return output.PrintJSON(c, struct {
			AsOf      string           `json:"as_of"`
			Source    string           `json:"source"`
			Documents []outer.Document `json:"documents"`
		}{outer.Spending().AsOf, outer.Spending().Source, documents})
	}
	return printPlan(c, format, documents)
}

// planOptions reads the options of a plan from the command line, and in which format its documents are printed.
func planOptions(c *cli.Command) (options outer.Options, format outer.Format, err error) {
	kind, ok := documentKinds[c.String("kind")]
	if !ok {
		return options, format, exit.UsageError("--kind %q: want scp, boundary or policy", c.String("kind"))
	}
	format = outer.Format(c.String("format"))
	if _, err := outer.Render(format, nil); err != nil { // an unknown format
		return options, format, exit.UsageError("--format %q: want json, terraform or cloudformation", format)
	}
	now := time.Now()
	options = outer.Options{
		Kind: kind, Allow: c.StringSlice("allow"), Kill: c.StringSlice("kill"), Leave: c.StringSlice("leave"), Keys: outer.Keys(c.String("api-keys")), KeyDays: c.Int("key-days"), Now: now,
	}
	// That the moment of --kill-until is still to come is checked by Plan, with the rest of the options.
	// An empty value is mostly a variable that is not set, and is told as that. With --kill-until, Plan refuses an empty ARN with an error of its own.
	if text := c.String("kill-until"); text != "" {
		options.KillUntil, err = commandline.ParseMomentToCome("kill-until", text, now)
	} else if c.IsSet("kill-until") || slices.Contains(options.Allow, "") || slices.Contains(options.Kill, "") {
		err = exit.UsageError("a flag is given an empty value, as by a variable that is not set")
	}
	return options, format, err
}

// printPlan prints the documents in a format. JSON has no comments, so that explanations go to standard error.
func printPlan(c *cli.Command, format outer.Format, documents []outer.Document) error {
	text, err := outer.Render(format, documents)
	if err != nil {
		return err
	}
	if format == outer.JSON {
		if _, err := fmt.Fprintf(c.Root().ErrWriter, "%sActions as of %s. Nothing is applied: attach them yourself, in an account for tests first.\n", outer.Explain(documents), outer.Spending().AsOf); err != nil {
			return err
		}
	}
	_, err = io.WriteString(c.Root().Writer, text)
	return err
}

// outerActions runs bedrockguard outer actions. A door is a group of actions with which one can spend without going through a guard.
func outerActions(_ context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return exit.UsageError("want no argument")
	}
	all := outer.Spending()
	if c.Bool("json") {
		return output.PrintJSON(c, all)
	}
	t := output.NewTable("", "DOOR", "ACTION", "WHAT IT SPENDS")
	for i := range all.Doors {
		for j := range all.Doors[i].Actions {
			t.Row(all.Doors[i].Name, all.Doors[i].Actions[j].Name, all.Doors[i].Actions[j].Spends)
		}
	}
	if err := t.End(c.Root().Writer); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.Root().Writer, "As of %s: %s\n", all.AsOf, all.Source)
	return err
}
