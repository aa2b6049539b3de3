package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// The incident, as on the invoice.
const (
	days          = 9
	incidentInput = 6_470_000_000 // uncached input tokens
	tolerance     = 0.10          // how far a line of the replay may be off
)

// mixLine is one line of the invoice and of the replay.
type mixLine struct {
	name    string
	invoice float64 // USD
	replay  bedrocktest.ClassLine
}

// printMix compares the replay without the guard, scaled up, with the invoice. It returns an error if a line differs by more than a tenth.
func printMix(w io.Writer, bill bedrocktest.Bill) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "the mix of the bill\tinvoice\treplayed x %d\tdifference\ttokens replayed\t\n", scale)
	var err error
	for _, l := range []mixLine{
		{"uncached input", 35_600, bill.Input},
		{"cache reads", 918, bill.CacheRead},
		{"cache writes", 698, bill.CacheWrite},
		{"output", 698, bill.Output},
	} {
		usd := float64(l.replay.NanoUSD) / 1e9 * scale
		off := usd/l.invoice - 1
		fmt.Fprintf(t, "%s\t$%.0f\t$%.0f\t%+.1f %%\t%d\t\n", l.name, l.invoice, usd, 100*off, l.replay.Tokens)
		// The first line that is off is reported.
		if math.Abs(off) > tolerance && err == nil {
			err = fmt.Errorf("the replay misses the invoice's %s by %.1f %%", l.name, 100*off)
		}
	}
	t.Flush()
	fmt.Fprintf(w, "%.1f %% of the input hit the cache.\n\n", 100*bill.CacheHitShare())
	return err
}

// printRuns compares the replays.
func printRuns(w io.Writer, runs []*run) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "replay\tcalls billed\trefused\tbill of the simulator\tledger\tledger - bill\tspared\t")
	for _, r := range runs {
		ledger, difference := "-", "-"
		if r.guarded() {
			ledger, difference = r.ledger.String(), price.Amount(r.ledger.N-r.bill.NanoUSD).String()
		}
		spared := 100 * (1 - r.bill.USD()/runs[0].bill.USD())
		fmt.Fprintf(t, "%s\t%d\t%d\t$%.4f\t%s\t%s\t%.0f %%\t\n", r.name, r.bill.Inferences, r.refused, r.bill.USD(), ledger, difference, spared)
	}
	t.Flush()
	fmt.Fprintln(w)
}

// printCause shows why the cache check refused the first request of a run. It returns an error if that was for another reason than the incident's, or
// if any call was billed.
func printCause(w io.Writer, r *run) error {
	if r.cause == nil {
		return fmt.Errorf("%s: no request was refused", r.name)
	}
	fmt.Fprintf(w, "Why the first request was refused with %q:\n", r.name)
	for _, f := range r.cause.Findings {
		fmt.Fprintln(w, f.Render(100))
	}
	// With cache.Refuse all calls have the same fault, so none of them may be billed.
	if r.bill.Inferences > 0 || r.cause.Findings[0].Rule != "uncached-tail" {
		return fmt.Errorf("%s: %d calls were billed, and the cause named is %s", r.name, r.bill.Inferences, r.cause.Findings[0].Rule)
	}
	return nil
}
