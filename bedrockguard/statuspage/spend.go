package statuspage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// classes are the classes by which tokens are billed. Their order here decides their colours.
var classes = []struct {
	name string
	unit budget.Unit
}{
	{"uncached input", budget.UnitUncachedInputTokens},
	{"cache reads", budget.UnitCacheReadInputTokens},
	{"cache writes", budget.UnitCacheWriteInputTokens},
	{"output", budget.UnitOutputTokens},
}

// noClass is for money that is not billed by tokens.
const noClass = "other charges"

// maxSeries is how many series a chart has; all others are added up.
const maxSeries = 7

// spent is what was charged in one column of a chart, for one workflow, model and region.
type spent struct {
	column                  int // the index of the day or minute
	workflow, model, region string
	other                   bool // a sum for calls whose workflow, model and region were not recorded, because the day or minute had too many
	charge                  budget.Charge
}

// series is one colour of a chart, for example one model: its value in each column.
type series struct {
	Name   string
	Values []int64
	Total  int64
}

// breakdown is spend over time, split by workflow, model or class of token.
type breakdown struct {
	Columns []time.Time
	Series  []series // the largest first; the sum of those that have none of their own last
	Totals  []int64  // by column
	Total   int64
	Unit    budget.Unit // UnitUSD, so that values are in nano-USD; or zero for a number of tokens
}

// workflowOf and modelOf return the names by which a charge is split.
func workflowOf(s *spent) string { return nameOf(s, s.workflow) }
func modelOf(s *spent) string    { return nameOf(s, s.model) }

// untold is the name for what was not recorded by name; see spent.other. It is longer than any name that a caller can choose.
var untold = strings.Repeat("?", driver.MaxScopeValue+1)

// nameOf returns the value, or untold for a charge of which it was not recorded.
func nameOf(s *spent, value string) string {
	if s.other {
		return untold
	}
	return value
}

// label returns the text for a name of nameOf.
func label(name string) string {
	if name == untold {
		return "(not told apart)"
	}
	return named(name)
}

// breakdownBy splits money by a name: workflowOf or modelOf.
func breakdownBy(columns []time.Time, all []spent, name func(*spent) string) breakdown {
	b := newBuilder(columns)
	for i := range all {
		b.add(all[i].column, name(&all[i]), all[i].charge[budget.UnitUSD])
	}
	return b.build()
}

// breakdownByClass splits money by class of token, in proportion to list prices.
func breakdownByClass(columns []time.Time, all []spent, prices *prices) breakdown {
	b := newBuilder(columns)
	for i := range all {
		for class, n := range prices.split(&all[i]) {
			b.add(all[i].column, class, n)
		}
	}
	return b.build()
}

// breakdownOfTokens splits tokens by class.
func breakdownOfTokens(columns []time.Time, all []spent) breakdown {
	b := newBuilder(columns)
	for i := range all {
		for _, class := range classes {
			b.add(all[i].column, class.name, all[i].charge[class.unit])
		}
	}
	told := b.build()
	told.Unit = 0 // build has made it one of money
	return told
}

// builder adds up amounts by series and column, and makes a breakdown of them.
type builder struct {
	columns []time.Time
	series  map[string][]int64 // by name: an amount for each column
}

func newBuilder(columns []time.Time) *builder {
	return &builder{columns, make(map[string][]int64)}
}

// add adds an amount to a series. A column that the chart does not have is ignored.
func (b *builder) add(column int, name string, n int64) {
	if n == 0 || column < 0 || column >= len(b.columns) {
		return
	}
	values := b.series[name]
	if values == nil {
		values = make([]int64, len(b.columns))
		b.series[name] = values
	}
	values[column] = sum(values[column], n)
}

// build returns the breakdown, as one of money. If there are more series than a chart shows, the smallest ones are added up to one series.
func (b *builder) build() breakdown {
	out := breakdown{Columns: b.columns, Totals: make([]int64, len(b.columns)), Unit: budget.UnitUSD}
	for name, values := range b.series {
		s := series{Name: name, Values: values}
		for i, n := range s.Values {
			s.Total = sum(s.Total, n)
			out.Totals[i] = sum(out.Totals[i], n)
		}
		out.Series = append(out.Series, s)
		out.Total = sum(out.Total, s.Total)
	}
	slices.SortFunc(out.Series, func(a, b series) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Name, b.Name))
	})
	for i := range out.Series { // up to here a name is what callers wrote, or untold
		out.Series[i].Name = label(out.Series[i].Name)
	}
	if len(out.Series) > maxSeries+1 { // the sum of a single further series would need as much room as that series
		rest := addedUp(out.Series[maxSeries:])
		// The capacity is cut as well, so that append copies the series instead of writing over one of them.
		out.Series = append(out.Series[:maxSeries:maxSeries], rest)
	}
	return out
}

// addedUp returns the sum of several series as one.
func addedUp(all []series) series {
	rest := series{Name: fmt.Sprintf("%d others", len(all)), Values: make([]int64, len(all[0].Values))}
	for _, s := range all {
		for i, n := range s.Values {
			rest.Values[i] = sum(rest.Values[i], n)
		}
		rest.Total = sum(rest.Total, s.Total)
	}
	return rest
}

// prices remembers list prices while a page is rendered, by model and region; nil stands for a model without one. The zero value is empty.
type prices struct{ known map[[2]string]*price.Price }

// of returns the list price of a model in a region, or nil.
func (p *prices) of(model, region string) *price.Price {
	key := [2]string{model, region}
	list, ok := p.known[key]
	if ok {
		return list
	}
	if found, _, err := bedrockguard.ModelFacts(model, region); err == nil {
		list = &found
	}
	if p.known == nil {
		p.known = make(map[[2]string]*price.Price)
	}
	p.known[key] = list
	return list
}

// split splits the money of a charge by class of token, in proportion to what each class costs at list prices. The parts add up to the charge
// exactly, even if it had discounts and tiers: what rounding leaves over is added to the largest part.
func (p *prices) split(s *spent) map[string]int64 {
	money := s.charge[budget.UnitUSD]
	list := p.of(s.model, s.region)
	if list == nil {
		return map[string]int64{noClass: money}
	}
	weights, whole, largest := weigh(&s.charge, &list.Rates)
	if whole <= 0 { // no tokens, only fees; or all rates are zero
		return map[string]int64{noClass: money}
	}
	parts := make(map[string]int64, len(classes))
	left := money
	for i, class := range classes {
		part := left // rounding can make a share larger than what is left
		if share := float64(money) * (weights[i] / whole); share < float64(left) {
			part = int64(share)
		}
		parts[class.name] = part
		left -= part
	}
	parts[classes[largest].name] += left
	return parts
}

// weigh returns what the tokens of each class cost at these rates, the sum of that, and the index of the largest one. All cache writes count as
// those for five minutes, because a charge does not tell them apart.
func weigh(c *budget.Charge, r *price.Rates) (weights [4]float64, whole float64, largest int) {
	rates := [len(weights)]price.PicoUSD{r.Input, r.CacheRead, r.CacheWrite5m, r.Output} // in the order of classes
	for i, class := range classes {
		weights[i] = float64(c[class.unit]) * float64(rates[i])
		whole += weights[i]
		if weights[i] > weights[largest] {
			largest = i
		}
	}
	return weights, whole, largest
}
