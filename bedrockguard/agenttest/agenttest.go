// Package agenttest holds an agent to its prompt caching in a go test: a scripted run of the agent, against a simulated
// Bedrock that models the prompt cache, has to reach a share of cache hits and to stay under a price. When it does not, the
// test fails with what the guard found: which cause, where in the request, what it costs and what to change.
//
//	func TestMyAgentCaches(t *testing.T) {
//		agenttest.Check(t, agenttest.Goal{MinHitShare: 0.8, MaxCost: budget.USD(2)}, func(ctx context.Context, client *bedrockruntime.Client) error {
//			return myagent.New(client).Run(ctx, "fix the build")
//		})
//	}
package agenttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// Goal is what a run has to reach, and how it is set up. With the zero value, a run only has to end without an error.
type Goal struct {
	// MinHitShare is the smallest share of all input tokens that has to be read from the cache, from 0 to 1.
	MinHitShare float64
	// MaxCost is the most that the run may cost, in USD at list price. It is compared with the simulator's bill, and is a limit of the
	// guard, which refuses a call whose worst case would exceed it. Any other unit is an error; zero sets no limit.
	MaxCost budget.Quantity
	// NoFindings says that any finding of the cache check fails the test, even when share and cost are met.
	NoFindings bool
	// Server scripts the simulated service: replies, faults, time.
	Server bedrocktest.Options
	// Guard configures the guard. If its cache check is switched off, it is switched to cache.Report, which the test needs.
	Guard bedrockguard.Options
}

// Result is the result of a run.
type Result struct {
	Bill     bedrocktest.Bill
	Findings []cache.Finding    // one for each rule, the first that was seen
	Calls    map[cache.Rule]int // how many findings of each rule were reported
}

// Check runs an agent, and fails the test if it does not reach the goal. The client talks to the simulated service through a guard. The
// caller can check the result further.
func Check(tb testing.TB, goal Goal, agent func(ctx context.Context, client *bedrockruntime.Client) error) Result {
	tb.Helper()
	result, err := run(tb, goal, agent)
	for _, missed := range goal.missed(result, err) {
		tb.Error(missed)
	}
	return result
}

// run sets up a ledger with the goal's limit, a guard and a simulated service, and lets the agent run once. Without a MaxCost, the limit is so high
// that no run reaches it.
func run(tb testing.TB, goal Goal, agent func(context.Context, *bedrockruntime.Client) error) (Result, error) {
	tb.Helper()
	ctx := tb.Context()
	ledger, err := goal.ledger(ctx)
	if err != nil {
		return Result{}, err
	}
	seen := recorder{calls: make(map[cache.Rule]int)}
	guard, err := bedrockguard.New(ledger, goal.guardOptions(&seen))
	if err != nil {
		return Result{}, err
	}
	server := bedrocktest.New(tb, goal.Server)
	err = agent(ctx, guard.NewFromConfig(server.Config()))
	err = errors.Join(err, guard.Close(context.WithoutCancel(ctx))) // waits for the usage of streams that are still being read to their end
	found, calls := seen.all()
	return Result{Bill: server.Bill(), Findings: found, Calls: calls}, err
}

// ledger returns a ledger with the goal's limit.
func (g *Goal) ledger(ctx context.Context) (*budget.Ledger, error) {
	limit := budget.Limit{Name: "agenttest", Max: budget.USD(1e6), Window: budget.Lifetime}
	if g.MaxCost != (budget.Quantity{}) && g.MaxCost.Unit != budget.UnitUSD {
		return nil, fmt.Errorf("agenttest: MaxCost is %s, want USD", g.MaxCost)
	}
	if g.MaxCost.N != 0 {
		limit.Max = g.MaxCost
	}
	return budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{limit}})
}

// guardOptions returns the goal's options for the guard, changed so that seen gets the findings. The goal's own OnEvent is still called.
func (g *Goal) guardOptions(seen *recorder) bedrockguard.Options {
	opts := g.Guard
	if !opts.Cache.Enabled() {
		opts.Cache.Mode = cache.Report
	}
	listener := opts.OnEvent
	opts.OnEvent = func(ctx context.Context, e bedrockguard.Event) {
		seen.add(e)
		if listener != nil {
			listener(ctx, e)
		}
	}
	if opts.Clock == nil { // the cache of the simulated service and the guard's check have to agree on the time
		opts.Clock = g.Server.Clock
	}
	return opts
}

// missed returns a text for each part of the goal that the run did not reach; err is the agent's. The findings are appended to the last text.
func (g Goal) missed(r Result, err error) []string {
	var missed []string
	if err != nil {
		missed = append(missed, fmt.Sprintf("agenttest: the agent failed: %v", err))
	}
	if share := r.Bill.CacheHitShare(); share < g.MinHitShare {
		missed = append(missed, fmt.Sprintf("agenttest: %.1f %% of the input was read from the cache, want %.1f %% or more (%d calls, $%.4f)", 100*share, 100*g.MinHitShare, r.Bill.Inferences, r.Bill.USD()))
	}
	if g.MaxCost.N != 0 && r.Bill.NanoUSD > g.MaxCost.N {
		missed = append(missed, fmt.Sprintf("agenttest: the run cost %s, want %s or less", price.Amount(r.Bill.NanoUSD), g.MaxCost))
	}
	if g.NoFindings && len(r.Findings) > 0 {
		missed = append(missed, fmt.Sprintf("agenttest: %d findings, want none", len(r.Findings)))
	}
	if len(missed) > 0 && len(r.Findings) > 0 {
		missed[len(missed)-1] += "\n" + r.String()
	}
	return missed
}

// terminalWidth is the width, in columns, at which findings are printed.
const terminalWidth = 100

// String renders the findings for a terminal. The line with the number of events continues the list of labels that Finding.Render prints.
func (r Result) String() string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s  in     %d events\n", f.Render(terminalWidth), r.Calls[f.Rule])
	}
	return b.String()
}

// recorder keeps the first finding of each rule, and counts all. It is safe for concurrent use.
type recorder struct {
	mu    sync.Mutex
	found []cache.Finding
	calls map[cache.Rule]int // how many findings of each rule there were
}

// add records an event if it has a finding.
func (r *recorder) add(e bedrockguard.Event) {
	if e.Kind != bedrockguard.EventCacheFinding {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[e.Finding.Rule]++
	// Later findings of a rule are only counted.
	if !slices.ContainsFunc(r.found, func(f cache.Finding) bool { return f.Rule == e.Finding.Rule }) {
		r.found = append(r.found, e.Finding)
	}
}

// all returns copies of what was recorded.
func (r *recorder) all() ([]cache.Finding, map[cache.Rule]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.found), maps.Clone(r.calls)
}
