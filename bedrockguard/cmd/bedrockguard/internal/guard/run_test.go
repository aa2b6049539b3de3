package guard

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Calls are told apart by who pays, what runs and tags; a script is named, and not what runs it.
func TestRunSaysOnWhoseAccountItIs(t *testing.T) {
	for name, tc := range map[string]struct {
		flags, args []string
		want        budget.Scope
	}{
		"a program":       {nil, []string{"/opt/agent/run-all", "x"}, budget.Scope{Workflow: "run-all"}},
		"a script":        {nil, []string{"/usr/bin/python3.11", "src/agent.py", "x"}, budget.Scope{Workflow: "agent.py"}},
		"a module":        {nil, []string{"python", "-m", "agent"}, budget.Scope{Workflow: "python"}},
		"an interpreter":  {nil, []string{"node"}, budget.Scope{Workflow: "node"}},
		"what was asked":  {[]string{"--workflow", "nightly", "--principal", "ci", "--tag", "team=search", "--model", "anthropic.*"}, []string{"python", "a.py"}, budget.Scope{Workflow: "nightly", Principal: "ci", Tags: map[string]string{"team": "search"}}},
		"a tag half done": {[]string{"--tag", "team"}, []string{"python", "a.py"}, budget.Scope{}},
	} {
		var got budget.Scope
		var err error
		command := RunCommand()
		command.Action = func(_ context.Context, c *cli.Command) error {
			got, err = runAccount(c, tc.args)
			return nil
		}
		require.NoError(t, command.Run(t.Context(), append(append([]string{"run", "--max", "1USD"}, tc.flags...), "--", "x")))
		if tc.want.Workflow == "" {
			require.ErrorContains(t, err, "want NAME=VALUE", name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, tc.want, got, name)
	}
}
