package clients

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// The agent of examples/incident, as one that speaks to a gateway: the same work, in the chat dialect that LiteLLM serves.
const (
	opus         = "us.anthropic.claude-opus-4-6-v1"
	systemBytes  = 66_000
	turnBytes    = 2_950
	firstBytes   = 26_000
	turns        = 18 // in a stint
	stints       = 8  // in a session
	outputTokens = 384
	thinkTime    = 30 * time.Second
	review       = 25 * time.Minute
	pause        = 28 * time.Hour

	incidentInput = 6_470_000_000 / 100 // uncached tokens, which cost $380 where nobody stops it
	incidentLimit = "200USD"
	gatewayKey    = "sk-gateway"
)

// BenchmarkIncidentThroughLiteLLM replays the incident through LiteLLM's proxy server and ours, in both orders, to a limit of $200 of $380. It is
// no test, because the server is large to install and the replay takes minutes: `make incident-litellm` runs it, once.
func BenchmarkIncidentThroughLiteLLM(b *testing.B) {
	guard, err := built()
	require.NoError(b, err)
	for name, order := range map[string]func(b *testing.B, guard string, server *bedrocktest.Server) (base string, end func() string){
		"in-front": liteLLMInFront, "behind": liteLLMBehind,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				replayIncident(b, guard, order)
			}
		})
	}
}

func replayIncident(b *testing.B, guard string, order func(*testing.B, string, *bedrocktest.Server) (string, func() string)) {
	var now atomic.Int64
	now.Store(time.Date(2026, 4, 6, 8, 0, 0, 0, time.UTC).UnixNano())
	server, err := bedrocktest.Start(bedrocktest.Options{
		Clock: func() time.Time { return time.Unix(0, now.Load()).UTC() },
		Reply: func(r bedrocktest.Request) bedrocktest.Reply {
			return bedrocktest.Reply{OutputTokens: outputTokens - 50 + 100*(r.Seq%2)}
		},
	})
	require.NoError(b, err)
	defer server.Close()
	base, end := order(b, guard, server)
	a := &gatewayAgent{base: base, files: readCorpus(b), advance: func(d time.Duration) { now.Add(int64(d)) }}
	for range 100 { // sessions; three of them spend $200
		if a.session(b, server) && a.refusals >= 5 {
			break
		}
		a.advance(pause)
	}
	said := end()
	bill := server.Bill()
	require.LessOrEqual(b, bill.NanoUSD, budget.USD(200).N, "the bill exceeds the limit")
	require.GreaterOrEqual(b, bill.NanoUSD, budget.USD(195).N, "stopped too early: %s", said)
	require.Contains(b, a.refusal, "exceeded", "the agent does not read why")
	require.Equal(b, bill.Inferences, server.Requests(), "what was refused got through")
	require.Equal(b, usageOf(server.Inferences()), a.told, "what LiteLLM tells its caller is not what was billed")
	b.Logf("%d calls billed $%.4f, %.1f %% of the input from the cache; %d refused: %s\n%s", bill.Inferences, bill.USD(), 100*bill.CacheHitShare(), a.refusals, a.refusal, said)
	b.ReportMetric(bill.USD(), "$billed")
	b.ReportMetric(float64(bill.Inferences), "calls")
}

// liteLLMInFront is agent -> LiteLLM -> our proxy -> Bedrock: `bedrockguard run` gives LiteLLM its endpoint and a virtual key pair.
func liteLLMInFront(b *testing.B, guard string, server *bedrocktest.Server) (string, func() string) {
	port := freePort(b)
	args := append([]string{"run", "--max", incidentLimit, "--strict", "--region", "us-east-1", "--upstream", server.URL(), "--"}, liteLLM(b, port)...)
	_, end := startServer(b, exec.Command(guard, args...), "http://127.0.0.1:"+port, "/health/liveliness")
	return "http://127.0.0.1:" + port + "/v1", end
}

// liteLLMBehind is agent -> our proxy -> LiteLLM -> Bedrock.
func liteLLMBehind(b *testing.B, guard string, server *bedrocktest.Server) (string, func() string) {
	behind, front := freePort(b), freePort(b)
	args := liteLLM(b, behind)
	gateway := exec.Command(args[0], args[1:]...)
	gateway.Env = append(os.Environ(), "AWS_BEDROCK_RUNTIME_ENDPOINT="+server.URL(), "AWS_ACCESS_KEY_ID=AKIAREAL", "AWS_SECRET_ACCESS_KEY=real", "AWS_REGION=us-east-1")
	_, endGateway := startServer(b, gateway, "http://127.0.0.1:"+behind, "/health/liveliness")
	policy, store := filepath.Join(b.TempDir(), "policy.yaml"), "sqlite:"+filepath.Join(b.TempDir(), "spend.db")
	require.NoError(b, os.WriteFile(policy, []byte("limits:\n  - {name: run, max: 200 USD, window: lifetime}\n"), 0o600))
	cmd := exec.Command(guard, "--store", store, "proxy", "--create", "--policy", policy, "--listen", "127.0.0.1:"+front, "--open-loopback", "--region", "us-east-1", "--upstream", "http://127.0.0.1:"+behind)
	cmd.Env = append(os.Environ(), "AWS_BEARER_TOKEN_BEDROCK="+gatewayKey)
	_, end := startServer(b, cmd, "http://127.0.0.1:"+front, "/healthz")
	return "http://127.0.0.1:" + front + "/v1", func() string {
		end()
		endGateway()
		held := booked(b, strings.TrimPrefix(store, "sqlite:"))
		require.Equal(b, chargeOf(server.Inferences()), held, "LiteLLM's answers are not metered to the token")
		return fmt.Sprintf("the ledger holds $%.4f", float64(held[budget.UnitUSD])/1e9)
	}
}

// liteLLM is the command line of LiteLLM's proxy server, which .ci/install-litellm installs.
func liteLLM(b *testing.B, port string) []string {
	cache, _ := os.UserCacheDir()
	program := filepath.Join(cache, "bedrockguard", "clients", "litellm", "bin", "litellm")
	require.FileExists(b, program, ".ci/install-litellm installs it")
	config := filepath.Join(b.TempDir(), "config.yaml")
	require.NoError(b, os.WriteFile(config, []byte(fmt.Sprintf(`model_list: [{model_name: %s, litellm_params: {model: bedrock/converse/%s}}]
litellm_settings: {num_retries: 0, telemetry: false}
router_settings: {num_retries: 0}
general_settings: {master_key: %s}
`, opus, opus, gatewayKey)), 0o600))
	return []string{"env", "LITELLM_LOCAL_MODEL_COST_MAP=True", program, "--config", config, "--host", "127.0.0.1", "--port", port}
}

// startServer starts a server and waits until it answers. What end returns is what it said.
func startServer(b *testing.B, cmd *exec.Cmd, base, ready string) (pid int, end func() string) {
	said := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = said, said, time.Second
	if cmd.Env == nil {
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIAREAL", "AWS_SECRET_ACCESS_KEY=real")
	}
	require.NoError(b, cmd.Start())
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	require.Eventually(b, func() bool {
		resp, err := client.Get(base + ready)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 2*time.Minute, 50*time.Millisecond, "%s does not answer", cmd.Path)
	return cmd.Process.Pid, func() string {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-exited
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return lines[len(lines)-1]
	}
}

func freePort(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(b, err)
	return port
}

// gatewayAgent works as the agent of the incident did. It gives a session up when a call fails.
type gatewayAgent struct {
	base     string
	files    *corpus
	advance  func(time.Duration)
	told     usage
	refusals int
	refusal  string
}

type object = map[string]any

// session is one conversation. It reports whether it was refused.
func (a *gatewayAgent) session(b *testing.B, server *bedrocktest.Server) bool {
	system := object{"role": "system", "content": []any{object{
		"type": "text", "text": "You are a coding agent. The project's notes follow.\n" + a.files.spread(systemBytes), "cache_control": object{"type": "ephemeral"},
	}}}
	messages := []any{system}
	for turn := range turns * stints {
		require.Less(b, server.Bill().Input.Tokens, int64(incidentInput), "nobody stops the agent")
		size := turnBytes
		if turn == 0 {
			size = firstBytes
		} else if turn%turns == 0 {
			a.advance(review)
		}
		messages = append(messages, object{"role": "user", "content": "Review this, then go on.\n" + a.files.next(size)})
		reply, ok := a.ask(b, object{"model": opus, "max_tokens": 4096, "messages": messages, "tools": []any{object{"type": "function", "function": object{
			"name": "read_file", "description": "Reads a file of the project.",
			"parameters": object{"type": "object", "properties": object{"path": object{"type": "string"}}, "required": []string{"path"}},
		}}}})
		a.advance(thinkTime)
		if !ok {
			return true
		}
		messages = append(messages, object{"role": "assistant", "content": reply})
	}
	return false
}

// ask makes one call.
func (a *gatewayAgent) ask(b *testing.B, question any) (string, bool) {
	raw, err := json.Marshal(question)
	require.NoError(b, err)
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, a.base+"/chat/completions", bytes.NewReader(raw))
	require.NoError(b, err)
	req.Header.Set("Authorization", "Bearer "+gatewayKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b, err)
	if resp.StatusCode != http.StatusOK {
		require.Equal(b, http.StatusPaymentRequired, resp.StatusCode, "%s", body)
		a.refusals++
		a.refusal = string(body)
		return "", false
	}
	var answer struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			PromptTokens     int64 `json:"prompt_tokens"`
			CompletionTokens int64 `json:"completion_tokens"`
			Read             int64 `json:"cache_read_input_tokens"`
			Written          int64 `json:"cache_creation_input_tokens"`
		}
	}
	require.NoError(b, json.Unmarshal(body, &answer))
	u := answer.Usage
	a.told.Input, a.told.Output = a.told.Input+u.PromptTokens-u.Read-u.Written, a.told.Output+u.CompletionTokens
	a.told.Read, a.told.Written = a.told.Read+u.Read, a.told.Written+u.Written
	return answer.Choices[0].Message.Content, true
}

// corpus is what the agent reads: the sources of this repository, one after the other and again from the start.
type corpus struct {
	text string
	at   int
}

func readCorpus(b *testing.B) *corpus {
	var text strings.Builder
	require.NoError(b, filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" && filepath.Ext(path) != ".md" {
			return err
		}
		data, err := os.ReadFile(path)
		text.WriteString(strings.ToValidUTF8(string(data), "?"))
		return err
	}))
	return &corpus{text: text.String()}
}

// next returns n bytes more.
func (c *corpus) next(n int) string {
	if c.at+n > len(c.text) {
		c.at = 0
	}
	c.at += n
	return strings.ToValidUTF8(c.text[c.at-n:c.at], "?")
}

// spread returns n bytes in pieces from all over the corpus, so that they are like the rest of it.
func (c *corpus) spread(n int) string {
	const piece = 1000
	var text strings.Builder
	for at := 0; text.Len() < n; at += len(c.text) / (n/piece + 1) {
		text.WriteString(strings.ToValidUTF8(c.text[at%(len(c.text)-piece):][:piece], "?"))
	}
	return text.String()
}
