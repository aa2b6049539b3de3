package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

func TestMain(m *testing.M) {
	goClient()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if at, err := built(); err == nil {
			_ = os.RemoveAll(filepath.Dir(at))
		}
		os.Exit(code)
	}))
}

// client is one client, as it is started.
type client struct {
	name    string
	command []string
}

func all() []client {
	cache, _ := os.UserCacheDir()
	python := filepath.Join(cache, "bedrockguard", "clients", "py", "bin", "python")
	modules := filepath.Join(cache, "bedrockguard", "clients", "js", "clients.mjs")
	var list []client
	for _, name := range []string{
		"boto3", "anthropic", "anthropic-bedrock", "openai-chat", "openai-responses", "litellm-converse", "litellm-invoke", "litellm-openai", "langchain-aws", "pydantic-ai", "strands",
	} {
		list = append(list, client{name: name, command: []string{python, filepath.Join("py", "clients.py"), name}})
	}
	for _, name := range []string{"aws-sdk-js", "anthropic-js", "anthropic-bedrock-js", "openai-chat-js", "openai-responses-js", "ai-sdk"} {
		list = append(list, client{name: name, command: []string{"node", modules, name}})
	}
	self, _ := os.Executable()
	for _, name := range slices.Sorted(maps.Keys(goClients)) {
		list = append(list, client{name: name, command: []string{self, goClientArgument, name}})
	}
	return list
}

// caches reports whether a client has a way to set a cache point for these models. OpenAI's dialects have none, and langchaingo none for Bedrock.
func (c client) caches() bool {
	return !strings.Contains(c.name, "openai") && c.name != "langchaingo"
}

// installed skips a test whose client is not there. In CI it fails.
func installed(t *testing.T, c client) {
	t.Helper()
	program, err := exec.LookPath(c.command[0])
	if err == nil && strings.HasSuffix(c.command[1], ".mjs") {
		_, err = os.Stat(c.command[1])
	}
	if err != nil && os.Getenv("CI") == "true" {
		require.NoError(t, err, "%s is not installed: .ci/install-clients does that", c.name)
	}
	if err != nil {
		t.Skipf("%s is not installed: .ci/install-clients does that", c.name)
	}
	c.command[0] = program
}

// bedrockguard is the command, built once for all tests.
func bedrockguard(t *testing.T) string {
	t.Helper()
	at, err := built()
	require.NoError(t, err)
	return at
}

var built = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "bedrockguard-clients-")
	if err != nil {
		return "", err
	}
	at := filepath.Join(folder, "bedrockguard")
	out, err := exec.Command("go", "build", "-o", at, "github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return at, err
})

const clientTimeout = 3 * time.Minute

// run runs a client under bedrockguard run, and returns its exit code and what it wrote.
func (c client) run(t *testing.T, guard string, server *bedrocktest.Server, limit, mode string, flags ...string) (code int, out, errOut string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	defer cancel()
	args := append(slices.Concat(flags, []string{"run", "--max", limit, "--region", "us-east-1", "--upstream", server.URL(), "--strict", "--"}), c.command...)
	cmd := exec.CommandContext(ctx, guard, append(args, mode)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIAREAL", "AWS_SECRET_ACCESS_KEY=real", "AWS_ENDPOINT_URL=http://127.0.0.1:9", "PYTHONWARNINGS=ignore", "LITELLM_LOCAL_MODEL_COST_MAP=True")
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		require.NoError(t, err, stderr.String())
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func weather(r bedrocktest.Request) bedrocktest.Reply {
	if len(r.Tools) > 0 && !strings.Contains(r.LastText, "sun") && len(r.ToolResults) == 0 {
		return bedrocktest.Reply{ToolName: "weather", ToolInput: `{"city":"Oslo"}`, OutputTokens: 40}
	}
	return bedrocktest.Reply{Text: "It keeps a bug from being dear.", OutputTokens: 1000}
}

// Clients work through the endpoint that they were given, unchanged, and what they say was used is what is billed and settled, to the token. A
// turn behind a cache point writes it, and the next one reads it.
func TestClientsWorkThroughTheProxy(t *testing.T) {
	t.Parallel()
	guard := bedrockguard(t)
	for _, c := range all() {
		t.Run(c.name, func(t *testing.T) {
			installed(t, c)
			t.Parallel()
			modes := []string{"unary", "stream", "tool"}
			if c.caches() {
				modes = append(modes, "cached", "cached")
			}
			server := bedrocktest.New(t, bedrocktest.Options{Reply: weather})
			file := filepath.Join(t.TempDir(), "spend.db")
			code, out, errOut := c.run(t, guard, server, "5USD", strings.Join(modes, ","), "--store", "sqlite:"+file)
			require.Zero(t, code, "%s\n%s", out, errOut)
			all := server.Inferences()
			require.Len(t, all, len(modes)+1, "a turn with a tool has two")
			left := all
			for line := range strings.Lines(out) {
				line, says := strings.CutPrefix(line, "told ")
				if !says {
					continue
				}
				mode := modes[0]
				modes = modes[1:]
				var told usage
				require.NoError(t, json.Unmarshal([]byte(line), &told), out)
				require.Contains(t, told.Text, "It keeps a bug from being dear.", mode)
				told.Text = ""
				if mode == "tool" { // of the last turn, or of an agent's both
					require.Contains(t, []usage{usageOf(left[1:2]), usageOf(left[:2])}, told, mode)
					left = left[2:]
					continue
				}
				require.Equal(t, usageOf(left[:1]), told, mode)
				left = left[1:]
			}
			require.Empty(t, modes)
			if c.caches() {
				write, read := usageOf(all[len(all)-2:len(all)-1]), usageOf(all[len(all)-1:])
				require.Positive(t, write.Written)
				require.Equal(t, [3]int64{write.Written, 0, 0}, [3]int64{read.Read, read.Written, write.Read}, "what the first turn wrote is not what the second read")
			}
			require.Contains(t, errOut, "spent "+price.Amount(server.Bill().NanoUSD).String()+fmt.Sprintf(" of 5 USD in %d calls", len(all)))
			require.Equal(t, chargeOf(all), booked(t, file), "the ledger does not hold what was billed")
		})
	}
}

// usage is what a client says.
type usage struct {
	Text          string
	Input, Output int64 // input that was neither read from the cache nor written to it
	Read, Written int64
}

func usageOf(all []bedrocktest.Inference) (sum usage) {
	for _, i := range all {
		sum.Input, sum.Output = sum.Input+i.InputTokens, sum.Output+i.OutputTokens
		sum.Read, sum.Written = sum.Read+i.CacheReadTokens, sum.Written+i.CacheWrite5mTokens+i.CacheWrite1hTokens
	}
	return sum
}

// chargeOf is a bill in the units of a ledger.
func chargeOf(all []bedrocktest.Inference) budget.Charge {
	sum := usageOf(all)
	charge := budget.Charge{
		budget.UnitUncachedInputTokens: sum.Input, budget.UnitInputTokens: sum.Input + sum.Read + sum.Written, budget.UnitOutputTokens: sum.Output,
		budget.UnitCacheReadInputTokens: sum.Read, budget.UnitCacheWriteInputTokens: sum.Written, budget.UnitCalls: int64(len(all)),
	}
	for _, i := range all {
		charge[budget.UnitUSD] += i.NanoUSD
	}
	return charge
}

// booked is all that a ledger holds.
func booked(t testing.TB, file string) (sum budget.Charge) {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), file, sqlitestore.Options{})
	require.NoError(t, err)
	defer store.Close()
	operator, err := budget.Operate(t.Context(), store)
	require.NoError(t, err)
	for row, err := range operator.Usage(t.Context(), budget.UsageQuery{}) {
		require.NoError(t, err)
		for unit, n := range row.Charge {
			sum[unit] += n
		}
	}
	return sum
}

// A client that runs out of budget sends the refused request once, its user reads why, and the bill stays under the limit.
func TestClientsStopAtTheLimit(t *testing.T) {
	t.Parallel()
	guard := bedrockguard(t)
	for _, c := range all() {
		t.Run(c.name, func(t *testing.T) {
			installed(t, c)
			t.Parallel()
			server := bedrocktest.New(t, bedrocktest.Options{Reply: weather})
			code, out, errOut := c.run(t, guard, server, "0.05USD", "loop")
			require.Equal(t, 4, code, "%s\n%s", out, errOut)
			require.LessOrEqual(t, server.Bill().NanoUSD, int64(50_000_000))
			require.Greater(t, server.Bill().NanoUSD, int64(15_000_000))
			require.Equal(t, server.Bill().Inferences, server.Requests(), "what was refused got through")
			program, _, _ := strings.Cut(errOut, "bedrockguard: spent")
			require.Regexp(t, `limit \\*"run\\*" exceeded`, program, "the user does not read why")
			require.Contains(t, errOut, "; 1 call refused")
		})
	}
}

// A kill in the middle of a stream reaches the client as a failure that tells why, and it does not ask again.
func TestClientsAreKilledInMidStream(t *testing.T) {
	t.Parallel()
	guard := bedrockguard(t)
	for _, c := range all() {
		t.Run(c.name, func(t *testing.T) {
			installed(t, c)
			t.Parallel()
			began := make(chan struct{})
			beginning := sync.OnceFunc(func() { close(began) })
			server := bedrocktest.New(t, bedrocktest.Options{EventDelay: 30 * time.Millisecond, Reply: func(bedrocktest.Request) bedrocktest.Reply {
				beginning()
				return bedrocktest.Reply{Text: strings.Repeat("word ", 2000), OutputTokens: 2000}
			}})
			store := "sqlite:" + filepath.Join(t.TempDir(), "spend.db")
			killed := make(chan error, 1)
			go func() {
				select {
				case <-began:
				case <-t.Context().Done():
				}
				out, err := exec.Command(guard, "--store", store, "kill", "--all", "--yes", "too dear").CombinedOutput()
				if err != nil {
					err = fmt.Errorf("%w: %s", err, out)
				}
				killed <- err
			}()
			code, out, errOut := c.run(t, guard, server, "5USD", "stream", "--store", store)
			require.NoError(t, <-killed)
			require.NotZero(t, code, "the client takes a stream that was killed for a success: %s", out)
			program, _, _ := strings.Cut(errOut, "bedrockguard: spent")
			require.Contains(t, program, "too dear", "the user does not read why")
			require.Equal(t, 1, server.Bill().Inferences)
			require.Contains(t, errOut, "; 1 call refused", "the client asked again")
		})
	}
}
