// Command incident replays, against the simulated Bedrock, how one coding agent spent $37,901.73 in nine days: without the
// guard, with a cap of $200 a month, and with an hourly limit on uncached input tokens. Nothing leaves this machine.
//
//	go run ./examples/incident
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// scale is how much smaller the replay is than the incident: it spends a hundredth of the tokens at full prices.
const scale = 100

func main() {
	svg := flag.String("svg", "incident.svg", "where to write the chart")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := replay(ctx, *svg); err != nil {
		fmt.Fprintln(os.Stderr, "incident:", err)
		os.Exit(1)
	}
}

// cases returns the replays, in the order that replay and judge rely on. Each with a guard has a ledger of its own on a fresh SQLite file.
func cases() []*run {
	return []*run{
		{name: "without the guard"},
		{name: "$200 a month", limits: []budget.Limit{
			{Name: "principal-month", Max: budget.USD(200), Window: budget.Monthly, Per: budget.PerPrincipal},
		}},
		{name: "500k fresh tokens an hour", limits: []budget.Limit{
			{Name: "fresh-input", Max: budget.UncachedInputTokens(500_000), Window: budget.Rolling(time.Hour), Per: budget.PerPrincipal},
		}},
		{name: "cache: refuse", cache: cache.Refuse},
		{name: "cache: fix", cache: cache.Fix},
	}
}

// replay makes all runs, prints how they compare, and writes the chart to the file svg. It returns an error if the first run does not resemble the
// invoice, or if the guard has not kept its promises.
func replay(ctx context.Context, svg string) error {
	began := time.Now()
	fmt.Printf("Replaying nine days of %s at 1:%d of the incident's tokens, simulated.\n\n", modelID, scale)
	runs := cases()
	for _, r := range runs {
		if r.cache == cache.Fix {
			r.calls = runs[0].bill.Inferences // the same work: it spends less on it, so it must not go on until the incident's tokens are spent
		}
		if err := r.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	// Its error is returned at the end, so that the other runs are printed in any case.
	mixErr := printMix(os.Stdout, runs[0].bill)
	printRuns(os.Stdout, runs)
	fmt.Println(terminalChart(runs))
	if err := writeSVG(svg, runs); err != nil {
		return err
	}
	fmt.Printf("The same chart is in %s. All of it took %s.\n", svg, time.Since(began).Round(time.Second))
	if mixErr != nil {
		return mixErr
	}
	return judge(runs)
}

// judge checks the replays against what the guard promises. They have the order of cases; of the one with fresh tokens nothing is promised.
func judge(runs []*run) error {
	unguarded, capped, refused, fixed := runs[0], runs[1], runs[3], runs[4]
	if capped.bill.NanoUSD > budget.USD(200).N {
		return fmt.Errorf("the capped run was billed %s", price.Amount(capped.bill.NanoUSD))
	}
	// The run with cache.Fix has made as many calls as the first.
	if share := float64(fixed.bill.NanoUSD) / float64(unguarded.bill.NanoUSD); share > 0.20 {
		return fmt.Errorf("with its cache points placed, the same work cost %.1f %% of the unguarded bill", 100*share)
	}
	return printCause(os.Stdout, refused)
}
