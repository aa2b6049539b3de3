package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

func init() { children["command"] = func() error { main(); return nil } }

// proxyProcess is a proxy in a process of its own, which can be killed.
type proxyProcess struct {
	cmd  *exec.Cmd
	said *spoken
}

func startProxy(t *testing.T, server *bedrocktest.Server, store, policy string) (*proxyProcess, string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &proxyProcess{cmd: exec.Command(self, "--store", store, "proxy", "--create", "--policy", policy, "--listen", "127.0.0.1:0", "--open-loopback", "--region", "us-east-1", "--upstream", server.URL()), said: new(spoken)}
	p.cmd.Env = append(os.Environ(), childVariable+"=command", "AWS_ACCESS_KEY_ID=AKIAREAL", "AWS_SECRET_ACCESS_KEY=real", "GORACE=atexit_sleep_ms=0")
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	require.NoError(t, p.cmd.Start())
	require.Eventually(t, func() bool { return addressIn(p.said.String()) != "" }, 30*time.Second, 2*time.Millisecond, "%s", p.said)
	return p, "http://" + addressIn(p.said.String())
}

// kill ends the process as a crash of the machine would.
func (p *proxyProcess) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait() // which tells that it was killed
}

// Proxies that are killed at any moment, two on one store, with clients that send again what failed: what Bedrock bills is in the ledger, and
// under the limit. PROXY_KILLS is how many ledgers are drawn.
func TestProxiesThatAreKilledKeepTheLimit(t *testing.T) {
	runs := 3
	if n, err := strconv.Atoi(os.Getenv("PROXY_KILLS")); err == nil {
		runs = n
	}
	const limit = 60_000_000 // nano-USD
	policy := writePolicy(t, "limits:\n  - {name: life, max: 0.06 USD, window: lifetime}\n")
	kills, refused := 0, 0
	for seed := range uint64(runs) {
		random := rand.New(rand.NewPCG(seed, 7))
		server := bedrocktest.New(t, bedrocktest.Options{EventDelay: time.Millisecond, FirstByteDelay: 5 * time.Millisecond, Reply: func(r bedrocktest.Request) bedrocktest.Reply {
			return bedrocktest.Reply{Text: strings.Repeat("word ", 5), OutputTokens: 10 + r.Seq%90}
		}})
		file := filepath.Join(t.TempDir(), "spend.db")
		var bases [2]string
		var proxies [2]*proxyProcess
		var mu sync.Mutex
		for i := range proxies {
			proxies[i], bases[i] = startProxy(t, server, "sqlite:"+file, policy)
		}
		ctx, stop := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for n := range 6 {
			clients.Go(func() {
				for ctx.Err() == nil {
					mu.Lock()
					base := bases[n%2]
					mu.Unlock()
					if askOnce(ctx, base, n%3 == 0) == http.StatusPaymentRequired {
						mu.Lock()
						refused++
						mu.Unlock()
						return
					}
				}
			})
		}
		for range 3 + random.IntN(4) {
			timer := time.NewTimer(time.Duration(20+random.IntN(150)) * time.Millisecond)
			<-timer.C
			i := random.IntN(2)
			proxies[i].kill(t)
			kills++
			next, base := startProxy(t, server, "sqlite:"+file, policy)
			mu.Lock()
			proxies[i], bases[i] = next, base
			mu.Unlock()
		}
		stop()
		clients.Wait()
		for _, p := range proxies {
			p.kill(t)
		}
		server.Close()
		bill := server.Bill().NanoUSD
		settled, pending := lifetime(t, file)
		require.LessOrEqual(t, bill, settled+pending, "seed %d: spend that is not in the ledger", seed)
		require.LessOrEqual(t, settled+pending, int64(limit), "seed %d", seed)
	}
	t.Logf("%d ledgers, %d proxies killed, %d clients refused", runs, kills, refused)
}

func askOnce(ctx context.Context, base string, streams bool) int {
	path := "/model/us.anthropic.claude-sonnet-4-6/converse"
	if streams {
		path += "-stream"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, bytes.NewReader([]byte(`{"inferenceConfig":{"maxTokens":100},"messages":[{"role":"user","content":[{"text":"hello"}]}]}`)))
	if err != nil {
		return 0
	}
	resp, err := killedClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

var killedClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// lifetime is what the only limit of a ledger holds.
func lifetime(t *testing.T, file string) (settled, pending int64) {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), file, sqlitestore.Options{})
	require.NoError(t, err)
	defer store.Close()
	ledger, err := budget.Open(t.Context(), store, budget.Policy{Limits: []budget.Limit{{Name: "life", Max: budget.USD(0.06), Window: budget.Lifetime}}})
	require.NoError(t, err)
	all, err := ledger.Balances(t.Context(), budget.Scope{})
	require.NoError(t, err)
	return all[0].Settled.N, all[0].Pending.N
}
