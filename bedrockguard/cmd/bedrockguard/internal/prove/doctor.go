package prove

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/awsenv"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/storeurl"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// DoctorCommand returns the command bedrockguard doctor, with its flags and its help.
func DoctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Category: "prove", Usage: "check the store, its clock, the policy, the catalog, the credentials and enforced guardrails",
		Description: "Exit code 3 says that there is a problem. What is only worth knowing is a note.",
		Flags: []cli.Flag{
			commandline.PolicyFlag(),
			&cli.BoolFlag{Name: "no-aws", Usage: "do not look for AWS credentials, nor ask Bedrock"},
		},
		Action: doctor,
	}
}

// The verdicts of a check.
const (
	verdictOK      = "ok"
	verdictNote    = "note"
	verdictProblem = "problem"
)

// check is one thing that doctor has checked.
type check struct {
	Name    string `json:"check"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
}

// examination collects checks, which are printed when all are made. What can't be checked is a check that found a problem, not an error.
type examination struct{ checks []check }

// note adds a check: what was checked, the verdict, and what was found.
func (e *examination) note(name, verdict, format string, args ...any) {
	e.checks = append(e.checks, check{name, verdict, fmt.Sprintf(format, args...)})
}

// maxSkew is how far the clocks of store and host may differ, and maxCatalogAge how old prices may be; more is a problem.
const (
	maxSkew       = 5 * time.Second
	maxCatalogAge = 60 * 24 * time.Hour
)

// doctor runs bedrockguard doctor: it makes all checks and prints them.
func doctor(ctx context.Context, c *cli.Command) error {
	ctx, cancel, err := commandline.WithTimeout(ctx, c)
	if err != nil {
		return err
	}
	defer cancel()
	e := &examination{}
	if err := e.store(ctx, c); err != nil {
		return err
	}
	e.catalog(time.Now())
	if !c.Bool("no-aws") {
		e.credentials(ctx)
	}
	if c.Bool("json") {
		err = output.PrintJSON(c, e.checks)
	} else {
		err = e.print(c.Root().Writer)
	}
	if problems := e.problems(); err == nil && problems > 0 {
		err = exit.Found(output.Plural(problems, "problem", "problems"))
	}
	return err
}

// print prints the checks as a table.
func (e *examination) print(w io.Writer) error {
	t := output.NewTable("", "CHECK", "VERDICT", "DETAIL")
	for _, one := range e.checks {
		t.Row(one.Name, one.Verdict, one.Detail)
	}
	return t.End(w)
}

// problems returns how many checks found a problem.
func (e *examination) problems() (n int) {
	for _, one := range e.checks {
		if one.Verdict == verdictProblem {
			n++
		}
	}
	return n
}

// store checks the store of the ledger. An invalid command line is an error; anything else that is wrong is a problem in the report.
func (e *examination) store(ctx context.Context, c *cli.Command) error {
	o, err := storeurl.OpenToSteer(ctx, c.String("store"))
	if err != nil {
		var misuse *exit.Usage
		if errors.As(err, &misuse) {
			return err
		}
		e.note("store", verdictProblem, "%v", err)
		return nil
	}
	defer func() { _ = o.Close() }() // nothing more is asked of it
	begun := time.Now()
	revision, err := o.Store.Revision(ctx) // how many changes were made
	if err != nil {
		e.note("store", verdictProblem, "%v", err)
		return nil
	}
	took := time.Since(begun).Round(10 * time.Microsecond)
	e.note("store", verdictOK, "it opens, keeps what it acknowledges as far as it tells, and answers in %s; %s made in it so far", took, output.Plural(int(revision), "change was", "changes were"))
	e.warnings(ctx, o.Store)
	operator, err := budget.Operate(ctx, o.Store)
	if err != nil {
		e.note("store", verdictProblem, "%v", err)
		return nil
	}
	d := &commandline.Desk{Operator: operator, Store: o.Store, StoreTime: o.Clock}
	e.clock(ctx, d)
	policy := e.policy(ctx, c, d)
	e.accounts(ctx, d, policy) // the policy says which limits should have accounts
	return nil
}

// warnings reports what makes the store slow or large, if the store has the method Warnings.
func (e *examination) warnings(ctx context.Context, store budget.Store) {
	s, speaks := store.(interface {
		Warnings(context.Context) ([]string, error)
	})
	if !speaks {
		return
	}
	all, err := s.Warnings(ctx)
	if err != nil {
		e.note("upkeep", verdictNote, "not looked at: %v", err)
		return
	}
	for _, one := range all {
		e.note("upkeep", verdictProblem, "%s", one)
	}
	if len(all) == 0 {
		e.note("upkeep", verdictOK, "nothing holds it up, as far as the store tells")
	}
}

// clock compares the store's clock with this host's. The store's time is taken to be that of the middle of the request for it. It may be that of any
// moment of the request, so the clocks may differ by the time that the request took, too.
func (e *examination) clock(ctx context.Context, d *commandline.Desk) {
	begun := time.Now()
	at, err := d.StoreTime(ctx)
	if err != nil {
		e.note("clock", verdictProblem, "%v", err)
		return
	}
	took := time.Since(begun)
	skew := at.Sub(begun.Add(took / 2)).Round(time.Millisecond)
	verdict := verdictOK
	if skew.Abs() > maxSkew+took {
		verdict = verdictProblem
	}
	e.note("clock", verdict, "the store's clock is %s off this host's; windows go by the store's", skew)
}

// policy checks the policy of the command line, or else the one in the store, and returns it. It returns one without limits if there is none or
// if it can't be read.
func (e *examination) policy(ctx context.Context, c *cli.Command, d *commandline.Desk) budget.Policy {
	if file := c.String("policy"); file != "" {
		policy, err := commandline.ReadPolicyFile(file)
		return e.policyFrom("the file "+file, policy, err)
	}
	document, err := d.PolicyDocument(ctx)
	if err != nil {
		e.note("policy", verdictProblem, "%v", err)
		return budget.Policy{}
	}
	if len(document.Text) == 0 {
		e.note("policy", verdictNote, "the store holds none: processes enforce their own, which have to be the same; give --policy FILE to check one")
		return budget.Policy{}
	}
	policy, err := budget.ReadPolicy(bytes.NewReader(document.Text))
	return e.policyFrom(fmt.Sprintf("version %d in the store", document.Version), policy, err)
}

// policyFrom checks a policy that was read from a place, and returns it; or, if err says that it could not be read, one without limits.
func (e *examination) policyFrom(place string, policy budget.Policy, err error) budget.Policy {
	if err != nil {
		e.note("policy", verdictProblem, "%s: %s", place, strings.ReplaceAll(err.Error(), "\n", "; "))
		return budget.Policy{}
	}
	e.note("policy", verdictOK, "%s: %s", place, output.Plural(len(policy.Limits), "limit", "limits"))
	for _, problem := range commandline.MatchesNothing(policy) {
		e.note("policy", verdictProblem, "%s", problem)
	}
	return policy
}

// accounts looks for limits that have counted nothing, and for accounts that are latched, which means that they stay closed after a refusal. Then it
// looks at the kills, unless the accounts can't be read.
func (e *examination) accounts(ctx context.Context, d *commandline.Desk, policy budget.Policy) {
	counted := make(map[string]bool) // limits that have an account
	latched, total := 0, 0
	for a, err := range d.Accounts(ctx, budget.AccountQuery{}) {
		if err != nil {
			e.note("accounts", verdictProblem, "%v", err)
			return
		}
		total++
		counted[a.Limit] = true
		if !a.Latched.IsZero() {
			latched++
		}
	}
	e.note("accounts", verdictOK, "%d are known", total)
	for _, l := range policy.Limits {
		if total > 0 && !counted[l.Name] {
			e.note("accounts", verdictNote, "limit %q has counted no call yet, while others have: does it match any?", l.Name)
		}
	}
	if latched > 0 {
		e.note("accounts", verdictNote, "%d are latched: bedrockguard unlatch opens them", latched)
	}
	e.kills(ctx, d)
}

// kills reports the flags by which calls are killed.
func (e *examination) kills(ctx context.Context, d *commandline.Desk) {
	kills, err := d.Kills(ctx)
	if err != nil {
		e.note("kills", verdictProblem, "%v", err)
		return
	}
	for i := range kills {
		e.note("kills", verdictNote, "killed since %s: %s", output.When(kills[i].At), output.ScopeText(kills[i].Scope))
	}
}

// catalog checks how old the prices are that the library carries.
func (e *examination) catalog(now time.Time) {
	newest := bedrockguard.CatalogDate()
	age := now.Sub(newest)
	verdict := verdictOK
	if age > maxCatalogAge {
		verdict = verdictProblem
	}
	e.note("catalog", verdict, "list prices of %s, %s old", newest.Format(time.DateOnly), output.Plural(max(0, int(age.Hours()/24)), "day", "days"))
}

// credentialsTimeout bounds the search for credentials, which may ask a metadata service on the host.
const credentialsTimeout = 3 * time.Second

// credentials reports whether AWS credentials are found, but never prints them. Calls need them, and so does a store in DynamoDB. With them
// it also checks which guardrails the account enforces.
func (e *examination) credentials(asking context.Context) {
	ctx, cancel := context.WithTimeout(asking, credentialsTimeout)
	defer cancel()
	config, err := awsenv.Load(ctx)
	if err != nil {
		e.note("credentials", verdictProblem, "the configuration of AWS: %v", err)
		return
	}
	found, err := config.Credentials.Retrieve(ctx)
	switch {
	case err != nil:
		e.note("credentials", verdictNote, "none are found here; calls need them, and a look at the ledger only in DynamoDB")
	case found.Expired():
		e.note("credentials", verdictProblem, "they expired at %s", output.When(found.Expires))
	case config.Region == "":
		e.note("credentials", verdictNote, "found by %s, and no region is set", found.Source)
	default:
		e.note("credentials", verdictOK, "found by %s, for %s", found.Source, config.Region)
		// With the context of the whole command: this check has a time limit of its own.
		e.guardrails(asking, config)
	}
}
