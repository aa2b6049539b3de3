package iam_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func statement(members string) string {
	return `{"Version":"2012-10-17","Statement":[{` + members + `}]}`
}

// malformed are documents that IAM does not take, by what is said of them.
var malformed = map[string]string{
	``:            "1:1: no document",
	`[]`:          "1:1: a policy is an object, and this is a list",
	`{"Version":`: "no JSON",
	`{"Version":"2012-10-17","Statement":[]}`: "1:37: Statement: want a statement, or a list of at least one",
	`{"Version":"2012-10-17"}`:                "a policy without Statement",
	`{"Version":"2012-10-18","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`:                                                                     `1:12: Version "2012-10-18"`,
	"{\"Version\":\"2012-10-17\",\n \"statement\":[]}":                                                                                                       `2:2: "statement": a policy spells it "Statement"`,
	statement(`"Effect":"deny","Action":"*","Resource":"*"`):                                                                                                 `Effect "deny"`,
	statement(`"Action":"*","Resource":"*"`):                                                                                                                 `without Effect`,
	statement(`"Effect":"Deny","Resource":"*"`):                                                                                                              `without Action or NotAction`,
	statement(`"Effect":"Deny","Action":"*"`):                                                                                                                `without Resource or NotResource`,
	statement(`"Effect":"Deny","Action":"*","NotAction":"*","Resource":"*"`):                                                                                 `not both`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Resource":"arn:aws:s3:::b"`):                                                                     `"Resource" stands twice`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Principal":"*"`):                                                                                 `Principal belongs to the policy of a resource`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Conditions":{}`):                                                                                 `"Conditions" is no member of a statement`,
	statement(`"Effect":"Deny","Action":[],"Resource":"*"`):                                                                                                  `Action: an empty list`,
	statement(`"Effect":"Deny","Action":"InvokeModel","Resource":"*"`):                                                                                       `want SERVICE:ACTION`,
	statement(`"Effect":"Deny","Action":"bed*:InvokeModel","Resource":"*"`):                                                                                  `"bed*" is no service`,
	statement(`"Effect":"Deny","Action":"bedrock:","Resource":"*"`):                                                                                          `"" is no action`,
	statement(`"Effect":"Deny","Action":7,"Resource":"*"`):                                                                                                   `Action: want a string, and this is a number`,
	statement(`"Effect":"Deny","Action":"*","Resource":"everything"`):                                                                                        `want an ARN`,
	statement(`"Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::${aws:username"`):                                                                       `a variable that does not end`,
	statement(`"Sid":"not so","Effect":"Deny","Action":"*","Resource":"*"`):                                                                                  `letters and digits`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":[]`):                                                                                  `Condition: want an object`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringLikes":{"aws:a":"b"}}`):                                                       `no operator "StringLikes"`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ForSomeValues:StringLike":{"aws:a":"b"}}`):                                          `want ForAnyValue`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"NullIfExists":{"aws:a":"true"}}`):                                                   `Null stands alone`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Null":{"aws:a":"yes"}}`):                                                            `want true or false`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringLike":{}}`):                                                                   `at least one key`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:a":{}}}`):                                                         `want a string, and this is an object`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:a":"b","AWS:A":"c"}}`):                                            `keys are the same in upper and lower case`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringLike":{"PrincipalArn":"b"}}`):                                                 `is no key`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}`):                                     `is no date`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"NumericEquals":{"aws:MultiFactorAuthAge":"x"}}`):                                    `is no number`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/99"}}`):                                        `is no IP address`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ArnLike":{"aws:PrincipalArn":"agents"}}`):                                           `is no ARN`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"BinaryEquals":{"aws:a":"%"}}`):                                                      `is no base64`,
	statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:a":"漢"}}`):                                                        `U+6F22`,
	`{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Deny","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Deny","Action":"*","Resource":"*"}]}`: `Sid "A" stands twice`,
	"{\"a\":\"\xff\"}": "no UTF-8",
	strings.Repeat("[", 40) + strings.Repeat("]", 40): "nested more than 16 deep",
	`{"Version":"2012-10-17",}`:                       "no JSON",
	`{"Version" "2012-10-17"}`:                        "no JSON",
}

// A document that IAM would not take is refused, and the error says where and why: what is read wrongly must not pass for closed.
func TestMalformedDocumentsAreRefusedWithTheirPlace(t *testing.T) {
	for raw, want := range malformed {
		_, err := iam.Parse([]byte(raw), iam.Identity)
		require.ErrorContains(t, err, want, raw)
		var syntax *iam.SyntaxError
		require.True(t, errors.As(err, &syntax), raw)
		require.Positive(t, syntax.Line)
		require.Positive(t, syntax.Column)
	}
}

// All that is wrong is told at once.
func TestEveryProblemIsTold(t *testing.T) {
	_, err := iam.Parse([]byte("{\"Statement\": {\n  \"Effect\": \"No\",\n  \"Action\": \"x\"\n}}"), iam.Identity)
	require.EqualError(t, err, "2:13: Effect \"No\": want \"Allow\" or \"Deny\"\n3:13: action \"x\": want SERVICE:ACTION, or *\n1:15: a statement without Resource or NotResource")
}

func FuzzParse(f *testing.F) {
	for raw := range malformed {
		f.Add([]byte(raw))
	}
	f.Add([]byte(statement(`"Effect":"Deny","Action":"bedrock:*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::1:role/a*"]}}`)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, err := iam.ParseAll(raw, iam.ServiceControl)
		if err != nil {
			return
		}
		for _, p := range all {
			require.NotEmpty(t, p.Statements)
			iam.Evaluate([]iam.Layer{{Policies: []*iam.Policy{p}}}, &iam.Request{Action: "bedrock:InvokeModel", Resource: "arn:aws:bedrock:*::foundation-model/*", Absent: func(string) bool { return false }})
		}
	})
}
