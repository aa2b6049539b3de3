package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/outer"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
)

// outerCheckCommand returns the command bedrockguard outer check, with its flags and its help.
func outerCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "say which ways to spend on Bedrock a set of IAM documents leaves open, by the logic that AWS documents", ArgsUsage: "[SCP.json…]",
		Description: "Documents without a flag are service control policies, beside which AWS attaches FullAWSAccess; - is standard input. Without --policy, the one who asks may do everything else.\n" +
			"Unless --principal is given, those ask whom the documents do not name. A door is closed if it is denied on every resource, whatever is not known.\n\n" +
			"Exit code 3 says that a door is not closed.",
		// The library would split values at commas.
		DisableSliceFlagSeparator: true,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "scp", Usage: "a service control policy; may be repeated", HideDefault: true, TakesFile: true},
			&cli.StringSliceFlag{Name: "boundary", Usage: "the boundary of who asks", HideDefault: true, TakesFile: true},
			&cli.StringSliceFlag{Name: "policy", Usage: "an identity policy of who asks; may be repeated", HideDefault: true, TakesFile: true},
			&cli.BoolFlag{Name: "no-full-access", Usage: "FullAWSAccess is not attached beside the service control policies"},
			&cli.StringSliceFlag{Name: "principal", Usage: "the ARN of one who asks; may be repeated", HideDefault: true},
			&cli.StringSliceFlag{Name: "context", Usage: "a key that is known, as KEY=VALUE; repeated for a key of several values", HideDefault: true},
			&cli.StringSliceFlag{Name: "absent", Usage: "a key that is missing; may be repeated", HideDefault: true},
			&cli.StringFlag{Name: "at", Usage: "when it is asked, such as 2026-11-01T15:04:05Z; now unless set, and then what only a date closes is told apart", HideDefault: true},
		},
		Action: outerCheck,
	}
}

// A question asks of each action that costs money whether some principals could use it under the documents. Its context are the keys that are known
// of the request, its absent keys are known to be missing, and all others are unknown.

// askedJSON says for JSON what was asked: for which principals, with which known and missing context keys, and of how many documents of each
// kind.
type askedJSON struct {
	At         time.Time           `json:"at"`
	Principals []string            `json:"principals"`
	Context    map[string][]string `json:"context,omitempty"`
	Absent     []string            `json:"absent,omitempty"`
	Documents  map[string]int      `json:"documents"`
}

// outerCheck runs bedrockguard outer check: it asks of each action that costs money whether the documents close it.
func outerCheck(_ context.Context, c *cli.Command) error {
	documents, err := readDocuments(c)
	if err != nil {
		return err
	}
	question, err := readQuestion(c, documents)
	if err != nil {
		return err
	}
	answers := outer.Check(documents, question)
	notClosed := 0
	for i := range answers {
		if answers[i].State != outer.Closed {
			notClosed++
		}
	}
	if c.Bool("json") {
		err = output.PrintJSON(c, struct {
			Asked askedJSON      `json:"asked"`
			Doors []outer.Answer `json:"doors"`
		}{jsonAsked(question, documents), answers})
	} else {
		err = printAnswers(c, question, answers)
	}
	if err == nil && notClosed > 0 {
		err = exit.Found(fmt.Sprintf("%d of %d actions that spend are not closed", notClosed, len(answers)))
	}
	return err
}

// jsonAsked says for JSON what was asked of which documents. Their kinds are named as the flags are.
func jsonAsked(q outer.Question, documents outer.Documents) askedJSON {
	counts := map[string]int{"scp": len(documents.ServiceControl), "boundary": len(documents.Boundary), "policy": len(documents.Identity)}
	return askedJSON{At: q.At, Principals: q.Principals, Context: q.Context, Absent: q.Absent, Documents: counts}
}

// printAnswers prints which principals ask, which keys are known and which are missing, and the answers as a table.
func printAnswers(c *cli.Command, q outer.Question, answers []outer.Answer) error {
	w := c.Root().Writer
	fmt.Fprintf(w, "Asked at %s by:\n", output.When(q.At))
	for _, principal := range q.Principals {
		fmt.Fprintf(w, "  %s\n", output.Printable(principal))
	}
	for _, key := range slices.Sorted(maps.Keys(q.Context)) {
		fmt.Fprintf(w, "With %s = %s\n", output.Printable(key), output.Printable(strings.Join(q.Context[key], ", ")))
	}
	for _, key := range q.Absent {
		fmt.Fprintf(w, "Without %s\n", output.Printable(key))
	}
	t := output.NewTable("", "DOOR", "ACTION", "STATE", "WHY")
	for i := range answers {
		a := &answers[i]
		t.Row(a.Door, a.Action, string(a.State), whyOf(a))
		switch a.State {
		case outer.Open:
			t.Colour(output.Red)
		case outer.Depends, outer.ClosedForNow:
			t.Colour(output.Yellow)
		}
	}
	return t.End(w)
}

// whyOf returns the last column of an answer: what decided and, unless the door is closed, who could spend on what.
func whyOf(a *outer.Answer) string {
	why := a.By
	if a.State != outer.Closed {
		why += "; asked by " + a.Principal + " on " + a.Resource
	}
	if len(a.Unknown) > 0 {
		why += "; not known: " + strings.Join(a.Unknown, ", ")
	}
	return why
}

// readDocuments reads the files on the command line, by how their documents are attached. Arguments without a flag are service control policies.
func readDocuments(c *cli.Command) (documents outer.Documents, err error) {
	documents.NoFullAccess = c.Bool("no-full-access")
	if documents.ServiceControl, err = readAll(c, append(c.StringSlice("scp"), c.Args().Slice()...), iam.ServiceControl); err != nil {
		return documents, err
	}
	if documents.Boundary, err = readAll(c, c.StringSlice("boundary"), iam.Boundary); err != nil {
		return documents, err
	}
	if documents.Identity, err = readAll(c, c.StringSlice("policy"), iam.Identity); err != nil {
		return documents, err
	}
	if len(documents.Boundary) > 1 {
		return documents, exit.UsageError("a principal has one boundary, and these are %d", len(documents.Boundary))
	}
	if len(documents.ServiceControl)+len(documents.Boundary)+len(documents.Identity) == 0 {
		return documents, exit.UsageError("want documents: files of service control policies, --boundary or --policy")
	}
	return documents, nil
}

// readAll reads the documents of a kind in several files.
func readAll(c *cli.Command, files []string, kind iam.Kind) (all []*iam.Policy, err error) {
	for _, file := range files {
		some, err := readIAM(c, file, kind)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// maxIAMFile is how large a file may be.
const maxIAMFile = 2 << 20

// readIAM reads the documents in a file, of which - is standard input. Errors have the form FILE:LINE:COLUMN.
func readIAM(c *cli.Command, file string, kind iam.Kind) ([]*iam.Policy, error) {
	in, name := c.Root().Reader, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in, name = f, file
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxIAMFile+1)) // one byte more, which shows that the file is too large
	if err != nil {
		return nil, err
	}
	if len(raw) > maxIAMFile {
		return nil, fmt.Errorf("%s is larger than %d MB, which is more than documents of IAM can be", name, maxIAMFile>>20)
	}
	all, err := iam.ParseAll(raw, kind)
	if err == nil {
		return all, nil
	}
	var problems []error
	for _, one := range flattened(err) {
		problems = append(problems, fmt.Errorf("%s:%w", name, one))
	}
	return nil, errors.Join(problems...)
}

// flattened returns the errors that were joined into one, or that error alone.
func flattened(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// readQuestion reads from the command line which principals ask, and which context keys are known. Without --principal, principals ask that no
// document names.
func readQuestion(c *cli.Command, documents outer.Documents) (q outer.Question, err error) {
	q = outer.Question{At: time.Now().UTC().Truncate(time.Second), Absent: c.StringSlice("absent")}
	if text := c.String("at"); text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return q, exit.UsageError("--at %q: want a moment such as 2026-11-01T15:04:05Z", text)
		}
		// Fixed says that the answer is only for this moment, and not for later ones.
		q.At, q.Fixed = at.UTC(), true
	}
	for _, arn := range c.StringSlice("principal") {
		principal, err := outer.Principal(arn)
		if err != nil {
			return q, exit.UsageError("--principal: %v", err)
		}
		q.Principals = append(q.Principals, principal)
	}
	if len(q.Principals) == 0 {
		q.Principals = outer.Others(documents)
	}
	q.Context, err = readContext(c)
	return q, err
}

// readContext reads the known keys from --context, each with all of its values. It returns nil if there are none.
func readContext(c *cli.Command) (context map[string][]string, err error) {
	for _, pair := range c.StringSlice("context") {
		key, value, hasValue := strings.Cut(pair, "=")
		service, name, isKey := strings.Cut(key, ":")
		if !hasValue || !isKey || service == "" || name == "" {
			return nil, exit.UsageError("--context %q: want KEY=VALUE, such as aws:SourceVpce=vpce-1", pair)
		}
		if context == nil {
			context = make(map[string][]string)
		}
		context[key] = append(context[key], value)
	}
	return context, nil
}
