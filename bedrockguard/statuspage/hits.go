package statuspage

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// The shares of cache reads are computed from lists of spent (spend.go): charges by day or minute, in which spent.column is the index of the day. A
// figure (text.go) is a number as text, and a spark (chart.go) a small row of columns.

// hitView shows which share of the input was read from the cache, by workflow.
type hitView struct {
	Rows  []hitRow
	More  int        // how many further workflows have no row
	Heads []string   // the workflows of the table by day
	Days  []chartRow // the rows of that table
}

// hitRow is a row of the table of workflows. The last four texts are shares in percent: of the last hour, of today, of 7 days and of all days.
type hitRow struct {
	Workflow                string
	Input, Read             figure // tokens of all days: all input, and what of it was read from the cache
	Hour, Today, Week, Span string
	Spark                   spark // the share of each day
}

// hits are the input tokens of one workflow, and how many of them were read from the cache.
type hits struct {
	name                string
	read, input         []int64 // by day, as in snapshot.days
	hourRead, hourInput int64   // of the last hour
	total, totalRead    int64   // input and read, summed over all days
}

// hitsOf computes which share of each workflow's input was read from the cache: daily are the charges of the days in columns, hourly those of
// the last hour. The workflows with the most input come first, and at most so many as most says.
func hitsOf(columns []time.Time, daily, hourly []spent, most int) hitView {
	all := workflowHits{len(columns), make(map[string]*hits)}
	for i := range daily {
		// The store's clock may be in the next day already, which has no column.
		if column := daily[i].column; column >= 0 && column < len(columns) {
			all.of(&daily[i]).addDay(&daily[i])
		}
	}
	for i := range hourly {
		all.of(&hourly[i]).addHour(&hourly[i])
	}
	sorted := slices.SortedFunc(maps.Values(all.byName), func(a, b *hits) int { return cmp.Or(cmp.Compare(b.total, a.total), cmp.Compare(a.name, b.name)) })
	v := hitView{More: max(0, len(sorted)-most)}
	for _, h := range sorted[:len(sorted)-v.More] {
		v.Rows = append(v.Rows, h.row())
	}
	v.byDay(columns, sorted[:min(len(sorted), maxSeries)]) // as many as a chart has series
	return v
}

// workflowHits has the hits of all workflows, by name.
type workflowHits struct {
	days   int // how many days there are
	byName map[string]*hits
}

// of returns the hits of a charge's workflow, to be added to.
func (w *workflowHits) of(s *spent) *hits {
	name := workflowOf(s)
	h := w.byName[name]
	if h == nil {
		h = &hits{name: name, read: make([]int64, w.days), input: make([]int64, w.days)}
		w.byName[name] = h
	}
	return h
}

// addDay adds what was charged on a day.
func (h *hits) addDay(s *spent) {
	read, input := s.charge[budget.UnitCacheReadInputTokens], s.charge[budget.UnitInputTokens]
	h.read[s.column], h.input[s.column] = sum(h.read[s.column], read), sum(h.input[s.column], input)
	h.totalRead, h.total = sum(h.totalRead, read), sum(h.total, input)
}

// addHour adds what was charged in the last hour.
func (h *hits) addHour(s *spent) {
	h.hourRead = sum(h.hourRead, s.charge[budget.UnitCacheReadInputTokens])
	h.hourInput = sum(h.hourInput, s.charge[budget.UnitInputTokens])
}

// row returns the workflow's row of the table. Days are counted from the last one, which is today.
func (h *hits) row() hitRow {
	share := func(days int) string {
		read, input := int64(0), int64(0)
		// The days end with today. percent is empty for a workflow without input on them.
		for i := len(h.read) - days; i < len(h.read); i++ {
			read, input = sum(read, h.read[i]), sum(input, h.input[i])
		}
		return percent(read, input)
	}
	return hitRow{
		Workflow: label(h.name), Input: figureOf(tokens(h.total)), Read: figureOf(tokens(h.totalRead)), Hour: percent(h.hourRead, h.hourInput),
		Today: share(1), Week: share(7), Span: share(historyDays), Spark: sparkOf(h.read, h.input),
	}
}

// byDay fills in the table by day, for the workflows with the most input. Days on which none of them had any are left out.
func (v *hitView) byDay(columns []time.Time, largest []*hits) {
	for _, h := range largest {
		v.Heads = append(v.Heads, label(h.name))
	}
	for i, day := range columns {
		row, hasInput := chartRow{Head: dayOf(day)}, false
		for _, h := range largest {
			text := percent(h.read[i], h.input[i])
			hasInput = hasInput || text != ""
			row.Cells = append(row.Cells, figure{text, text})
		}
		if hasInput {
			v.Days = append(v.Days, row)
		}
	}
}

// tokens is a quantity that is shown without a unit.
func tokens(n int64) budget.Quantity { return budget.Quantity{N: n} }
