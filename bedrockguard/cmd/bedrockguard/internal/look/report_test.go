package look

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/seed"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// drawn is a text of a picture, with the room that it takes.
type drawn struct {
	text                     string
	left, right, top, bottom float64
}

// textsOf reads the texts of a picture, and fails if it is no XML or anything lies outside.
func textsOf(t *testing.T, svg []byte) (all []drawn) {
	d := xml.NewDecoder(bytes.NewReader(svg))
	var at *drawn
	var anchor string
	height := 0.0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			attr := func(name string) string {
				for _, a := range token.Attr {
					if a.Name.Local == name {
						return a.Value
					}
				}
				return ""
			}
			number := func(name string) float64 {
				n, err := strconv.ParseFloat(attr(name), 64)
				require.NoError(t, err)
				return n
			}
			switch token.Name.Local {
			case "svg":
				height = number("height")
			case "rect":
				require.GreaterOrEqual(t, number("x"), 0.0)
				require.LessOrEqual(t, number("x")+number("width"), float64(pictureWidth))
				require.GreaterOrEqual(t, number("y"), 0.0)
				require.LessOrEqual(t, number("y")+number("height"), height+0.1)
			case "text":
				at, anchor = &drawn{left: number("x"), top: number("y") - 12, bottom: number("y") + 3}, attr("text-anchor")
			}
		case xml.CharData:
			if at == nil {
				continue
			}
			at.text = string(token)
			width := 7.6 * float64(utf8.RuneCountInString(at.text)) // wider than a letter of the font is on average
			switch anchor {
			case "end":
				at.left -= width
			case "middle":
				at.left -= width / 2
			}
			at.right = at.left + width
			require.GreaterOrEqual(t, at.left, 0.0, at.text)
			require.LessOrEqual(t, at.right, float64(pictureWidth), at.text)
			require.LessOrEqual(t, at.bottom, height, at.text)
			all, at = append(all, *at), nil
		}
	}
}

// spendingOf makes figures of so many workflows over so many days.
func spendingOf(workflows, days int, every string) *spending {
	first := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	s := &spending{Since: first, Until: first.AddDate(0, 0, days), By: []string{"workflow", "model"}, Every: every}
	for day := range days {
		for w := range workflows {
			r := &spendRow{Values: []string{fmt.Sprintf("<workflow> & \"%d\" of a rather long name \x1b[31m", w), "anthropic.claude-sonnet-4-5-20250929-v1:0"}}
			r.NanoUSD = int64(w+1) * 1_234_567_890 * int64(1+day%7)
			if every != "" {
				at := first.AddDate(0, 0, day)
				r.Day = &at
			}
			s.Rows = append(s.Rows, r)
			s.Total.add(r.figures)
		}
	}
	return s
}

// No label meets another one, and nothing lies outside, however many rows and days there are.
func TestLabelsOfPicturesDoNotOverlap(t *testing.T) {
	for _, every := range []string{"", "day"} {
		for _, workflows := range []int{1, 2, 12, 40} {
			for _, days := range []int{1, 2, 31, 90} {
				if every == "" && days > 1 {
					continue
				}
				var b bytes.Buffer
				require.NoError(t, spendingOf(workflows, days, every).writeSVG(&b))
				texts := textsOf(t, b.Bytes())
				require.NotEmpty(t, texts)
				for i, one := range texts {
					for _, other := range texts[i+1:] {
						apart := one.right <= other.left || other.right <= one.left || one.bottom <= other.top || other.bottom <= one.top
						require.True(t, apart, "%q meets %q with %d workflows over %d days", one.text, other.text, workflows, days)
					}
				}
				require.NotContains(t, b.String(), "\x1b")
				require.Contains(t, b.String(), "prefers-color-scheme:dark")
			}
		}
	}
}

// Every form of the report tells the same sums, to the nano-USD.
// A tag can have the name of a dimension.
func TestReportTellsTagsFromDimensions(t *testing.T) {
	scope := budget.Scope{Model: "m", Tags: map[string]string{"model": "a tag", "team": "search"}}
	for name, want := range map[string]string{"model": "m", "tag:model": "a tag", "team": "search", "principal": ""} {
		require.Equal(t, want, valueOf(scope, name), name)
	}
}

func TestReportIsUsageToTheNanoUSD(t *testing.T) {
	d, ledger := deskOver(t)
	require.NoError(t, (&seed.Call{Scope: budget.Scope{Workflow: "nightly", Model: "n"}, USD: 0.123456789}).Make(t.Context(), ledger))
	q := budget.UsageQuery{Since: driver.UsageDay(time.Now()), By: budget.PerWorkflow | budget.PerModel}
	s, err := readSpending(t.Context(), d, q, []string{"workflow", "model"})
	require.NoError(t, err)
	sums, total := make(map[string]int64), int64(0)
	for row, err := range d.Usage(t.Context(), q) {
		require.NoError(t, err)
		sums[row.Scope.Workflow+","+row.Scope.Model] += row.Charge[budget.UnitUSD]
		total += row.Charge[budget.UnitUSD]
	}
	require.Equal(t, total, s.Total.NanoUSD)
	settled := int64(0)
	for standing, err := range d.Standing(t.Context(), topPolicy, budget.AccountQuery{Limit: "all"}) {
		require.NoError(t, err)
		settled += standing.Balance.Settled.N
	}
	require.Equal(t, settled, s.Total.NanoUSD, "the account of everything holds the same")

	var table, csv bytes.Buffer
	require.NoError(t, s.writeTable(&table))
	require.NoError(t, s.writeCSV(&csv))
	for _, r := range s.Rows {
		require.Equal(t, sums[strings.Join(r.Values, ",")], r.NanoUSD)
		require.Contains(t, table.String(), output.Dollars(r.NanoUSD)+"\n")
		require.Contains(t, csv.String(), ","+output.Dollars(r.NanoUSD)+"\n")
	}
	require.Contains(t, table.String(), " 3.123456789\n")
}
