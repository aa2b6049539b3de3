package robustness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// callers is what a crowd of callers does with a budget of one dollar until each of them was denied three times. It is also what a process of
// them is told through its environment.
type callers struct {
	Seed        uint64
	Callers     int
	PromptBytes int
	MaxTokens   int32 // 0 sets none
	CutAfter    int   // events of a stream after which it is closed; 0 does not stream, and a negative number reads to the end
	Point       bool  // the prompt ends in a cache point of an hour
	Cheaper     bool  // Haiku answers once 85 % are used
	URL, Ledger string
}

const callersEnv = "BEDROCKGUARD_CALLERS"

// callersRow is one row of the table.
type callersRow struct {
	name      string
	load      callers
	faults    float64
	processes int     // that share one SQLite file; 0 is one process and a ledger in memory
	proxied   bool    // over HTTP, through the proxy
	least     float64 // of the budget, in the bill
}

// What stays in the end is less than what the smallest call can cost. A prompt of 24 KB that is written to the cache for an hour can cost more
// than twelve cents on Opus; without its cache point and with an answer of 256 tokens, seven: up to so much of the dollar stays. Where faults
// take answers away, the ledger holds their worst cases, of which the simulator bills a part.

var callersRows = []callersRow{
	{name: "plain", load: callers{PromptBytes: 4 << 10, MaxTokens: 2000}, least: 0.95},
	{name: "streams read to the end", load: callers{PromptBytes: 4 << 10, MaxTokens: 2000, CutAfter: -1}, least: 0.95},
	{name: "streams cut half way", load: callers{PromptBytes: 4 << 10, MaxTokens: 2000, CutAfter: 32}, least: 0.95},
	{name: "streams cut at the second event", load: callers{PromptBytes: 4 << 10, MaxTokens: 2000, CutAfter: 2}, least: 0.95},
	{name: "no maxTokens", load: callers{PromptBytes: 4 << 10}, least: 0.95},
	{name: "cache points of an hour, 24 KB", load: callers{PromptBytes: 24 << 10, MaxTokens: 2000, Point: true}, least: 0.925},
	{name: "the same, a cheaper model at the end", load: callers{PromptBytes: 24 << 10, MaxTokens: 2000, Point: true, Cheaper: true}, least: 0.95},
	{name: "40 % faults, retried", load: callers{PromptBytes: 4 << 10, MaxTokens: 2000}, faults: 0.4},
	{name: "two processes, one SQLite file", load: callers{PromptBytes: 4 << 10, MaxTokens: 2000}, processes: 2, least: 0.95},
	{name: "through the proxy", load: callers{PromptBytes: 4 << 10, MaxTokens: 2000}, proxied: true, least: 0.95},
}

// callersLimit is a dollar.
const callersLimit = 1_000_000_000

// 64 callers spend a budget of one dollar with calls of four to ten cents: it is never exceeded, and all but what no further call fits into
// can be used. CALLERS_ROUNDS says how often each row is run, CALLERS_DELAY_MS how long an answer takes.
func TestSixtyFourCallersOnADollar(t *testing.T) {
	delay := time.Duration(size(t, "CALLERS_DELAY_MS", 20)) * time.Millisecond
	for _, row := range callersRows {
		store := "memory"
		if row.processes > 0 {
			store = "sqlite"
		}
		t.Run(row.name, func(t *testing.T) {
			backend.Each(t, backend.Named(store), func(t *testing.T, _ backend.Backend, s backend.Server) {
				for round := range size(t, "CALLERS_ROUNDS", 1) {
					row.run(t, s.NewLedger(t), uint64(round), delay)
				}
			})
		})
	}
}

func (row callersRow) run(t *testing.T, ledger string, seed uint64, delay time.Duration) {
	o := bedrocktest.Options{FirstByteDelay: delay, EventDelay: delay / 20, Reply: func(r bedrocktest.Request) bedrocktest.Reply {
		random := rand.New(rand.NewPCG(seed, uint64(r.Seq)))
		return bedrocktest.Reply{Text: strings.Repeat("word ", 64), OutputTokens: 600 + random.IntN(1201)}
	}, CountTokens: func(text string) int { return (len(text)*10 + 35) / 36 }}
	if row.faults > 0 {
		o.Faults = bedrocktest.RandomFaults(seed+7, row.faults)
	}
	server := bedrocktest.New(t, o)
	load := row.load
	load.Seed, load.Callers, load.URL, load.Ledger = seed, 64, server.URL(), ledger
	var tally callersTally
	if row.processes > 0 {
		tally = load.spendApart(t, row.processes)
	} else {
		var err error
		tally, err = load.spend(t.Context(), row.proxied)
		require.NoError(t, err)
	}
	server.Close()
	bill := server.Bill()
	t.Logf("%-36s %3d calls, %3d denied, bill %.4f (%5.1f %%), settled %.4f (%5.1f %%), overshoot %d", row.name, bill.Inferences, tally.Denied,
		bill.USD(), percent(bill.NanoUSD), float64(tally.Settled)/1e9, percent(tally.Settled), max(bill.NanoUSD-callersLimit, 0))
	require.LessOrEqual(t, bill.NanoUSD, int64(callersLimit), "the bill exceeds the budget")
	require.LessOrEqual(t, tally.Settled, int64(callersLimit), "the ledger exceeds the budget")
	require.GreaterOrEqual(t, tally.Settled, bill.NanoUSD, "spend vanished")
	require.Zero(t, tally.Pending)
	assert.GreaterOrEqual(t, float64(bill.NanoUSD), row.least*callersLimit, "what the budget was used for")
	assert.GreaterOrEqual(t, float64(tally.Settled), max(row.least, 0.92)*callersLimit, "what the ledger holds")
}

func percent(nanoUSD int64) float64 { return float64(nanoUSD) / (callersLimit / 100) }

// callersTally is what the ledger holds afterwards.
type callersTally struct{ Settled, Pending, Denied int64 }

// callersPolicy is the budget.
var callersPolicy = budget.Policy{Limits: []budget.Limit{
	{Name: "dollar", Max: budget.Quantity{N: callersLimit, Unit: budget.UnitUSD}, Window: budget.Lifetime},
}}

// spend lets the callers spend in this process.
func (c callers) spend(ctx context.Context, proxied bool) (tally callersTally, err error) {
	store, err := backend.Open(ctx, c.Ledger, backend.Patient)
	if err != nil {
		return tally, err
	}
	defer store.Close()
	ledger, err := budget.Open(ctx, store, callersPolicy)
	if err != nil {
		return tally, err
	}
	o := bedrockguard.Options{
		MaxWait: time.Minute, Output: bedrockguard.Output{Default: 2000, Clamp: true}, StoreTimeout: time.Minute, SettleTimeout: time.Minute,
	}
	if c.Cheaper {
		o.Substitute = func(_ context.Context, p bedrockguard.Pressure) (string, bool) { return haiku, p.Used() > 0.85 }
	}
	guard, err := bedrockguard.New(ledger, o)
	if err != nil {
		return tally, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = c.Callers
	defer transport.CloseIdleConnections()
	cfg := childConfig(childJob{URL: c.URL, Complete: true}, transport)
	newClient := func() *bedrockruntime.Client { return guard.NewFromConfig(cfg) }
	if proxied {
		stop, err := c.behindProxy(guard, &cfg)
		if err != nil {
			return tally, err
		}
		defer stop()
		newClient = func() *bedrockruntime.Client { return bedrockruntime.NewFromConfig(cfg) }
	}
	var denied atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, c.Callers)
	for n := range c.Callers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(c.Seed, uint64(n)))
			errs <- c.caller(ctx, newClient(), random, &denied)
		})
	}
	all.Wait()
	for range c.Callers {
		err = errors.Join(err, <-errs)
	}
	if err = errors.Join(err, guard.Close(ctx)); err != nil {
		return tally, err
	}
	balances, err := ledger.Balances(ctx, budget.Scope{})
	if err != nil {
		return tally, err
	}
	return callersTally{Settled: balances[0].Settled.N, Pending: balances[0].Pending.N, Denied: denied.Load()}, nil
}

// behindProxy points a config at a proxy that the guard stands in.
func (c callers) behindProxy(guard *bedrockguard.Guard, cfg *aws.Config) (stop func(), err error) {
	upstream, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	handler, err := proxy.New(proxy.Options{
		Guard: guard, Region: "us-east-1", Upstream: upstream, Callers: proxy.Loopback(budget.Scope{Principal: "peer"}),
		Sign: func(r *http.Request, _ []byte) error { r.Header.Set("Authorization", "Bearer simulated"); return nil },
	})
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(handler)
	cfg.BaseEndpoint = aws.String(server.URL)
	return server.Close, nil
}

// caller calls until it was denied three times. Faults are retried by the SDK, and borne.
func (c callers) caller(ctx context.Context, client *bedrockruntime.Client, random *rand.Rand, denied *atomic.Int64) error {
	for denials := 0; denials < 3; {
		err := c.call(ctx, client, random)
		switch status := statusOf(err); {
		case errors.Is(err, budget.ErrExceeded) || status == http.StatusPaymentRequired:
			denials++
			denied.Add(1)
		case errors.Is(err, budget.ErrStore):
			return err
		}
	}
	return nil
}

func statusOf(err error) int {
	var status interface{ HTTPStatusCode() int }
	if errors.As(err, &status) {
		return status.HTTPStatusCode()
	}
	return 0
}

func (c callers) call(ctx context.Context, client *bedrockruntime.Client, random *rand.Rand) error {
	messages := userSays(english(random, c.PromptBytes), c.Point)
	var inference *types.InferenceConfiguration
	if c.MaxTokens > 0 {
		inference = &types.InferenceConfiguration{MaxTokens: aws.Int32(c.MaxTokens)}
	}
	if c.CutAfter == 0 {
		_, err := client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(opus), Messages: messages, InferenceConfig: inference})
		return err
	}
	out, err := client.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: aws.String(opus), Messages: messages, InferenceConfig: inference})
	if err != nil {
		return err
	}
	return readStream(out.GetStream(), c.CutAfter)
}

// english returns a prompt of so many bytes, like no other.
func english(random *rand.Rand, length int) string {
	words := strings.Fields(`the budget of a team is what its calls may cost before anybody has to be asked and whoever looks at it wants to know where
		it went which service asked for it and what will be left of it when the month ends so that plans can be made in time`)
	var text strings.Builder
	for text.Len() < length {
		text.WriteString(words[random.IntN(len(words))])
		text.WriteByte(' ')
	}
	return text.String()[:length]
}

// spendApart lets processes spend on one ledger, each with its part of the callers.
func (c callers) spendApart(t *testing.T, processes int) (tally callersTally) {
	c.Callers /= processes
	outputs := make([]bytes.Buffer, processes)
	started := make([]*exec.Cmd, processes)
	for p := range processes {
		c.Seed = c.Seed*10 + uint64(p)
		raw, err := json.Marshal(c)
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), callersEnv+"="+string(raw))
		cmd.Stdout, cmd.Stderr = &outputs[p], os.Stderr
		require.NoError(t, cmd.Start())
		started[p] = cmd
	}
	for p, cmd := range started {
		require.NoError(t, cmd.Wait())
		var one callersTally
		require.NoError(t, json.Unmarshal(outputs[p].Bytes(), &one))
		tally.Denied += one.Denied
	}
	ledger, err := budget.Open(t.Context(), backend.MustOpen(t, c.Ledger), callersPolicy)
	require.NoError(t, err)
	balances, err := ledger.Balances(t.Context(), budget.Scope{})
	require.NoError(t, err)
	tally.Settled, tally.Pending = balances[0].Settled.N, balances[0].Pending.N
	return tally
}

// inAProcess spends as callers of a process of their own, and prints what came of it.
func (c *callers) inAProcess() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	tally, err := c.spend(ctx, false)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(tally)
}
