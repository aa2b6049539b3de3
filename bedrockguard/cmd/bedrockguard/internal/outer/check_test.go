package outer_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam/iamtest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/outer"
)

// set reads documents into the layer of their kind.
func set(t *testing.T, documents []outer.Document) (all outer.Documents) {
	t.Helper()
	for i := range documents {
		p, err := iam.Parse(documents[i].JSON(), documents[i].Kind)
		require.NoError(t, err)
		switch documents[i].Kind {
		case iam.ServiceControl:
			all.ServiceControl = append(all.ServiceControl, p)
		case iam.Boundary:
			all.Boundary = append(all.Boundary, p)
		default:
			all.Identity = append(all.Identity, p)
		}
	}
	return all
}

// Every action that spends is denied to others, whoever they are and on whatever resource, and allowed to whom the document names.
func TestEveryActionIsDeniedToOthersAndAllowedToTheGuard(t *testing.T) {
	for _, kind := range []iam.Kind{iam.ServiceControl, iam.Boundary} {
		documents, err := outer.Plan(outer.Options{Kind: kind, Allow: []string{guardRole}, Now: now})
		require.NoError(t, err)
		attached := set(t, documents)
		actions := 0
		for _, d := range outer.Spending().Doors {
			actions += len(d.Actions)
		}
		others := outer.Check(attached, outer.Question{Principals: append(outer.Others(attached), otherRole, guardRole+"s", "arn:aws:iam::444455556666:role/bedrock/guard"), At: now})
		require.Len(t, others, actions)
		for _, answer := range others {
			require.Equal(t, outer.Closed, answer.State, "%s: %+v", kind, answer)
		}
		for _, answer := range outer.Check(attached, outer.Question{Principals: []string{guardRole}, At: now}) {
			require.Equal(t, outer.Open, answer.State, "%s: %+v", kind, answer)
		}
		missing := outer.Question{Principals: []string{otherRole}, Absent: []string{"aws:PrincipalArn"}, At: now}
		for _, answer := range outer.Check(attached, missing) {
			require.Equal(t, outer.Closed, answer.State, "%s without the key: %+v", kind, answer)
		}
	}
}

// A kill denies before its end, nothing from then on, and is told apart from what stays closed.
func TestKillsEndByThemselves(t *testing.T) {
	for _, name := range []string{"kill", "kill-scp"} {
		documents, err := outer.Plan(plans[name])
		require.NoError(t, err)
		attached := set(t, documents)
		for at, want := range map[int]outer.State{-1: outer.Closed, 0: outer.Open, 1: outer.Open} {
			moment := soon.Add(time.Duration(at) * time.Second)
			for _, answer := range outer.Check(attached, outer.Question{Principals: []string{otherRole}, At: moment, Fixed: true}) {
				require.Equal(t, want, answer.State, "%s at %s: %+v", name, moment, answer)
			}
		}
		for _, answer := range outer.Check(attached, outer.Question{Principals: []string{otherRole}, At: now}) {
			require.Equal(t, outer.ClosedForNow, answer.State, "%+v", answer)
		}
	}
	documents, err := outer.Plan(plans["kill-scp"])
	require.NoError(t, err)
	for _, answer := range outer.Check(set(t, documents), outer.Question{Principals: []string{guardRole}, At: now}) {
		require.Equal(t, outer.Open, answer.State, "a kill of another role: %+v", answer)
	}
}

// keyCases are requests about API keys, and which of the three choices lets them through.
var keyCases = []struct {
	action            string
	context           map[string][]string
	none, short, aged bool
}{
	{"bedrock:CallWithBearerToken", map[string][]string{"bedrock:BearerTokenType": {"SHORT_TERM"}}, false, true, true},
	{"bedrock:CallWithBearerToken", map[string][]string{"bedrock:BearerTokenType": {"LONG_TERM"}}, false, false, true},
	{"bedrock:CallWithBearerToken", nil, false, false, true},
	{"bedrock-mantle:CallWithBearerToken", map[string][]string{"bedrock-mantle:BearerTokenType": {"SHORT_TERM"}}, false, true, true},
	{"bedrock-mantle:CallWithBearerToken", map[string][]string{"bedrock-mantle:BearerTokenType": {"LONG_TERM"}}, false, false, true},
	{"bedrock:InvokeModel", nil, true, true, true},
	{"iam:CreateServiceSpecificCredential", map[string][]string{"iam:ServiceSpecificCredentialServiceName": {"bedrock.amazonaws.com"}}, false, false, false},
	{"iam:CreateServiceSpecificCredential", map[string][]string{"iam:ServiceSpecificCredentialServiceName": {"bedrock.amazonaws.com"}, "iam:ServiceSpecificCredentialAgeDays": {"30"}}, false, false, true},
	{"iam:CreateServiceSpecificCredential", map[string][]string{"iam:ServiceSpecificCredentialServiceName": {"bedrock.amazonaws.com"}, "iam:ServiceSpecificCredentialAgeDays": {"31"}}, false, false, false},
	{"iam:ResetServiceSpecificCredential", map[string][]string{"iam:ServiceSpecificCredentialServiceName": {"bedrock.amazonaws.com"}}, false, false, true},
	{"iam:UpdateServiceSpecificCredential", map[string][]string{"iam:ServiceSpecificCredentialServiceName": {"bedrock.amazonaws.com"}}, true, true, true},
	{"iam:CreateServiceSpecificCredential", map[string][]string{"iam:ServiceSpecificCredentialServiceName": {"codecommit.amazonaws.com"}}, true, true, true},
}

func TestAPIKeysAreDeniedByTheirKind(t *testing.T) {
	for _, c := range keyCases {
		for name, allowed := range map[string]bool{"keys-none": c.none, "keys-short": c.short, "keys-aged": c.aged} {
			documents, err := outer.Plan(plans[name])
			require.NoError(t, err)
			p, err := iam.Parse(documents[0].JSON(), iam.ServiceControl)
			require.NoError(t, err)
			all, err := iam.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`), iam.Identity)
			require.NoError(t, err)
			want := map[bool]iam.Outcome{true: iam.Allowed, false: iam.Denied}[allowed]
			require.Equal(t, want, iam.Evaluate([]iam.Layer{{Policies: []*iam.Policy{p, all}}}, &iam.Request{Action: c.action, Resource: "*", Context: c.context}).Outcome, "%s: %s with %v", name, c.action, c.context)
		}
	}
}

// doors are documents as people write them, with what each leaves open.
var doors = []struct {
	why, document string
	want          map[string]outer.State // by action; every other is open
}{
	{
		"the first advice that one reads: all else is left open", `{"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"*"}`,
		map[string]outer.State{"bedrock:InvokeModel": outer.Closed, "bedrock:InvokeModelWithResponseStream": outer.Closed},
	},
	{"an action that there is not", `{"Effect":"Deny","Action":"bedrock:Converse*","Resource":"*"}`, nil},
	{
		"one service of the two", `{"Effect":"Deny","Action":"bedrock:CallWithBearerToken","Resource":"*"}`,
		map[string]outer.State{"bedrock:CallWithBearerToken": outer.Closed},
	},
	{
		"models alone, and no profiles", `{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:*::foundation-model/*"}`,
		map[string]outer.State{},
	},
	{
		"one family, and one account's profiles", `{"Effect":"Deny","Action":["bedrock:CountTokens","bedrock:InvokeModel"],"Resource":["arn:aws:bedrock:*::foundation-model/anthropic.*","arn:aws:bedrock:*:111122223333:*/*"]}`,
		map[string]outer.State{"bedrock:InvokeModel": outer.Depends},
	},
	{
		"every form of resource", `{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:*:*:*/*"}`,
		map[string]outer.State{"bedrock:InvokeModel": outer.Closed},
	},
	{
		"a Region", `{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}}`,
		map[string]outer.State{"bedrock:InvokeModel": outer.Depends},
	},
	{
		"a key of the action", `{"Effect":"Deny","Action":"bedrock:Invoke*","Resource":"*","Condition":{"Null":{"bedrock:GuardrailIdentifier":"true"}}}`,
		map[string]outer.State{
			"bedrock:InvokeModel": outer.Depends, "bedrock:InvokeModelWithResponseStream": outer.Depends, // what else it names has no such key, and is denied
			"bedrock:InvokeAgent": outer.Closed, "bedrock:InvokeInlineAgent": outer.Closed, "bedrock:InvokeFlow": outer.Closed, "bedrock:InvokeDataAutomation": outer.Closed,
			"bedrock:InvokeDataAutomationAsync": outer.Closed, "bedrock:InvokeDataAutomationLibraryIngestionJob": outer.Closed, "bedrock:InvokeBlueprintOptimizationAsync": outer.Closed,
			"bedrock:InvokeBlueprintRecommendationAsync": outer.Closed, "bedrock:InvokeGuardrailChecks": outer.Closed, "bedrock:InvokeAutomatedReasoningPolicy": outer.Closed,
			"bedrock:InvokeTool": outer.Closed, "bedrock:InvokeBuilder": outer.Closed,
		},
	},
	{"all of an account are let through", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:*"}}}`, nil},
}

func TestDoorsThatDocumentsLeaveOpen(t *testing.T) {
	for _, c := range doors {
		p, err := iam.Parse([]byte(`{"Version":"2012-10-17","Statement":[`+c.document+`]}`), iam.ServiceControl)
		require.NoError(t, err, c.why)
		documents := outer.Documents{ServiceControl: []*iam.Policy{p}}
		for _, answer := range outer.Check(documents, outer.Question{Principals: outer.Others(documents), At: now}) {
			want, ok := c.want[answer.Action]
			if !ok {
				want = outer.Open
			}
			require.Equal(t, want, answer.State, "%s: %+v", c.why, answer)
		}
	}
}

// Two exceptions in two statements deny each other's: a trap of this form that has to be seen.
func TestExceptionsInTwoStatementsLetNobodyIn(t *testing.T) {
	one := `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":"%s"}}}`
	p, err := iam.Parse(fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":[`+one+`,`+one+`]}`, guardRole, otherRole), iam.ServiceControl)
	require.NoError(t, err)
	for _, answer := range outer.Check(outer.Documents{ServiceControl: []*iam.Policy{p}}, outer.Question{Principals: []string{guardRole, otherRole}, At: now}) {
		require.Equal(t, outer.Closed, answer.State)
	}
}

// The documents mean to an evaluator that nobody here has written what they mean to ours, and their grammar and the table are what it knows.
func TestAnotherEvaluatorAgrees(t *testing.T) {
	var cases []iamtest.Case
	var want []string
	ask := func(documents []outer.Document, action, resource string, context map[string]any, allowed bool) {
		e := &iamtest.Evaluate{Action: action, Resource: resource, Account: "111122223333", Context: context, Identity: []json.RawMessage{json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)}}
		for i := range documents {
			switch documents[i].Kind {
			case iam.ServiceControl:
				e.SCP = append(e.SCP, documents[i].JSON())
			case iam.Boundary:
				e.Boundary = append(e.Boundary, documents[i].JSON())
			default:
				e.Identity = append(e.Identity, documents[i].JSON())
			}
		}
		if e.SCP != nil {
			e.SCP = append(e.SCP, e.Identity[0])
		}
		cases = append(cases, iamtest.Case{Evaluate: e})
		want = append(want, map[bool]string{true: "Allowed", false: "ExplicitlyDenied"}[allowed])
	}
	each := func(f func(a outer.Action, resource string)) {
		for _, d := range outer.Spending().Doors {
			for _, a := range d.Actions {
				for _, resource := range append(a.Resources, "*")[:max(1, len(a.Resources))] {
					f(a, strings.ReplaceAll(strings.Replace(resource, ":*:", ":us-east-1:", 1), ":*:", ":111122223333:"))
				}
			}
		}
	}
	for _, name := range []string{"scp", "boundary"} {
		documents, err := outer.Plan(plans[name])
		require.NoError(t, err)
		each(func(a outer.Action, resource string) {
			at := soon.Format("2006-01-02T15:04:05Z")
			notByKey := !strings.HasSuffix(a.Name, "CallWithBearerToken") || name == "scp" // the boundary of this test denies keys to all
			ask(documents, a.Name, resource, map[string]any{"aws:PrincipalArn": guardRole, "aws:CurrentTime": at}, notByKey)
			ask(documents, a.Name, resource, map[string]any{"aws:PrincipalArn": otherRole, "aws:CurrentTime": at}, false)
			ask(documents, a.Name, resource, map[string]any{"aws:CurrentTime": at}, false)
		})
	}
	kill, err := outer.Plan(plans["kill"])
	require.NoError(t, err)
	each(func(a outer.Action, resource string) {
		ask(kill, a.Name, resource, map[string]any{"aws:PrincipalArn": otherRole, "aws:CurrentTime": now.Format("2006-01-02T15:04:05Z")}, false)
		ask(kill, a.Name, resource, map[string]any{"aws:PrincipalArn": otherRole, "aws:CurrentTime": soon.Format("2006-01-02T15:04:05Z")}, true)
	})
	for _, c := range keyCases {
		for name, allowed := range map[string]bool{"keys-none": c.none, "keys-short": c.short, "keys-aged": c.aged} {
			documents, err := outer.Plan(plans[name])
			require.NoError(t, err)
			context := map[string]any{"aws:PrincipalArn": otherRole}
			for key, values := range c.context {
				context[key] = values[0]
			}
			ask(documents, c.action, "*", context, allowed)
		}
	}
	var answers []string
	iamtest.Ask(t, cases, &answers)
	require.Len(t, answers, len(want))
	for i := range want {
		require.Equal(t, want[i], answers[i], "%+v", cases[i].Evaluate)
	}
	t.Logf("%d verdicts are the same", len(answers))
}

// A reader of documents that others wrote takes each of ours, and knows each action of the table with the same keys.
func TestAnotherReaderTakesTheDocumentsAndKnowsTheActions(t *testing.T) {
	var documents []iamtest.Case
	for _, options := range plans {
		planned, err := outer.Plan(options)
		require.NoError(t, err)
		for i := range planned {
			documents = append(documents, iamtest.Case{Validate: &iamtest.Validate{Kind: planned[i].Kind.String(), Policy: planned[i].JSON()}})
		}
	}
	var problems [][]string
	iamtest.Ask(t, documents, &problems)
	for i := range problems {
		require.Empty(t, problems[i], string(documents[i].Validate.Policy))
	}
	var actions []iamtest.Case
	var keys [][]string
	for _, d := range outer.Spending().Doors {
		for _, a := range d.Actions {
			actions = append(actions, iamtest.Case{Action: a.Name})
			keys = append(keys, a.Keys)
		}
	}
	var known []*struct{ Keys []string }
	iamtest.Ask(t, actions, &known)
	for i := range known {
		require.NotNil(t, known[i], "there is no action %s", actions[i].Action)
		for _, key := range known[i].Keys {
			require.Contains(t, keys[i], strings.ReplaceAll(key, "${TagKey}", "*"), actions[i].Action)
		}
	}
}

// The page for users names every door, and counts as the table does.
func TestThePageNamesEveryDoor(t *testing.T) {
	page, err := os.ReadFile("../../../../../docs/outer-rail.md")
	require.NoError(t, err)
	actions := 0
	for _, d := range outer.Spending().Doors {
		require.Contains(t, string(page), "`"+d.Name+"`")
		actions += len(d.Actions)
	}
	require.Len(t, outer.Spending().Doors, 15, "the page and the README say fifteen")
	require.Equal(t, 45, actions, "CHANGELOG.md says 45")
}
