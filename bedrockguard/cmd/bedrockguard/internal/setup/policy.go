// Package setup has the commands that set a ledger up: init, policy, accept-loss and outer.
package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// PolicyCommand returns the command bedrockguard policy, with its help.
func PolicyCommand() *cli.Command {
	return &cli.Command{
		Name: "policy", Category: "set up", Usage: "check, compare, set and show policies",
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return exit.UsageError("there is no command policy %q: want check, diff, push, show, clear or schema", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
		Commands: policyCommands(),
	}
}

// policyCommands returns the commands below bedrockguard policy, with their flags and their help.
func policyCommands() []*cli.Command {
	return []*cli.Command{
		{
			Name: "check", Usage: "say all that is wrong in a policy file, with line and column; needs no store", ArgsUsage: "FILE",
			Description: "FILE is - for standard input. Exit code 3 says that something is wrong.", Action: policyCheck,
		},
		{
			Name: "diff", Usage: "compare a policy file with the policy in the store, and show which accounts would be over", ArgsUsage: "FILE",
			Description: "Exit code 3 says that accounts would be over: their next calls would be refused.", Action: commandline.WithLedger(policyDiff),
		},
		{
			Name: "push", Usage: "put a policy file into the store, for all processes that follow it", ArgsUsage: "FILE",
			Description: "It is refused if somebody else has put another one there since it was looked at.",
			Flags: []cli.Flag{
				commandline.ReasonFlag(),
				&cli.Int64Flag{Name: "version", Usage: "only if the policy in the store has this version; 0 for none", HideDefault: true},
			},
			Action: commandline.WithLedger(policyPush),
		},
		{Name: "show", Usage: "print the policy in the store", Action: commandline.WithLedger(policyShow)},
		{
			Name: "clear", Usage: "take the policy out of the store; processes go on with what they follow now", Flags: []cli.Flag{commandline.ReasonFlag(), &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"}},
			Action: commandline.WithLedger(policyClear),
		},
		{Name: "schema", Usage: "print the JSON schema of policy files, for editors", Action: policySchema},
	}
}

// policySchema runs bedrockguard policy schema.
func policySchema(_ context.Context, c *cli.Command) error {
	_, err := io.WriteString(c.Root().Writer, budget.PolicySchema)
	return err
}

// problemJSON is a mistake in a policy file.
type problemJSON struct {
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Problem string `json:"problem"`
}

// policyProblems returns the errors that ReadPolicy has joined, one by one. An error without a place in the file has no line and no column.
func policyProblems(err error) (all []problemJSON) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			all = append(all, policyProblems(one)...)
		}
		return all
	}
	var in *budget.PolicyFileError
	if errors.As(err, &in) {
		return []problemJSON{{in.Line, in.Column, in.Problem}}
	}
	return []problemJSON{{Problem: err.Error()}}
}

// policyCheck runs bedrockguard policy check: it lists what is wrong in a policy file, and patterns in it that match no known model.
func policyCheck(_ context.Context, c *cli.Command) error {
	name, raw, err := commandline.ReadArgument(c)
	if err != nil {
		return err
	}
	limits, problems := checkPolicy(raw)
	switch {
	case c.Bool("json"):
		err = output.PrintJSON(c, struct {
			Limits   int           `json:"limits"`
			Problems []problemJSON `json:"problems"`
		}{limits, problems})
	case len(problems) > 0:
		printProblems(c.Root().Writer, name, problems)
	default:
		_, err = fmt.Fprintf(c.Root().Writer, "%s: %s, nothing is wrong\n", output.Printable(name), output.Plural(limits, "limit", "limits"))
	}
	if err == nil && len(problems) > 0 {
		err = exit.Found(fmt.Sprintf("%d problems in %s", len(problems), name))
	}
	return err
}

// checkPolicy returns how many limits a policy file has, and all that is wrong in it. If it can't be read it has no limits, so that their patterns
// are not checked either.
func checkPolicy(raw []byte) (limits int, problems []problemJSON) {
	policy, err := budget.ReadPolicy(bytes.NewReader(raw))
	problems = []problemJSON{} // not nil, so that the JSON is an empty list
	if err != nil {
		problems = policyProblems(err)
	}
	for _, text := range commandline.MatchesNothing(policy) {
		problems = append(problems, problemJSON{Problem: text})
	}
	return len(policy.Limits), problems
}

// printProblems prints each problem on a line, in the form FILE:LINE:COLUMN: that editors recognise.
func printProblems(w io.Writer, name string, problems []problemJSON) {
	for _, p := range problems {
		if p.Line > 0 {
			fmt.Fprintf(w, "%s:%d:%d: %s\n", output.Printable(name), p.Line, p.Column, output.Printable(p.Problem))
			continue
		}
		fmt.Fprintf(w, "%s: %s\n", output.Printable(name), output.Printable(p.Problem))
	}
}

// policyOf reads the policy file on the command line, and also returns its text (raw). It returns an error if anything in it is wrong.
func policyOf(c *cli.Command) (policy budget.Policy, raw []byte, err error) {
	name, raw, err := commandline.ReadArgument(c)
	if err != nil {
		return policy, nil, err
	}
	policy, err = budget.ReadPolicy(bytes.NewReader(raw))
	if err != nil {
		var text strings.Builder
		printProblems(&text, name, policyProblems(err))
		return policy, nil, fmt.Errorf("the policy can't be used:\n%s", strings.TrimSuffix(text.String(), "\n"))
	}
	return policy, raw, nil
}

// difference is what a policy changes in a limit.
type difference struct {
	Limit  string `json:"limit"`
	Change string `json:"change"` // added, removed or changed
	Detail string `json:"detail,omitempty"`
	Anew   bool   `json:"begins_at_zero,omitempty"` // the limit gets new accounts
}

// overJSON is an account that would have no room left under a policy.
type overJSON struct {
	Limit   string              `json:"limit"`
	Scope   output.ScopeJSON    `json:"scope"`
	Settled output.QuantityJSON `json:"settled"`
	Pending output.QuantityJSON `json:"pending"`
	Max     output.QuantityJSON `json:"max"`
	Observe bool                `json:"observe,omitempty"`
}

// policyDiff runs bedrockguard policy diff: it compares the file with the policy in the store, and finds accounts that would have no room under
// the file's. d is the opened ledger.
func policyDiff(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	next, _, err := policyOf(c)
	if err != nil {
		return err
	}
	// Without a policy this is one without limits.
	now, err := d.Policy(ctx, c)
	if err != nil {
		return err
	}
	over, err := accountsOver(ctx, d, next)
	if err != nil {
		return err
	}
	if err := printDiff(c, differences(now, next), over); err != nil {
		return err
	}
	if n := len(over); n > 0 {
		return exit.Found(output.Plural(n, "account", "accounts") + " would have no room under this policy")
	}
	return nil
}

// printDiff prints what a policy changes, and the accounts that would have no room under it.
func printDiff(c *cli.Command, diff []difference, over []budget.AccountBalance) error {
	if !c.Bool("json") {
		printDifferences(c.Root().Writer, diff)
		return printOver(c.Root().Writer, over)
	}
	listed := make([]overJSON, len(over))
	for i := range over {
		listed[i] = jsonOver(&over[i])
	}
	return output.PrintJSON(c, struct {
		Differences []difference `json:"differences"`
		Over        []overJSON   `json:"over"`
	}{diff, listed})
}

// accountsOver returns the balances of the accounts that would have no room under a policy. Standing yields the known accounts of its limits, and
// leaves out those that the policy would begin anew.
func accountsOver(ctx context.Context, d *commandline.Desk, policy budget.Policy) (over []budget.AccountBalance, err error) {
	for s, err := range d.Standing(ctx, policy, budget.AccountQuery{}) {
		if err != nil {
			return nil, err
		}
		b := s.Balance
		// The difference is compared, because the sum of settled and pending could be too large for its type.
		hasRoom := b.Max.N-b.Settled.N > b.Pending.N
		if !hasRoom {
			over = append(over, b)
		}
	}
	return over, nil
}

// jsonOver converts the balance of an account without room for JSON.
func jsonOver(b *budget.AccountBalance) overJSON {
	return overJSON{
		Limit: b.Limit, Scope: output.JSONScope(b.Scope),
		Settled: output.JSONQuantity(b.Settled), Pending: output.JSONQuantity(b.Pending), Max: output.JSONQuantity(b.Max), Observe: b.Observe,
	}
}

// printOver prints the accounts without room as a table, or that there is none.
func printOver(w io.Writer, over []budget.AccountBalance) error {
	t := output.NewTable("No account would be over.", "OVER", "ACCOUNT", "SPENT", "PENDING", "OF", "NOTES")
	for i := range over {
		b, note := &over[i], ""
		if b.Observe {
			note = "observed only"
		}
		t.Row(b.Limit, output.AccountText(b.Scope), output.Money(b.Settled), output.Money(b.Pending), output.Money(b.Max)+output.UnitText(b.Max.Unit), note)
	}
	return t.End(w)
}

// printDifferences prints what changes in each limit on a line.
func printDifferences(w io.Writer, all []difference) {
	if len(all) == 0 {
		fmt.Fprintln(w, "The policies are the same.")
	}
	for _, d := range all {
		text := d.Change + ": " + output.Printable(d.Limit)
		if d.Detail != "" {
			text += ": " + output.Printable(d.Detail)
		}
		if d.Anew {
			text += "; its accounts begin at zero"
		}
		fmt.Fprintln(w, text)
	}
	fmt.Fprintln(w)
}

// differences returns what next changes in the limits of now: first removed limits, then added and changed ones.
func differences(now, next budget.Policy) []difference {
	all := []difference{} // not nil, so that the JSON is an empty list
	for i := range now.Limits {
		if l := &now.Limits[i]; limitNamed(next, l.Name) == nil {
			all = append(all, difference{Limit: l.Name, Change: "removed", Detail: limitText(l)})
		}
	}
	for i := range next.Limits {
		l := &next.Limits[i]
		before := limitNamed(now, l.Name)
		switch {
		case before == nil:
			all = append(all, difference{Limit: l.Name, Change: "added", Detail: limitText(l)})
		case written(before) != written(l):
			all = append(all, difference{Limit: l.Name, Change: "changed", Detail: changeText(before, l), Anew: getsNewAccounts(before, l)})
		}
	}
	return all
}

// limitNamed returns the limit of a policy with a name, and nil if it has none.
func limitNamed(p budget.Policy, name string) *budget.Limit {
	i := slices.IndexFunc(p.Limits, func(l budget.Limit) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &p.Limits[i]
}

// changeText describes a change of a limit. limitText does not tell all of a limit, so a limit may have changed while its text is the same.
func changeText(before, after *budget.Limit) string {
	was, is := limitText(before), limitText(after)
	if was == is {
		return "what it matches, its exceptions or its settings"
	}
	return was + " becomes " + is
}

// getsNewAccounts reports whether a change of a limit starts new accounts, whose spend begins at zero. The unit, the window and what a limit is split
// by are part of its accounts' identity; its Max and its other settings are not.
func getsNewAccounts(before, after *budget.Limit) bool {
	split := before.Per != after.Per || !slices.Equal(before.PerTags, after.PerTags)
	return split || before.Max.Unit != after.Max.Unit || before.Window.String() != after.Window.String()
}

// written returns a limit as the text of a policy file. Two limits are the same if these texts are.
func written(l *budget.Limit) string {
	var b strings.Builder
	_ = budget.WritePolicy(&b, budget.Policy{Limits: []budget.Limit{*l}}) // can't fail: it writes into memory
	return b.String()
}

// limitText describes a limit in one line.
func limitText(l *budget.Limit) string {
	text := l.Max.String() + " " + l.Window.String()
	if by := output.SplitText(l); by != "nothing" {
		text += " per " + by
	}
	if l.Observe {
		text += ", observed only"
	}
	return text
}

// policyPush runs bedrockguard policy push. The store takes the policy only if it still holds the version that was looked at, or that --version
// names. A policy is refused if a pattern in it matches no known model.
func policyPush(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	next, raw, err := policyOf(c)
	if err != nil {
		return err
	}
	if problems := commandline.MatchesNothing(next); len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	before, err := d.PolicyDocument(ctx)
	if err != nil {
		return err
	}
	// The version is 0 if the store holds no policy.
	version := before.Version
	if c.IsSet("version") {
		version = c.Int64("version")
	}
	if err := d.SetPolicyDocument(ctx, raw, version, c.String("reason")); err != nil {
		return err
	}
	// SetPolicyDocument does not return the new version, so the document is read again.
	after, err := d.PolicyDocument(ctx)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return output.PrintJSON(c, map[string]int64{"version": after.Version})
	}
	_, err = fmt.Fprintf(c.Root().Writer, "The store holds version %d of the policy: %s. Processes that follow it take it within two seconds.\n", after.Version, output.Plural(len(next.Limits), "limit", "limits"))
	return err
}

// policyShow runs bedrockguard policy show. The JSON of a store without a policy is printed, too, with an empty text.
func policyShow(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	document, err := d.PolicyDocument(ctx)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = output.PrintJSON(c, struct {
			Version  int64  `json:"version"`
			At       any    `json:"at,omitempty"`
			Operator string `json:"operator,omitempty"`
			Reason   string `json:"reason,omitempty"`
			Text     string `json:"text"`
		}{document.Version, output.Moment(document.At), document.Operator, document.Reason, string(document.Text)})
	} else if len(document.Text) > 0 {
		err = printPolicy(c.Root().Writer, &document)
	}
	if err == nil && len(document.Text) == 0 {
		return exit.Found("the store holds no policy")
	}
	return err
}

// printPolicy prints a policy below a line that says who put it there, when and why. That line is a comment, so that the output is a policy file.
func printPolicy(w io.Writer, document *driver.PolicyDocument) error {
	fmt.Fprintf(w, "# version %d, %s, by %s", document.Version, output.When(document.At), output.Printable(document.Operator))
	if document.Reason != "" {
		fmt.Fprintf(w, ": %s", output.Printable(document.Reason))
	}
	// Tabs become spaces, because PrintableLines would print them as escapes.
	text := strings.ReplaceAll(string(document.Text), "\t", "    ")
	_, err := fmt.Fprintf(w, "\n%s\n", strings.TrimRight(output.PrintableLines(text), "\n"))
	return err
}

// policyClear runs bedrockguard policy clear: it takes the policy out of the ledger d, unless somebody has put another one there meanwhile.
func policyClear(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	document, err := d.PolicyDocument(ctx)
	if err != nil {
		return err
	}
	if len(document.Text) == 0 {
		return exit.Found("the store holds no policy")
	}
	if !c.Bool("yes") && !commandline.Confirm(c, "Take the policy out of the store? Processes that begin later need one of their own.") {
		return errors.New("nothing was changed: give --yes, or answer with yes")
	}
	if err := d.SetPolicyDocument(ctx, nil, document.Version, c.String("reason")); err != nil {
		return err
	}
	if c.Bool("json") {
		return output.PrintJSON(c, map[string]bool{"cleared": true})
	}
	_, err = fmt.Fprintln(c.Root().Writer, "The store holds no policy any more.")
	return err
}
