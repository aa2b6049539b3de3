package clients

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

// gate is a proxy with a budget, as a caller finds it.
type gate struct {
	name  string
	pid   int // 0 is nobody: the service itself
	send  func(client *http.Client, prompt string, cached bool) (status int, err error)
	close func()
}

// BenchmarkCompare puts our proxy beside LiteLLM's, which has no database and a budget by its authentication hook: by how much a budget of $1 is
// overshot, what a call through it takes longer, and what it takes of the processor. `make compare` runs it, once.
func BenchmarkCompare(b *testing.B) {
	for b.Loop() {
		for _, callers := range []int{1, 16} {
			for _, cached := range []bool{false, true} {
				for _, open := range []func(*testing.B, *bedrocktest.Server, string) gate{openOurs, openLiteLLM} {
					compareOvershoot(b, open, callers, cached)
				}
			}
		}
		for _, callers := range []int{1, 16} {
			compareLatency(b, callers)
		}
	}
}

// compareOvershoot spends a budget of $1 until each caller was refused three times.
func compareOvershoot(b *testing.B, open func(*testing.B, *bedrocktest.Server, string) gate, callers int, cached bool) {
	service, err := bedrocktest.Start(bedrocktest.Options{FirstByteDelay: 100 * time.Millisecond, Reply: func(r bedrocktest.Request) bedrocktest.Reply {
		return bedrocktest.Reply{OutputTokens: 600 + 100*(r.Seq%13)}
	}})
	require.NoError(b, err)
	defer service.Close()
	g := open(b, service, "1")
	defer g.close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	size := 4 << 10
	if cached {
		size = 24 << 10
	}
	ends := time.Now().Add(time.Minute)
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			refused := 0
			for n := 0; refused < 3 && time.Now().Before(ends); n++ {
				status, err := g.send(client, prompt(caller, n, size), cached)
				if err != nil {
					b.Error(err)
					return
				}
				if status != http.StatusOK {
					refused++
				}
			}
		})
	}
	all.Wait()
	bill := service.Bill()
	kind := "4 KB prompts"
	if cached {
		kind = "24 KB behind cache points of an hour, all different"
	}
	b.Logf("overshoot | %s | %d callers | %s | %d calls billed $%.4f of $1: %+.1f %%", g.name, callers, kind, bill.Inferences, bill.USD(), 100*(bill.USD()-1))
}

// compareLatency makes calls by turns: to the service itself, and through each proxy.
func compareLatency(b *testing.B, callers int) {
	service, err := bedrocktest.Start(bedrocktest.Options{FirstByteDelay: -1, Reply: func(bedrocktest.Request) bedrocktest.Reply { return bedrocktest.Reply{OutputTokens: 200} }})
	require.NoError(b, err)
	defer service.Close()
	gates := []gate{{name: "direct", send: converse(service.URL()), close: func() {}}, openOurs(b, service, "1000000"), openLiteLLM(b, service, "1000000")}
	took, cpu, calls := make([][]time.Duration, len(gates)), make([]time.Duration, len(gates)), 0
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	for round := range 6 { // the first warms up
		for i, g := range gates {
			before, each := processorTime(b, g.pid), latencies(b, client, g, callers, 320/callers)
			if round > 0 {
				took[i] = append(took[i], each...)
				cpu[i] += processorTime(b, g.pid) - before
				calls += len(each)
			}
		}
	}
	calls /= len(gates)
	for i, g := range gates {
		g.close()
		slices.Sort(took[i])
		p50, p99 := took[i][len(took[i])/2], took[i][len(took[i])*99/100]
		b.Logf("latency | %s | %d callers | p50 %.2f ms, %+.2f ms | p99 %.2f ms, %+.2f ms | processor %.2f ms a call", g.name, callers,
			ms(p50), ms(p50-took[0][len(took[0])/2]), ms(p99), ms(p99-took[0][len(took[0])*99/100]), ms(cpu[i])/float64(calls))
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func latencies(b *testing.B, client *http.Client, g gate, callers, each int) (took []time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for n := range each {
				begun := time.Now()
				status, err := g.send(client, prompt(caller, n, 1<<10), false)
				mu.Lock()
				took = append(took, time.Since(begun))
				mu.Unlock()
				if err != nil || status != http.StatusOK {
					b.Errorf("%s: status %d: %v", g.name, status, err)
					return
				}
			}
		})
	}
	all.Wait()
	return took
}

// prompt is a text like no other.
func prompt(caller, n, size int) string {
	return fmt.Sprintf("caller %d, call %d. ", caller, n) + strings.Repeat("the budget of the house is what it is; ", size/39)
}

func post(client *http.Client, at, bearer, body string) (int, error) {
	req, err := http.NewRequest(http.MethodPost, at, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// converse asks in Bedrock's own dialect.
func converse(base string) func(client *http.Client, prompt string, cached bool) (int, error) {
	return func(client *http.Client, prompt string, cached bool) (int, error) {
		point := ""
		if cached {
			point = `,{"cachePoint":{"type":"default","ttl":"1h"}}`
		}
		return post(client, base+"/model/"+opus+"/converse", "of-the-caller", `{"messages":[{"role":"user","content":[{"text":"`+prompt+`"}`+point+`]}],"inferenceConfig":{"maxTokens":2000}}`)
	}
}

// openOurs is `bedrockguard run` around a program that waits, with a ledger in memory.
func openOurs(b *testing.B, service *bedrocktest.Server, usd string) gate {
	command, err := built()
	require.NoError(b, err)
	cmd := exec.Command(command, "run", "--max", usd+"USD", "--strict", "--keep-aws", "--region", "us-east-1", "--upstream", service.URL(), "--", "sh", "-c", `echo "$AWS_ENDPOINT_URL_BEDROCK_RUNTIME"; exec sleep 600`)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIAREAL", "AWS_SECRET_ACCESS_KEY=real")
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(b, err)
	return gate{name: "bedrockguard, memory", pid: cmd.Process.Pid, send: converse(strings.TrimSpace(line)), close: func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // which it passes on
		_ = cmd.Wait()                          // the program was ended by a signal
	}}
}

// openLiteLLM is LiteLLM's proxy server with a budget for its only key, which its authentication hook tells.
func openLiteLLM(b *testing.B, service *bedrocktest.Server, usd string) gate {
	args, port := liteLLM(b, freePort(b)), ""
	port = args[len(args)-1]
	config := args[slices.Index(args, "--config")+1]
	text, err := os.ReadFile(config)
	require.NoError(b, err)
	text = bytes.Replace(text, []byte("general_settings: {"), []byte("general_settings: {custom_auth: gate_auth.user_api_key_auth, custom_auth_run_common_checks: true, enable_post_custom_auth_checks: true, "), 1)
	require.NoError(b, os.WriteFile(config, text, 0o600))
	require.NoError(b, os.WriteFile(filepath.Join(filepath.Dir(config), "gate_auth.py"), []byte(`from litellm.proxy._types import UserAPIKeyAuth, hash_token


async def user_api_key_auth(request, api_key):
    return UserAPIKeyAuth(api_key=hash_token(api_key), token=hash_token(api_key), max_budget=`+usd+`, spend=0.0)
`), 0o600))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "AWS_BEDROCK_RUNTIME_ENDPOINT="+service.URL(), "AWS_ACCESS_KEY_ID=AKIAREAL", "AWS_SECRET_ACCESS_KEY=real", "AWS_REGION=us-east-1")
	pid, end := startServer(b, cmd, "http://127.0.0.1:"+port, "/health/liveliness")
	return gate{name: "LiteLLM, no database", pid: pid, close: func() { end() }, send: func(client *http.Client, prompt string, cached bool) (int, error) {
		point := ""
		if cached {
			point = `,"cache_control":{"type":"ephemeral","ttl":"1h"}`
		}
		return post(client, "http://127.0.0.1:"+port+"/v1/chat/completions", gatewayKey, `{"model":"`+opus+`","max_tokens":2000,"messages":[{"role":"user","content":[{"type":"text","text":"`+prompt+`"`+point+`}]}]}`)
	}}
}

// processorTime is what a process has taken so far.
func processorTime(b *testing.B, pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:])) // from the third of proc(5) on
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		require.NoError(b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
