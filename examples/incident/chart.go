package main

import (
	"image/color"
	"time"

	"github.com/guptarohit/asciigraph"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
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

// writeSVG draws the same chart as a picture.
func writeSVG(path string, runs []*run) error {
	p := plot.New()
	p.Title.Text = "Nine days of one agent, at a hundredth of its tokens"
	p.X.Label.Text, p.Y.Label.Text = "day", "US dollars billed"
	p.Legend.Top, p.Legend.Left = true, true
	colors := []color.Color{color.RGBA{R: 0xc0, G: 0x39, B: 0x2b, A: 0xff}, color.RGBA{R: 0x27, G: 0xae, B: 0x60, A: 0xff}, color.RGBA{R: 0x29, G: 0x80, B: 0xb9, A: 0xff}, color.RGBA{R: 0x7f, G: 0x8c, B: 0x8d, A: 0xff}, color.RGBA{R: 0xe6, G: 0x7e, B: 0x22, A: 0xff}}
	for i, r := range runs {
		line := make(plotter.XYs, 0, len(r.spend)+1)
		for _, s := range append([]point{{}}, r.spend...) {
			line = append(line, plotter.XY{X: s.at.Hours() / 24, Y: s.usd})
		}
		drawn, err := plotter.NewLine(line)
		if err != nil {
			return err
		}
		drawn.Color, drawn.Width = colors[i%len(colors)], vg.Points(2)
		drawn.StepStyle = plotter.PostStep
		p.Add(drawn)
		p.Legend.Add(r.name, drawn)
	}
	p.Add(plotter.NewGrid())
	return p.Save(18*vg.Centimeter, 10*vg.Centimeter, path)
}
