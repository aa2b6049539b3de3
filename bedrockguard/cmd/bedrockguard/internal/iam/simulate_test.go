package iam_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam/iamtest"
)

// asked is a request under documents, as both evaluators are asked it.
type asked struct {
	iamtest.Evaluate

	absent func(key string) bool
}

func (a *asked) verdict(t require.TestingT) iam.Verdict {
	context := make(map[string][]string)
	for key, value := range a.Context {
		switch v := value.(type) {
		case string:
			context[key] = []string{v}
		case []string:
			context[key] = v
		}
	}
	layer := func(kind iam.Kind, raw []json.RawMessage) iam.Layer {
		l := iam.Layer{Name: kind.String(), Kind: kind}
		for _, one := range raw {
			p, err := iam.Parse(one, kind)
			require.NoError(t, err, string(one))
			l.Policies = append(l.Policies, p)
		}
		return l
	}
	layers := []iam.Layer{layer(iam.Identity, a.Identity)}
	if a.Boundary != nil {
		layers = append(layers, layer(iam.Boundary, a.Boundary))
	}
	if a.SCP != nil {
		layers = append(layers, layer(iam.ServiceControl, a.SCP))
	}
	return iam.Evaluate(layers, &iam.Request{Action: a.Action, Resource: a.Resource, Context: context, Absent: a.absent})
}

// expected is what the other evaluator may say where we say v. Whether nothing allows, or a Deny decides of which AWS does not document
// whether it holds, is no difference.
func expected(v iam.Verdict) []string {
	switch {
	case v.Outcome == iam.Allowed:
		return []string{"Allowed"}
	case v.Explicit:
		return []string{"ExplicitlyDenied"}
	}
	return []string{"ImplicitlyDenied", "ExplicitlyDenied"}
}

const comparedCases = 3000

// Our verdicts are those of an evaluator that nobody here has written, on drawn requests and documents.
func TestVerdictsAreThoseOfAnotherEvaluator(t *testing.T) {
	draw := drawAsked()
	var cases []iamtest.Case
	var verdicts []iam.Verdict
	undocumented := 0
	for seed := range comparedCases {
		a := draw.Example(seed)
		v := a.verdict(t)
		if v.Outcome == iam.Depends { // every key is known here, so that AWS documents no result
			undocumented++
			continue
		}
		cases = append(cases, iamtest.Case{Evaluate: &a.Evaluate})
		verdicts = append(verdicts, v)
	}
	var answers []string
	iamtest.Ask(t, cases, &answers)
	require.Len(t, answers, len(cases))
	seen := make(map[string]int)
	for i := range cases {
		text, err := json.MarshalIndent(cases[i].Evaluate, "", " ")
		require.NoError(t, err)
		require.Contains(t, expected(verdicts[i]), answers[i], "we say by %s:\n%s", verdicts[i].By, text)
		seen[answers[i]]++
	}
	t.Logf("%d verdicts compared: %v; %d left out, for which AWS documents no result", len(cases), seen, undocumented)
	require.Less(t, undocumented, comparedCases/10)
	for _, verdict := range [...]string{"Allowed", "ExplicitlyDenied", "ImplicitlyDenied"} {
		require.Greater(t, seen[verdict], comparedCases/20, "too few are %s for the comparison to say much", verdict)
	}
}

// What we take for a document and what others take for one is the same, of kinds that are attached to principals.
func TestDocumentsAreThoseOfAnotherReader(t *testing.T) {
	var cases []iamtest.Case
	add := func(raw string) {
		cases = append(cases, iamtest.Case{Validate: &iamtest.Validate{Kind: iam.Identity.String(), Policy: json.RawMessage(raw)}})
	}
	for raw := range malformed {
		if json.Valid([]byte(raw)) {
			add(raw)
		}
	}
	broken := len(cases)
	for seed := range 200 {
		a := drawAsked().Example(seed)
		for _, raw := range a.Identity {
			add(string(raw))
		}
	}
	var answers [][]string
	iamtest.Ask(t, cases, &answers)
	for i, answer := range answers {
		raw := cases[i].Validate.Policy
		if i >= broken {
			require.Empty(t, answer, string(raw))
			continue
		}
		if len(answer) > 0 {
			_, err := iam.Parse(raw, iam.Identity)
			require.Error(t, err, "%s\nothers: %v", raw, answer)
		}
	}
	t.Logf("%d broken and %d whole documents compared", broken, len(cases)-broken)
}

// drawAsked draws requests and documents in which much meets.
func drawAsked() *rapid.Generator[asked] {
	return rapid.Custom(func(t *rapid.T) asked {
		a := asked{Evaluate: iamtest.Evaluate{Account: "111122223333", Context: drawContext(t)}}
		a.Action = rapid.SampledFrom([]string{"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream", "bedrock-mantle:CreateInference", "bedrock:CallWithBearerToken", "iam:GetUser"}).Draw(t, "action")
		a.Resource = rapid.SampledFrom([]string{
			"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-6-v1", "arn:aws:bedrock:eu-west-1:111122223333:provisioned-model/p1",
			"arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/research", "arn:aws:bedrock-mantle:us-east-1:111122223333:project/default",
		}).Draw(t, "resource")
		documents := func(label string, allow bool) (all []json.RawMessage) {
			for range rapid.IntRange(1, 2).Draw(t, label) {
				all = append(all, drawPolicy(t))
			}
			if allow && rapid.IntRange(0, 3).Draw(t, label+" allows") > 0 {
				all = append(all, json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
			}
			return all
		}
		a.Identity = documents("identity", true)
		if rapid.IntRange(0, 2).Draw(t, "bounded") == 0 {
			a.Boundary = documents("boundary", true)
		}
		if rapid.IntRange(0, 2).Draw(t, "controlled") == 0 {
			a.SCP = documents("scp", true)
		}
		return a
	})
}

func drawContext(t *rapid.T) map[string]any {
	context := make(map[string]any)
	maybe := func(key string, values ...string) {
		if rapid.IntRange(0, 3).Draw(t, "has "+key) > 0 {
			context[key] = rapid.SampledFrom(values).Draw(t, key)
		}
	}
	maybe("aws:PrincipalArn", "arn:aws:iam::111122223333:role/agents", "arn:aws:iam::111122223333:role/path/to/agents", "arn:aws:iam::111122223333:user/ada", "arn:aws:iam::111122223333:root")
	maybe("aws:CurrentTime", "2026-11-29T12:00:00Z", "2026-11-30T00:00:00Z", "2025-01-01T00:00:00Z")
	maybe("bedrock:BearerTokenType", "SHORT_TERM", "LONG_TERM")
	maybe("aws:PrincipalTag/team", "research", "*", "anthropic.claude-opus-4-6-v1")
	maybe("aws:SourceIp", "10.0.0.1", "192.0.2.7") // the other evaluator takes the two families of addresses for one
	maybe("aws:SecureTransport", "true", "false")
	maybe("aws:MultiFactorAuthAge", "0", "300", "301.5", "-1")
	if rapid.IntRange(0, 2).Draw(t, "tags") > 0 {
		context["aws:TagKeys"] = rapid.SliceOfN(rapid.SampledFrom([]string{"team", "cost", "Team"}), 1, 3).Draw(t, "aws:TagKeys")
	}
	return context
}

// drawPolicy draws a document.
func drawPolicy(t *rapid.T) json.RawMessage {
	document := map[string]any{"Statement": rapid.SliceOfN(rapid.Custom(drawStatement), 1, 3).Draw(t, "statements")}
	raw, _ := json.Marshal(document)
	if bytes.Contains(raw, []byte("${")) || rapid.IntRange(0, 9).Draw(t, "version") > 0 { // the other evaluator knows variables in documents without a version, too
		document["Version"] = iam.Version2012
	}
	raw, _ = json.Marshal(document)
	return raw
}

func drawStatement(t *rapid.T) map[string]any {
	s := map[string]any{"Effect": rapid.SampledFrom([]string{iam.Allow, iam.Deny}).Draw(t, "effect")}
	oneOrMore := func(values ...string) any {
		if rapid.Bool().Draw(t, "one") {
			return rapid.SampledFrom(values).Draw(t, "value")
		}
		return rapid.SliceOfNDistinct(rapid.SampledFrom(values), 1, 2, rapid.ID).Draw(t, "values")
	}
	not := func(name string) string {
		if rapid.IntRange(0, 4).Draw(t, "not "+name) == 0 {
			return "Not" + name
		}
		return name
	}
	s[not("Action")] = oneOrMore("*", "bedrock:*", "bedrock:Invoke*", "bedrock:invokemodel", "BEDROCK:InvokeM?del", "bedrock-mantle:*", "bedrock-mantle:CreateInference", "bedrock:CallWithBearerToken", "iam:Get*", "bedrock:*Stream")
	s[not("Resource")] = oneOrMore("*", "*", "arn:aws:bedrock:*::foundation-model/*", "arn:aws:bedrock:us-east-1:*:*", "arn:aws:bedrock:*:111122223333:provisioned-model/p?", "arn:aws:bedrock:*",
		"arn:aws:bedrock:*::foundation-model/${aws:PrincipalTag/team}", "arn:aws:bedrock:*:*:application-inference-profile/${aws:PrincipalTag/team, 'research'}")
	if rapid.Bool().Draw(t, "conditional") {
		s["Condition"] = drawCondition(t)
	}
	return s
}

// typed are keys with operators that fit them, and values.
var typed = map[string]struct{ operators, values []string }{
	"aws:PrincipalArn": {
		[]string{"ArnLike", "ArnNotLike", "ArnEquals", "ArnNotEquals", "StringLike", "StringNotLike", "StringEquals"},
		[]string{"arn:aws:iam::111122223333:role/agents", "arn:aws:iam::*:role/*", "arn:aws:iam::111122223333:*/agent?", "arn:aws:sts::111122223333:assumed-role/agents/*", "arn:aws:iam::111122223333:user/ada"},
	},
	"AWS:CurrentTime": {
		[]string{"DateLessThan", "DateGreaterThan", "DateLessThanEquals", "DateGreaterThanEquals", "DateEquals", "DateNotEquals"},
		[]string{"2026-11-29T12:00:00Z", "2026-11-30T00:00:00Z", "2026-11-29T13:00:00+01:00", "2026-11-30"},
	},
	"bedrock:bearertokentype": {
		[]string{"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike"},
		[]string{"SHORT_TERM", "long_term", "LONG_TERM", "*_TERM"},
	},
	"aws:PrincipalTag/team": {
		[]string{"StringEquals", "StringNotEquals", "StringLike", "StringNotLike"},
		[]string{"research", "re*", "${*}", "${aws:PrincipalTag/team, 'research'}", "?"},
	},
	"aws:SourceIp":           {[]string{"IpAddress", "NotIpAddress"}, []string{"10.0.0.0/8", "192.0.2.7/32", "192.0.2.7"}},
	"aws:SecureTransport":    {[]string{"Bool"}, []string{"true", "false"}},
	"aws:MultiFactorAuthAge": {[]string{"NumericLessThan", "NumericGreaterThan", "NumericEquals", "NumericNotEquals", "NumericLessThanEquals", "NumericGreaterThanEquals"}, []string{"300", "0", "301.5"}},
	"aws:TagKeys":            {[]string{"StringEquals", "StringNotEquals", "StringLike"}, []string{"team", "cost", "t*"}},
}

var typedKeys = []string{"aws:PrincipalArn", "AWS:CurrentTime", "bedrock:bearertokentype", "aws:PrincipalTag/team", "aws:SourceIp", "aws:SecureTransport", "aws:MultiFactorAuthAge", "aws:TagKeys"}

func drawCondition(t *rapid.T) map[string]map[string]any {
	block := make(map[string]map[string]any)
	for range rapid.IntRange(1, 2).Draw(t, "conditions") {
		key := rapid.SampledFrom(typedKeys).Draw(t, "key")
		of := typed[key]
		operator := rapid.SampledFrom(of.operators).Draw(t, "operator")
		fitting := slices.DeleteFunc(slices.Clone(of.values), func(v string) bool { // the other evaluator knows ${*} where * is a wildcard alone
			return v == "${*}" && !strings.Contains(operator, "Like")
		})
		var values any = rapid.SliceOfNDistinct(rapid.SampledFrom(fitting), 1, 2, rapid.ID).Draw(t, "values")
		switch form := rapid.IntRange(0, 5).Draw(t, "form"); {
		case form == 0:
			operator, values = "Null", rapid.SampledFrom([]string{"true", "false"}).Draw(t, "null")
		case form == 1:
			operator += "IfExists"
		case key == "aws:TagKeys" || form == 2:
			operator = rapid.SampledFrom([]string{"ForAnyValue:", "ForAllValues:"}).Draw(t, "set") + operator
		}
		if block[operator] == nil {
			block[operator] = make(map[string]any)
		}
		block[operator][key] = values
	}
	return block
}
