package outer

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	// principalForm is the form of an aws:PrincipalArn, in which account and name may be wildcards: its groups are partition, account, kind and
	// /name. assumedRoleForm is that of a session: partition, account and name of the role.
	principalForm   = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(\d{12}|\*):(role|user|root|group)(/[\w+=,.@*?/-]+)?$`)
	assumedRoleForm = regexp.MustCompile(`^arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([\w+=,.@-]+)/.*$`)
)

// checkPrincipal returns an error if aws:PrincipalArn can never have this value, or if the value would let everybody spend. note says what else
// to guard because of the value; empty if there is nothing.
func checkPrincipal(arn string) (note string, err error) {
	if role := assumedRoleForm.FindStringSubmatch(arn); role != nil {
		return "", fmt.Errorf("outer: %q is a session: aws:PrincipalArn is the ARN of its role, so that nothing would match: want arn:%s:iam::%s:role/%s, with the role's path if it has one",
			arn, role[1], role[2], role[3])
	}
	parts := principalForm.FindStringSubmatch(arn)
	if parts == nil {
		return "", fmt.Errorf("outer: %q is no principal: want such as arn:aws:iam::111122223333:role/agents", arn)
	}
	account, kind, name := parts[2], parts[3], strings.TrimPrefix(parts[4], "/")
	// First what is refused, then what needs a note.
	switch {
	case kind == "group":
		return "", fmt.Errorf("outer: %q: a group makes no calls: name its users, or a role", arn)
	case kind == "root" && name != "" || kind != "root" && name == "":
		return "", fmt.Errorf("outer: %q is no principal: want such as arn:aws:iam::111122223333:role/agents", arn)
	case kind != "root" && strings.Trim(name, "*?/") == "":
		return "", fmt.Errorf("outer: %q is everybody: name a role, or a path such as role/bedrock/*", arn)
	case strings.HasPrefix(name, "aws-service-role/"):
		return "", fmt.Errorf("outer: %q is a service-linked role, which service control policies don't hold, and which can't have a boundary", arn)
	case account == "*":
		return fmt.Sprintf("%s is in every account: whoever may create such a role, or a user of that name, in any of them may spend.", arn), nil
	case strings.ContainsAny(name, "*?"):
		return fmt.Sprintf("%s has wildcards: whoever may create a principal that it matches may spend.", arn), nil
	case kind == "user":
		return fmt.Sprintf("%s is a user: whoever may create an API key or an access key for it may spend as it. --api-keys denies the first; a role is better.", arn), nil
	case kind == "root":
		return fmt.Sprintf("%s is an account's root user, which nothing in the account can take rights from.", arn), nil
	}
	return "", nil
}

// principalOf returns the aws:PrincipalArn of a caller: for a session the ARN of its role, and else arn itself. The path of the role is missing,
// because a session's ARN does not have it.
func principalOf(arn string) string {
	if role := assumedRoleForm.FindStringSubmatch(arn); role != nil {
		return fmt.Sprintf("arn:%s:iam::%s:role/%s", role[1], role[2], role[3])
	}
	return arn
}
