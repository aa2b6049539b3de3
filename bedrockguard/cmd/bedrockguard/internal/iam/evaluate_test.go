package iam_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
)

const (
	model    = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-6-v1"
	anyModel = "arn:aws:bedrock:*::foundation-model/*"
)

// judge evaluates one statement beside one that allows everything.
func judge(t require.TestingT, members string, r iam.Request) iam.Verdict {
	p, err := iam.Parse([]byte(statement(members)), iam.Identity)
	require.NoError(t, err, members)
	all, err := iam.Parse([]byte(statement(`"Effect":"Allow","Action":"*","Resource":"*"`)), iam.Identity)
	require.NoError(t, err)
	return iam.Evaluate([]iam.Layer{{Name: "identity", Policies: []*iam.Policy{all, p}}}, &r)
}

// What AWS documents of conditions, one by one: most of all what a missing key makes of each.
func TestConditions(t *testing.T) {
	with := func(key string, values ...string) map[string][]string { return map[string][]string{key: values} }
	agents := with("aws:PrincipalArn", "arn:aws:iam::111122223333:role/agents")
	for _, c := range []struct {
		condition string
		context   map[string][]string
		want      iam.Outcome // of a Deny with that condition
	}{
		{`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/agents"}`, agents, iam.Allowed},
		{`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/agents"}`, with("aws:PrincipalArn", "arn:aws:iam::111122223333:user/agents"), iam.Denied},
		{`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/agents"}`, nil, iam.Denied},
		{`"ArnNotLikeIfExists":{"aws:PrincipalArn":"arn:aws:iam::*:role/agents"}`, nil, iam.Denied},
		{`"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::*:role/other","arn:aws:iam::*:role/agents"]}`, agents, iam.Allowed},
		{`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:sts::111122223333:assumed-role/agents/*"}`, agents, iam.Denied},
		{`"ArnLike":{"aws:PrincipalArn":"arn:aws:*agents"}`, agents, iam.Depends},
		{`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::1111*:role/agents"}`, agents, iam.Denied},
		{`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::*:role/agents"}`, agents, iam.Denied},
		{`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/agents"}`, with("aws:PrincipalArn", "*"), iam.Allowed},
		{`"StringEquals":{"AWS:principalarn":"arn:aws:iam::*:role/agents"}`, agents, iam.Allowed},
		{`"StringLike":{"AWS:principalarn":"arn:aws:iam::*:role/agents"}`, agents, iam.Denied},
		{`"StringEquals":{"bedrock:BearerTokenType":"short_term"}`, with("bedrock:BearerTokenType", "SHORT_TERM"), iam.Allowed},
		{`"StringEqualsIgnoreCase":{"bedrock:BearerTokenType":"short_term"}`, with("bedrock:BearerTokenType", "SHORT_TERM"), iam.Denied},
		{`"StringNotEquals":{"bedrock:BearerTokenType":"SHORT_TERM"}`, nil, iam.Denied},
		{`"StringEquals":{"bedrock:BearerTokenType":"SHORT_TERM"}`, nil, iam.Allowed},
		{`"StringEqualsIfExists":{"bedrock:BearerTokenType":"SHORT_TERM"}`, nil, iam.Denied},
		{`"Null":{"bedrock:BearerTokenType":"true"}`, nil, iam.Denied},
		{`"Null":{"bedrock:BearerTokenType":"false"}`, nil, iam.Allowed},
		{`"Null":{"bedrock:BearerTokenType":"false"}`, with("bedrock:BearerTokenType", ""), iam.Denied},
		{`"DateLessThan":{"aws:CurrentTime":"2026-11-29T12:00:00Z"}`, with("aws:CurrentTime", "2026-11-29T11:59:59Z"), iam.Denied},
		{`"DateLessThan":{"aws:CurrentTime":"2026-11-29T12:00:00Z"}`, with("aws:CurrentTime", "2026-11-29T12:00:00Z"), iam.Allowed},
		{`"DateLessThan":{"aws:EpochTime":"2026-11-29T12:00:00Z"}`, with("aws:EpochTime", "1700000000"), iam.Denied},
		{`"DateLessThan":{"aws:CurrentTime":"2026-11-29T12:00:00+02:00"}`, with("aws:CurrentTime", "2026-11-29T11:00:00Z"), iam.Allowed},
		{`"DateGreaterThanEquals":{"aws:TokenIssueTime":"2026"}`, nil, iam.Allowed},
		{`"NumericGreaterThan":{"iam:ServiceSpecificCredentialAgeDays":"30"}`, with("iam:ServiceSpecificCredentialAgeDays", "31"), iam.Denied},
		{`"NumericGreaterThan":{"iam:ServiceSpecificCredentialAgeDays":"30"}`, with("iam:ServiceSpecificCredentialAgeDays", "4"), iam.Allowed},
		{`"NumericGreaterThan":{"iam:ServiceSpecificCredentialAgeDays":"30"}`, nil, iam.Allowed},
		{`"NumericEquals":{"aws:MultiFactorAuthAge":"30"}`, with("aws:MultiFactorAuthAge", "thirty"), iam.Depends},
		{`"Bool":{"aws:SecureTransport":false}`, with("aws:SecureTransport", "False"), iam.Denied},
		{`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, with("aws:SourceIp", "10.9.9.9"), iam.Denied},
		{`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, with("aws:SourceIp", "2001:db8::1"), iam.Denied},
		{`"ForAnyValue:StringEquals":{"aws:TagKeys":"a"}`, with("aws:TagKeys", "b", "a"), iam.Denied},
		{`"ForAnyValue:StringNotEquals":{"aws:TagKeys":"a"}`, nil, iam.Allowed},
		{`"ForAllValues:StringEquals":{"aws:TagKeys":"a"}`, nil, iam.Denied},
		{`"ForAllValues:StringEquals":{"aws:TagKeys":"a"}`, with("aws:TagKeys", "a", "b"), iam.Allowed},
		{`"StringEquals":{"aws:TagKeys":"a"}`, with("aws:TagKeys", "a"), iam.Depends},
		{`"StringLike":{"aws:PrincipalTag/team":"${aws:username}"}`, with("aws:PrincipalTag/team", "a"), iam.Allowed},
		{`"StringNotLike":{"aws:PrincipalTag/team":"${aws:username}"}`, with("aws:PrincipalTag/team", "a"), iam.Depends},
		{`"StringLike":{"aws:PrincipalTag/team":"${*}"}`, with("aws:PrincipalTag/team", "a"), iam.Allowed},
		{`"StringLike":{"aws:PrincipalTag/team":"${aws:username, 'a'}"}`, with("aws:PrincipalTag/team", "a"), iam.Denied},
		{`"StringEquals":{"aws:a":"b"},"StringLike":{"aws:c":"d"}`, with("aws:a", "b"), iam.Allowed},
	} {
		v := judge(t, `"Effect":"Deny","Action":"*","Resource":"*","Condition":{`+c.condition+`}`, iam.Request{Action: "bedrock:InvokeModel", Resource: model, Context: c.context})
		require.Equal(t, c.want, v.Outcome, "%s with %v", c.condition, c.context)
	}
}

func TestActionsAndResources(t *testing.T) {
	for _, c := range []struct {
		members, action, resource string
		want                      iam.Outcome
	}{
		{`"Action":"bedrock:InvokeModel","Resource":"*"`, "bedrock:invokemodel", model, iam.Denied},
		{`"Action":"BEDROCK:INVOKE*","Resource":"*"`, "bedrock:InvokeModelWithResponseStream", model, iam.Denied},
		{`"Action":"bedrock:InvokeModel","Resource":"*"`, "bedrock:InvokeModelWithResponseStream", model, iam.Allowed},
		{`"Action":"bedrock:*","Resource":"*"`, "bedrock-mantle:CreateInference", "arn:aws:bedrock-mantle:us-east-1:111122223333:project/p", iam.Allowed},
		{`"Action":"bedrock:Converse","Resource":"*"`, "bedrock:InvokeModel", model, iam.Allowed},
		{`"NotAction":"bedrock:InvokeModel","Resource":"*"`, "bedrock:InvokeModel", model, iam.Allowed},
		{`"NotAction":"iam:*","Resource":"*"`, "bedrock:InvokeModel", model, iam.Denied},
		{`"Action":"*","Resource":"arn:aws:bedrock:*::foundation-model/*"`, "bedrock:InvokeModel", model, iam.Denied},
		{`"Action":"*","Resource":"arn:aws:bedrock:*::foundation-model/*"`, "bedrock:InvokeModel", anyModel, iam.Denied},
		{`"Action":"*","Resource":"arn:aws:bedrock:*::foundation-model/anthropic.*"`, "bedrock:InvokeModel", anyModel, iam.Depends},
		{`"Action":"*","Resource":"arn:aws:bedrock:us-east-1::foundation-model/*"`, "bedrock:InvokeModel", anyModel, iam.Depends},
		{`"Action":"*","Resource":"arn:aws:bedrock:*:*:provisioned-model/*"`, "bedrock:InvokeModel", anyModel, iam.Allowed},
		{`"Action":"*","Resource":"arn:aws:bedrock:*"`, "bedrock:InvokeModel", anyModel, iam.Denied},
		{`"Action":"*","Resource":"arn:aws:bedrock:*"`, "bedrock:CallWithBearerToken", "*", iam.Allowed},
		{`"Action":"*","Resource":"arn:*:foundation-model/*"`, "bedrock:InvokeModel", model, iam.Allowed},
		{`"Action":"*","NotResource":"arn:aws:bedrock:*::foundation-model/*"`, "bedrock:InvokeModel", anyModel, iam.Allowed},
		{`"Action":"*","NotResource":"arn:aws:bedrock:*::foundation-model/amazon.*"`, "bedrock:InvokeModel", anyModel, iam.Depends},
		{`"Action":"*","NotResource":"arn:aws:s3:::*"`, "bedrock:InvokeModel", anyModel, iam.Denied},
	} {
		v := judge(t, `"Effect":"Deny",`+c.members, iam.Request{Action: c.action, Resource: c.resource})
		require.Equal(t, c.want, v.Outcome, "%s for %s on %s", c.members, c.action, c.resource)
	}
}

// Variables are known to the newer version alone; a document without a version is of the older one.
func TestVariablesNeedTheVersion(t *testing.T) {
	r := iam.Request{Action: "bedrock:InvokeModel", Resource: anyModel, Context: map[string][]string{"aws:PrincipalTag/team": {"x"}}}
	body := `"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"${aws:PrincipalTag/team}"}}}}`
	for document, want := range map[string]iam.Outcome{`{"Version":"2012-10-17",` + body: iam.Allowed, `{` + body: iam.Denied} {
		p, err := iam.Parse([]byte(document), iam.Identity)
		require.NoError(t, err)
		require.Equal(t, want, iam.Evaluate([]iam.Layer{{Policies: []*iam.Policy{p}}}, &r).Outcome)
	}
}

// A layer without an Allow denies, whatever the others say: SCPs and boundaries grant nothing.
func TestEveryLayerHasToAllow(t *testing.T) {
	allow, err := iam.Parse([]byte(statement(`"Effect":"Allow","Action":"*","Resource":"*"`)), iam.Identity)
	require.NoError(t, err)
	deny, err := iam.Parse([]byte(statement(`"Sid":"Other","Effect":"Deny","Action":"iam:*","Resource":"*"`)), iam.Boundary)
	require.NoError(t, err)
	identity := iam.Layer{Name: "identity", Policies: []*iam.Policy{allow}}
	r := iam.Request{Action: "bedrock:InvokeModel", Resource: model}
	require.Equal(t, iam.Allowed, iam.Evaluate([]iam.Layer{identity}, &r).Outcome)
	v := iam.Evaluate([]iam.Layer{identity, {Name: "boundary", Policies: []*iam.Policy{deny}}}, &r)
	require.Equal(t, iam.Verdict{Outcome: iam.Denied, By: "boundary: nothing allows it"}, v)
}

// A key that is not known leaves the verdict open, and is named; one that can't matter is not.
func TestUnknownKeysAreNamed(t *testing.T) {
	r := iam.Request{Action: "bedrock:InvokeModel", Resource: model, Absent: func(key string) bool { return strings.HasPrefix(key, "bedrock:") }}
	v := judge(t, `"Sid":"Vpce","Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:SourceVpce":"vpce-1"}}`, r)
	require.Equal(t, iam.Verdict{Outcome: iam.Depends, Explicit: true, By: "identity: Vpce", Unknown: []string{"aws:SourceVpce"}}, v)
	v = judge(t, `"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpce":"vpce-1","bedrock:ServiceTier":"x"}}`, r)
	require.Equal(t, iam.Allowed, v.Outcome, "it can't hold, because one of its keys is absent")
}

// Properties of the logic, on drawn requests and documents.
func TestLogicOfVerdicts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAsked().Draw(t, "request")
		v := a.verdict(t)
		denied := a
		denied.Identity = append([]json.RawMessage{json.RawMessage(statement(`"Effect":"Deny","NotAction":"acme:x","Resource":"*"`))}, a.Identity...)
		require.Equal(t, iam.Denied, denied.verdict(t).Outcome, "a Deny of everything in any document denies")
		lonely := a
		lonely.Boundary = []json.RawMessage{json.RawMessage(statement(`"Effect":"Deny","Action":"acme:x","Resource":"*"`))}
		require.Equal(t, iam.Denied, lonely.verdict(t).Outcome, "a layer that allows nothing denies")
		allowed := a
		allowed.Identity = append([]json.RawMessage{json.RawMessage(statement(`"Effect":"Allow","Action":"*","Resource":"*"`))}, a.Identity...)
		require.GreaterOrEqual(t, allowed.verdict(t).Outcome, v.Outcome, "one more Allow takes nothing away")
		cased := a
		cased.Action = strings.ToUpper(a.Action)
		require.Equal(t, v, cased.verdict(t), "actions are the same in upper and lower case")
	})
}

// Whatever is said of a request of which not all is known holds for each request that it may be.
func TestUnknownIsNeverTakenForKnown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAsked().Draw(t, "request")
		exact := a.verdict(t)
		hidden := make(map[string]bool)
		vague := a
		vague.Context = make(map[string]any)
		for key, value := range a.Context {
			if rapid.Bool().Draw(t, "hide "+key) {
				hidden[strings.ToLower(key)] = true
			} else {
				vague.Context[key] = value
			}
		}
		vague.absent = func(key string) bool { return !hidden[key] }
		if rapid.Bool().Draw(t, "any resource") {
			parts := strings.SplitN(a.Resource, ":", 6)
			parts[3], parts[5] = "*", parts[5][:strings.Index(parts[5], "/")+1]+"*"
			vague.Resource = strings.Join(parts, ":")
		}
		switch v := vague.verdict(t); v.Outcome {
		case iam.Denied:
			require.Equal(t, iam.Denied, exact.Outcome, "it was said to be denied whatever %v is", hidden)
		case iam.Allowed:
			require.Equal(t, iam.Allowed, exact.Outcome, "it was said to be allowed whatever %v is", hidden)
		}
	})
}
