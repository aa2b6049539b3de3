package prove

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/smithy-go"
)

// How long the check of guardrails may take, and how many pages of them are read.
const (
	guardrailsTimeout = 5 * time.Second
	guardrailsPages   = 20
)

// guardrails reports which guardrails the account enforces. They evaluate every call, even if it does not name them, and are billed with it. A
// missing permission to read them is no problem, because calls do not need it. note adds a line to the report of doctor.
func (e *examination) guardrails(ctx context.Context, config aws.Config) {
	const name = "guardrails"
	ctx, cancel := context.WithTimeout(ctx, guardrailsTimeout)
	defer cancel()
	client := bedrock.NewFromConfig(config, func(o *bedrock.Options) { o.RetryMaxAttempts = 2 })
	enforced, err := enforcedGuardrails(ctx, client)
	switch {
	case err != nil:
		e.note(name, verdictNote, "not looked at: %s", guardrailsTrouble(err))
	case len(enforced) == 0:
		e.note(name, verdictOK, "the account enforces none in %s; one that an organization enforces is not told here", config.Region)
	default:
		e.note(name, verdictNote, "the account enforces %s in %s: each call is checked by it, and billed; Options.EnforcedGuardrails declares it", strings.Join(enforced, ", "), config.Region)
	}
}

// enforcedGuardrails returns the guardrails that the account enforces, each by its ARN or id, with its version.
func enforcedGuardrails(ctx context.Context, client *bedrock.Client) (all []string, err error) {
	input := &bedrock.ListEnforcedGuardrailsConfigurationInput{}
	for range guardrailsPages {
		page, err := client.ListEnforcedGuardrailsConfiguration(ctx, input)
		if err != nil {
			return nil, err
		}
		for i := range page.GuardrailsConfig {
			g := &page.GuardrailsConfig[i]
			id := aws.ToString(g.GuardrailArn)
			if id == "" {
				id = aws.ToString(g.GuardrailId)
			}
			if version := aws.ToString(g.GuardrailVersion); version != "" {
				id += " version " + version
			}
			all = append(all, id)
		}
		input.NextToken = page.NextToken
		if aws.ToString(input.NextToken) == "" { // there is no further page
			break
		}
	}
	return all, nil
}

// guardrailsTrouble says why guardrails could not be looked at, and what to do.
func guardrailsTrouble(err error) string {
	var refused smithy.APIError
	switch {
	case errors.As(err, &refused) && strings.Contains(refused.ErrorCode(), "AccessDenied"):
		return "these credentials lack bedrock:ListEnforcedGuardrailsConfiguration"
	case errors.As(err, &refused):
		return refused.ErrorCode() + ": " + refused.ErrorMessage()
	case errors.Is(err, context.DeadlineExceeded):
		return "Bedrock did not answer within " + guardrailsTimeout.String()
	}
	return err.Error()
}
