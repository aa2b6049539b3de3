package clients

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// codingAgent is a whole program, started as its users do in a script, in a home of its own.
func codingAgent(t *testing.T, name string) client {
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	modules := filepath.Join(cache, "bedrockguard", "clients", "agents", "node_modules")
	arguments := map[string][]string{
		"claude-code": {filepath.Join(modules, "@anthropic-ai", "claude-code-linux-x64", "claude"), "-p"},
		"opencode":    {filepath.Join(modules, "opencode-linux-x64", "bin", "opencode"), "run", "-m", "amazon-bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0"},
	}[name]
	if _, err := os.Stat(arguments[0]); err != nil {
		t.Skipf("%s is not installed: .ci/install-clients does that where there is one for the machine", name)
	}
	home := t.TempDir()
	return client{name: name, command: append([]string{
		"env", "-C", home, "HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_CACHE_HOME=" + home, "XDG_STATE_HOME=" + home,
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1", "OPENCODE_DISABLE_AUTOUPDATE=1", "OPENCODE_DISABLE_MODELS_FETCH=1",
	}, arguments...)}
}

// Coding agents work through the endpoint that they were given, and one that runs out of budget stops at once, says why, and goes to no other model.
// opencode asks for a title by the side, and claude-code whether models are there: none of that costs anything when it is refused.
func TestCodingAgentsAreCapped(t *testing.T) {
	t.Parallel()
	guard := bedrockguard(t)
	const answer = "It keeps a bug from being dear."
	for _, name := range []string{"claude-code", "opencode"} {
		t.Run(name, func(t *testing.T) {
			agent := codingAgent(t, name)
			t.Parallel()
			server := bedrocktest.New(t, bedrocktest.Options{EventDelay: time.Millisecond, Reply: func(bedrocktest.Request) bedrocktest.Reply {
				return bedrocktest.Reply{Text: answer, OutputTokens: 1000}
			}})
			code, out, errOut := agent.run(t, guard, server, "5USD", ask)
			require.Zero(t, code, "%s\n%s", out, errOut)
			require.Contains(t, out, answer)
			bill := server.Bill()
			require.Contains(t, errOut, "spent "+price.Amount(bill.NanoUSD).String()+" of 5 USD")
			require.Positive(t, bill.Inferences)

			_, out, errOut = agent.run(t, guard, server, "0.05USD", ask)
			require.NotContains(t, out, answer)
			require.LessOrEqual(t, server.Bill().NanoUSD-bill.NanoUSD, int64(50_000_000))
			require.Contains(t, out+errOut, `limit "run" exceeded`, "the user does not read why")
			require.Regexp(t, `; (1 call|2 calls) refused`, errOut, "the refused call was sent again")
		})
	}
}
