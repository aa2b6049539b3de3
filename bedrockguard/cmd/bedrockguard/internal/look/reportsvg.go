package look

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
)

// spending is the report that is drawn: its rows (spendRow) have the spend of some values, and if Every is set also the day or month. name is the
// row's values in one text. A series is all rows with the same values, and is drawn in one colour.

// The sizes of a picture, in pixels, as are the distances in the functions below. y grows downwards. The estimate of a letter's width is too large
// rather than too small, so that texts never overlap.
const (
	pictureWidth  = 960
	margin        = 24
	letterWidth   = 8.2
	rowHeight     = 24
	baseline      = 5   // how far below its middle a text has the line on which its letters stand, by which SVG places it
	headHeight    = 64  // above the plot, for the title
	plotHeight    = 280 // of the area in which columns stand
	gapOfColumns  = 2   // between two columns
	roomForLabels = 60  // below the columns
)

// How many characters of names are drawn, and of how many series.
const (
	maxTitleRunes = 100
	maxNameRunes  = 52 // of a name beside a bar
	maxListRunes  = 80 // of a name in the list below columns
	maxPictured   = 12 // series that are drawn; the rest is added up
)

// pictureStyle makes the picture readable on a light and a dark background. People who can't tell red from green can tell the colours apart,
// and each series is also named in words.
const pictureStyle = `svg{background:#fff;font:14px ui-sans-serif,system-ui,sans-serif}text{fill:#1f2328}.quiet{fill:#57606a}.axis{stroke:#d0d7de}` +
	`.s0{fill:#0072b2}.s1{fill:#e69f00}.s2{fill:#009e73}.s3{fill:#cc79a7}.s4{fill:#56b4e9}.s5{fill:#d55e00}.s6{fill:#8a7d00}.s7{fill:#7b61c4}.s8{fill:#3f8f8f}` +
	`.s9{fill:#a65628}.s10{fill:#6b7f99}.s11{fill:#b0639b}.s12{fill:#8c959f}` +
	`@media(prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#e6edf3}.quiet{fill:#9198a1}.axis{stroke:#3d444d}` +
	`.s0{fill:#4aa8e0}.s1{fill:#f0b429}.s2{fill:#2fc796}.s3{fill:#e3a1c6}.s4{fill:#8ccdf2}.s5{fill:#f0834d}.s6{fill:#c9bc3f}.s7{fill:#a693e6}.s8{fill:#6fbdbd}` +
	`.s9{fill:#cf8a60}.s10{fill:#93a7bf}.s11{fill:#d394c2}.s12{fill:#8c959f}}`

// picture is an SVG document that is being written.
type picture struct{ bytes.Buffer }

// text draws a text at a point, which is its start, middle or end by anchor; class is one of the style's, and may be empty.
func (p *picture) text(x, y float64, anchor, class, text string) {
	fmt.Fprintf(p, `<text x="%.1f" y="%.1f" text-anchor="%s"`, x, y, anchor)
	if class != "" {
		fmt.Fprintf(p, ` class="%s"`, class)
	}
	p.WriteString(">")
	_ = xml.EscapeText(p, []byte(output.Printable(text)))
	p.WriteString("</text>\n")
}

// bar draws a rectangle in the colour of a series (seriesColour). text shows when the pointer is over it, and is read by screen readers.
func (p *picture) bar(x, y, width, height float64, series int, text string) {
	fmt.Fprintf(p, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="s%d"><title>`, x, y, width, height, series)
	_ = xml.EscapeText(p, []byte(output.Printable(text)))
	p.WriteString("</title></rect>\n")
}

// end writes the whole document: a head with the size and the title, which screen readers read, and what was drawn.
func (p *picture) end(w io.Writer, height float64, title string) error {
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" width="%d" height="%.0f" role="img" aria-label="`, pictureWidth, height, pictureWidth, height)
	_ = xml.EscapeText(w, []byte(title))
	fmt.Fprintf(w, "\"><style>%s</style>\n", pictureStyle)
	if _, err := w.Write(p.Bytes()); err != nil {
		return err
	}
	_, err := io.WriteString(w, "</svg>\n")
	return err
}

// widthOf estimates the width of a text in pixels.
func widthOf(s string) float64 { return letterWidth * float64(utf8.RuneCountInString(s)) }

// series has what is drawn in one colour: the spend of all rows with the same values, in nano-USD.
type series struct {
	name  string
	total int64
	at    map[time.Time]int64 // by day or month; the zero time if rows are not by day or month
}

// series returns the series of the picture, the most expensive first, and the sum of the rest as the last one.
func (s *spending) series() []*series {
	byName := make(map[string]*series)
	var all []*series
	for _, r := range s.Rows {
		name := r.name()
		one := byName[name]
		if one == nil {
			one = &series{name: name, at: make(map[time.Time]int64)}
			byName[name], all = one, append(all, one)
		}
		one.total += r.NanoUSD
		one.at[dayOf(r)] += r.NanoUSD
	}
	slices.SortStableFunc(all, func(a, b *series) int { return cmp.Or(cmp.Compare(b.total, a.total), cmp.Compare(a.name, b.name)) })
	if len(all) <= maxPictured {
		return all
	}
	return append(all[:maxPictured], sumOf(all[maxPictured:]))
}

// sumOf adds several series up into one, which is named after their number.
func sumOf(all []*series) *series {
	sum := &series{name: fmt.Sprintf("%d others", len(all)), at: make(map[time.Time]int64)}
	for _, one := range all {
		sum.total += one.total
		for day, n := range one.at {
			sum.at[day] += n
		}
	}
	return sum
}

// dayOf returns the day or month of a row, or the zero time if rows are not by day or month.
func dayOf(r *spendRow) time.Time {
	if r.Day == nil {
		return time.Time{}
	}
	return *r.Day
}

// writeSVG draws a bar for each series; or, if rows are by day or month, a stacked column for each of these.
func (s *spending) writeSVG(w io.Writer) error {
	p, all := &picture{}, s.series()
	title := fmt.Sprintf("Spent on Amazon Bedrock from %s to %s: %s USD", s.Since.Format(time.DateOnly), s.Until.AddDate(0, 0, -1).Format(time.DateOnly), output.Dollars(s.Total.NanoUSD))
	p.text(margin, 32, "start", "", output.Clipped(title, maxTitleRunes))
	var height float64
	switch {
	case len(all) == 0:
		p.text(margin, headHeight, "start", "quiet", "Nothing was spent.")
		height = headHeight + rowHeight
	case s.Every != "":
		height = s.columns(p, all)
	default:
		height = bars(p, all)
	}
	return p.end(w, height, title)
}

// bars draws one bar for each series, and returns the height of the picture. Name, bar and amount are beside each other, so that no labels
// overlap.
func bars(p *picture, all []*series) float64 {
	// most, the largest total, is 1 at least, because widths are divided by it.
	nameWidth, amountWidth, most := 0.0, 0.0, int64(1)
	for _, one := range all {
		nameWidth = max(nameWidth, widthOf(output.Clipped(one.name, maxNameRunes)))
		amountWidth = max(amountWidth, widthOf(amountText(one.total)))
		most = max(most, one.total)
	}
	const nameGap, amountGap = 12, 8 // between a name and its bar, and between a bar and its amount
	left := margin + nameWidth + nameGap
	room := pictureWidth - left - amountWidth - (amountGap + margin + 4) // the width of the longest bar; 4 are to spare
	y := float64(headHeight)
	for i, one := range all {
		line := y + rowHeight/2 + baseline
		width := max(1, room*float64(one.total)/float64(most))
		p.text(left-nameGap, line, "end", "", output.Clipped(one.name, maxNameRunes))
		p.bar(left, y+3, width, rowHeight-6, seriesColour(i), one.name+": "+amountText(one.total))
		p.text(left+width+amountGap, line, "start", "quiet", amountText(one.total))
		y += rowHeight
	}
	return y + 20
}

// seriesColour returns the number of a series' colour in the style. The sum of the rest has the last one.
func seriesColour(i int) int { return min(i, maxPictured) }

// columns draws a column for each day or month, in which the series are stacked, with an axis of amounts at the left and the days below. Under it
// comes a list of the series. It returns the height of the picture.
func (s *spending) columns(p *picture, all []*series) float64 {
	days, most := s.days(), highestColumn(all)
	left := margin + widthOf(amountText(most)) + 8
	drawAxis(p, left, most)
	width := (pictureWidth - left - margin) / float64(len(days))
	free := left // where the next label may begin
	for i, day := range days {
		x := left + width*float64(i)
		s.drawColumn(p, all, day, x, width, most)
		free = drawLabel(p, s.dayText(day), x+width/2, free)
	}
	return drawList(p, all, left)
}

// highestColumn returns the largest sum of a day or month. It is 1 at least, because heights are divided by it.
func highestColumn(all []*series) int64 {
	sums, most := make(map[time.Time]int64), int64(1)
	for _, one := range all {
		for day, n := range one.at {
			sums[day] += n
			most = max(most, sums[day])
		}
	}
	return most
}

// columnsBottom is the y at which columns stand.
const columnsBottom = float64(headHeight + plotHeight)

// drawAxis draws a line with its amount at each quarter of most, the amount of the highest column. left is where columns begin.
func drawAxis(p *picture, left float64, most int64) {
	for _, quarters := range []int64{0, 1, 2, 3, 4} {
		y := columnsBottom - plotHeight*float64(quarters)/4
		fmt.Fprintf(p, `<line x1="%.1f" y1="%.1f" x2="%d" y2="%.1f" class="axis"/>`+"\n", left, y, pictureWidth-margin, y)
		p.text(left-8, y+baseline, "end", "quiet", amountText(most/4*quarters))
	}
}

// drawColumn draws the column of a day or month at x. The first series stands at the bottom, and each other one on that before it.
func (s *spending) drawColumn(p *picture, all []*series, day time.Time, x, width float64, most int64) {
	y := columnsBottom
	for i, one := range all {
		if n := one.at[day]; n > 0 {
			height := plotHeight * float64(n) / float64(most)
			y -= height
			p.bar(x+gapOfColumns/2, y, max(1, width-gapOfColumns), height, seriesColour(i), s.dayText(day)+", "+one.name+": "+amountText(n))
		}
	}
}

// drawLabel draws the label of a column around middle, unless it would begin before free, where the next label may begin, or end outside of the
// picture. It returns the new free.
func drawLabel(p *picture, label string, middle, free float64) float64 {
	half := widthOf(label) / 2
	if middle-half < free || middle+half > pictureWidth-8 {
		return free
	}
	p.text(middle, columnsBottom+20, "middle", "quiet", label)
	return middle + half + 12
}

// drawList draws a line for each series below the columns, its colour before it, and returns the height of the picture.
func drawList(p *picture, all []*series, left float64) float64 {
	y := columnsBottom + roomForLabels
	for i, one := range all {
		p.bar(left, y-11, 14, 14, seriesColour(i), one.name)
		p.text(left+24, y+1, "start", "", output.Clipped(one.name, maxListRunes)+"  "+amountText(one.total))
		y += rowHeight
	}
	return y + 8
}

// days returns the days or months of the report, including those without spend in between.
func (s *spending) days() []time.Time {
	var all []time.Time
	// The rows of the report are sorted by day, and there is one at least.
	first, last := *s.Rows[0].Day, *s.Rows[len(s.Rows)-1].Day
	for day := first; !day.After(last); {
		all = append(all, day)
		if s.Every == "month" {
			day = day.AddDate(0, 1, 0)
		} else {
			day = day.AddDate(0, 0, 1)
		}
	}
	return all
}

// dayText returns the label of a day or month.
func (s *spending) dayText(day time.Time) string {
	if s.Every == "month" {
		return day.Format("2006-01")
	}
	return day.Format("01-02")
}

// amountText prints nano-USD as dollars: in cents, or below a cent with six digits.
func amountText(nano int64) string {
	switch usd := float64(nano) / 1e9; {
	case nano == 0:
		return "$0"
	case usd >= 0.01:
		return fmt.Sprintf("$%.2f", usd)
	default:
		return fmt.Sprintf("$%.6f", usd)
	}
}
