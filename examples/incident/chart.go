package main

import (
	"cmp"
	"fmt"
	"image/color"
	"slices"
	"strconv"
	"time"

	"github.com/guptarohit/asciigraph"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// at returns the bill at a moment: that of the last call before it.
func (r *run) at(t time.Duration) float64 {
	usd := 0.0
	for _, p := range r.spend {
		if p.at > t {
			break
		}
		usd = p.usd
	}
	return usd
}

// terminalChart draws the bills over the nine days.
func terminalChart(runs []*run) string {
	const columns = 72
	series, names := make([][]float64, len(runs)), make([]string, len(runs))
	for i, r := range runs {
		names[i] = r.name
		for c := range columns {
			series[i] = append(series[i], r.at(time.Duration(c+1)*days*24*time.Hour/columns))
		}
	}
	return asciigraph.PlotMany(series, asciigraph.Height(14), asciigraph.Precision(0), asciigraph.LowerBound(0),
		asciigraph.SeriesColors(asciigraph.Red, asciigraph.Green, asciigraph.Blue, asciigraph.Gray, asciigraph.Orange), asciigraph.SeriesLegends(names...),
		asciigraph.Caption("US dollars over nine days, as the simulator billed them"))
}

// colors are those of the runs, dark enough to be read on white.
var colors = []color.Color{
	color.RGBA{R: 0xc0, G: 0x39, B: 0x2b, A: 0xff},
	color.RGBA{R: 0x1e, G: 0x84, B: 0x49, A: 0xff},
	color.RGBA{R: 0x21, G: 0x6c, B: 0xa8, A: 0xff},
	color.RGBA{R: 0x5f, G: 0x6a, B: 0x6a, A: 0xff},
	color.RGBA{R: 0xb4, G: 0x5f, B: 0x06, A: 0xff},
}

// Where labels are, in the units of the axes.
const (
	labelsAt  = days + 0.4 // in days: right of all lines
	chartEnd  = days + 6.2 // leaves room for the longest label
	labelsGap = 24.0       // US dollars between two labels at least, about the height of a line of text
)

// writeSVG draws the same chart as a picture. A line ends where its run spent the last of its money, and a thin one leads from there to the
// run's name and bill.
func writeSVG(path string, runs []*run) error {
	p := plot.New()
	p.Title.Text = "Nine days of one agent, at a hundredth of its tokens"
	p.X.Label.Text, p.Y.Label.Text = "day", "US dollars billed"
	p.X.Min, p.X.Max, p.Y.Min = 0, chartEnd, -labelsGap/2
	p.X.Tick.Marker = plot.ConstantTicks(dayTicks())
	p.Add(plotter.NewGrid())
	ends := make([]float64, len(runs))
	for i, r := range runs {
		ends[i] = r.bill.USD()
	}
	labels := apart(ends, labelsGap)
	for i, r := range runs {
		if err := r.draw(p, colors[i%len(colors)], labels[i]); err != nil {
			return err
		}
	}
	return p.Save(20*vg.Centimeter, 10*vg.Centimeter, path)
}

// dayTicks returns a mark for each day, from 0 to the last: the axis goes on behind them, where the labels of the lines are.
func dayTicks() (ticks []plot.Tick) {
	for day := range days + 1 {
		ticks = append(ticks, plot.Tick{Value: float64(day), Label: strconv.Itoa(day)})
	}
	return ticks
}

// draw adds a run to a chart, with its label at a height in dollars.
func (r *run) draw(p *plot.Plot, c color.Color, label float64) error {
	bill := r.billLine()
	end := bill[len(bill)-1]
	line, err := plotter.NewLine(bill)
	if err != nil {
		return err
	}
	line.Color, line.Width, line.StepStyle = c, vg.Points(2), plotter.PostStep
	// The leader is the thin line from the end of the bill to the label, which is moved where labels would overlap.
	leader, err := plotter.NewLine(plotter.XYs{end, {X: labelsAt - 0.1, Y: label}})
	if err != nil {
		return err
	}
	leader.Color, leader.Width, leader.Dashes = c, vg.Points(0.5), []vg.Length{vg.Points(1), vg.Points(3)}
	dot, err := plotter.NewScatter(plotter.XYs{end})
	if err != nil {
		return err
	}
	dot.GlyphStyle = draw.GlyphStyle{Color: c, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
	name, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: labelsAt, Y: label}}, Labels: []string{fmt.Sprintf("%s: $%.2f", r.name, end.Y)}})
	if err != nil {
		return err
	}
	name.TextStyle[0].Color, name.TextStyle[0].YAlign = c, draw.YCenter
	p.Add(leader, line, dot, name)
	return nil
}

// billLine returns the points of a run's bill over the days. It begins at day 0 with nothing billed. Points at which the bill has not grown, of
// refused calls, are left out: so the line ends with the last call that was billed.
func (r *run) billLine() plotter.XYs {
	bill := plotter.XYs{{}}
	for _, s := range r.spend {
		if s.usd > bill[len(bill)-1].Y {
			bill = append(bill, plotter.XY{X: s.at.Hours() / 24, Y: s.usd})
		}
	}
	return bill
}

// apart returns heights near the given ones, in the same order, with at least a gap between any two.
func apart(heights []float64, gap float64) []float64 {
	order := make([]int, len(heights))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(heights[a], heights[b]) })
	moved := slices.Clone(heights)
	for i := 1; i < len(order); i++ {
		// From the lowest up, each is moved up if it is too close to the one below.
		moved[order[i]] = max(moved[order[i]], moved[order[i-1]]+gap)
	}
	return moved
}
