package look

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// ReportCommand returns the command bedrockguard report, with its flags and its help.
func ReportCommand() *cli.Command {
	return &cli.Command{
		Name: "report", Category: "look", Usage: "print who spent what, by day or month, as a table, CSV, JSON or a picture",
		Description: "Figures are what was settled, expired or corrected on each UTC day of the reservation; what is pending is not in them. What has expired by now is charged\n" +
			"first. Values of scope flags may hold * and ?.",
		Flags: append(commandline.ScopeFlags(),
			&cli.StringFlag{Name: "by", Value: "workflow", Usage: "what to tell apart: principal, workflow, model, region and names of tags, with commas in between; tag:model is a tag"},
			&cli.StringFlag{Name: "since", Usage: "from this day on, or how long ago, such as 30d; this month unless set", HideDefault: true},
			&cli.StringFlag{Name: "until", Usage: "before this day", HideDefault: true},
			&cli.StringFlag{Name: "month", Usage: "one month, such as 2026-11", HideDefault: true},
			&cli.StringFlag{Name: "every", Usage: "day or month: a row for each", HideDefault: true},
			&cli.StringFlag{Name: "format", Value: "table", Usage: "table, csv, json or svg"},
		),
		Action: commandline.WithLedger(spendReport),
	}
}

// spending is the result of report: a row for each combination of the values in By, and for each day or month if Every is set.
type spending struct {
	Since time.Time   `json:"since"`           // the beginning of the first day
	Until time.Time   `json:"until"`           // the end of the last one
	By    []string    `json:"by"`              // principal, workflow, model, region, or the name of a tag
	Every string      `json:"every,omitempty"` // day or month; empty for one row over all days
	Rows  []*spendRow `json:"rows"`
	Total figures     `json:"total"`
}

// figures are the exact sums of a row: money in nano-USD.
type figures struct {
	NanoUSD          int64 `json:"nano_usd"`
	Calls            int64 `json:"calls"`
	InputTokens      int64 `json:"input_tokens"`
	CacheReadTokens  int64 `json:"cache_read_input_tokens"`
	CacheWriteTokens int64 `json:"cache_write_input_tokens"`
	OutputTokens     int64 `json:"output_tokens"`
}

// spendRow is one row of the report. Other marks the row for all usage that found no room of its own in the store, so that its values are not
// known.
type spendRow struct {
	Day    *time.Time `json:"day,omitempty"` // the beginning of the day or month, if rows are by day or month
	Values []string   `json:"values"`        // in the order of By; empty for calls without a value
	Other  bool       `json:"other,omitempty"`
	figures
}

// figuresOf picks from a charge what the report shows.
func figuresOf(c budget.Charge) figures {
	return figures{
		NanoUSD: c[budget.UnitUSD], Calls: c[budget.UnitCalls], InputTokens: c[budget.UnitInputTokens],
		CacheReadTokens: c[budget.UnitCacheReadInputTokens], CacheWriteTokens: c[budget.UnitCacheWriteInputTokens], OutputTokens: c[budget.UnitOutputTokens],
	}
}

// add adds the figures of another row.
func (f *figures) add(o figures) {
	f.NanoUSD += o.NanoUSD
	f.Calls += o.Calls
	f.InputTokens += o.InputTokens
	f.CacheReadTokens += o.CacheReadTokens
	f.CacheWriteTokens += o.CacheWriteTokens
	f.OutputTokens += o.OutputTokens
}

// cells returns the figures as texts, as many as figureHeads has.
func (f *figures) cells() []string {
	cells := make([]string, 0, len(figureHeads))
	for _, n := range [...]int64{f.Calls, f.InputTokens, f.CacheReadTokens, f.CacheWriteTokens, f.OutputTokens} {
		cells = append(cells, strconv.FormatInt(n, 10))
	}
	return append(cells, output.Dollars(f.NanoUSD))
}

// figureHeads are the heads of the figures' columns in the table.
var figureHeads = [...]string{"CALLS", "INPUT TOKENS", "READ FROM CACHE", "WRITTEN", "OUTPUT TOKENS", "USD"}

// spendReport runs bedrockguard report on the ledger d. Reservations that have expired are charged first, because usage only has what was
// charged.
func spendReport(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	format := c.String("format")
	if c.Bool("json") {
		format = "json"
	}
	if !slices.Contains([]string{"table", "csv", "json", "svg"}, format) {
		return exit.UsageError("--format %q: want table, csv, json or svg", format)
	}
	if err := chargeExpired(ctx, d); err != nil {
		return err
	}
	now, err := d.StoreTime(ctx)
	if err != nil {
		return err
	}
	q, by, err := usageQuery(c, now)
	if err != nil {
		return err
	}
	s, err := readSpending(ctx, d, q, by)
	if err != nil {
		return err
	}
	return s.print(c, format)
}

// print prints the report in a format: table, csv, json or svg.
func (s *spending) print(c *cli.Command, format string) error {
	w := c.Root().Writer
	switch format {
	case "csv":
		return s.writeCSV(w)
	case "json":
		return output.PrintJSON(c, s)
	case "svg":
		return s.writeSVG(w)
	default:
		return s.writeTable(w)
	}
}

// expireBatch is how many reservations are charged in one step.
const expireBatch = 256

// chargeExpired charges expired reservations, so that usage includes them. A batch that is not full was the last one.
func chargeExpired(ctx context.Context, d *commandline.Desk) error {
	for {
		n, err := d.Store.Expire(ctx, expireBatch)
		if err != nil || n < expireBatch {
			return err
		}
	}
}

// usageQuery parses the command line into a query of the store's usage. It also returns by which dimensions and tags rows are split. now is the
// store's time.
func usageQuery(c *cli.Command, now time.Time) (q budget.UsageQuery, by []string, err error) {
	scope, err := commandline.ScopeOf(c)
	if err != nil {
		return q, nil, err
	}
	// A Match, and not the scope, because in a Match the values may be patterns.
	q.Where = budget.Match{Principal: scope.Principal, Workflow: scope.Workflow, Model: scope.Model, Region: scope.Region, Profile: scope.Profile, Project: scope.Project, Tags: scope.Tags}
	by = splitBy(c.String("by"), &q)
	switch c.String("every") {
	case "": // one row over all days, which is the zero Every
	case "day":
		q.Every = budget.ByDay
	case "month":
		q.Every = budget.ByMonth
	default:
		return q, nil, exit.UsageError("--every %q: want day or month", c.String("every"))
	}
	q.Since, q.Until, err = reportSpan(c, now)
	return q, by, err
}

// splitBy makes the query tell apart the dimensions and tags in the list, and returns their names without repetitions. A name that is not one of a
// dimension is that of a tag; the prefix tag: is needed, and stays in the returned name, only for a tag with the name of a dimension.
func splitBy(list string, q *budget.UsageQuery) (by []string) {
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" || slices.Contains(by, name) {
			continue
		}
		if dimension, known := dimensionOf(name); known {
			q.By |= dimension
		} else {
			tag := strings.TrimPrefix(name, "tag:")
			q.ByTags = append(q.ByTags, tag)
			if _, ambiguous := dimensionOf(tag); !ambiguous {
				name = tag
			}
		}
		by = append(by, name)
	}
	return by
}

// dimensionOf returns the dimension with a name, and whether there is one.
func dimensionOf(name string) (dimension budget.Per, known bool) {
	err := dimension.UnmarshalText([]byte(name))
	return dimension, err == nil
}

// reportSpan reads from the command line which days the report is about. It returns the first one, since, and the day after the last one,
// until, both as the beginning of a UTC day. By default the report is about this month up to today.
func reportSpan(c *cli.Command, now time.Time) (since, until time.Time, err error) {
	if c.String("month") != "" {
		return monthSpan(c)
	}
	today := driver.UsageDay(now)
	firstOfMonth := time.Date(today.Year(), today.Month(), 1, 0, 0, 0, 0, time.UTC)
	if since, err = dayFlag(c, "since", firstOfMonth, now); err != nil {
		return since, until, err
	}
	if until, err = dayFlag(c, "until", today.AddDate(0, 0, 1), now); err != nil {
		return since, until, err
	}
	if !since.Before(until) {
		return since, until, exit.UsageError("no day lies from %s to before %s", since.Format(time.DateOnly), until.Format(time.DateOnly))
	}
	return since, until, nil
}

// monthSpan returns the first day of the month in --month, and that of the next one.
func monthSpan(c *cli.Command) (since, until time.Time, err error) {
	if c.String("since") != "" || c.String("until") != "" {
		return since, until, exit.UsageError("--month, and --since or --until: want one of them")
	}
	month := c.String("month")
	if since, err = time.Parse("2006-01", month); err != nil {
		return since, until, exit.UsageError("--month %q: want a month such as 2026-11", month)
	}
	return since, since.AddDate(0, 1, 0), nil
}

// dayFlag returns the UTC day in which the moment of a flag lies, and other if the flag is not set.
func dayFlag(c *cli.Command, flag string, other, now time.Time) (time.Time, error) {
	text := c.String(flag)
	if text == "" {
		return other, nil
	}
	at, err := commandline.ParseMoment(flag, text, now)
	if err != nil {
		return at, err
	}
	return driver.UsageDay(at), nil
}

// readSpending reads the usage that a query selects and makes the rows of the report: sorted by day, and within a day the most expensive first.
func readSpending(ctx context.Context, d *commandline.Desk, q budget.UsageQuery, by []string) (*spending, error) {
	s := &spending{Since: q.Since, Until: q.Until, By: by, Rows: []*spendRow{}}
	switch q.Every {
	case budget.ByDay:
		s.Every = "day"
	case budget.ByMonth:
		s.Every = "month"
	}
	for row, err := range d.Usage(ctx, q) {
		if err != nil {
			return nil, err
		}
		r := &spendRow{Values: make([]string, len(by)), Other: row.Key == driver.OtherUsage, figures: figuresOf(row.Charge)}
		if s.Every != "" {
			r.Day = output.Moment(row.Day)
		}
		for i, name := range by {
			r.Values[i] = valueOf(row.Scope, name)
		}
		s.Rows = append(s.Rows, r)
		s.Total.add(r.figures)
	}
	slices.SortStableFunc(s.Rows, func(a, b *spendRow) int {
		// Either all rows have a day, or none.
		if a.Day != nil && b.Day != nil && !a.Day.Equal(*b.Day) {
			return a.Day.Compare(*b.Day)
		}
		return cmp.Or(cmp.Compare(b.NanoUSD, a.NanoUSD), slices.Compare(a.Values, b.Values))
	})
	return s, nil
}

// valueOf returns the value of a scope's dimension or tag. Usage is stored without profile and project, so that these are not among the dimensions.
func valueOf(s budget.Scope, name string) string {
	switch name {
	case "principal":
		return s.Principal
	case "workflow":
		return s.Workflow
	case "model":
		return s.Model
	case "region":
		return s.Region
	}
	return s.Tags[strings.TrimPrefix(name, "tag:")]
}

// day returns the day or month of a row as text. It is only for a report by day or month: otherwise rows have no Day.
func (s *spending) day(r *spendRow) string {
	if s.Every == "month" {
		return r.Day.Format("2006-01")
	}
	return r.Day.Format(time.DateOnly)
}

// notToldApart stands for the values of the row Other.
const notToldApart = "(not told apart)"

// cells returns the texts before a row's figures: its day, if the report is by day or month, and its values.
func (s *spending) cells(r *spendRow) (cells []string) {
	if s.Every != "" {
		cells = append(cells, s.day(r))
	}
	for _, v := range r.Values {
		if r.Other {
			v = notToldApart
		}
		cells = append(cells, v)
	}
	return cells
}

// name returns the row's values in one text, for the picture.
func (r *spendRow) name() string {
	if r.Other {
		return notToldApart
	}
	values := slices.Clone(r.Values)
	for i := range values {
		if values[i] == "" {
			values[i] = "(none)"
		}
	}
	if len(values) == 0 {
		return "all"
	}
	return strings.Join(values, " · ")
}

// writeTable prints the report as a table with a last row of totals.
func (s *spending) writeTable(w io.Writer) error {
	var heads []string
	if s.Every != "" {
		heads = append(heads, strings.ToUpper(s.Every))
	}
	for _, by := range s.By {
		heads = append(heads, output.Printable(strings.ToUpper(by)))
	}
	total := make([]string, len(heads)) // the cells before the figures; Row shows an empty one as a dash
	if len(total) > 0 {
		total[0] = "total"
	}
	t := output.NewTable("", append(heads, figureHeads[:]...)...)
	for _, r := range s.Rows {
		t.Row(append(s.cells(r), r.figures.cells()...)...)
	}
	t.Row(append(total, s.Total.cells()...)...)
	if err := t.End(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nFrom %s to %s, in UTC days, at list prices less discounts.\n", s.Since.Format(time.DateOnly), s.Until.AddDate(0, 0, -1).Format(time.DateOnly))
	return err
}

// writeCSV prints the report as comma-separated values.
func (s *spending) writeCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	var heads []string
	if s.Every != "" {
		heads = append(heads, s.Every)
	}
	for _, by := range s.By {
		heads = append(heads, cell(by))
	}
	// The writer keeps an error, and Error returns it at the end.
	_ = out.Write(append(heads, "calls", "input_tokens", "cache_read_input_tokens", "cache_write_input_tokens", "output_tokens", "usd"))
	for _, r := range s.Rows {
		cells := s.cells(r)
		for i := range cells {
			cells[i] = cell(cells[i])
		}
		_ = out.Write(append(cells, r.figures.cells()...))
	}
	out.Flush()
	return out.Error()
}

// cell makes a value safe for a terminal and for a spreadsheet, which would run a value that begins like a formula.
func cell(v string) string {
	v = output.Printable(v)
	if v != "" && strings.ContainsRune("=+-@", rune(v[0])) {
		return "'" + v
	}
	return v
}
