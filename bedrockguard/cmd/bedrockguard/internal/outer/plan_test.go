package outer_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/outer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files")

const (
	guardRole = "arn:aws:iam::111122223333:role/bedrock/guard"
	otherRole = "arn:aws:iam::111122223333:role/batch"
)

var (
	now  = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	soon = now.Add(2 * time.Hour)
)

// plans are the documents that are kept as golden files, in every form, and that every other test is tried on.
var plans = map[string]outer.Options{
	"scp":          {Kind: iam.ServiceControl, Allow: []string{guardRole, "arn:aws:iam::*:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Bedrock_*"}, Now: now},
	"scp-leave":    {Kind: iam.ServiceControl, Allow: []string{guardRole}, Leave: []string{"guardrails", "knowledge-bases"}, Now: now},
	"boundary":     {Kind: iam.Boundary, Allow: []string{guardRole}, KillUntil: soon, Kill: []string{otherRole}, Keys: outer.NoKeys, Now: now},
	"kill":         {Kind: iam.Identity, KillUntil: soon, Now: now},
	"kill-scp":     {Kind: iam.ServiceControl, KillUntil: soon, Kill: []string{otherRole}, Now: now},
	"keys-none":    {Kind: iam.ServiceControl, Keys: outer.NoKeys, Now: now},
	"keys-short":   {Kind: iam.ServiceControl, Keys: outer.ShortTermKeys, Now: now},
	"keys-aged":    {Kind: iam.ServiceControl, Keys: outer.AgedKeys, KeyDays: 30, Now: now},
	"all-together": {Kind: iam.ServiceControl, Allow: []string{guardRole}, KillUntil: soon, Keys: outer.ShortTermKeys, Now: now},
}

// A change of a document is seen by whoever reads the change.
func TestDocumentsAreTheGoldenOnes(t *testing.T) {
	for name, options := range plans {
		documents, err := outer.Plan(options)
		require.NoError(t, err, name)
		for format, extension := range map[outer.Format]string{outer.JSON: "json", outer.Terraform: "tf", outer.CloudFormation: "yaml"} {
			text, err := outer.Render(format, documents)
			require.NoError(t, err)
			if format == outer.JSON {
				text += "\n" + outer.Explain(documents)
			}
			file := filepath.Join("testdata", name+"."+extension+".golden")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			}
			golden, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(golden), text, "%s: go test ./internal/outer -update writes it anew", file)
		}
	}
}

// Each document is one that IAM takes: of the grammar, and no larger than its kind may be.
func TestDocumentsAreWithinIAM(t *testing.T) {
	for name, options := range plans {
		documents, err := outer.Plan(options)
		require.NoError(t, err, name)
		for i := range documents {
			d := &documents[i]
			_, err := iam.Parse(d.JSON(), d.Kind)
			require.NoError(t, err, d.Name)
			require.LessOrEqual(t, len(d.Name), 128)
			require.LessOrEqual(t, len(d.What), 512)
			for _, s := range d.Statements {
				require.NotEmpty(t, s.Why, s.Sid)
				require.Regexp(t, "^[A-Za-z0-9]+$", s.Sid)
			}
			if d.Kind == iam.ServiceControl {
				require.LessOrEqual(t, utf8.RuneCount(d.JSON()), 5120, d.Name)
			} else {
				require.LessOrEqual(t, utf8.RuneCountInString(strings.Join(strings.Fields(string(d.JSON())), "")), 6144, d.Name)
			}
		}
	}
}

// The sums that are told are those of what is printed.
func TestSizesAreCounted(t *testing.T) {
	documents, err := outer.Plan(plans["scp"])
	require.NoError(t, err)
	compact := bytes.Join(bytes.Fields(documents[0].JSON()), nil)
	require.Equal(t, utf8.RuneCount(compact), documents[0].Size())
}

func roles(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("arn:aws:iam::111122223333:role/team-%03d/a-name-that-is-not-short", i))
	}
	return all
}

// A document that does not fit is divided by its actions, so that the named principals pass each part, and each part denies the others.
func TestLargeDocumentsAreDividedByActions(t *testing.T) {
	allow := roles(65)
	documents, err := outer.Plan(outer.Options{Kind: iam.ServiceControl, Allow: allow, Now: now})
	require.NoError(t, err)
	require.Greater(t, len(documents), 1)
	var control []*iam.Policy
	for i := range documents {
		require.LessOrEqual(t, documents[i].Size(), 5120)
		require.LessOrEqual(t, utf8.RuneCount(documents[i].JSON()), 5120)
		p, err := iam.Parse(documents[i].JSON(), iam.ServiceControl)
		require.NoError(t, err)
		control = append(control, p)
	}
	set := outer.Documents{ServiceControl: control}
	for _, answer := range outer.Check(set, outer.Question{Principals: allow, At: now}) {
		require.Equal(t, outer.Open, answer.State, answer)
	}
	for _, answer := range outer.Check(set, outer.Question{Principals: outer.Others(set), At: now}) {
		require.Equal(t, outer.Closed, answer.State, answer)
	}
}

// What can't be made to fit is refused, with figures.
func TestDocumentsThatCantFitAreRefused(t *testing.T) {
	_, err := outer.Plan(outer.Options{Kind: iam.ServiceControl, Allow: roles(120), Now: now})
	require.ErrorContains(t, err, "bedrockguard-only-named has 9")
	require.ErrorContains(t, err, "a service control policy may have 5120; of the 4 that can be attached side by side, the largest would still have 8")
	_, err = outer.Plan(outer.Options{Kind: iam.Boundary, Allow: roles(90), Now: now})
	require.ErrorContains(t, err, "and may have 6144; a principal has one")
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	for want, o := range map[string]outer.Options{
		"no document is wanted": {},
		"is a session: aws:PrincipalArn is the ARN of its role, so that nothing would match: want arn:aws:iam::111122223333:role/guard": {Allow: []string{"arn:aws:sts::111122223333:assumed-role/guard/i-0abc"}},
		"a group makes no calls":                                 {Allow: []string{"arn:aws:iam::111122223333:group/dev"}},
		"is everybody":                                           {Allow: []string{"arn:aws:iam::111122223333:role/*"}},
		`"*" is no principal`:                                    {Allow: []string{"*"}},
		`"arn:aws:iam::1:role/guard" is no principal`:            {Allow: []string{"arn:aws:iam::1:role/guard"}},
		`role/${aws:username}" is no principal`:                  {Allow: []string{"arn:aws:iam::111122223333:role/${aws:username}"}},
		"service-linked role":                                    {Allow: []string{"arn:aws:iam::111122223333:role/aws-service-role/bedrock.amazonaws.com/AWSServiceRoleForBedrock"}},
		"said by a service control policy or a boundary":         {Kind: iam.Identity, Allow: []string{guardRole}},
		"attach it to them":                                      {Kind: iam.Identity, KillUntil: soon, Kill: []string{otherRole}},
		"a kill without an end":                                  {Kill: []string{otherRole}},
		"has ended before it begins: it is 2026-11-29T12:00:00Z": {KillUntil: now},
		`API keys "some"`:                                        {Keys: "some"},
		"API keys of 0 days":                                     {Keys: outer.AgedKeys},
		"days are said of API keys":                              {Keys: outer.NoKeys, KeyDays: 3},
		`there is no door "windows"`:                             {Allow: []string{guardRole}, Leave: []string{"windows"}},
	} {
		o.Now = now
		_, err := outer.Plan(o)
		require.ErrorContains(t, err, want)
	}
	var all []string
	for _, d := range outer.Spending().Doors {
		all = append(all, d.Name)
	}
	_, err := outer.Plan(outer.Options{Allow: []string{guardRole}, Leave: all, Now: now})
	require.ErrorContains(t, err, "every door is left open")
}

// What has to be known of a principal is told.
func TestNotesTellWhatPrincipalsLeave(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:iam::*:role/guard":              "is in every account",
		"arn:aws:iam::111122223333:role/guard-*": "has wildcards",
		"arn:aws:iam::111122223333:user/ada":     "--api-keys denies the first",
		"arn:aws:iam::111122223333:root":         "root user",
	} {
		documents, err := outer.Plan(outer.Options{Kind: iam.ServiceControl, Allow: []string{arn}, Now: now})
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(documents[0].Notes, func(note string) bool { return strings.Contains(note, want) }), documents[0].Notes)
	}
}

// Whatever is named, what is written is read again as it was meant: names can't end a text and begin another.
func TestDrawnDocumentsAreReadAgain(t *testing.T) {
	name := rapid.StringMatching(`[\w+=,.@*?-]{1,40}(/[\w+=,.@*?-]{1,20})?`)
	rapid.Check(t, func(t *rapid.T) {
		var allow []string
		for range rapid.IntRange(1, 8).Draw(t, "roles") {
			allow = append(allow, "arn:aws:iam::111122223333:role/x"+name.Draw(t, "role"))
		}
		o := outer.Options{Kind: rapid.SampledFrom([]iam.Kind{iam.ServiceControl, iam.Boundary}).Draw(t, "kind"), Allow: allow, Now: now}
		documents, err := outer.Plan(o)
		require.NoError(t, err)
		checkForms(t, documents)
	})
}
