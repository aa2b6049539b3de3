package cacheaudit

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// sorted returns the groups, the most expensive first.
func (a *audit) sorted() []*group {
	return slices.SortedFunc(maps.Values(a.groups), func(x, y *group) int {
		return cmp.Or(cmp.Compare(y.spent, x.spent), cmp.Compare(x.who, y.who), cmp.Compare(x.model, y.model))
	})
}

// report prints the figures of each group and what to change first.
func (a *audit) report(w io.Writer, o Options) error {
	groups := a.sorted()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workflow or principal\tmodel\tcalls\tfailed\tinput tokens\tread from cache\tspent\tcould be saved\t")
	total := group{groupKey: groupKey{who: "all"}}
	for _, g := range groups {
		g.print(t)
		total.merge(g)
	}
	total.print(t)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nMoney is at list price, credits and discounts left aside. \"could be saved\" is an estimate of what the same calls would\nhave cost less with every repeated prefix read from the cache. A prefix that changes needlessly, as findings may say, is not in it.\n")
	a.printGaps(w, total)
	return a.printFindings(w, groups, o)
}

// print prints one row of the table. What was spent is unknown if none of the calls has a price, and a lower bound if some have none. What could
// be saved is unknown if no body could be read.
func (g *group) print(w io.Writer) {
	spent, saves := dollars(g.spent), dollars(g.saving.amount())
	if g.unpriced && g.spent == 0 {
		spent, saves = "unknown", "unknown"
	} else if g.unpriced {
		spent = "> " + spent
	}
	noneRead := g.unread > 0 && g.unread == g.calls-g.failed // failed calls need no body
	if noneRead {
		saves = "unknown"
	}
	share := "-"
	if g.usage.InputTokens > 0 {
		share = fmt.Sprintf("%.1f %%", 100*float64(g.usage.CacheReadInputTokens)/float64(g.usage.InputTokens))
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t\n", g.who, g.model, g.calls, g.failed, g.usage.InputTokens, share, spent, saves)
}

// dollars prints an amount with the significant digits.
func dollars(a price.Amount) string {
	usd := float64(a) / 1e9
	switch {
	case a == 0:
		return "$0"
	case usd >= 1:
		return fmt.Sprintf("$%.2f", usd)
	default:
		return fmt.Sprintf("$%.5f", usd)
	}
}

// merge adds another group to a total, as far as print shows it. Where a group's calls cost less than the estimate of ideal caching, its saving
// counts as zero (amount), so that it does not lower the total's.
func (g *group) merge(o *group) {
	g.calls, g.failed, g.unread = g.calls+o.calls, g.failed+o.failed, g.unread+o.unread
	g.usage.InputTokens += o.usage.InputTokens
	g.usage.CacheReadInputTokens += o.usage.CacheReadInputTokens
	g.spent += o.spent
	g.saving.pico += float64(o.saving.amount()) * 1000
	g.unpriced = g.unpriced || o.unpriced
}

// printGaps prints which calls the figures do not include.
func (a *audit) printGaps(w io.Writer, total group) {
	for _, gap := range [...]struct {
		n    int
		text string
	}{
		{a.badLines, "lines hold no record that can be read"},
		{a.longLines, "lines are longer than 32 MB and were left out"},
		{a.emptyFiles, "files hold no record"},
		{a.cutFiles, "files are cut off or damaged, and count up to there"},
		{total.unread, "calls have a body that is not at hand or not understood: they count in the table, and are not examined"},
	} {
		if gap.n > 0 {
			fmt.Fprintf(w, "%d %s.\n", gap.n, gap.text)
		}
	}
	if total.unpriced {
		fmt.Fprintln(w, "Some models have no price in the catalog: their calls are not in the sums of money.")
	}
}

// printFindings prints the most expensive findings in full, o.Top of them, and how many others there are.
func (a *audit) printFindings(w io.Writer, groups []*group, o Options) error {
	type line struct {
		g *group
		f *found
	}
	var lines []line
	for _, g := range groups {
		for _, f := range g.findings {
			lines = append(lines, line{g, f})
		}
	}
	slices.SortFunc(lines, func(x, y line) int {
		return cmp.Or(cmp.Compare(y.f.nanoUSD, x.f.nanoUSD), cmp.Compare(y.f.times, x.f.times), cmp.Compare(x.f.last.Rule, y.f.last.Rule), cmp.Compare(x.g.who, y.g.who))
	})
	if len(lines) == 0 {
		_, err := fmt.Fprintln(w, "\nNothing to change was found.")
		return err
	}
	fmt.Fprintf(w, "\nWhat to change, the dearest first (one call may show several):\n")
	for _, l := range lines[:min(max(o.Top, 0), len(lines))] {
		cost := ""
		if l.f.nanoUSD > 0 {
			cost = ", " + dollars(price.Amount(l.f.nanoUSD)) + " in all"
		}
		if _, err := fmt.Fprintf(w, "\n%s, %s: in %d of %d calls%s. The last one:\n%s", l.g.who, l.g.model, l.f.times, l.g.calls, cost, l.f.last.Render(o.Width)); err != nil {
			return err
		}
	}
	if rest := len(lines) - max(o.Top, 0); rest > 0 {
		fmt.Fprintf(w, "\n%d more; --top prints more of them.\n", rest)
	}
	return nil
}
