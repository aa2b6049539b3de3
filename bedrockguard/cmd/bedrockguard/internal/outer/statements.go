package outer

import (
	"fmt"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
)

// Each of onlyNamed, kill and apiKeys writes the statements of one part of a plan, if the options ask for it: the bool is false if they do not.
// actions are the names of the actions that cost money, without those of the doors that stay open. If a part has to be split into several documents,
// the actions of the statement divided are shared out among them, and the statements in fixed stay together.

// principals checks the ARNs of principals, and returns each once, with notes about them. checkPrincipal refuses an ARN that no principal has, or
// that everybody has; its note is empty for most ARNs.
func principals(all []string) (list, notes []string, err error) {
	for _, arn := range all {
		note, err := checkPrincipal(arn)
		if err != nil {
			return nil, nil, err
		}
		if slices.Contains(list, arn) {
			continue
		}
		list = append(list, arn)
		if note != "" {
			notes = append(notes, note)
		}
	}
	return list, notes, nil
}

// onlyNamed denies actions that cost money to all but the named principals. aws:PrincipalArn is the ARN of the role, not of the session. A
// request without this key is denied, because a negated operator holds for a missing key. So the statement needs no condition with the operator
// Null, which asks whether a key is missing; beside ArnNotLike it would only let some requests through.
func onlyNamed(o *Options, actions []string) (part, bool, error) {
	list, notes, err := principals(o.Allow)
	if err != nil || len(list) == 0 {
		return part{}, false, err
	}
	notes = append(notes, "Who may assume a role that is named, or change what it trusts, may spend as it: guard sts:AssumeRole on it, iam:UpdateAssumeRolePolicy and iam:PassRole.",
		"Agents, flows, knowledge bases, batch and evaluation jobs call models by service roles of their own. Whichever of these you want to go on has to be named, too.")
	return part{
		name: "bedrockguard-only-named", what: "Only the named principals may spend on Bedrock", notes: notes,
		divided: &Statement{
			Sid: "OnlyNamedMaySpend", Effect: iam.Deny, Actions: actions,
			Condition: map[string]map[string][]string{"ArnNotLike": {"aws:PrincipalArn": list}},
			Why: fmt.Sprintf("Everybody but %s is denied what spends, on every resource: models, inference profiles, provisioned models and projects are different resources of the same actions. "+
				"The key is the ARN of a role, whatever the session is called. A request without it is denied.", listed(list)),
		},
	}, true, nil
}

// kill denies actions that cost money until a moment; from then on the document has no effect. Without names it is for all to whom it is
// attached.
func kill(o *Options, actions []string) (part, bool, error) {
	if o.KillUntil.IsZero() { // no kill is asked for
		return part{}, false, nil
	}
	list, notes, err := principals(o.Kill)
	if err != nil {
		return part{}, false, err
	}
	until := o.KillUntil.UTC().Truncate(time.Second)
	condition := map[string]map[string][]string{"DateLessThan": {"aws:CurrentTime": {until.Format(time.RFC3339)}}}
	whom := "everybody that this document is attached to"
	if len(list) > 0 {
		condition["ArnLike"] = map[string][]string{"aws:PrincipalArn": list}
		whom = listed(list)
	}
	return part{
		name: "bedrockguard-kill-until-" + until.Format("20060102t150405z"), what: "A kill that ends by itself",
		notes: append(notes, "What is being answered goes on to its end: IAM is asked when a request begins. Take the document off after the kill has ended; it denies nothing any more, and counts.",
			"It is by principal. A kill of one workflow among several of a role is the guard's: bedrockguard kill --workflow …"),
		divided: &Statement{
			Sid: "KillUntil" + until.Format("20060102T150405Z"), Effect: iam.Deny, Actions: actions, Condition: condition,
			Why: fmt.Sprintf("Denies what spends to %s before %s by AWS's clock, and nothing from then on, whether or not somebody takes it off.", whom, until.Format(time.RFC3339)),
		},
	}, true, nil
}

// bedrockCredentials is IAM's name of the service for which long-term Bedrock keys are made.
const bedrockCredentials = "bedrock.amazonaws.com"

// apiKeys denies the use of Bedrock's API keys, or of one kind of them (Options.Keys). This part is not about the actions that cost money, so that
// the second parameter is not used. fixed are the statements that stay together if the part has to be split.
func apiKeys(o *Options, _ []string) (part, bool, error) {
	p := part{name: "bedrockguard-api-keys", notes: []string{
		"A short-term key is a signature that a client computes: nobody can deny that it is made, and CloudTrail does not tell of it. What can be denied is its use.",
		"A long-term key that exists goes on to exist. Switch it off with aws iam update-service-specific-credential --status Inactive.",
	}}
	switch o.Keys {
	case NoKeys:
		p.what = "No Bedrock API keys"
		p.fixed = []Statement{
			{Sid: "NoAPIKeys", Effect: iam.Deny, Actions: []string{"bedrock:CallWithBearerToken", "bedrock-mantle:CallWithBearerToken"}, Why: "A call by an API key needs this action of the service that it goes to, besides the one that it makes. There are two services, and denying one leaves the other open."},
			noLongTermKeys(),
		}
	case ShortTermKeys:
		p.what = "Bedrock API keys that end within hours, and no others"
		p.fixed = []Statement{shortTermKeysOn("Runtime", "bedrock", "bedrock-runtime"), shortTermKeysOn("Mantle", "bedrock-mantle", "bedrock-mantle"), noLongTermKeys()}
	case AgedKeys:
		p.what = fmt.Sprintf("Long-term Bedrock API keys that end within %d days", o.KeyDays)
		p.fixed = longTermKeysEnd(o.KeyDays)
	}
	return p, o.Keys != KeysUnsaid, nil
}

// forBedrock are the values of a condition that holds for credentials of the service Bedrock.
func forBedrock() map[string][]string {
	return map[string][]string{"iam:ServiceSpecificCredentialServiceName": {bedrockCredentials}}
}

// noLongTermKeys denies that long-term keys are made.
func noLongTermKeys() Statement {
	return Statement{
		Sid: "NoLongTermKeys", Effect: iam.Deny, Actions: []string{"iam:CreateServiceSpecificCredential", "iam:ResetServiceSpecificCredential"},
		Condition: map[string]map[string][]string{"StringEquals": forBedrock()},
		Why:       "Long-term keys are credentials of an IAM user for one service. None is made, and none gets a new secret. Switching one off stays allowed.",
	}
}

// shortTermKeysOn denies the use of all but short-term keys on one of Bedrock's two services. Each service has an action and a condition key of its
// own, so that each needs a statement: one for both, with a condition on one key, would deny the other service completely. short and host are the
// service's names in the Sid and in the explanation.
func shortTermKeysOn(short, service, host string) Statement {
	return Statement{
		Sid: "ShortTermKeysOn" + short, Effect: iam.Deny, Actions: []string{service + ":CallWithBearerToken"},
		Condition: map[string]map[string][]string{"StringNotEquals": {service + ":BearerTokenType": {"SHORT_TERM"}}},
		Why:       fmt.Sprintf("On %s no key but a short-term one is of use. A key of no known type is denied. The value is compared in upper case.", host),
	}
}

// longTermKeysEnd denies that long-term keys are made for more than some days, or without an end.
func longTermKeysEnd(days int) []Statement {
	return []Statement{
		{
			Sid: "LongTermKeysEnd", Effect: iam.Deny, Actions: []string{"iam:CreateServiceSpecificCredential"},
			Condition: map[string]map[string][]string{"StringEquals": forBedrock(), "NumericGreaterThan": {"iam:ServiceSpecificCredentialAgeDays": {fmt.Sprint(days)}}},
			Why:       fmt.Sprintf("A key is made for %d days at most.", days),
		},
		{
			Sid: "LongTermKeysHaveAnEnd", Effect: iam.Deny, Actions: []string{"iam:CreateServiceSpecificCredential"},
			Condition: map[string]map[string][]string{"StringEquals": forBedrock(), "Null": {"iam:ServiceSpecificCredentialAgeDays": {"true"}}},
			Why:       "A key that is made without a number of days never ends, and no comparison of days holds for it.",
		},
	}
}
