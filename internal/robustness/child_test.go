package robustness

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// childJob is what a spending process is told through its environment.
type childJob struct {
	Seed     uint64
	Process  int
	URL      string // of the simulator
	Ledger   string // address of the ledger that all processes share
	LimitUSD float64
	Workers  int
	Calls    int    // at most, for each worker
	DieAt    string // label of the point at which the process kills itself; empty for never
	DieAfter int    // how many times it passes the point first
	Complete bool   // read every stream to its end
	Strict   bool   // reserve the byte-length bound alone
	Leased   bool   // spend from leases in front of the store
	Lively   bool   // wait for room, shorten answers into what is left, spend as children, and change the policy meanwhile
	Listen   string // serve others there as a proxy, instead of spending
}

const childEnv = "BEDROCKGUARD_CHILD"

// reservationHeader carries the reservation's id to the simulator, so that each of its inferences can be found in the
// ledger.
const reservationHeader = "X-Reservation"

// main is the process under test.
func (job *childJob) main() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if job.Listen != "" {
		return job.serve(ctx)
	}
	return job.run(ctx)
}

// run opens a handle on the ledger and lets many goroutines spend as fast as they may, until they are refused or killed.
func (job childJob) run(ctx context.Context) (failed error) {
	opened, err := backend.Open(ctx, job.Ledger, backend.Patient)
	if err != nil {
		return err
	}
	defer opened.Close()
	death := &death{label: job.DieAt, after: job.DieAfter}
	store := budget.Store(&mortalStore{Store: opened, death: death})
	if job.Leased {
		leased, err := lease.New(store, lease.Options{Length: time.Second})
		if err != nil {
			return err
		}
		defer func() { failed = errors.Join(failed, leased.Close()) }()
		store = leased
	}
	ledger, err := budget.Open(ctx, store, policy(job.LimitUSD))
	if err != nil {
		return err
	}
	guard, err := newGuard(ledger, job)
	if err != nil {
		return err
	}
	changing, stop := context.WithCancel(ctx)
	var changes sync.WaitGroup
	defer func() { stop(); changes.Wait() }()
	if job.Lively {
		changes.Go(func() { changePolicies(changing, ledger, job.LimitUSD) })
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = job.Workers
	defer transport.CloseIdleConnections()
	cfg := childConfig(job, &mortalTransport{next: transport, death: death})
	// One client for each stream: event streams that run at once on one client share scratch memory in the SDK, which the
	// race detector reports (aws/smithy-go#714).
	newClient := func() *bedrockruntime.Client { return guard.NewFromConfig(cfg) }
	errs := make(chan error, job.Workers)
	var workers sync.WaitGroup
	for w := range job.Workers {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(job.Seed, uint64(job.Process*1000+w)))
			if err := spend(ctx, ledger, newClient, random, job); err != nil {
				errs <- err
			}
		})
	}
	workers.Wait()
	close(errs)
	return <-errs // nil when there is none
}

// policy holds the cap under test and two more limits, so that each reservation touches three accounts.
func policy(limitUSD float64) budget.Policy {
	return budget.Policy{Limits: []budget.Limit{
		{Name: "cap", Max: budget.USD(limitUSD), Window: budget.Lifetime},
		{Name: "principal-month", Max: budget.USD(limitUSD * 2), Window: budget.Monthly, Per: budget.PerPrincipal},
		{Name: "fresh-input", Max: budget.UncachedInputTokens(1 << 40), Window: budget.Rolling(time.Hour), Per: budget.PerWorkflow},
	}}
}

// changePolicies lowers the cap to a part of it and raises it again, until ctx ends.
func changePolicies(ctx context.Context, ledger *budget.Ledger, limitUSD float64) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for lower := true; ; lower = !lower {
		cap := limitUSD
		if lower {
			cap *= 0.7
		}
		if err := ledger.SetPolicy(policy(cap)); err != nil {
			panic(err) // it is valid
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

func newGuard(ledger *budget.Ledger, job childJob) (*bedrockguard.Guard, error) {
	o := bedrockguard.Options{ReservationHeader: reservationHeader, StoreTimeout: time.Minute, SettleTimeout: time.Minute, StrictBound: job.Strict}
	if job.Lively {
		o.MaxWait = 50 * time.Millisecond
		o.Output = bedrockguard.Output{Default: 400, Floor: 20, Clamp: true}
	}
	return bedrockguard.New(ledger, o)
}

func childConfig(job childJob, transport http.RoundTripper) aws.Config {
	timeout := 2 * time.Second
	if job.Complete { // a slow machine is no fault
		timeout = 0
	}
	return aws.Config{
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		BaseEndpoint: aws.String(job.URL),
		HTTPClient:   &http.Client{Transport: transport, Timeout: timeout},
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
				o.RateLimiter = ratelimit.None
			})
		},
	}
}
