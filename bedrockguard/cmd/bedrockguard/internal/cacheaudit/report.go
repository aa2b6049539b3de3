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
	switch {
	case g.unpriced && g.spent == 0:
		spent, saves = "unknown", "unknown"
	case g.unpriced:
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

// dollars prints an amount: in cents from a dollar on, and below that with five decimals.
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
// counts as zero, so that it does not lower the total's: that is what amount returns, in nano-USD.
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

// groupFinding is a kind of finding in a group.
type groupFinding struct {
	g *group
	f *found
}

// dearestFirst returns the findings of all groups, the most expensive first.
func dearestFirst(groups []*group) (all []groupFinding) {
	for _, g := range groups {
		for _, f := range g.findings {
			all = append(all, groupFinding{g, f})
		}
	}
	slices.SortFunc(all, func(x, y groupFinding) int {
		return cmp.Or(cmp.Compare(y.f.nanoUSD, x.f.nanoUSD), cmp.Compare(y.f.times, x.f.times), cmp.Compare(x.f.last.Rule, y.f.last.Rule), cmp.Compare(x.g.who, y.g.who))
	})
	return all
}

// printFindings prints the most expensive findings in full, o.Top of them, and how many others there are.
func (a *audit) printFindings(w io.Writer, groups []*group, o Options) error {
	all := dearestFirst(groups)
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "\nNothing to change was found.")
		return err
	}
	fmt.Fprintf(w, "\nWhat to change, the dearest first (one call may show several):\n")
	shown := min(max(o.Top, 0), len(all))
	for _, one := range all[:shown] {
		cost := ""
		if one.f.nanoUSD > 0 {
			cost = ", " + dollars(price.Amount(one.f.nanoUSD)) + " in all"
		}
		if _, err := fmt.Fprintf(w, "\n%s, %s: in %d of %d calls%s. The last one:\n%s", one.g.who, one.g.model, one.f.times, one.g.calls, cost, one.f.last.Render(o.Width)); err != nil {
			return err
		}
	}
	if rest := len(all) - shown; rest > 0 {
		fmt.Fprintf(w, "\n%d more; --top prints more of them.\n", rest)
	}
	return nil
}
