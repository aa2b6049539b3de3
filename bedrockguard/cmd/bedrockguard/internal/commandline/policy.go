package commandline

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// PolicyFlag names a file with the policy, for users whose processes have it in code.
func PolicyFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "policy", Sources: cli.EnvVars("BEDROCKGUARD_POLICY"), TakesFile: true, HideDefault: true,
		Usage: "a file with the policy; the one that the store holds unless set",
	}
}

// Policy returns the policy of the command line, or else the one in the store. If there is none it returns a policy without limits.
func (d *Desk) Policy(ctx context.Context, c *cli.Command) (budget.Policy, error) {
	if file := c.String("policy"); file != "" {
		return ReadPolicyFile(file)
	}
	document, err := d.PolicyDocument(ctx)
	if err != nil || len(document.Text) == 0 {
		return budget.Policy{}, err
	}
	p, err := budget.ReadPolicy(bytes.NewReader(document.Text))
	if err != nil {
		return p, fmt.Errorf("version %d of the policy that the store holds: %w", document.Version, err)
	}
	return p, nil
}

// ReadPolicyFile reads a policy from a file.
func ReadPolicyFile(file string) (budget.Policy, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return budget.Policy{}, err
	}
	return budget.ReadPolicy(bytes.NewReader(raw))
}

// MatchesNothing returns a sentence for each limit whose pattern for models matches no known model. Limits without such a pattern match all.
func MatchesNothing(policy budget.Policy) (all []string) {
	for _, l := range policy.Limits {
		if l.Match.Model != "" && !matchesAnyModel(l.Match.Model) {
			all = append(all, fmt.Sprintf("limit %q: %q matches no known model: it is compared with ids of foundation models such as anthropic.claude-opus-4-6-v1, and not with those of profiles", l.Name, l.Match.Model))
		}
	}
	return all
}

// matchesAnyModel reports whether a pattern matches the id of any model in the catalog.
func matchesAnyModel(pattern string) bool {
	only := budget.Match{Model: pattern}
	for m := range bedrockguard.Models() {
		if only.Selects(budget.Scope{Model: m.ID}) {
			return true
		}
	}
	return false
}
