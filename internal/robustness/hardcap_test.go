// Package robustness holds the tests that need several processes, faults and kills. It is a module of its own, so that
// users of the library inherit none of it.
package robustness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/budget/verify"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

func TestMain(m *testing.M) {
	actAs(childEnv, (*childJob).main)
	actAs(cutOffEnv, func(j *cutOffJob) error { return j.run(context.Background(), os.Stdout) })
	actAs(callersEnv, (*callers).inAProcess)
	actAs(policyEnv, (*policyJob).run)
	goleak.VerifyTestMain(m)
}

// fleet is how many processes spend on one ledger, how many goroutines in each, and whether from leases of each process.
type fleet struct {
	processes, workers int
	leased             bool
}

// The claim of the project, for every store: eight processes spend on one ledger, the SDK's retries on, every fault of the
// simulator mixed in, half of them waiting for room, shortening answers, spending as children and changing the policy, and up to three processes are killed with -9 at a labelled point. The simulator's bill must not exceed
// the limit, nothing may stay pending after expiry, and the ledger must hold at least the bill, the excess coming from
// estimates alone. HEADLINE_SEEDS says how many runs a store gets.
func TestHardCapSurvivesFaultsAndKills(t *testing.T) {
	backend.Each(t, nil, func(t *testing.T, b backend.Backend, s backend.Server) {
		spendUnderFaults(t, b, s, fleet{processes: 8, workers: 8}, size(t, "HEADLINE_SEEDS", 2))
	})
}

// The same on one host, with more goroutines in fewer processes.
func TestHardCapOnOneHost(t *testing.T) {
	backend.Each(t, backend.Named("sqlite"), func(t *testing.T, b backend.Backend, s backend.Server) {
		spendUnderFaults(t, b, s, fleet{processes: 3, workers: 64}, size(t, "HEADLINE_SEEDS", 8))
	})
}

// The same with leases in front of the store. A process that dies takes its leases with it, which are charged.
func TestHardCapWithLeases(t *testing.T) {
	backend.Each(t, nil, func(t *testing.T, b backend.Backend, s backend.Server) {
		spendUnderFaults(t, b, s, fleet{processes: 8, workers: 8, leased: true}, size(t, "HEADLINE_SEEDS", 1))
	})
}

func spendUnderFaults(t *testing.T, b backend.Backend, s backend.Server, f fleet, runs int) {
	inferences, estimated, killed := 0, 0, 0
	for seed := range uint64(runs) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 42))
			run := newRun(t, b, s, f, seed, bedrocktest.RandomFaults(seed, 0.15), 1+2*random.Float64())
			for p := range f.processes {
				job := run.job(p)
				job.Lively = p%2 == 1
				if p < 1+int(seed%3) {
					job.DieAt, job.DieAfter = deathPoints[(int(seed)+3*p)%len(deathPoints)], random.IntN(20)
				}
				run.start(t, job)
			}
			run.wait(t)
			run.check(t)
			t.Logf("%d inferences, bill %s of %s, %d estimated, %d killed", run.inferences, run.bill, budget.USD(run.limit), run.estimated, run.killed)
			inferences, estimated, killed = inferences+run.inferences, estimated+run.estimated, killed+run.killed
		})
	}
	t.Logf("%d runs: %d inferences, %d estimated, %d processes killed, no overshoot", runs, inferences, estimated, killed)
}

// When nothing goes wrong, ledger and bill agree to the nano-dollar.
func TestLedgerIsTheBillWithoutFaults(t *testing.T) {
	backend.Each(t, nil, func(t *testing.T, b backend.Backend, s backend.Server) {
		for name, f := range map[string]fleet{"direct": {processes: 8, workers: 8}, "leased": {processes: 8, workers: 8, leased: true}} {
			t.Run(name, func(t *testing.T) {
				run := newRun(t, b, s, f, 1, nil, 1)
				for p := range f.processes {
					job := run.job(p)
					job.Complete = true
					run.start(t, job)
				}
				run.wait(t)
				run.check(t)
				require.Zero(t, run.estimated)
				require.Equal(t, run.bill, run.posted)
				require.Greater(t, int64(run.bill), int64(0.9*run.limit*1e9), "the cap was not tried")
				t.Logf("%d inferences, bill and ledger %s", run.inferences, run.bill)
			})
		}
	})
}

// run is one limit, one simulator and the processes that spend.
type run struct {
	backend backend.Backend
	fleet   fleet
	seed    uint64
	server  *bedrocktest.Server
	ledger  string
	limit   float64
	all     sync.WaitGroup
	mu      sync.Mutex
	failed  []string

	killed, inferences, estimated int
	bill, posted                  price.Amount
}

func newRun(t *testing.T, b backend.Backend, s backend.Server, f fleet, seed uint64, faults bedrocktest.Faults, limitUSD float64) *run {
	server := bedrocktest.New(t, bedrocktest.Options{Faults: faults, ReservationHeader: reservationHeader})
	return &run{backend: b, fleet: f, seed: seed, server: server, ledger: s.NewLedger(t), limit: limitUSD}
}

func (r *run) job(process int) childJob {
	return childJob{
		Seed: r.seed, Process: process, URL: r.server.URL(), Ledger: r.ledger, LimitUSD: r.limit,
		Workers: r.fleet.workers, Leased: r.fleet.leased, Calls: 200, Strict: r.strict(process),
	}
}

// strict lets some processes count tokens when the bound of bytes finds no room, which is much work: none in odd runs, all
// in every fourth, and a few in the others.
func (r *run) strict(process int) bool {
	switch r.seed % 4 {
	case 0:
		return process%4 != 0
	case 2:
		return false
	default:
		return true
	}
}

// start lets a process spend. A ledger that lives in this process is spent by goroutines of it, none of which can die.
func (r *run) start(t *testing.T, job childJob) {
	if !r.backend.Shared {
		job.DieAt = ""
		r.all.Go(func() { r.ended(job, job.run(t.Context()), false, "") })
		return
	}
	raw, err := json.Marshal(job)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	r.all.Go(func() {
		err := cmd.Wait()
		r.ended(job, err, cmd.ProcessState.ExitCode() == -1, stderr.String())
	})
}

func (r *run) ended(job childJob, err error, killed bool, stderr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
	case job.DieAt != "" && killed:
		r.killed++
	default:
		r.failed = append(r.failed, fmt.Sprintf("process %d: %v\n%s", job.Process, err, stderr))
	}
}

func (r *run) wait(t *testing.T) {
	r.all.Wait()
	require.Empty(t, r.failed)
}

// check holds the ledger against the simulator's bill, a day later.
func (r *run) check(t *testing.T) {
	ctx := t.Context()
	r.server.Close() // what a process that died had asked for is billed all the same
	bill := r.server.Bill()
	r.bill, r.inferences = price.Amount(bill.NanoUSD), bill.Inferences
	require.LessOrEqual(t, bill.NanoUSD, budget.USD(r.limit).N, "the bill exceeds the limit")

	later := func() time.Time { return time.Now().Add(24 * time.Hour) }
	store, err := backend.Open(ctx, r.ledger, backend.Patient, func(o *backend.Options) { o.Clock = later })
	require.NoError(t, err)
	defer store.Close()
	ledger, err := budget.Open(ctx, store, policy(r.limit))
	require.NoError(t, err)
	settled := r.settled(ctx, t, ledger)
	require.LessOrEqual(t, settled.N, budget.USD(r.limit).N, "the ledger exceeds the limit")
	require.GreaterOrEqual(t, settled.N, bill.NanoUSD, "spend vanished")
	r.posted = price.Amount(settled.N)
	storetest.AddUp(ctx, t, store)
	requireVerified(ctx, t, store)

	if r.fleet.leased {
		return // an entry stands for many calls
	}
	r.compareEntries(ctx, t, ledger)
	require.Equal(t, bill.NanoUSD, r.settled(ctx, t, ledger).N, "corrected by the simulator's figures, the ledger is the bill")
	requireVerified(ctx, t, store)
}

// requireVerified recomputes the ledger from its entries, as an operator's verify does. Nobody uses it any more.
func requireVerified(ctx context.Context, t *testing.T, store budget.Store) {
	report, err := verify.Ledger(ctx, store, verify.Options{Tries: 1})
	require.NoError(t, err)
	require.Empty(t, report.Differences)
	require.Positive(t, report.Entries)
}

// settled returns what the cap's account holds; after expiry nothing may be pending.
func (r *run) settled(ctx context.Context, t *testing.T, ledger *budget.Ledger) budget.Quantity {
	balances, err := ledger.Balances(ctx, budget.Scope{})
	require.NoError(t, err)
	for _, b := range balances {
		require.Zero(t, b.Pending.N, "%s: a reservation is left hanging", b.Limit)
	}
	require.Equal(t, "cap", balances[0].Limit)
	return balances[0].Settled
}

// compareEntries finds each inference in the ledger: entries that are not estimated must hold its very cost, and those
// that are must hold at least that. Then it corrects the estimates.
func (r *run) compareEntries(ctx context.Context, t *testing.T, ledger *budget.Ledger) {
	billed := make(map[string]bedrocktest.Inference)
	for _, inference := range r.server.Inferences() {
		require.NotContains(t, billed, inference.Reservation, "two inferences on one reservation")
		billed[inference.Reservation] = inference
	}
	var after budget.ID
	for {
		entries, err := storetest.Collect(ledger.Entries(ctx, budget.Query{After: after, Max: 1000}))
		require.NoError(t, err)
		for _, e := range entries {
			r.compareEntry(ctx, t, ledger, e, billed[e.ID.String()].NanoUSD)
			delete(billed, e.ID.String())
			after = e.ID
		}
		if len(entries) < 1000 {
			break
		}
	}
	require.Empty(t, billed, "inferences that the ledger knows nothing of")
}

func (r *run) compareEntry(ctx context.Context, t *testing.T, ledger *budget.Ledger, e budget.Entry, cost int64) {
	require.NotEqual(t, driver.Pending, e.State)
	require.False(t, e.Orphan, "spend without a reservation")
	if e.State == driver.Voided {
		require.Zero(t, cost, "an attempt that was billed was voided")
		return
	}
	posted := e.Actual[budget.UnitUSD]
	if !e.Estimated {
		require.Equal(t, cost, posted, "a settlement that is not estimated must be the bill")
		return
	}
	r.estimated++
	require.GreaterOrEqual(t, posted, cost, "an estimate below the bill")
	truth := e.Actual
	truth[budget.UnitUSD] = cost
	require.NoError(t, ledger.Correct(ctx, e.ID, truth))
}
