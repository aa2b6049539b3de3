// Package stsidentity finds out the caller of a guarded client with AWS STS, for bedrockguard.Options.Identity.
package stsidentity

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// API is the operation of STS that is needed; *sts.Client has it.
type API interface {
	GetCallerIdentity(ctx context.Context, in *sts.GetCallerIdentityInput, optFns ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error)
}

// ErrNoPrincipal says that STS answered with an ARN without a principal.
var ErrNoPrincipal = errors.New("stsidentity: no principal in the caller's ARN")

// FromConfig returns a function for bedrockguard.Options.Identity that asks STS with the config's credentials and region.
// Any AWS identity may ask that, whatever its policies.
func FromConfig(cfg aws.Config) func(context.Context) (string, error) {
	return From(sts.NewFromConfig(cfg))
}

// From is FromConfig with another client.
func From(client API) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", fmt.Errorf("stsidentity: %w", err)
		}
		return Principal(aws.ToString(out.Arn))
	}
}

// Principal returns the IAM principal for a caller's ARN. For a session of an assumed role that is the role: if each session had a budget of
// its own, assuming the role again would be a way around it. The role's path is not in a session's ARN, so it is not in the result.
//
//	arn:aws:sts::111122223333:assumed-role/ci/run-7  ->  arn:aws:iam::111122223333:role/ci
//	arn:aws:iam::111122223333:user/ann               ->  the same
func Principal(arn string) (string, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[5] == "" {
		return "", ErrNoPrincipal
	}
	partition, service, account, resource := parts[1], parts[2], parts[4], parts[5] // parts[3] is the region, which is empty
	session, isSession := strings.CutPrefix(resource, "assumed-role/")
	if service != "sts" || !isSession {
		return arn, nil
	}
	// A session is named by its role and a name of its own.
	role, _, ok := strings.Cut(session, "/")
	if !ok || role == "" {
		return "", ErrNoPrincipal
	}
	return fmt.Sprintf("arn:%s:iam::%s:role/%s", partition, account, role), nil
}
