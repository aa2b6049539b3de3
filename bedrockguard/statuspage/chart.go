package statuspage

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// A chart has its own units and is stretched to the available space. Its labels are in the HTML beside it, so that they keep their size.
const (
	chartHeight  = 1000
	columnWidth  = 10
	columnFilled = 8
)

// chart is a breakdown as stacked columns, with its legend and its table.
type chart struct {
	ID, Title    string
	Width        int
	Columns      []chartColumn
	Top, Half    string // of the vertical axis
	First, Last  string // of the horizontal one
	Legend       []legend
	Heads        []string
	Rows         []chartRow
	Total        figure
	Empty        bool
	Unit, Period string
}

// chartColumn is one column, with its parts from the bottom up.
type chartColumn struct {
	Title string
	Parts []chartPart
}

type chartPart struct {
	X, Y, Height int
	Class        string
}

type legend struct {
	Class, Name string
	Total       figure
	Share       string
}

type chartRow struct {
	Head  string
	Cells []figure
}

// chartOf draws a breakdown. moments is the time layout for the names of columns.
func chartOf(id, title, moments string, b breakdown) chart {
	c := chart{ID: id, Title: title, Width: len(b.Columns) * columnWidth, Unit: "USD", Total: b.figure(b.Total), Empty: len(b.Series) == 0, Period: "day"}
	if b.Unit == 0 {
		c.Unit = "tokens"
	}
	if moments == minuteForm {
		c.Period = "minute"
	}
	if c.Empty {
		return c
	}
	top := niceTop(slices.Max(b.Totals))
	c.Top, c.Half = rounded(top, b.Unit), rounded(top/2, b.Unit)
	c.First, c.Last = b.Columns[0].Format(moments), b.Columns[len(b.Columns)-1].Format(moments)
	for i, s := range b.Series {
		c.Legend = append(c.Legend, legend{colour(s.Name, i), s.Name, b.figure(s.Total), percent(s.Total, b.Total)})
		c.Heads = append(c.Heads, s.Name)
	}
	for i, at := range b.Columns {
		if b.Totals[i] == 0 {
			continue
		}
		c.Columns = append(c.Columns, b.column(i, top, at.Format(moments)))
		row := chartRow{Head: at.Format(moments)}
		for _, s := range b.Series {
			row.Cells = append(row.Cells, b.figure(s.Values[i]))
		}
		row.Cells = append(row.Cells, b.figure(b.Totals[i]))
		c.Rows = append(c.Rows, row)
	}
	return c
}

// column stacks the parts of one column.
func (b *breakdown) column(i int, top int64, name string) chartColumn {
	c := chartColumn{Title: name + ": " + b.figure(b.Totals[i]).Text}
	height := func(n int64) int { return int(math.Round(chartHeight * float64(n) / float64(top))) }
	below := int64(0)
	for j, s := range b.Series {
		from := height(below)
		below = sum(below, s.Values[i])
		if to := height(below); to > from {
			c.Parts = append(c.Parts, chartPart{i*columnWidth + 1, chartHeight - to, to - from, colour(s.Name, j)})
		}
	}
	return c
}

func (b *breakdown) figure(n int64) figure {
	if b.Unit == 0 {
		return figureOf(tokens(n))
	}
	return usd(n)
}

// colour returns the CSS class of a series; a class of token always has the same.
func colour(name string, i int) string {
	for j, class := range classes {
		if class.name == name {
			return fmt.Sprintf("s%d", j)
		}
	}
	if name == noClass {
		return "s7"
	}
	return fmt.Sprintf("s%d", i)
}

// niceTop returns a round number that is at least n.
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

// sparkOf draws the ratios of parts to wholes.
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
	Class            string
}

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
