package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/schollz/progressbar/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// run is one replay with its results.
type run struct {
	name   string
	limits []budget.Limit // of money and tokens; may be empty
	cache  cache.Mode     // what the guard does about caching
	calls  int            // stop after so many calls; 0 goes on until the incident's tokens are spent

	bill    bedrocktest.Bill    // as the simulator kept it
	ledger  budget.Quantity     // what the ledger holds; zero without the guard
	refused int                 // calls that the guard refused, or that failed
	cause   *cache.RefusedError // the first refusal by the cache check
	err     error               // of a call, other than a refusal
	spend   []point             // the bill over the replay's time
}

// point is the bill at a moment.
type point struct {
	at  time.Duration
	usd float64
}

// do replays the agent's nine days on a fresh simulated Bedrock, and sets the results. It ends when the nine days are over, the incident's input
// tokens are spent, r.calls are made, or a call fails for another reason than a refusal.
func (r *run) do(ctx context.Context) error {
	files, err := openCorpus()
	if err != nil {
		return err
	}
	start := time.Date(2026, 4, 6, 8, 0, 0, 0, time.UTC)
	clock := newClock(start)
	server, err := bedrocktest.Start(bedrocktest.Options{
		Clock: clock.Now,
		Reply: func(q bedrocktest.Request) bedrocktest.Reply {
			return bedrocktest.Reply{OutputTokens: outputTokens - 50 + 100*(q.Seq%2)} // outputTokens on average, by turns less and more
		},
	})
	if err != nil {
		return err
	}
	defer server.Close()
	client, settled, closeLedger, err := r.client(ctx, server, clock)
	if err != nil {
		return err
	}
	defer closeLedger()

	bar := r.progressBar()
	a := &agent{client: client, files: files, clock: clock, onTurn: func(err error) {
		bill := server.Bill()
		_ = bar.Set64(bill.Input.Tokens)
		r.note(clock.Now().Sub(start), bill, err)
	}}
	deadline := start.Add(days * 24 * time.Hour)
	a.work(ctx, func() bool { return r.isOver(server.Bill()) || clock.Now().After(deadline) || r.err != nil })
	_ = bar.Finish()
	r.bill = server.Bill()
	if r.ledger, err = settled(ctx); err != nil {
		return err
	}
	return errors.Join(ctx.Err(), r.err)
}

// progressBar returns a bar on standard error that is full when the incident's input tokens are spent.
func (r *run) progressBar() *progressbar.ProgressBar {
	return progressbar.NewOptions(incidentInput/scale, progressbar.OptionSetDescription(fmt.Sprintf("%-26s", r.name)),
		progressbar.OptionSetWriter(os.Stderr), progressbar.OptionThrottle(250*time.Millisecond), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
}

// isOver reports whether r.calls are made, if that is a number, or the incident's input tokens are spent.
func (r *run) isOver(bill bedrocktest.Bill) bool {
	return r.calls > 0 && bill.Inferences >= r.calls || bill.Input.Tokens >= incidentInput/scale
}

// note adds to the results what came of a call: the bill after it, its time since the start, and its error. A refused call adds a point, too, with
// the same bill.
func (r *run) note(at time.Duration, bill bedrocktest.Bill, err error) {
	r.spend = append(r.spend, point{at, bill.USD()})
	if err != nil {
		r.refused++
	}
	// errors.As leaves r.cause nil until the cache check has refused a call.
	if r.cause == nil {
		errors.As(err, &r.cause)
	}
	refusal := errors.Is(err, bedrockguard.ErrBudgetExceeded) || errors.Is(err, cache.ErrRefused)
	if err != nil && !refusal && r.err == nil {
		r.err = err
	}
}

// guarded reports whether the replay has a guard at all.
func (r *run) guarded() bool { return len(r.limits) > 0 || r.cache != cache.Off }

// client returns a client of the simulator, guarded or not, a function that asks the ledger what was spent, and one that removes the ledger. Without
// a guard there is no ledger, and both do nothing.
func (r *run) client(ctx context.Context, server *bedrocktest.Server, clock *clock) (*bedrockruntime.Client, func(context.Context) (budget.Quantity, error), func(), error) {
	if !r.guarded() {
		unknown := func(context.Context) (budget.Quantity, error) { return budget.Quantity{}, nil }
		return bedrockruntime.NewFromConfig(server.Config()), unknown, func() {}, nil
	}
	ledger, closeLedger, err := r.openLedger(ctx, clock)
	if err != nil {
		return nil, nil, nil, err
	}
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{Cache: cache.Policy{Mode: r.cache}, Clock: clock.Now})
	if err != nil {
		closeLedger()
		return nil, nil, nil, err
	}
	settled := func(ctx context.Context) (budget.Quantity, error) {
		// The agent's principal. Any scope would do, because "spent", the first limit, is not split.
		balances, err := ledger.Balances(ctx, budget.Scope{Principal: "ci"})
		if err != nil {
			return budget.Quantity{}, err
		}
		return balances[0].Settled, nil
	}
	return guard.NewFromConfig(server.Config()), settled, closeLedger, nil
}

// openLedger opens a ledger with the run's limits on a fresh file, and returns with it a function that closes it and removes the file.
func (r *run) openLedger(ctx context.Context, clock *clock) (*budget.Ledger, func(), error) {
	dir, err := os.MkdirTemp("", "incident")
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlitestore.Open(ctx, filepath.Join(dir, "spend.db"), sqlitestore.Options{Create: true, Clock: clock.Now})
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, err
	}
	closeLedger := func() { store.Close(); os.RemoveAll(dir) }
	// A limit that is never reached counts the money in any case.
	limits := append([]budget.Limit{{Name: "spent", Max: budget.USD(1e6), Window: budget.Lifetime}}, r.limits...)
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: limits})
	if err != nil {
		closeLedger()
		return nil, nil, err
	}
	return ledger, closeLedger, nil
}
