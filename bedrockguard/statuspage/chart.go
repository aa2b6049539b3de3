package statuspage

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Charts show breakdowns (spend.go): spend over time, one column for each day or minute, split into series such as models. A figure (text.go) is a
// number as text, once rounded and once exact. Classes are classes of tokens, such as "cache reads"; a Class is a class of CSS, here a colour.

// A chart is an SVG picture that the browser stretches to the available space, so these lengths are in the picture's own units. Of a column's
// width, the template fills 8 units. Labels are in the HTML beside the picture, so that they are not stretched.
const (
	chartHeight = 1000
	columnWidth = 10
)

// chart shows a breakdown as stacked columns, with a legend, and with a table that has the exact figures.
type chart struct {
	ID, Title    string
	Width        int
	Columns      []chartColumn // only those in which something was spent
	Top, Half    string        // labels of the vertical axis: at its top and in its middle
	First, Last  string        // labels of the horizontal axis: of its first and its last column
	Legend       []legend
	Heads        []string   // of the table: the names of the series
	Rows         []chartRow // of the table: one for each column of the picture
	Total        figure
	Empty        bool   // nothing was spent
	Unit, Period string // "USD" or "tokens", by the "day" or the "minute"
}

// chartColumn is one column, with its parts from the bottom up.
type chartColumn struct {
	Title string
	Parts []chartPart
}

// chartPart is a rectangle. Y is its upper edge, counted from the top of the picture.
type chartPart struct {
	X, Y, Height int
	Class        string // of CSS: its colour
}

// legend is one entry of a chart's legend: a series, with its sum and its share of the chart's total.
type legend struct {
	Class, Name string
	Total       figure
	Share       string
}

// chartRow is a row of a table: of one day or minute, with a cell for each series and, in a chart's table, one for their sum.
type chartRow struct {
	Head  string
	Cells []figure
}

// chartOf draws a breakdown. moments is the time layout for the names of columns: dayForm or minuteForm.
func chartOf(id, title, moments string, b breakdown) chart {
	c := chart{ID: id, Title: title, Width: len(b.Columns) * columnWidth, Unit: "USD", Total: b.figure(b.Total), Empty: len(b.Series) == 0, Period: "day"}
	if b.Unit == 0 { // see breakdown.Unit
		c.Unit = "tokens"
	}
	if moments == minuteForm {
		c.Period = "minute"
	}
	if c.Empty {
		return c
	}
	for i, s := range b.Series {
		c.Legend = append(c.Legend, legend{colour(s.Name, i), s.Name, b.figure(s.Total), percent(s.Total, b.Total)})
		c.Heads = append(c.Heads, s.Name)
	}
	top := niceTop(slices.Max(b.Totals))
	c.Top, c.Half = rounded(top, b.Unit), rounded(top/2, b.Unit)
	c.First, c.Last = b.Columns[0].Format(moments), b.Columns[len(b.Columns)-1].Format(moments)
	for i, at := range b.Columns {
		if b.Totals[i] != 0 {
			c.Columns = append(c.Columns, b.column(i, top, at.Format(moments)))
			c.Rows = append(c.Rows, b.row(i, at.Format(moments)))
		}
	}
	return c
}

// row returns the row of the table for the column with index i.
func (b *breakdown) row(i int, name string) chartRow {
	row := chartRow{Head: name}
	for _, s := range b.Series {
		row.Cells = append(row.Cells, b.figure(s.Values[i]))
	}
	row.Cells = append(row.Cells, b.figure(b.Totals[i]))
	return row
}

// column stacks the parts of the column with index i; top is the amount at the top of the vertical axis. The edges of a part are rounded, and not
// its height, so that no gap is left between parts. A column begins one unit to the right, which centres its 8 units of 10.
func (b *breakdown) column(i int, top int64, name string) chartColumn {
	c := chartColumn{Title: name + ": " + b.figure(b.Totals[i]).Text}
	height := func(n int64) int { return int(math.Round(chartHeight * float64(n) / float64(top))) }
	below := int64(0)
	for j, s := range b.Series {
		// below is the sum of the series under this one.
		from := height(below)
		below = sum(below, s.Values[i])
		if to := height(below); to > from {
			c.Parts = append(c.Parts, chartPart{i*columnWidth + 1, chartHeight - to, to - from, colour(s.Name, j)})
		}
	}
	return c
}

// figure shows an amount of the breakdown, in dollars or as a number of tokens.
func (b *breakdown) figure(n int64) figure {
	if b.Unit == 0 {
		return figureOf(tokens(n))
	}
	return usd(n)
}

// colour returns the CSS class of a series. A class of tokens, such as "cache reads", has the same one in every chart; any other series has the
// one of its index i in its chart.
func colour(name string, i int) string {
	for j, class := range classes {
		if class.name == name {
			return fmt.Sprintf("s%d", j)
		}
	}
	if name == noClass {
		return "s7" // the last colour there is, which no class has
	}
	return fmt.Sprintf("s%d", i)
}

// niceTop returns a round number that is at least n, for the top of an axis. It is at least 2, so that its half is not zero.
func niceTop(n int64) int64 {
	scale := math.Pow(10, math.Floor(math.Log10(float64(max(n, 1)))))
	for _, step := range []float64{1, 2, 4, 5, 8, 10} {
		if top := step * scale; top >= float64(n) && top < math.MaxInt64 {
			return max(int64(top), 2)
		}
	}
	return math.MaxInt64
}

// The time layouts for the names of columns.
const (
	dayForm    = "Jan 2"
	minuteForm = "15:04"
)

// spark is a small row of columns without an axis.
type spark struct {
	Width int
	Parts []chartPart
}

// sparkOf draws the ratio parts[i]/wholes[i] as column i. A ratio of zero still has a visible column; a whole of zero has none. Columns begin at
// the left of their 10 units: those of a chart are centred, those of a spark are not. s1 is the CSS class of cache reads (see colour).
func sparkOf(parts, wholes []int64) spark {
	s := spark{Width: len(parts) * columnWidth}
	for i := range parts {
		if wholes[i] <= 0 {
			continue
		}
		height := max(20, int(chartHeight*float64(parts[i])/float64(wholes[i])))
		s.Parts = append(s.Parts, chartPart{i * columnWidth, chartHeight - height, height, "s1"})
	}
	return s
}

// bar shows how full an account is, in percent.
type bar struct {
	Settled, Pending int
	Class            string // of CSS: calm, near (from 80 % on) or full
}

// barOf rounds up, so that small amounts are visible. An account whose maximum is zero is full.
func barOf(a *account) bar {
	whole := float64(a.balance.Max.N)
	if whole <= 0 {
		return bar{100, 0, "full"}
	}
	settled := min(100, int(math.Ceil(100*float64(a.balance.Settled.N)/whole)))
	b := bar{Settled: settled, Pending: min(100-settled, int(math.Ceil(100*float64(a.balance.Pending.N)/whole)))}
	switch {
	case b.Settled+b.Pending >= 100:
		b.Class = "full"
	case b.Settled+b.Pending >= 80:
		b.Class = "near"
	default:
		b.Class = "calm"
	}
	return b
}

// dayOf returns the name of a column by day.
func dayOf(t time.Time) string { return t.Format(dayForm) }
